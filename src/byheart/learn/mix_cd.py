"""mix-cd: rehearse where the model has lately broken what it had right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.errors import BadInput
from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit.modes import evaluating


class MixCD(Strategy):
    """Rehearses old examples from the bins where most of those rehearsed turn out to have been broken.

    Rehearsing what is still right, or was never right, is wasted. Examples that the model had right
    before the stage and has wrong now (collateral damage) are detected without extra
    passes: the rehearsed examples are read anyway, and show how dense damage is among similar examples.

    P(example in bin k) proportional to alpha_k, alpha_k = (damaged_k + 1) / (seen_k + 2),
    both counts of rehearsed examples, decayed once per micro-step

    Bins are quantiles of the loss before the stage. An example counts as right when all its scored
    positions are.

    Parameters
    ----------
    ratio: rehearsed examples for each new one; 0 rehearses nothing.
    bins: how many quantiles. group: the name of an example's entry (a task, a kind) by which bins are
        divided further, None for none.
    decay: of the counts, so that the rates follow the model; 1 keeps all.

    Departs from the paper: the rates are smoothed as above, so that an unseen bin is tried, and decay
    instead of being estimated anew in intervals.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Linear(2, 2), tasks, [MixCD()])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['new', 'replay'])

    References: Bai et al. 2024, "An Efficient Rehearsal Scheme for Catastrophic Forgetting Mitigation
    during Multi-stage Fine-tuning", arXiv:2402.08096, section 4.
    """

    name = "mix-cd"
    paper = "mix-cd"
    arxiv = "2402.08096"

    neutral: ClassVar[dict[str, Any]] = {"ratio": 0.0}

    def __init__(self, *, ratio: float = 1.0, bins: int = 5, group: str | None = None, decay: float = 0.99) -> None:
        if bins < 1:
            raise BadInput(f"bins={bins} leaves nothing to choose from; give 1 or more")
        self.ratio, self.bins, self.group, self.decay = ratio, bins, group, decay
        self.pool: Sequence[dict[str, Any]] = ()
        self.first = 0
        self.bin = self.right = torch.empty(0, dtype=torch.long)
        self.seen = self.damaged = torch.empty(0)

    def idle_first(self) -> bool:
        return True

    def begin(self, stage: Stage) -> None:
        self.pool = stage.old if self.ratio else ()
        if not self.pool:
            return
        self.first = stage.offer("replay", self.pool)
        losses, self.right = _assess(stage, self.pool)
        rank = losses.argsort(stable=True).argsort(stable=True)
        self.bin = rank * self.bins // len(self.pool)
        if self.group is not None:
            kinds = [e.get(self.group) for e in self.pool]
            order = {k: n for n, k in enumerate(dict.fromkeys(kinds))}
            self.bin = self.bin + self.bins * torch.tensor([order[k] for k in kinds])
        count = int(self.bin.max()) + 1
        self.seen, self.damaged = torch.zeros(count), torch.zeros(count)

    @property
    def rates(self) -> Tensor:
        """alpha: the estimated share of damaged examples in each bin."""
        return (self.damaged + 1) / (self.seen + 2)

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, batches in stream:
            generator = self.generator(stage, "batch", number)
            wanted = self.ratio * sum(len(b) for b in batches if b.role == "new")
            count = min(int(wanted + float(torch.rand((), generator=generator))), len(self.pool))
            if count:
                chances = self.rates[self.bin]
                keys = torch.multinomial(chances, count, generator=generator).tolist()
                chosen = [self.pool[k] for k in keys]
                batches = [*batches, stage.batch(chosen, "replay", [self.first + k for k in keys])]
            yield number, batches

    def terms(self, step: Step) -> dict[str, Tensor]:
        end = self.first + len(self.pool)
        for batch, read in step.of("replay"):
            if not batch.keys or not all(self.first <= k < end for k in batch.keys):
                continue
            wrong = torch.zeros(len(batch.keys)).index_add_(0, read.rows.cpu(), (~read.correct()).float().cpu())
            keys = torch.tensor(batch.keys) - self.first
            broken = (wrong > 0) & (self.right[keys] > 0)
            self.seen = (self.decay * self.seen).index_add(0, self.bin[keys], torch.ones(len(keys)))
            self.damaged = (self.decay * self.damaged).index_add(0, self.bin[keys], broken.float())
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "damaged": self.damaged}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.damaged = state["seen"], state["damaged"]


@torch.no_grad()
def _assess(stage: Stage, examples: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Mean loss of every example, and 1 where all its scored positions are right, by the model as it is."""
    losses, right = [], []
    with evaluating(stage.model) as model:
        for at in range(0, len(examples), stage.batch_size):
            part = examples[at : at + stage.batch_size]
            read = stage.read(model, stage.collate(part))
            sums = torch.zeros(3, len(part)).index_add_(
                1, read.rows.cpu(), torch.stack([read.losses(), ~read.correct(), torch.ones_like(read.losses())]).cpu()
            )
            losses.append(sums[0] / sums[2].clamp(min=1))
            right.append((sums[1] == 0).long())
    return torch.cat(losses), torch.cat(right)
