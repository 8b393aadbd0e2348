"""Center loss: the penalty, the centres' way and the freezing, each by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.kit.head import features, head
from byheart.kit.readout import Reader
from byheart.learn.center_loss import CenterLoss
from byheart.train.loop import stages
from byheart.train.stream import collate


class Net(nn.Module):
    """Features are the inputs themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Identity()
        self.above = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.below(x))


class Deep(nn.Module):
    """Two layers, and no features shown."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(2, 3)
        self.above = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.below(x))


def point(x: list[float], label: int) -> dict[str, Any]:
    return {"x": torch.tensor(x), "labels": label}


def step_of(model: nn.Module, examples: list[dict[str, Any]], index: int = 0) -> Step:
    stage = Stage(model, examples, collate, lambda m, x: Reader(m)(x), steps=1, index=index)
    batch = stage.batch(examples, "new", range(len(examples)))
    return Step(stage, 0, 0.5, [batch], [stage.read(model, batch.inputs)])


def test_the_penalty_and_the_way_of_the_centres() -> None:
    guard = CenterLoss(weight=2.0, alpha=0.5)
    step = step_of(Net(), [point([1.0, 0.0], 0), point([3.0, 0.0], 0), point([0.0, 2.0], 1)])
    guard.begin(step.stage)
    # from centres at 0: (1 + 9 + 4) / 3, times lambda / 2 = 1
    assert guard.terms(step)["center"].item() == pytest.approx(14 / 3)
    # class 0: half of (1 + 3) / (1 + 2); class 1: half of 2 / (1 + 1)
    assert guard.centers[0].tolist() == pytest.approx([2 / 3, 0.0])
    assert guard.centers[1].tolist() == pytest.approx([0.0, 0.5])


def test_a_later_stage_keeps_old_centres_and_finds_new_ones() -> None:
    guard = CenterLoss()
    first = step_of(Net(), [point([2.0, 0.0], 0)])
    guard.begin(first.stage)
    guard.terms(first)
    guard.end(first.stage)
    second = step_of(Net(), [point([0.0, 4.0], 0), point([0.0, 4.0], 1)], index=1)
    guard.begin(second.stage)
    guard.terms(second)
    assert guard.centers[0].tolist() == pytest.approx([0.5, 0.0])
    assert guard.centers[1].tolist() == pytest.approx([0.0, 1.0])


def test_the_output_layer_is_frozen_from_the_second_stage_on() -> None:
    tasks = [[point([1.0, 0.0], 0)], [point([0.0, 1.0], 1)]]
    model, kept = Deep(), []
    for _ in stages(model, tasks, [CenterLoss()]):
        kept.append((model.below.weight.detach().clone(), model.above.weight.detach().clone()))
    assert torch.equal(kept[0][1], kept[1][1])
    assert not torch.equal(kept[0][0], kept[1][0])


def test_features_of_a_model_that_shows_none() -> None:
    model = Deep()
    step = step_of(model, [point([1.0, 2.0], 0)])
    found = features(model, step.stage.read, step.batches[0].inputs, step.reads[0])
    assert torch.equal(found, model.below(torch.tensor([[1.0, 2.0]])))
    assert found.requires_grad
    assert not model.above._forward_pre_hooks


def test_it_refuses_a_rate_that_is_none_and_a_model_without_a_head() -> None:
    with pytest.raises(BadInput, match="give 0 to 1"):
        CenterLoss(alpha=1.5)
    with pytest.raises(BadInput, match=r"ends in nn\.Linear"):
        head(nn.Identity())
