"""WiSE-FT on a line of two parameters: how far back it steps, and by which examples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.strategy import Stage
from byheart.kit.readout import Reader
from byheart.learn.wise_ft import WiseFT
from byheart.train.stream import collate


class Line(nn.Module):
    """Two logits, each a weight times the one input."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([-1.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w


def stepped(wise: WiseFT) -> list[float]:
    """From (-1, 1) to (1, -1), where class 0 is right from beyond the middle on."""
    model = Line()
    told = [{"x": torch.tensor([1.0]), "labels": 0}]
    stage = Stage(model, told, collate, lambda m, inputs: Reader(m)(inputs))
    wise.begin(stage)
    model.w.data = torch.tensor([1.0, -1.0])
    wise.end(stage)
    return [round(v, 6) for v in model.w.tolist()]


def test_it_steps_back_as_far_as_the_learned_stays_right() -> None:
    wise = WiseFT(shares=(0.9, 0.6, 0.4, 0.1))
    assert stepped(wise) == [0.2, -0.2]  # -1 + 0.6 * 2; at 0.4 it would be -0.2 and wrong
    assert wise.share == 0.6


def test_it_stops_at_the_first_share_that_costs_too_much() -> None:
    assert stepped(WiseFT(shares=(0.4, 0.9))) == [1.0, -1.0]


@pytest.mark.parametrize(("label", "end"), [(0, [0.2, -0.2]), (1, [-0.8, 0.8])])
def test_given_examples_decide_in_place_of_the_stages(label: int, end: list[float]) -> None:
    other: list[dict[str, Any]] = [{"x": torch.tensor([1.0]), "labels": label}]
    assert stepped(WiseFT(shares=(0.6, 0.1), examples=other)) == end  # wrong at the end already: nothing to keep
