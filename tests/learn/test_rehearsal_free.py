"""Rehearsal-free learning: sigmoids, features and held weights by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import Conflict
from byheart.core.strategy import Stage, Step
from byheart.kit.readout import Reader
from byheart.learn.lora import LoRA
from byheart.learn.rehearsal_free import RehearsalFree
from byheart.train.compose import Strategies
from byheart.train.loop import train
from byheart.train.stream import collate

LN3 = math.log(3)


class Two(nn.Module):
    """Features are the inputs times a weight each; the logits are three sums of them, 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(1, 1, bias=False)
        self.above = nn.Linear(1, 3, bias=False)
        with torch.no_grad():
            self.q_proj.weight.fill_(1.0)
            self.above.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.q_proj(x))


def stage_of(model: nn.Module, labels: list[int], index: int = 0) -> Stage:
    examples: list[dict[str, Any]] = [{"x": torch.tensor([1.0]), "labels": y} for y in labels]
    return Stage(model, examples, collate, lambda m, x: Reader(m)(x), steps=1, index=index)


def step_of(stage: Stage) -> Step:
    batch = stage.batch(stage.examples, "new", range(len(stage.examples)))
    return Step(stage, 0, 0.5, [batch], [stage.read(stage.model, batch.inputs)])


def second(guard: RehearsalFree, model: Two) -> Step:
    """Class 0 is learned in the first stage, class 1 comes in the second; class 2 never."""
    first = stage_of(model, [0])
    guard.begin(first)
    guard.end(first)
    stage = stage_of(model, [1], index=1)
    guard.begin(stage)
    return step_of(stage)


def test_old_classes_are_answered_by_the_old_model_and_unseen_ones_not_at_all() -> None:
    model, guard = Two(), RehearsalFree()
    with torch.no_grad():
        model.above.weight[0] = LN3  # the old model says 3/4 for class 0
    step = second(guard, model)
    loss = guard.objective(step, step.batches[0], step.reads[0])
    # class 0: the entropy of 3/4; class 1: ln 2 for an even guess; class 2 is left out
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert loss.item() == pytest.approx((entropy + math.log(2)) / 2, rel=1e-5)


def test_features_and_weights_are_held_where_they_were() -> None:
    model = Two()
    guard = RehearsalFree(features=2.0, l2=0.5)
    step = second(guard, model)
    with torch.no_grad():
        model.q_proj.weight.fill_(4.0)
        model.above.weight.fill_(9.0)  # the output layer is free
    step = step_of(step.stage)
    found = guard.terms(step)
    assert found["features"].item() == pytest.approx(2.0 * 9.0)
    assert found["held"].item() == pytest.approx(0.5 * 9.0)


def test_l2_on_chosen_kinds_alone() -> None:
    for kinds, wanted in ((("q",), 9.0), (("v",), 0.0)):
        model, guard = Two(), RehearsalFree(l2=1.0, kinds=kinds)
        step = second(guard, model)
        with torch.no_grad():
            model.q_proj.weight.fill_(4.0)
        found = guard.terms(step)
        assert found.get("held", torch.tensor(0.0)).item() == pytest.approx(wanted)


def test_the_fisher_weighs_what_is_held() -> None:
    model, guard = Two(), RehearsalFree(ewc=2.0)
    with torch.no_grad():
        model.above.weight[0] = 1.0
    step = second(guard, model)
    # for one input 1 the gradient of log p_y by the weight below is sum_c (onehot_y - p)_c above_c = [y = 0] - p_0
    p = math.e / (math.e + 2)
    assert guard.fisher["q_proj.weight"].item() in (
        pytest.approx((1 - p) ** 2, rel=1e-4),
        pytest.approx(p**2, rel=1e-4),
    )
    with torch.no_grad():
        model.q_proj.weight.fill_(3.0)
    assert guard.terms(step)["held"].item() == pytest.approx(2 * 4 * guard.fisher["q_proj.weight"].item(), rel=1e-4)


def test_sigmoids_need_the_loss_and_weights_no_adapter() -> None:
    with pytest.raises(Conflict, match="leave one of them out"):
        Strategies([RehearsalFree(), RehearsalFree()])
    with pytest.raises(Conflict, match="leave one of them out"):
        train(Two(), stage_of(Two(), [0]).examples, [LoRA(targets=("q_proj",)), RehearsalFree(l2=1.0)])
