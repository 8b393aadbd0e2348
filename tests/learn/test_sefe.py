"""SEFE's protected entries and its styles against numbers worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.kit import adapter
from byheart.kit.readout import Reader
from byheart.learn.sefe import SEFE
from byheart.train.loop import Settings, train
from byheart.train.stream import collate


def stage(model: nn.Module) -> Stage:
    return Stage(model, [{"input": torch.ones(3), "labels": 0}], collate, lambda m, x: Reader(m)(x))


def put(model: nn.Module, a: list[list[float]], b: list[list[float]]) -> None:
    pair = adapter.factors(model)["0"]
    with torch.no_grad():
        pair[0].copy_(torch.tensor(a))
        pair[1].copy_(torch.tensor(b))


def test_the_largest_entries_of_each_update_are_held_and_their_union_grows() -> None:
    model, guard = nn.Sequential(nn.Linear(3, 2)), SEFE(rank=1, protect=0.34, strength=10.0)
    first = stage(model)
    guard.begin(first)
    put(model, [[1.0, -5.0, 2.0]], [[1.0], [3.0]])  # BA = ((1, -5, 2), (3, -15, 6))
    assert guard.terms(Step(first, 0, 0.0)) == {}
    guard.end(first)
    assert guard.held["0"].tolist() == [4, 5]  # -15 and 6
    second = stage(model)
    guard.begin(second)
    put(model, [[4.0, 1.0, -2.0]], [[-1.0], [0.5]])  # BA = ((-4, -1, 2), (2, 0.5, -1))
    assert guard.terms(Step(second, 0, 0.0))["sefe"].item() == pytest.approx(10 * (0.5 + 1.0) / 2)
    guard.end(second)
    assert guard.held["0"].tolist() in ([0, 2, 4, 5], [0, 3, 4, 5])  # -4 and one of the twos


def test_a_share_of_every_batch_is_put_in_another_style() -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]} for _ in range(400)]
    seen: list[int] = []

    def other(example: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return {"input_ids": [9, *example["input_ids"][1:]], "labels": example["labels"]}

    from subjects import llama

    train(
        llama(), rows, [SEFE(rank=1, styles=[other], vary=0.25)], Settings(steps=1, batch_size=400),
        on_step=lambda s, _: seen.extend(s.batches[0].inputs["input_ids"][:, 0].tolist()),
    )  # fmt: skip
    assert set(seen) == {5, 9}
    assert seen.count(9) / 400 == pytest.approx(0.25, abs=0.07)


def test_a_fifth_is_restyled_unless_told_otherwise() -> None:
    assert SEFE().vary == 0.2


def test_shares_are_checked() -> None:
    with pytest.raises(BadInput, match="give 0 to 1"):
        SEFE(protect=2.0)
