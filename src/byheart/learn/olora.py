"""O-LoRA: learn every stage in a low-rank subspace orthogonal to those of the stages before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit import adapter


class OLoRA(Strategy):
    """Gives each stage a new LoRA pair and pushes its A away from the A's of earlier stages.

    The rows of A span the inputs that an adapter listens to; when a new A is orthogonal to the old
    ones, new updates act on directions that the old ones did not use.

    L = CE + l1 sum_modules sum |A_old A_new^T| + l2 sum_modules (||A_new||_2 + ||B_new||_2)

    Parameters
    ----------
    rank: r, 8 in the paper; 0 trains the weights themselves. alpha: scale is alpha / rank.
    orthogonal: l1, 0.5. decay: l2, 0. targets: module name parts; None is every linear but the output.
    dropout: on the new pair's input, 0.1 in the authors' code.

    Departs from the paper: earlier pairs are merged into the frozen weights instead of being summed
    at run time (the same function); all linear layers instead of query and value by default. The
    learning rate of the paper is 1e-3 with one epoch a task.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Sequential(torch.nn.Linear(2, 2)), tasks, [OLoRA(rank=1)])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['new', 'olora'])

    References: Wang et al. 2023, "Orthogonal Subspace Learning for Language Model Continual
    Learning", arXiv:2310.14152.
    """

    name = "o-lora"
    arxiv = "2310.14152"

    claims = frozenset({"adapter"})
    neutral: ClassVar[dict[str, Any]] = {"rank": 0}
    taught_at: ClassVar[float | None] = 1e-3

    def __init__(
        self,
        *,
        rank: int = 8,
        alpha: float = 32.0,
        orthogonal: float = 0.5,
        decay: float = 0.0,
        targets: Sequence[str] | None = None,
        dropout: float = 0.1,
    ) -> None:
        self.rank, self.alpha, self.orthogonal, self.decay = rank, alpha, orthogonal, decay
        self.targets = None if targets is None else tuple(targets)
        self.dropout = dropout
        self.past: dict[str, Tensor] = {}
        self.config: Any = None

    def begin(self, stage: Stage) -> None:
        if self.rank:
            self.config = adapter.inject(
                stage.model, rank=self.rank, alpha=self.alpha, targets=self.targets, dropout=self.dropout
            )

    def terms(self, step: Step) -> dict[str, Tensor]:
        if not self.rank:
            return {}
        terms: dict[str, Tensor] = {}
        pairs = adapter.factors(step.model)
        if self.past and self.orthogonal:
            overlap = [(self.past[n].to(a) @ a.T).abs().sum() for n, (a, _) in pairs.items()]
            terms["olora"] = self.orthogonal * torch.stack(overlap).sum()
        if self.decay:
            sizes = [a.norm() + b.norm() for a, b in pairs.values()]
            terms["olora_decay"] = self.decay * torch.stack(sizes).sum()
        return terms

    def end(self, stage: Stage) -> None:
        if not self.rank:
            return
        for name, (a, _) in adapter.factors(stage.model).items():
            new = a.detach().clone()
            self.past[name] = torch.cat([self.past[name].to(new), new]) if name in self.past else new
        stage.artifacts["adapter"] = adapter.merge(stage.model, self.config)

    def state_dict(self) -> dict[str, Any]:
        return {"past": self.past}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.past = state["past"]
