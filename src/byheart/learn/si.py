"""Synaptic intelligence: hold each weight by what its own path has earned."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.pull import quadratic


class SI(Strategy):
    """Penalises moving the weights whose movement lowered the loss of earlier stages.

    While a stage is learned, gradient times step says how much of the fall of the loss each weight is
    responsible for; the sum along the path, over the squared distance travelled, is the steepness of
    a parabola that stands for the stage afterwards. No pass over the data is needed.

    L = CE + c sum_i Omega_i (theta_i - theta_i*)^2, theta* the end of the last stage
    Omega_i <- max(0, Omega_i + omega_i / (Delta_i^2 + xi)), omega_i = -sum_steps (d CE / d theta_i) (step of theta_i)

    Parameters
    ----------
    strength: c; 0.1 in the paper's permuted MNIST. damping: xi, 0.1 there; bounds the importance of
        weights that hardly moved.

    Departs from the paper: importances below zero are cut off, as in the authors' code.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Linear(2, 2), tasks, [SI()])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['new', 'si'])

    References: Zenke, Poole and Ganguli 2017, "Continual Learning Through Synaptic Intelligence",
    arXiv:1703.04200, equations 3 to 5.
    """

    name = "si"
    arxiv = "1703.04200"

    neutral: ClassVar[dict[str, Any]] = {"strength": 0.0}

    def __init__(self, *, strength: float = 0.1, damping: float = 0.1) -> None:
        self.strength, self.damping = strength, damping
        self.importance: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        self.earned: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}
        self.before: dict[str, tuple[Tensor, Tensor]] = {}

    def idle_first(self) -> bool:
        return True

    def begin(self, stage: Stage) -> None:
        if self.strength:
            live = _live(stage.model)
            self.start = {n: p.detach().float().clone() for n, p in live.items()}
            self.earned = {n: torch.zeros_like(p) for n, p in self.start.items()}

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.strength:
            refuse(model, "SI")
        return {}

    def terms(self, step: Step) -> dict[str, Tensor]:
        live = _live(step.model) if self.importance else {}
        parts = [quadratic(live[n], self.anchor[n], w) for n, w in self.importance.items() if n in live]
        return {"si": self.strength * torch.stack(parts).sum()} if parts else {}

    @torch.no_grad()
    def gradients(self, step: Step) -> None:
        """Note the gradient without the penalty's share, and where the weights are before the step."""
        before, self.before = self.before, {}
        if not self.strength:
            return
        for name, p in _live(step.model).items():
            if p.grad is not None:
                master = step.master(p).detach()
                own, weights = before.get(name) or (torch.empty_like(master), torch.empty_like(master))
                own.copy_(p.grad)
                if name in self.importance:
                    pulled = p.detach().float() - self.anchor[name].to(p.device)
                    own.sub_(pulled.mul_(self.importance[name].to(p.device)), alpha=2 * self.strength)
                self.before[name] = (own, weights.copy_(master))

    @torch.no_grad()
    def parameters(self, step: Step) -> None:
        live = _live(step.model) if self.before else {}
        for name, (gradient, weights) in self.before.items():  # reused as room for the next step's
            moved = weights.sub_(step.master(live[name])).neg_()
            self.earned[name] = self.earned[name].to(moved.device).addcmul_(gradient, moved, value=-1)

    @torch.no_grad()
    def end(self, stage: Stage) -> None:
        if not self.strength:
            return
        live = dict(stage.model.named_parameters())
        for name, earned in self.earned.items():
            now = live[name].detach().float().clone()
            travelled = (now - self.start[name].to(now.device)).square()
            before = self.importance.get(name, torch.zeros_like(now)).to(now.device)
            self.importance[name] = (before + earned.to(now.device) / (travelled + self.damping)).clamp(min=0)
            self.anchor[name] = now
        self.earned, self.start, self.before = {}, {}, {}

    def state_dict(self) -> dict[str, Any]:
        return {"importance": self.importance, "anchor": self.anchor, "earned": self.earned, "start": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.importance, self.anchor = dict(state["importance"]), dict(state["anchor"])
        self.earned, self.start = dict(state["earned"]), dict(state["start"])


def _live(model: nn.Module) -> dict[str, nn.Parameter]:
    return {n: p for n, p in model.named_parameters() if p.requires_grad}
