"""GEM: never step against the gradient of any earlier task."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit import gradient
from byheart.kit.buffer import dump, parse, pick
from byheart.kit.projection import dot


class GEM(Strategy):
    """Takes the step nearest to the gradient that, to first order, raises no earlier task's loss.

    Every earlier stage keeps a few examples, and its gradient on them is one constraint; the nearest
    step that meets all of them adds a little of each constraint's gradient, a problem of as many
    unknowns as there are stages. All stored examples are read and differentiated at every step, which takes several
    times plain fine-tuning's time and grows with the stages (bench/results/strategies.json);
    `examples` bounds it.

    g <- g + sum_k v_k g_k, v = argmin_{v >= gamma} 1/2 v' P v + q' v, P_kl = g_k . g_l, q_k = g_k . g
    whenever some q_k < 0, with g_k the gradient of CE on the examples stored of stage k

    Parameters
    ----------
    capacity: examples stored of each stage, 256 in the paper's MNIST runs; 0 projects nothing.
    margin: gamma, 0.5 in the paper; above 0 it favours getting better at the earlier stages.
    examples: how many of a stage's stored examples are read at each step; None (the paper's) for all.

    Departs from the paper: a stage's examples are a uniform sample of it, drawn at its end, where the
    paper keeps the latest; gamma bounds v from below, as in the authors' code, where the text adds it.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[0], "labels": i}] for i in (0, 1)]  # the second contradicts the first
    >>> guard = GEM()
    >>> [len(t.history) for t in stages(torch.nn.Linear(2, 2), tasks, [guard])], guard.projected
    ([1, 1], 1)

    References: Lopez-Paz and Ranzato 2017, "Gradient Episodic Memory for Continual Learning",
    arXiv:1706.08840, equations 8 to 11.
    """

    name = "gem"
    arxiv = "1706.08840"

    neutral: ClassVar[dict[str, Any]] = {"capacity": 0}

    def __init__(self, *, capacity: int = 256, margin: float = 0.5, examples: int | None = None) -> None:
        self.capacity, self.margin, self.examples = capacity, margin, examples
        self.kept: list[list[dict[str, Any]]] = []
        self.projected = 0

    def idle_first(self) -> bool:
        return True

    def gradients(self, step: Step) -> None:
        if not self.kept:
            return
        live = [p for p in step.model.parameters() if p.requires_grad and p.grad is not None]
        now: list[Tensor] = [p.grad for p in live if p.grad is not None]
        past = []
        for k, examples in enumerate(self.kept):
            count = len(examples) if self.examples is None else self.examples
            keys = pick(len(examples), count, self.generator(step.stage, "reference", step.index, k))
            past.append(gradient.mean(step.stage, [examples[i] for i in sorted(keys)], live))
        q = np.array([dot(g, now).item() for g in past])
        if (q >= 0).all():
            return
        p = np.array([[dot(a, b).item() for b in past] for a in past])
        for share, old in zip(bounded(p, q, self.margin), past, strict=True):
            for g, r in zip(now, old, strict=True):
                g.add_((share * r.float()).to(g.dtype))
        self.projected += 1

    def end(self, stage: Stage) -> None:
        if self.capacity:
            keys = pick(len(stage.examples), self.capacity, self.generator(stage, "memory"))
            self.kept.append([dict(stage.examples[k]) for k in keys])

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [dump(examples) for examples in self.kept], "projected": self.projected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = [parse(examples) for examples in state["kept"]]
        self.projected = state["projected"]


def bounded(p: np.ndarray, q: np.ndarray, least: float = 0.0) -> np.ndarray:
    """The v >= `least` that minimises 1/2 v' p v + q' v, for a positive semi-definite p of few rows.

    Active sets as in Lawson and Hanson (1974), chapter 23: free the bound that is most worth freeing,
    solve for the free ones, and step back to the first that would cross its bound.

    >>> bounded(np.eye(2), np.array([-1.0, 2.0])).tolist()
    [1.0, 0.0]
    """
    n = len(q)
    slope = q + least * p.sum(1)
    u, free = np.zeros(n), np.zeros(n, dtype=bool)
    for _ in range(10 * n):
        pull = -(p @ u + slope)
        pull[free] = -np.inf
        if pull.max() <= 1e-12 * (1 + np.abs(slope).max()):
            break
        free[pull.argmax()] = True
        while True:
            aim = np.zeros(n)
            aim[free] = np.linalg.lstsq(p[np.ix_(free, free)], -slope[free], rcond=1e-12)[0]
            crossing = free & (aim <= 0)
            if not crossing.any():
                break
            u = u + (aim - u) * (u[crossing] / (u[crossing] - aim[crossing])).min()
            free &= u > 1e-14 * (1 + np.abs(u).max())
            u[~free] = 0.0
        u = aim
    return u + least
