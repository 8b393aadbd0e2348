"""GeRe: rehearse a small fixed set of general texts and hold the features they excite within margins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit.modes import evaluating
from byheart.learn.self_replay import SelfReplay


class GeRe(Strategy):
    """Replays general texts in every stage and keeps each feature as low, middling or high as it was on them.

    What pretraining taught shows on any general text; held there, it holds elsewhere, later tasks'
    shared ground included. Margins leave a feature free to move within its third, which disturbs new
    learning less than copying its value does.

    L = (CE(new) + CE(general)) / 2 + w TM, TM the mean over non-zero entries of
    relu(h - t-) where h0 <= t-, relu(t+ - h) where h0 >= t+, relu(h - t+) + relu(t- - h) between,
    t+- = mean(h0) +- margin std(h0) by feature, h0 the first model's last features, h the present ones

    Parameters
    ----------
    texts: general texts as token lists or tokenised examples, 1,000 of a pretraining corpus in the paper; None
        samples `examples` of `length` tokens from the model before its first stage.
    ratio: general texts for each new example, 1 here. 0 replays nothing.
    weight: w, 100 by default in the authors' code, or "dynamic" for (CE / TM) without its gradient;
        0 is replay alone.
    margin: standard deviations from the mean to the thresholds, 1.

    Every step reads as many general texts as new examples; beside short lessons these are most of its tokens, and it
    takes about three times as long as plain training.

    Departs from the paper: the losses are twice the paper's, which Adam does not see; only scored positions
    count; texts may be sampled.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import train
    >>> sorted(train(model(), [{"input_ids": [5, 6, 7]}], [GeRe(texts=[[8, 9, 10, 11]])]).history[0])
    ['gere', 'new', 'replay']

    References: Zhang et al. 2025, "GeRe: Towards Efficient Anti-Forgetting in Continual Learning of LLM
    via General Samples Replay", arXiv:2508.04676, section 3 (TM).
    """

    name = "gere"
    paper = "gere"
    arxiv = "2508.04676"

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"ratio": 0.0}
    biting: ClassVar[dict[str, Any]] = {"examples": 4, "length": 6}

    def __init__(
        self,
        *,
        texts: Sequence[Sequence[int] | dict[str, Any]] | None = None,
        ratio: float = 1.0,
        weight: float | Literal["dynamic"] = 100.0,
        margin: float = 1.0,
        examples: int = 1000,
        length: int = 64,
    ) -> None:
        if isinstance(weight, str) and weight != "dynamic":
            raise BadInput(f"weight={weight!r} is neither a number nor 'dynamic'; give one of them")
        self.ratio, self.weight, self.margin = ratio, weight, margin
        self.source = SelfReplay(texts=texts, examples=examples, length=length, batch=0)
        self.thirds: list[Tensor] = []
        self.low = self.high = torch.empty(0)

    def begin(self, stage: Stage) -> None:
        self.source.batch = max(1, round(self.ratio * stage.batch_size)) if self.ratio else 0
        self.source.position = self.position
        self.source.begin(stage)
        if self.ratio and self.weight and not self.thirds:
            self._measure(stage)

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        return self.source.batches(stream, stage)

    def terms(self, step: Step) -> dict[str, Tensor]:
        first, end = self.source.first, self.source.first + len(self.thirds)
        own = [(b, r) for b, r in step.of("replay") if b.keys and all(first <= k < end for k in b.keys)]
        if not own:
            return {}
        features = torch.cat([r.hidden for _, r in own]).float()
        thirds = torch.cat([self.thirds[k - first] for b, _ in own for k in b.keys]).to(features.device)
        loss = margins(features, thirds, self.low.to(features), self.high.to(features))
        if isinstance(self.weight, str):
            entropy = sum(r.loss().detach() for _, r in step.of("new", "replay"))
            return {"gere": loss * (entropy / (loss.detach() + 1e-8))}
        return {"gere": 2 * self.weight * loss}

    @torch.no_grad()
    def _measure(self, stage: Stage) -> None:
        """Thresholds of every feature, and on which side of them the model now is at every position."""
        features: list[Tensor] = []
        rows = self.source.examples
        with evaluating(stage.model) as model:
            for at in range(0, len(rows), stage.batch_size):
                part = rows[at : at + stage.batch_size]
                read = stage.read(model, stage.collate(part))
                if read.hidden is None:
                    raise Conflict(f"{type(model).__name__} does not show its last features; use Replay instead")
                features += [read.hidden[read.rows == row].float().cpu() for row in range(len(part))]
        every = torch.cat(features)
        mean, spread = every.mean(0), every.std(0)
        self.low, self.high = mean - self.margin * spread, mean + self.margin * spread
        self.thirds = [(f > self.low).to(torch.int8) + (f >= self.high).to(torch.int8) for f in features]

    def state_dict(self) -> dict[str, Any]:
        return {
            "source": self.source.state_dict(),
            "low": self.low,
            "high": self.high,
            "sizes": [len(t) for t in self.thirds],
            "thirds": torch.cat(self.thirds) if self.thirds else torch.empty(0, dtype=torch.int8),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.source.load_state_dict(state["source"])
        self.low, self.high = state["low"], state["high"]
        self.thirds = list(state["thirds"].split(state["sizes"])) if state["sizes"] else []


def margins(features: Tensor, thirds: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The TM loss of features (N, D), by the third (0, 1 or 2) each was in, between thresholds (D,).

    >>> h = torch.tensor([[3.0, 0.0, 0.5]])  # was low, in the middle, high; the thresholds are -1 and 1
    >>> margins(h, torch.tensor([[0, 1, 2]]), -torch.ones(3), torch.ones(3))  # (4 + 0.5) / 2
    tensor(2.2500)
    """
    down = torch.relu(features - torch.where(thirds == 0, low, high))
    up = torch.relu(torch.where(thirds == 2, high, low) - features)
    off = torch.where(thirds < 2, down, 0.0) + torch.where(thirds > 0, up, 0.0)
    return off.sum() / (off != 0).sum().clamp(min=1)
