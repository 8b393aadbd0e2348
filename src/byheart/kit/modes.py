"""A model, or torch's generator, put into another state for a while and then back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model without dropout; afterwards, also after an error, in the mode that it was in.

    >>> model = nn.Dropout()
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(training)


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """What torch draws on the CPU comes from this seed; what it draws afterwards is as if nothing had been drawn.

    >>> with drawing(5):
    ...     first = nn.Linear(2, 2)
    >>> with drawing(5):
    ...     torch.equal(nn.Linear(2, 2).weight, first.weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
