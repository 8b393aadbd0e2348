"""WiSE-FT: walk back towards the starting weights as far as what was learned allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.strategy import Stage, Strategy
from byheart.kit.interpolate import place


class WiseFT(Strategy):
    """After training, keeps only a share of the way from the old weights to the new.

    Fine-tuning goes further than it must. On the straight line between the two models the loss on
    old text rises with the square of the distance, while what was learned stays right until shortly
    before the end, so a part of the way keeps nearly all of both.

    theta = theta_0 + a (theta_1 - theta_0)

    The share a is the smallest of `shares` at which the model still gets `keep` of the examples right
    that it gets right after full training (right: every scored position's arg-max).

    Parameters
    ----------
    shares: candidates for a, from the largest down; the first that costs too much ends the search.
    keep: share of the learned that must stay right. most: examples looked at, evenly spread.
    examples: what is looked at, such as other wordings of what is taught; None takes the stage's own.

    Departs from the paper: a is the furthest step that keeps what was learned; the paper recommends 0.5
    or the best on a validation set.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import train
    >>> wise = WiseFT(shares=(0.5,))
    >>> _ = train(model(), [{"input_ids": [5, 6, 7]}], [wise])
    >>> wise.share
    0.5

    References: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903,
    equation 1.
    """

    name = "wise-ft"
    arxiv = "2109.01903"

    neutral: ClassVar[dict[str, Any]] = {"shares": ()}

    def __init__(
        self,
        *,
        shares: Sequence[float] = (0.9, 0.8, 0.7, 0.6, 0.5),
        keep: float = 0.97,
        most: int = 96,
        examples: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self.shares, self.keep, self.most, self.examples = tuple(shares), keep, most, examples
        self.share = 1.0
        self.start: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        self.start = {n: p.detach().clone() for n, p in stage.model.named_parameters()} if self.shares else {}

    @torch.no_grad()
    def end(self, stage: Stage) -> None:
        own = dict(stage.model.named_parameters())
        moved = {n: p for n, p in own.items() if n in self.start and not torch.equal(p, self.start[n])}
        full = {n: p.detach().clone() for n, p in moved.items()}
        self.share = 1.0
        wanted = self.keep * self._right(stage) if self.shares else 0
        for share in self.shares:
            place(moved, self.start, full, share)
            if self._right(stage, wanted) < wanted:
                break
            self.share = share
        place(moved, self.start, full, self.share)
        self.start = {}

    def _right(self, stage: Stage, wanted: float = 0.0) -> float:
        """Share of the examples looked at whose scored positions are all right; short of `wanted`, not all are read."""
        examples = stage.examples if self.examples is None else self.examples
        step = max(1, len(examples) // self.most)
        chosen = sorted(range(0, len(examples), step), key=lambda i: len(examples[i].get("input_ids", ())))
        right = 0
        for at in range(0, len(chosen), stage.batch_size):
            part = chosen[at : at + stage.batch_size]
            read = stage.read(stage.model, stage.collate([examples[i] for i in part]))
            right += len(part) - len(set(read.rows[~read.correct()].tolist()))
            if right + len(chosen) - at - len(part) < wanted * len(chosen):
                break
        return right / max(len(chosen), 1)

    def state_dict(self) -> dict[str, Any]:
        return {"share": self.share}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.share = state["share"]
