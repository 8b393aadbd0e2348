"""UER: the angle factor by hand, and which examples are read by it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.kit.readout import Reader
from byheart.learn.uer import UER
from byheart.train.compose import Strategies
from byheart.train.loop import Settings, train
from byheart.train.objective import counts, parts
from byheart.train.stream import collate


class Flat(nn.Module):
    """Features are the inputs; the logits are x_0 times 3 and x_1 times 1."""

    def __init__(self) -> None:
        super().__init__()
        self.above = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.above.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.above(x)


def point(x: list[float], label: int) -> dict[str, Any]:
    return {"x": torch.tensor(x), "labels": label}


def losses(guard: UER) -> dict[str, float]:
    """The losses of one new and one replayed example (3, 4), both of class 0."""
    model, examples = Flat(), [point([3.0, 4.0], 0)]
    stage = Stage(model, examples, collate, lambda m, x: Reader(m)(x), steps=1)
    batches = [stage.batch(examples, "new", [0]), stage.batch(examples, "replay")]
    step = Step(stage, 0, 0.5, batches, [stage.read(model, b.inputs) for b in batches])
    found = parts(step, Strategies([guard]), counts([batches]), 1, 1)
    return {name: value.item() for name, value in found.items()}


def test_new_by_the_angle_and_replayed_by_the_whole_logit() -> None:
    found = losses(UER(scale=10.0))
    # cosines 0.6 and 0.8, so logits 6 and 8: ln(1 + e^2); whole logits 9 and 4: ln(1 + e^-5)
    assert found["new"] == pytest.approx(math.log1p(math.exp(2)), rel=1e-5)
    assert found["replay"] == pytest.approx(math.log1p(math.exp(-5)), rel=1e-4)


def test_without_the_norm_replay_goes_by_the_angle_and_without_a_scale_nothing_does() -> None:
    assert losses(UER(norm=False))["replay"] == pytest.approx(math.log1p(math.exp(2)), rel=1e-5)
    assert losses(UER(scale=0.0))["new"] == pytest.approx(math.log1p(math.exp(-5)), rel=1e-4)


def test_new_examples_leave_the_norms_of_the_output_layer_alone() -> None:
    model = Flat()
    guard = UER(capacity=0)
    examples = [point([3.0, 4.0], 0)]
    stage = Stage(model, examples, collate, lambda m, x: Reader(m)(x), steps=1)
    batch = stage.batch(examples, "new", [0])
    step = Step(stage, 0, 0.5, [batch], [stage.read(model, batch.inputs)])
    guard.objective(step, batch, step.reads[0]).backward()
    weight, gradient = model.above.weight, model.above.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert (weight * gradient).sum(-1).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_the_memory_fills_during_a_stage() -> None:
    guard = UER(capacity=3)
    examples = [point([1.0, float(i)], 0) for i in range(4)]
    done = train(Flat(), examples, [guard], Settings(steps=2, batch_size=2))
    assert [sorted(h) for h in done.history] == [["new"], ["new", "replay"]]
    assert (len(guard.memory), guard.memory.seen) == (3, 4)


def test_it_refuses_a_model_without_an_output_layer() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.w

    with pytest.raises(BadInput, match=r"ends in nn\.Linear"):
        train(Bare(), [point([1.0, 2.0], 0)], [UER()])
