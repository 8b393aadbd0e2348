"""Looking on while models are trained, without a hand in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Trained(Protocol):
    """What a stage did: the steps it took, and the losses of each by name (see `train.loop.Trained`)."""

    steps: int
    history: list[dict[str, float]]


_watched: ContextVar[list[Trained] | None] = ContextVar("watched", default=None)


@contextmanager
def watching() -> Iterator[list[Trained]]:
    """A list that every stage trained inside the block is added to when it ends, in order.

    >>> import torch
    >>> from byheart.train.loop import Settings, train
    >>> with watching() as stages:
    ...     _ = train(torch.nn.Linear(1, 2), [{"input": torch.ones(1), "labels": 0}], (), Settings(steps=3))
    >>> [stage.steps for stage in stages]
    [3]
    """
    stages: list[Trained] = []
    token = _watched.set(stages)
    try:
        yield stages
    finally:
        _watched.reset(token)


def note(stage: Trained) -> None:
    """Add a stage that has ended to the lists of those who watch."""
    stages = _watched.get()
    if stages is not None:
        stages.append(stage)
