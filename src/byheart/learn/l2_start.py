"""L2 to the start (L2-SP): pull the weights back to where the stage began."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.pull import quadratic


class L2ToStart(Strategy):
    """Penalises the squared distance of the weights from those at the start of the stage.

    What the model knew is in the starting weights, and close to them little of it can be lost. All
    directions count the same, which is what EWC mends.

    L = CE + alpha / 2 ||theta - theta_start||^2

    Parameters
    ----------
    strength: alpha, tuned for each task in the paper; 0.1 here.

    Departs from the paper: a new output layer, which the paper decays towards zero with its own
    beta, has no special treatment (there is none here); biases and norms are pulled too.

    >>> import torch
    >>> from byheart.train.loop import Settings, train
    >>> data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    >>> done = train(torch.nn.Linear(2, 2), data, [L2ToStart()], Settings(steps=2, lr=0.1))
    >>> [round(h["l2_start"], 4) for h in done.history]  # 0.1 / 2 * 6 * 0.1^2
    [0.0, 0.003]

    References: Li, Grandvalet and Davoine 2018, "Explicit Inductive Bias for Transfer Learning with
    Convolutional Networks", arXiv:1802.01483 (L2-SP).
    """

    name = "l2-start"
    arxiv = "1802.01483"

    neutral: ClassVar[dict[str, Any]] = {"strength": 0.0}

    def __init__(self, *, strength: float = 0.1) -> None:
        self.strength = strength
        self.start: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        if self.strength:
            self.start = {n: p.detach().clone() for n, p in stage.model.named_parameters() if p.requires_grad}

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.strength:
            refuse(model, "L2ToStart")
        return {}

    def terms(self, step: Step) -> dict[str, Tensor]:
        if not self.strength:
            return {}
        moved = [
            quadratic(p, self.start[n]) for n, p in step.model.named_parameters() if p.requires_grad and n in self.start
        ]
        return {"l2_start": self.strength / 2 * torch.stack(moved).sum()} if moved else {}

    def end(self, stage: Stage) -> None:
        self.start = {}
