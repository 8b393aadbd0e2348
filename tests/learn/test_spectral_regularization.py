"""Spectral regularization: the penalty of known matrices, and that power iteration finds the largest value."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.learn.spectral_regularization import SpectralRegularization


class Small(nn.Module):
    """A matrix with singular values 3 and 1, a bias of norm 2, a norm's gain 1.5 and shift 0."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(1)
        turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
        with torch.no_grad():
            self.fc1.weight.copy_(turn @ torch.diag(torch.tensor([3.0, 1.0])))
            self.fc1.bias.copy_(torch.tensor([2.0, 0.0]))
            self.norm.weight.fill_(1.5)


def penalties(power: int, times: int) -> list[float]:
    guard = SpectralRegularization(strength=0.5, power=power)
    stage = Stage(Small(), [], None, None)
    guard.begin(stage)
    return [guard.terms(Step(stage, n, 0.0))["spectral"].item() for n in range(times)]


def test_the_penalty_of_known_matrices() -> None:
    # (3^2 - 1)^2 + (2^2)^2 + (0.5^2)^2 = 64 + 16 + 1/16, halved
    assert penalties(2, 8)[-1] == pytest.approx(0.5 * (64 + 16 + 1 / 16), rel=1e-4)
    # with k = 1 the parts are 4, 4 and 0.25
    assert penalties(1, 8)[-1] == pytest.approx(0.5 * (4 + 4 + 0.25), rel=1e-4)


def test_power_iterations_are_carried_along() -> None:
    first, *_, last = penalties(2, 8)
    assert first < last


def test_the_gradient_is_that_of_the_largest_value_alone() -> None:
    guard, model = SpectralRegularization(strength=1.0, power=1), Small()
    stage = Stage(model, [], None, None)
    guard.begin(stage)
    for n in range(12):
        penalty = guard.terms(Step(stage, n, 0.0))["spectral"]
    (gradient,) = torch.autograd.grad(penalty, model.fc1.weight)
    # d (s - 1)^2 = 2 (s - 1) u v^T with u = (0.6, 0.8), v = (1, 0)
    assert gradient.flatten().tolist() == pytest.approx([4 * 0.6, 0.0, 4 * 0.8, 0.0], abs=1e-3)


def test_frozen_parameters_are_left_out() -> None:
    guard, model = SpectralRegularization(strength=1.0), Small()
    model.requires_grad_(False)
    stage = Stage(model, [], None, None)
    guard.begin(stage)
    assert guard.terms(Step(stage, 0, 0.0)) == {}


def test_it_refuses_a_power_of_nothing() -> None:
    with pytest.raises(BadInput, match="give 1 or more"):
        SpectralRegularization(power=0)
