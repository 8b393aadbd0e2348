"""NPO: negative preference optimisation, unlearning that does not run away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit.modes import evaluating


class NPO(Strategy):
    """Treats what must be forgotten as answers that are dispreferred to the starting model's own.

    Plain gradient ascent on the loss has no floor and destroys the model. NPO weighs each example's
    ascent by how likely it still is beside the reference, so what is forgotten stops being pushed.

    L = CE(new) + w (2 / beta) log(1 + (pi(y|x) / pi_ref(y|x))^beta), averaged over the forget batch

    The stage's own examples (role `new`) are what must be retained; the forget examples are given
    here and come as batches of role `forget`, whose objective NPO claims. pi_ref is the model at the
    start of the stage.

    Parameters
    ----------
    examples: tokenised examples to forget. beta: inverse temperature; the paper's default is 0.1.
    weight: w. batch: forget examples in each micro-step; 0 for none.

    Departs from the paper: nowhere (this is its NPO+RT, with the retain term from the stage).

    >>> import torch
    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import train
    >>> npo = NPO(examples=[{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}])
    >>> done = train(model(), [{"input_ids": [8, 9]}], [npo])
    >>> round(done.history[0]["forget"], 3)  # (2 / 0.1) ln 2 where pi = pi_ref
    13.863

    References: Zhang et al. 2024, "Negative Preference Optimization: From Catastrophic Collapse to
    Effective Unlearning", arXiv:2404.05868, equation 3.
    """

    name = "npo"
    arxiv = "2404.05868"

    claims = frozenset({"objective:forget"})
    neutral: ClassVar[dict[str, Any]] = {"batch": 0}

    def __init__(
        self,
        *,
        examples: Sequence[dict[str, Any]] = (),
        beta: float = 0.1,
        weight: float = 1.0,
        batch: int = 4,
    ) -> None:
        self.examples = [dict(e) for e in examples]
        self.beta, self.weight, self.batch = beta, weight, batch
        self.first = 0
        self.reference: list[Tensor] = []

    def begin(self, stage: Stage) -> None:
        self.first = stage.offer("forget", self.examples)
        self.reference = []
        with torch.no_grad(), evaluating(stage.model) as model:
            for example in self.examples:
                read = stage.read(model, stage.collate([example]))
                self.reference.append(-read.losses().sum())

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        count = min(self.batch, len(self.examples))
        for number, batches in stream:
            if count:
                drawn = torch.randperm(len(self.examples), generator=self.generator(stage, "batch", number))[
                    :count
                ].tolist()
                chosen = [self.examples[k] for k in drawn]
                batches = [*batches, stage.batch(chosen, "forget", [self.first + k for k in drawn])]
            yield number, batches

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        losses = read.losses()
        summed = torch.zeros(len(batch), device=losses.device).index_add(0, read.rows, losses.float())
        reference = torch.stack([self.reference[k - self.first] for k in batch.keys]).to(summed)
        return self.weight * (2 / self.beta) * F.softplus(self.beta * (-summed - reference)).mean()
