"""Freeze (spurious forgetting): leave the bottom of the model alone from the second stage on."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Strategy
from byheart.kit.anatomy import embeddings, layers


class FreezeBottom(Strategy):
    """Freezes the embeddings and the lowest layers while later stages are learned.

    Much of what looks forgotten is misaligned, not lost: the first steps on a new task turn the
    bottom layers and everything above reads them wrong. Held still, they keep the alignment.

    theta_l <- theta_l for embeddings and layers l < n

    Parameters
    ----------
    layers: n, 1 to 3 for common tasks, 6 for safety alignment and 7 on synthetic biographies in the
        paper; 0 freezes none.
    embeddings: freeze them too (and the output layer where it is tied to them).
    after: freeze from this stage on. The paper trains the first task in full; use 0 where the
        pretrained model counts as the first task.

    Departs from the paper: stopping early, which the paper pairs with it, is left to the settings.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    >>> freeze = FreezeBottom(layers=1, after=0)
    >>> freeze.begin(Stage(model, [], None, None))
    >>> freeze.groups(model)
    {'0.weight': 0.0, '0.bias': 0.0}

    References: Zheng et al. 2025, "Spurious Forgetting in Continual Learning of Language Models",
    arXiv:2501.13453.
    """

    name = "spurious-forgetting"
    paper = "spurious-forgetting"
    arxiv = "2501.13453"

    neutral: ClassVar[dict[str, Any]] = {"layers": 0, "embeddings": False}
    biting: ClassVar[dict[str, Any]] = {"layers": 1}

    def __init__(self, *, layers: int = 3, embeddings: bool = True, after: int = 1) -> None:
        self.layers, self.embeddings, self.after = layers, embeddings, after
        self.index = 0

    def idle_first(self) -> bool:
        return self.after > 0

    def begin(self, stage: Stage) -> None:
        self.index = stage.index
        depth = len(layers(stage.model))
        if self.layers >= depth:
            raise BadInput(f"cannot freeze {self.layers} of {depth} layers; give layers={depth - 1} or fewer")

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.index < self.after:
            return {}
        names = [n for group in layers(model)[: self.layers] for n in group]
        return dict.fromkeys([*(embeddings(model) if self.embeddings else []), *names], 0.0)
