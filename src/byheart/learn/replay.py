"""Replay: mix examples of earlier stages into every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch

from byheart.core.strategy import Batch, Stage, Strategy
from byheart.kit.buffer import Reservoir, pick


class Replay(Strategy):
    """Adds a few old examples, of role `replay`, to every batch of new ones.

    The gradient then serves old and new at once, and what is rehearsed is not overwritten.

    L = CE(new) + CE(replayed)

    Parameters
    ----------
    ratio: replayed examples per new example; 1 is the paper's (equal batches). 0 replays nothing.
    capacity: None replays what the stage offers as `old`, all of it. A number keeps a uniform
        sample of that many examples of the stages seen (reservoir sampling), in the state, and
        replays from it alone.

    Departs from the paper: the memory is filled at the end of a stage, not during it, so nothing is
    replayed in the first one; old and new losses are averaged apart, then added.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Linear(2, 2), tasks, [Replay()])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['new', 'replay'])

    References: Chaudhry et al. 2019, "On Tiny Episodic Memories in Continual Learning",
    arXiv:1902.10486, algorithm 1.
    """

    name = "replay"

    neutral: ClassVar[dict[str, Any]] = {"ratio": 0.0}

    def __init__(self, *, ratio: float = 1.0, capacity: int | None = None) -> None:
        self.ratio, self.capacity = ratio, capacity
        self.memory = Reservoir(capacity or 0)
        self.pool: Sequence[dict[str, Any]] = ()
        self.first = 0

    def idle_first(self) -> bool:
        return True

    def begin(self, stage: Stage) -> None:
        self.pool = stage.old if self.capacity is None else list(self.memory.items)
        self.first = stage.offer("replay", self.pool) if self.ratio and self.pool else 0

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, batches in stream:
            generator = self.generator(stage, "batch", number)
            wanted = self.ratio * sum(len(b) for b in batches if b.role == "new")
            count = int(wanted + float(torch.rand((), generator=generator)))  # 0.25 is one in four steps
            keys = pick(len(self.pool), count, generator) if self.pool and self.ratio else []
            if keys:
                chosen = [self.pool[k] for k in keys]
                batches = [*batches, stage.batch(chosen, "replay", [self.first + k for k in keys])]
            yield number, batches

    def end(self, stage: Stage) -> None:
        if self.capacity is not None:
            for example in stage.examples:
                self.memory.add(dict(example), lambda n: self.generator(stage, "memory", n))

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory.load_state_dict(state["memory"])
