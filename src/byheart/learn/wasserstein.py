"""Wasserstein regularization: keep how the weights of each layer are distributed, not which weight is which."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.adapter import refuse


class Wasserstein(Strategy):
    """Holds the distribution of every layer's weights to that at the start, so that later tasks still find gradients.

    What makes a fresh network easy to train lies in how its weights are distributed. Pulling each weight to its own
    start keeps that too, but forbids more than it must: here weights may trade places at no cost.

    L = CE + lambda sum_W ||sort(W) - sort(W_start)||^2, the squared 2-Wasserstein distance of the weights of W from
    its first ones, times their number

    Parameters
    ----------
    strength: lambda, 1e-3 here; the paper searches it for each network.

    The start is that of the first stage and stays it. Every step puts all trained weights in order, which takes longer
    than the step itself; those of 16 bits have few values, which are counted instead, in a third of the time, and equal
    ones share the pull on their places.

    Departs from the paper: all trained parameters are held, whatever their kind.

    >>> import torch
    >>> from byheart.train.loop import Settings, train
    >>> model, data = torch.nn.Linear(2, 2), [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    >>> done = train(model, data, [Wasserstein(strength=1.0)], Settings(steps=2, lr=0.1))
    >>> done.history[0]["wasserstein"], done.history[1]["wasserstein"] > 0
    (0.0, True)

    References: Lewandowski et al. 2024, "Learning Continually by Spectral Regularization",
    arXiv:2406.06811 (first version, regularization towards the initial distribution).
    """

    name = "wasserstein"
    paper = "spectral-regularization"
    arxiv = "2406.06811"

    neutral: ClassVar[dict[str, Any]] = {"strength": 0.0}

    def __init__(self, *, strength: float = 1e-3) -> None:
        self.strength = strength
        self.start: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        if not self.strength:
            return
        for name, p in stage.model.named_parameters():
            if p.requires_grad and name not in self.start:
                self.start[name] = p.detach().float().flatten().sort().values

    def groups(self, model: torch.nn.Module) -> dict[str, float]:
        if self.strength:
            refuse(model, "Wasserstein")
        return {}

    def terms(self, step: Step) -> dict[str, Tensor]:
        if not self.strength:
            return {}
        moved = [
            distance(p.flatten(), self.start[n].to(p.device))
            for n, p in step.model.named_parameters()
            if p.requires_grad and n in self.start
        ]
        return {"wasserstein": self.strength * torch.stack(moved).sum()} if moved else {}

    def state_dict(self) -> dict[str, Any]:
        return {"start": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.start = dict(state["start"])


def distance(weights: Tensor, ordered: Tensor) -> Tensor:
    """Sum of squares between the sorted weights (n,) and as many `ordered` numbers.

    >>> distance(torch.tensor([3.0, 1.0], dtype=torch.bfloat16), torch.tensor([1.0, 2.0])).item()
    1.0
    """
    if weights.dtype.itemsize == 2:
        total: Tensor = _Counted.apply(weights, ordered)
        return total
    return (weights.float().sort().values - ordered).square().sum()


class _Counted(torch.autograd.Function):
    """`distance` of weights of 16 bits, whose 65,536 values are counted in their order."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, ordered: Tensor) -> Tensor:
        place = _turned(weights.view(torch.int16).int()) + 32768
        counts = place.bincount(minlength=65536)
        values = _turned(torch.arange(-32768, 32768, dtype=torch.int32, device=weights.device))
        apart = values.short().view(weights.dtype).float().repeat_interleave(counts) - ordered
        ctx.save_for_backward(torch.segment_reduce(apart, "mean", lengths=counts), place)
        return apart.square().sum()

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, None]:
        pull, place = ctx.saved_tensors
        return 2 * given[0] * pull.index_select(0, place), None


def _turned(bits: Tensor) -> Tensor:
    """Bits of floating-point numbers as integers in the same order, and back."""
    return bits ^ ((bits >> 31) & 0x7FFF)
