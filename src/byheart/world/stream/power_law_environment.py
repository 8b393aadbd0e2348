"""Environments in which tasks come back: the likelier, the more recently they were met.

What people must remember comes back with a probability that falls as a power of the time since it was
last met (Anderson and Schooler 1991). A phase of such an environment brings a new task and, beside it,
examples of the tasks before (Gandhi et al. 2024, arXiv:2401.10393).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from byheart.core.errors import BadInput
from byheart.world.stream.task import Task

Law = Literal["power", "exponential", "uniform", "none"]


def shares(phase: int, law: Law = "power", decay: float = 1.0) -> list[float]:
    """How the examples that come back in a phase (from 0) are split over the tasks before it, oldest first.

    With t the phases since a task was new: t^-decay for the power law, exp(-decay t) for the exponential.

    >>> [round(s, 3) for s in shares(3)], shares(2, "uniform"), shares(2, "none")
    ([0.182, 0.273, 0.545], [0.5, 0.5], [0.0, 0.0])
    """
    if decay <= 0:
        raise BadInput(f"decay={decay} does not let the past fade; give a number above 0 or law='uniform'")
    since = np.arange(phase, 0, -1, dtype=float)
    weights = {
        "power": since**-decay,
        "exponential": np.exp(-decay * since),
        "uniform": np.ones(phase),
        "none": np.zeros(phase),
    }[law]
    return (weights / max(weights.sum(), 1e-300)).tolist()


def environment(
    tasks: Sequence[Task], *, law: Law = "power", fraction: float = 0.5, decay: float = 1.0, seed: int = 0
) -> list[Task]:
    """One phase for each task: all its examples, and `fraction` as many of earlier tasks, split by `shares`.

    A task comes back with examples drawn anew from its own, each at most once in a phase. The test
    examples of a phase are those of its new task.

    >>> from byheart.world.stream.digits import permuted
    >>> phases = environment(permuted(tasks=3, train=100), fraction=0.3)
    >>> [len(p.train) for p in phases]
    [100, 130, 130]
    """
    if not 0 <= fraction <= 1:
        raise BadInput(f"fraction={fraction} is no share of a phase's new examples; give a number from 0 to 1")
    rng = np.random.default_rng(seed)
    phases = []
    for n, task in enumerate(tasks):
        back = []
        wanted = np.array(shares(n, law, decay)) * fraction * len(task.train)
        counts = np.floor(wanted).astype(int)
        if n and law != "none":
            for k in np.argsort(counts - wanted, kind="stable")[: round(wanted.sum()) - counts.sum()]:
                counts[k] += 1
        for old, count in zip(tasks, counts.tolist(), strict=False):
            back += [old.train[i] for i in rng.permutation(len(old.train))[:count]]
        phases.append(Task(task.name, [*task.train, *back], task.test))
    return phases
