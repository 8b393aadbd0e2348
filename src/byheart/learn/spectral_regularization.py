"""Spectral regularization: keep every layer's largest singular value near one."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.anatomy import kind
from byheart.kit.covariance import fed


class SpectralRegularization(Strategy):
    """Keeps layers as stretchy as at initialisation, so that later tasks still find gradients.

    While a network learns task after task its largest singular values grow, a few directions drown
    the others, and it becomes hard to train. Holding only the largest one near its first value leaves
    the weights free otherwise, which neither decay to zero nor decay to the start does.

    L = CE + lambda (sum_W (sigma_1(W)^k - 1)^2 + sum_b ||b||^(2k) + sum_g (||g - 1||^2)^k) over matrices W,
    biases b and gains g of norms; sigma_1 = u . W v from one power iteration per step, u and v carried along

    Parameters
    ----------
    strength: lambda, 1e-4 here; the paper searches it for each network. power: k, 2 in the paper.

    Departs from the paper: embeddings, and an output layer tied to them, are left alone.

    >>> import torch
    >>> from byheart.train.loop import Settings, train
    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.diag(torch.tensor([2.0, 0.0])))
    >>> done = train(model, [{"input": torch.ones(2), "labels": 0}], [SpectralRegularization(strength=1.0)])
    >>> round(done.history[0]["spectral"], 3)  # (2^2 - 1)^2
    9.0

    References: Lewandowski et al. 2024, "Learning Continually by Spectral Regularization",
    arXiv:2406.06811, section 4.
    """

    name = "spectral-regularization"
    paper = "spectral-regularization"
    arxiv = "2406.06811"

    neutral: ClassVar[dict[str, Any]] = {"strength": 0.0}

    def __init__(self, *, strength: float = 1e-4, power: int = 2) -> None:
        if power < 1:
            raise BadInput(f"power={power} gives no penalty; give 1 or more")
        self.strength, self.power = strength, power
        self.right: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        if self.strength:
            for number, (name, module) in enumerate(fed(stage.model).items()):
                if name not in self.right:
                    start = torch.randn(module.weight[0].numel(), generator=self.generator(stage, "vectors", number))
                    self.right[name] = F.normalize(start, dim=0)

    def terms(self, step: Step) -> dict[str, Tensor]:
        if not self.strength:
            return {}
        parts = []
        for name, module in fed(step.model).items():
            if name in self.right and module.weight.requires_grad:
                parts.append((self._largest(name, module.weight) ** self.power - 1).square())
        for name, p in step.model.named_parameters():
            if p.requires_grad and p.dim() == 1:
                off = p.float() - 1 if kind(name) == "norm" and name.endswith("weight") else p.float()
                parts.append(off.square().sum() ** self.power)
        return {"spectral": self.strength * torch.stack(parts).sum()} if parts else {}

    def _largest(self, name: str, weight: nn.Parameter) -> Tensor:
        """The largest singular value, differentiable in the weight, after one more power iteration."""
        matrix = weight.float().flatten(1)
        with torch.no_grad():
            v = self.right[name].to(matrix.device)
            u = F.normalize(matrix @ v, dim=0)
            v = self.right[name] = F.normalize(matrix.T @ u, dim=0)
        return u @ matrix @ v

    def state_dict(self) -> dict[str, Any]:
        return {"right": self.right}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.right = dict(state["right"])
