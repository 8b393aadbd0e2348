"""A model, or torch's generators, put into another state for a while and then back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model without dropout; afterwards, also after an error, every module in the mode that it was in.

    >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
    >>> with evaluating(model):
    ...     [m.training for m in model.modules()]
    [False, False, False]
    >>> [m.training for m in model.modules()]
    [True, True, False]
    """
    modes = [(m, m.training) for m in model.modules()]
    training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(training)  # what was put into it meanwhile goes with the whole
        for module, before in modes:
            module.training = before


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """What torch's global generators draw comes from this seed; afterwards they are as if nothing had been drawn.

    Those are the CPU's and, once CUDA is in use, every CUDA device's.

    >>> with drawing(5):
    ...     first = nn.Linear(2, 2)
    >>> with drawing(5):
    ...     torch.equal(nn.Linear(2, 2).weight, first.weight)
    True
    """
    before = torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes longer than a small step
    if devices:
        torch.cuda.manual_seed_all(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
        if devices:
            torch.cuda.set_rng_state_all(devices)
