"""Refresh learning: the step up by hand, and that the usual step follows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage
from byheart.kit.readout import Reader
from byheart.learn.refresh_learning import RefreshLearning
from byheart.train.stream import collate, stream


class Line(nn.Module):
    """Two logits, each a weight times the one input."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, 3.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w


def stage_of(model: nn.Module) -> Stage:
    examples: list[dict[str, Any]] = [{"x": torch.tensor([2.0]), "labels": 0}]
    return Stage(model, examples, collate, lambda m, x: Reader(m)(x), steps=1, batch_size=1)


def unlearned(guard: RefreshLearning) -> list[float]:
    model = Line()
    stage = stage_of(model)
    next(guard.batches(stream(stage), stage))
    return model.w.tolist()


def test_one_step_up_as_long_as_the_rate_says() -> None:
    # the gradient (-1, 1) of unit length times the norm of (3, 3) is (-3, 3); a tenth of it
    assert unlearned(RefreshLearning(gamma=0.1, noise=0.0)) == pytest.approx([2.7, 3.3])


def test_the_fisher_slows_it() -> None:
    guard = RefreshLearning(gamma=0.1, noise=0.0, weight=2.0)
    guard.fisher = {"w": torch.tensor([0.0, 1.0])}
    assert unlearned(guard) == pytest.approx([2.7, 3.1])


def test_noise_is_the_same_for_the_same_step() -> None:
    first, second = (unlearned(RefreshLearning(gamma=0.1, noise=1.0)) for _ in range(2))
    assert first == second
    assert first != pytest.approx([2.7, 3.3], abs=1e-3)


def test_the_fisher_is_taken_at_the_end() -> None:
    guard = RefreshLearning()
    guard.end(stage_of(Line()))
    assert guard.fisher["w"].tolist() == pytest.approx([1.0, 1.0])  # (2 / 2)^2 whichever label is drawn


def test_it_refuses_a_rate_below_zero() -> None:
    with pytest.raises(BadInput, match="give 0 or more"):
        RefreshLearning(gamma=-1.0)
