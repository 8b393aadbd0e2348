"""Selective tuning: train the attention projections alone, or the feed-forward gate and up alone."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Strategy
from byheart.kit.anatomy import ATTENTION, layers, unit

_PARTS = {"attention": ATTENTION, "gate_up": ("gate", "up", "gate_up")}


class Selective(Strategy):
    """Trains only the layers' attention projections, or only gate and up with down frozen.

    Attention decides what is read and gate and up when a feed-forward memory fires; `down`, which
    writes to the output distribution and drags it towards the new task's tokens, stays as it was.

    theta_i <- theta_i for every parameter outside the chosen part

    Parameters
    ----------
    part: "attention" (query, key, value, output), "gate_up", or "all" for plain fine-tuning. The
        paper's learning rate is 5e-6.

    Departs from the paper: language models instead of multimodal ones; biases of the chosen modules
    are trained with them.

    >>> from byheart.models.tiny import model
    >>> rates = Selective(part="gate_up").groups(model())
    >>> rates["model.layers.0.mlp.down_proj.weight"], "model.layers.0.mlp.up_proj.weight" in rates
    (0.0, False)

    References: Zhu et al. 2025, "How to Teach Large Multimodal Models New Skills",
    arXiv:2510.08564.
    """

    name = "teach-lmm-skills"
    paper = "teach-lmm-skills"
    arxiv = "2510.08564"

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"part": "all"}

    def __init__(self, *, part: Literal["attention", "gate_up", "all"] = "attention") -> None:
        self.part = part

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.part == "all":
            return {}
        kinds = _PARTS[self.part]
        trained = {n for group in layers(model) for n in group if unit(n)[1] in kinds}
        if not trained:
            raise BadInput(f"{type(model).__name__} has no {self.part} matrices; try part='all' or LoRA")
        return {n: 0.0 for n, _ in model.named_parameters() if n not in trained}
