"""Other optimizers in the place of Adam, for claims that are about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from byheart.core.strategy import Stage, Step, Strategy


class SGD(Strategy):
    """Steps by the gradient: m <- momentum m + g, theta <- theta - lr m, with m from zero in every stage.

    The rate is this one's own; that of the training settings has no effect, their clipping has.

    >>> from byheart.train.loop import Settings, train
    >>> model = torch.nn.Linear(1, 2, bias=False)
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> _ = train(model, [{"input": torch.ones(1), "labels": 0}], [SGD(lr=1.0)], Settings(steps=1))
    >>> model.weight.tolist()
    [[0.5], [-0.5]]
    """

    claims = frozenset({"step"})

    def __init__(self, *, lr: float = 0.1, momentum: float = 0.0) -> None:
        self.lr, self.momentum = lr, momentum
        self.moving: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        self.moving = {}

    @torch.no_grad()
    def own_step(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        for name, p in step.model.named_parameters():
            if p.requires_grad and p.grad is not None:
                m = self.moving.setdefault(name, torch.zeros_like(p, dtype=torch.float32))
                m.mul_(self.momentum).add_(p.grad.float())
                step.master(p).sub_(self.lr * m)

    def state_dict(self) -> dict[str, Any]:
        return {"moving": self.moving}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moving = dict(state["moving"])


class Lasting(Strategy):
    """Steps of a PyTorch optimizer whose state lasts over all stages; float32 models only."""

    claims = frozenset({"step"})

    def __init__(self, made: Callable[[Iterable[Tensor]], torch.optim.Optimizer]) -> None:
        self.made = made
        self.rule: torch.optim.Optimizer | None = None

    def begin(self, stage: Stage) -> None:
        self.rule = self.rule or self.made(stage.model.parameters())

    def own_step(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        if self.rule is not None:
            self.rule.step()


def lasting(optimizer: Any, lr: float) -> Lasting:
    """`Lasting` with a PyTorch optimizer at a learning rate.

    >>> type(lasting(torch.optim.Adam, 1e-3).made([torch.zeros(1, requires_grad=True)])).__name__
    'Adam'
    """
    return Lasting(lambda parameters: optimizer(parameters, lr=lr))
