"""OGD and PCA-OGD: which part of a step is taken away, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.kit.readout import Reader
from byheart.learn.ntk_overlap import OGD, output_gradients
from byheart.study.learn.ntk_overlap import overlap
from byheart.train.stream import collate


class Line(nn.Module):
    """One logit per class, each a weight vector times the input."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w.T


def stage_of(points: list[tuple[list[float], int]]) -> Stage:
    examples: list[dict[str, Any]] = [{"x": torch.tensor(x), "labels": y} for x, y in points]
    return Stage(Line(), examples, collate, lambda m, x: Reader(m)(x), steps=1)


def taken(guard: OGD, stage: Stage, move: list[float]) -> list[float]:
    """What is left of a step."""
    step = Step(stage, 0, 0.0)
    guard.gradients(step)
    weight = next(stage.model.parameters())
    with torch.no_grad():
        weight += torch.tensor(move).view_as(weight)
    guard.parameters(step)
    return weight.flatten().tolist()


def test_a_gradient_of_the_true_logit_alone() -> None:
    stage = stage_of([([3.0, 4.0], 0), ([5.0, 0.0], 1)])
    assert output_gradients(stage, [0, 1]).tolist() == [[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]]


def test_the_step_along_a_stored_gradient_is_taken_away() -> None:
    stage, guard = stage_of([([3.0, 4.0], 0)]), OGD(directions=1)
    guard.end(stage)
    # the direction is (0.6, 0.8, 0, 0); of (1, 1, 1, 1) it holds 1.4
    assert taken(guard, stage, [1.0, 1.0, 1.0, 1.0]) == pytest.approx([1 - 0.84, 1 - 1.12, 1.0, 1.0], abs=1e-6)


def test_pca_keeps_the_direction_that_holds_most() -> None:
    points = [([2.0, 0.0], 0)] * 3 + [([0.0, 1.0], 0)]
    stage, guard = stage_of(points), OGD(directions=1, samples=4)
    guard.end(stage)
    assert taken(guard, stage, [1.0, 1.0, 0.0, 0.0]) == pytest.approx([0.0, 1.0, 0.0, 0.0], abs=1e-6)


def test_stages_add_directions_and_dependent_ones_add_none() -> None:
    guard = OGD(directions=2)
    guard.end(stage_of([([1.0, 0.0], 0), ([2.0, 0.0], 0)]))
    assert len(guard.basis) == 1
    guard.end(stage_of([([1.0, 1.0], 0), ([0.0, 3.0], 1)]))
    assert len(guard.basis) == 3
    assert torch.allclose(guard.basis @ guard.basis.T, torch.eye(3), atol=1e-6)


def test_overlap_of_known_directions() -> None:
    a = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    b = torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    assert overlap(a, a, 2) == pytest.approx(1.0)
    assert overlap(a, b, 2) == pytest.approx(0.5)
    assert overlap(a, b, 1) == pytest.approx(0.0)


def test_it_refuses_more_directions_than_samples() -> None:
    with pytest.raises(BadInput, match="give at least as many"):
        OGD(directions=10, samples=5)
