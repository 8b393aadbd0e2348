"""View-batch: several views of few samples in a batch, then a long rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.errors import BadInput
from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit.buffer import pick
from byheart.kit.divergence import kl

View = Callable[[dict[str, Tensor], Tensor, torch.Generator], dict[str, Tensor]]


class ViewBatch(Strategy):
    """Fills each batch with V views of B / V samples and makes the views agree.

    A sample comes back V times later than otherwise, an interval nearer to the one at which
    relearning fixes a memory best, while several views at once teach as much as before.

    L = CE(all views) + w mean_{v > 1} KL(stop_grad p(view_1) || p(view_v))

    One order serves V passes of as many batches as an epoch has, so cost and number of steps stay.

    Parameters
    ----------
    views: V, 4 in the paper; 1 is the ordinary order.
    weight: w, 1. after: progress (0 to 1) from which the views must agree; the authors' code starts
        after 5 of 50 epochs.
    strength: of the default view. For a language model, the share of input tokens replaced by other
        tokens of the batch (targets stay); for a classifier, noise in standard deviations.
    view: another view function: (inputs, rows to change, generator) -> inputs.

    Departs from the paper: views are token dropout or noise instead of image augmentation, and the
    first view is left clean; no bucketing by length.

    >>> import torch
    >>> from byheart.train.loop import Settings, train
    >>> data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    >>> done = train(torch.nn.Linear(2, 2), data, [ViewBatch(after=0)], Settings(batch_size=4))
    >>> sorted(done.history[0])
    ['new', 'views']

    References: Kang et al. 2025, "Do Your Best and Get Enough Rest for Continual Learning",
    arXiv:2503.18371.
    """

    name = "view-batch"
    paper = "view-batch"
    arxiv = "2503.18371"

    neutral: ClassVar[dict[str, Any]] = {"views": 1, "strength": 0.0}

    def __init__(
        self,
        *,
        views: int = 4,
        weight: float = 1.0,
        after: float = 0.1,
        strength: float = 0.1,
        view: View | None = None,
    ) -> None:
        self.views, self.weight, self.after, self.strength, self.view = views, weight, after, strength, view

    def begin(self, stage: Stage) -> None:
        if self.views > stage.batch_size:
            raise BadInput(
                f"a batch of {stage.batch_size} cannot hold {self.views} views; "
                f"set batch_size to at least {self.views} or views lower"
            )
        if self.views > 1:
            stage.pools["new"] = []

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        if self.views == 1:
            yield from stream
            return
        each = stage.batch_size // self.views
        cycle = -(-len(stage.examples) // each)
        for number, batches in stream:
            order = pick(len(stage.examples), len(stage.examples), self.generator(stage, "order", number // cycle))
            keys = order[number % cycle * each :][:each]
            plain = stage.collate([stage.examples[k] for k in keys for _ in range(self.views)])
            changed = torch.arange(len(keys) * self.views) % self.views != 0
            make = self.view or self._noisy
            batch = Batch(make(plain, changed, self.generator(stage, "views", number)), "new", group=self.views)
            yield number, [batch, *(b for b in batches if b.role != "new")]

    def terms(self, step: Step) -> dict[str, Tensor]:
        if self.views == 1 or not self.weight or step.progress < self.after:
            return {}
        (_, read), *_ = step.of("new")
        sizes = torch.bincount(read.rows)
        starts = sizes.cumsum(0) - sizes
        here = torch.arange(len(read.rows), device=read.rows.device)
        first = starts[read.rows - read.rows % self.views] + here - starts[read.rows]
        other = read.rows % self.views != 0
        if not other.any():
            return {}
        apart = kl(read.logits[first[other]].detach(), read.logits[other]) * other.sum()
        share = 1 - 1 / self.views  # of the scored positions, those of views that are not the first
        return {"views": self.weight * step.mean(apart, "new") / share}

    def _noisy(self, inputs: dict[str, Tensor], changed: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        if "input_ids" not in inputs:
            noisy = {}
            for name, value in inputs.items():
                if name != "labels" and value.is_floating_point():
                    noise = self.strength * value.float().std() * torch.randn(value.shape, generator=generator)
                    noise[~changed] = 0
                    value = value + noise.to(value)
                noisy[name] = value
            return noisy
        ids = inputs["input_ids"]
        hit = (torch.rand(ids.shape, generator=generator) < self.strength) & changed[:, None]
        hit[:, 0] = False
        others = ids.flatten()[torch.randint(ids.numel(), (ids.numel(),), generator=generator).to(ids.device)]
        return {**inputs, "input_ids": torch.where(hit.to(ids.device), others.view_as(ids), ids)}
