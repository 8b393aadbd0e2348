"""FPF: which modules move, what a burst changes, and when bursts come."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.learn.fpf import FPF, sensitivity
from byheart.train.loop import Settings, stages, train


class Two(nn.Module):
    """Two layers without bias: the first passes the input on, the second starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(1, 1, bias=False)
        self.above = nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.below.weight.fill_(1.0)
            self.above.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.below(x))


def point(x: float, label: int) -> dict[str, Any]:
    return {"x": torch.tensor([x]), "labels": label}


def test_sensitivity_is_the_mean_move_of_a_module() -> None:
    model = Two()
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    with torch.no_grad():
        model.below.weight.add_(0.5)
        model.above.weight.add_(torch.tensor([[2.0], [-1.0]]))
    assert sensitivity(model, start) == pytest.approx({"below": 0.5, "above": 1.5})


def test_a_burst_descends_on_the_memory_and_on_the_chosen_module_alone() -> None:
    model, guard = Two(), FPF(modules=("above",), steps=1, rate=0.1)
    train(model, [point(2.0, 0)], [guard], Settings(steps=1, lr=0.0))
    # at even odds the gradient of CE is x (-1/2, 1/2) = (-1, 1); a tenth of it down
    assert model.above.weight.flatten().tolist() == pytest.approx([0.1, -0.1])
    assert model.below.weight.item() == 1.0


def test_bursts_during_a_stage() -> None:
    moved = []
    for every in (0, 1):
        model, guard = Two(), FPF(modules=("above",), steps=1, rate=0.1, every=every)
        train(model, [point(2.0, 0)], [guard], Settings(steps=2, lr=0.0))
        moved.append(model.above.weight[0].item())
    assert moved[0] == pytest.approx(0.1)
    assert moved[1] > 0.2  # three bursts, each a little smaller than the one before


def test_the_most_sensitive_modules_are_found() -> None:
    model, guard = Two(), FPF(count=1, steps=1)
    for _ in stages(model, [[point(2.0, 0)]], [guard], Settings(steps=3, lr=0.1)):
        pass
    assert guard.chosen == ["above"]


def test_it_refuses_a_module_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="give one of below, above"):
        train(Two(), [point(1.0, 0)], [FPF(modules=("head",))])
