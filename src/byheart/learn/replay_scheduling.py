"""Replay scheduling: choose which earlier tasks to rehearse at which stage, by tree search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any, ClassVar

import torch

from byheart.core.errors import BadInput
from byheart.core.strategy import Batch, Stage, Strategy
from byheart.kit.buffer import dump, parse, pick

Schedule = tuple[tuple[float, ...], ...]


class ReplayScheduling(Strategy):
    """Replays a small memory that is composed anew at every stage, by a schedule over the earlier ones.

    Storing all that was learned is cheap, replaying all of it is not. Which tasks are worth their
    time depends on when they are rehearsed, as it does for people, who learn better from spaced
    repetition than from equal shares of everything.

    L = CE(new) + CE(memory), memory of stage t = M examples, a share p_tk of them from stage k

    `search` finds a schedule for a stream by Monte Carlo tree search.

    Parameters
    ----------
    memory: M, 10 in the paper's runs on split digits; 0 replays nothing.
    schedule: the shares p_tk, one row for each stage from the second on, oldest stage first; None gives
        every earlier stage the same (the paper's baseline ETS), also after the last row.
    ratio: replayed examples per new example in a batch, at most the whole memory; 1 in the paper.

    Departs from the paper: old and new losses are averaged apart, then added.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Linear(2, 2), tasks, [ReplayScheduling(schedule=((1.0,),))])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['new', 'replay'])

    References: Klasson, Kjellstroem and Zhang 2023, "Learn the Time to Learn: Replay Scheduling in
    Continual Learning", arXiv:2209.08660, section 3.2 and algorithm 1.
    """

    name = "replay-scheduling"
    paper = "replay-scheduling"

    neutral: ClassVar[dict[str, Any]] = {"memory": 0}

    def __init__(
        self, *, memory: int = 10, schedule: Sequence[Sequence[float]] | None = None, ratio: float = 1.0
    ) -> None:
        for n, row in enumerate(schedule or (), 1):
            if len(row) != n or min(row) < 0 or abs(sum(row) - 1) > 1e-6:
                raise BadInput(f"schedule row {n} is {tuple(row)}; give {n} shares, none below 0, that add up to 1")
        self.memory, self.ratio = memory, ratio
        self.schedule: Schedule = tuple(tuple(row) for row in schedule or ())
        self.kept: list[list[dict[str, Any]]] = []
        self.pool: list[dict[str, Any]] = []
        self.first = 0

    def idle_first(self) -> bool:
        return True

    def begin(self, stage: Stage) -> None:
        t = len(self.kept)
        row = self.schedule[t - 1] if 0 < t <= len(self.schedule) else (1 / t,) * t if t else ()
        self.pool = []
        for k, count in enumerate(split(row, self.memory)):
            keys = pick(len(self.kept[k]), count, self.generator(stage, "memory", k))
            self.pool += [self.kept[k][i] for i in keys]
        self.first = stage.offer("replay", self.pool) if self.pool else 0

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, batches in stream:
            count = round(self.ratio * sum(len(b) for b in batches if b.role == "new"))
            keys = pick(len(self.pool), count, self.generator(stage, "batch", number)) if self.pool else []
            if keys:
                chosen = [self.pool[k] for k in keys]
                batches = [*batches, stage.batch(chosen, "replay", [self.first + k for k in keys])]
            yield number, batches

    def end(self, stage: Stage) -> None:
        if self.memory:
            self.kept.append([dict(e) for e in stage.examples])

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [dump(examples) for examples in self.kept]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = [parse(examples) for examples in state["kept"]]


def split(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers that add up to `total` and are nearest to the shares, the larger remainder first.

    >>> split((0.5, 0.25, 0.25), 10), split((0.0, 1.0), 3)
    ([5, 3, 2], [0, 3])
    """
    wanted = [s * total for s in shares]
    counts = [math.floor(w + 1e-9) for w in wanted]
    for k in sorted(range(len(counts)), key=lambda i: counts[i] - wanted[i])[: total - sum(counts) if counts else 0]:
        counts[k] += 1
    return counts


def choices(earlier: int) -> list[tuple[float, ...]]:
    """The compositions that a memory may have with so many earlier tasks: as many equal slots, each any task's.

    >>> choices(2)
    [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]
    """
    slots = combinations_with_replacement(range(earlier), earlier)
    return [tuple(s.count(k) / earlier for k in range(earlier)) for s in slots]


@dataclass
class Node:
    """A schedule's beginning in the tree: what it led to, and the choices not tried yet."""

    schedule: Schedule
    untried: list[tuple[float, ...]]
    children: list[Node] = field(default_factory=list)
    best: float = -math.inf
    visits: int = 0

    def descend(self, explore: float) -> Node:
        """The child with the highest upper bound on its best reward (paper, equation 2)."""
        return max(self.children, key=lambda c: c.best + explore * math.sqrt(2 * math.log(self.visits) / c.visits))


def search(
    reward: Callable[[Schedule], float],
    tasks: int,
    generator: torch.Generator,
    *,
    iterations: int = 100,
    explore: float = 0.1,
) -> tuple[Schedule, float]:
    """The best schedule for a stream of `tasks` tasks met in so many tries, and its reward.

    Each iteration walks down by upper confidence bounds, adds one untried choice, completes the schedule at
    random and asks for its reward: the accuracy over all tasks on held-out examples, after a training run.

    >>> likes = lambda schedule: schedule[0][0] + schedule[1][1]
    >>> search(likes, 3, torch.Generator().manual_seed(0), iterations=20)
    (((1.0,), (0.0, 1.0)), 2.0)
    """
    if tasks < 2:
        raise BadInput(f"a stream of {tasks} has nothing to replay; give at least 2 tasks")
    options = [choices(t) for t in range(1, tasks)]

    def draw(count: int) -> int:
        return int(torch.randint(count, (1,), generator=generator))

    root = Node((), list(options[0]))
    best: tuple[Schedule, float] = ((), -math.inf)
    for _ in range(iterations):
        path = [root]
        while not path[-1].untried and path[-1].children:
            path.append(path[-1].descend(explore))
        node = path[-1]
        if node.untried:
            schedule = (*node.schedule, node.untried.pop(draw(len(node.untried))))
            below = list(options[len(schedule)]) if len(schedule) < len(options) else []
            node.children.append(Node(schedule, below))
            path.append(node.children[-1])
        schedule = path[-1].schedule
        while len(schedule) < len(options):
            here = options[len(schedule)]
            schedule = (*schedule, here[draw(len(here))])
        value = reward(schedule)
        for node in path:
            node.best, node.visits = max(node.best, value), node.visits + 1
        if value > best[1]:
            best = (schedule, value)
    return best
