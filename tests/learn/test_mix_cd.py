"""mix-cd's rates and chances against numbers worked by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.kit.readout import Reader
from byheart.learn.mix_cd import MixCD
from byheart.train.stream import collate


class Sign(nn.Module):
    """Two logits, w x and 0: class 0 where x and w agree in sign."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x * self.w, torch.zeros_like(x)], -1)


def begun(guard: MixCD, points: list[tuple[float, int]], **more: str) -> Stage:
    model = Sign()
    old = [{"x": torch.tensor([x]), "labels": y} for x, y in points]
    at = Stage(model, old[:1], collate, lambda m, i: Reader(m)(i), steps=4, batch_size=3, old=old)
    guard.begin(at)
    return at


POINTS = [(3.0, 0), (2.0, 0), (1.0, 0), (-1.0, 0)]  # losses rise from left to right; the last is wrong from the start


def test_bins_are_quantiles_of_the_loss_and_only_what_was_right_can_break() -> None:
    guard = MixCD(bins=2)
    at = begun(guard, POINTS)
    assert guard.bin.tolist() == [0, 0, 1, 1]
    assert guard.right.tolist() == [1, 1, 1, 0]
    assert guard.rates.tolist() == [0.5, 0.5]
    with torch.no_grad():
        at.model.w.fill_(-1.0)  # everything turns round: the first three are broken, the last comes right
    batch = at.batch([at.old[k] for k in (0, 2, 3)], "replay", [guard.first + k for k in (0, 2, 3)])
    assert guard.terms(Step(at, 0, 0.0, [batch], [at.read(at.model, batch.inputs)])) == {}
    assert guard.seen.tolist() == [1, 2]
    assert guard.damaged.tolist() == [1, 1]
    assert guard.rates.tolist() == pytest.approx([2 / 3, 2 / 4])


def test_counts_decay_and_other_replayed_batches_are_left_alone() -> None:
    guard = MixCD(bins=1, decay=0.5)
    at = begun(guard, POINTS)
    batch = at.batch(at.old[:2], "replay", [guard.first, guard.first + 1])
    foreign = at.batch(at.old[:2], "replay", [guard.first + 4, guard.first + 5])
    for _ in range(2):
        guard.terms(Step(at, 0, 0.0, [batch, foreign], [at.read(at.model, batch.inputs)] * 2))
    assert guard.seen.tolist() == [0.5 * 2 + 2]
    assert guard.damaged.tolist() == [0]


def test_examples_are_drawn_by_the_rate_of_their_bin() -> None:
    guard = MixCD(bins=2, ratio=1.0)
    at = begun(guard, POINTS)
    guard.seen, guard.damaged = torch.tensor([8.0, 8.0]), torch.tensor([0.0, 8.0])  # rates 1/10 and 9/10
    stream = ((n, [at.batch(at.examples, "new", (0,))]) for n in range(2000))
    drawn = [k - guard.first for _, batches in guard.batches(stream, at) for k in batches[1].keys]
    assert len(drawn) == 2000
    assert sum(k >= 2 for k in drawn) / 2000 == pytest.approx(0.9, abs=0.03)
    assert sum(k == 2 for k in drawn) / 2000 == pytest.approx(0.45, abs=0.04)


def test_a_group_divides_the_bins() -> None:
    guard = MixCD(bins=2, group="kind")
    model = Sign()
    old = [{"x": torch.tensor([x]), "labels": y, "kind": k} for (x, y), k in zip(POINTS, "abab", strict=True)]
    guard.begin(
        Stage(
            model,
            old[:1],
            lambda rows: collate([{k: r[k] for k in ("x", "labels")} for r in rows]),
            lambda m, i: Reader(m)(i),
            old=old,
        )
    )
    assert guard.bin.tolist() == [0, 2, 1, 3]
    with pytest.raises(BadInput, match="give 1 or more"):
        MixCD(bins=0)
