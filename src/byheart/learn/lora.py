"""LoRA: train a low-rank addition to the weights, then merge it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from byheart.core.strategy import Stage, Strategy
from byheart.kit import adapter


class LoRA(Strategy):
    """Trains a rank-r addition to the linear layers and leaves the weights themselves alone.

    A low-rank change cannot move as far in weight space as full fine-tuning does: it learns less
    and forgets less (Biderman et al. 2024, arXiv:2405.09673).

    W' = W + (alpha / r) B A, with A (r, in) drawn at random, B (out, r) zero at the start.

    At the end of a stage the addition is merged, the original modules are back in place, and
    `stage.artifacts["adapter"]` holds `{"config", "tensors"}` in PEFT's format.

    Parameters
    ----------
    rank: r (4 for GPT-2 and 8 for RoBERTa in the paper); 0 trains the weights themselves.
    alpha: the numerator of the scale; the paper ties it to the first r it tries.
    targets: last name parts of the modules to adapt; None is every linear one but the output layer.
    dropout: on the adapter's input.

    Departs from the paper: adapts all linear layers by default instead of the query and value
    matrices (which matters: Biderman et al.); merged after every stage, so that a next stage
    starts a new adapter on the merged weights.

    >>> import torch
    >>> from byheart.train.loop import train
    >>> data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    >>> done = train(torch.nn.Sequential(torch.nn.Linear(2, 2)), data, [LoRA(rank=1)])
    >>> sorted(done.artifacts["adapter"]["tensors"])
    ['base_model.model.0.lora_A.weight', 'base_model.model.0.lora_B.weight']

    References: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models",
    arXiv:2106.09685, equation 3.
    """

    name = "lora"
    arxiv = "2106.09685"

    claims = frozenset({"adapter"})
    neutral: ClassVar[dict[str, Any]] = {"rank": 0}
    taught_at: ClassVar[float | None] = 1e-3

    def __init__(
        self, *, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] | None = None, dropout: float = 0.0
    ) -> None:
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.targets = None if targets is None else tuple(targets)
        self.config: Any = None

    def begin(self, stage: Stage) -> None:
        if self.rank:
            self.config = adapter.inject(
                stage.model, rank=self.rank, alpha=self.alpha, targets=self.targets, dropout=self.dropout
            )

    def end(self, stage: Stage) -> None:
        if self.rank:
            stage.artifacts["adapter"] = adapter.merge(stage.model, self.config)
