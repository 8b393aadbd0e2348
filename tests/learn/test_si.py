"""Synaptic intelligence against sums worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import Line, point, stage_of, step_of
from subjects import BENCHES, llama

from byheart.core.errors import Conflict
from byheart.core.strategy import Strategy
from byheart.learn.lora import LoRA
from byheart.learn.si import SI
from byheart.train.loop import Settings, stages, train


def move(model: Line, guard: SI, stage: object, gradient: tuple[float, float], step: tuple[float, float]) -> None:
    """One optimizer step that the test makes itself."""
    at = step_of(stage)  # type: ignore[arg-type]
    model.w.grad = torch.tensor(gradient)
    guard.gradients(at)
    with torch.no_grad():
        model.w += torch.tensor(step)
        guard.parameters(at)


def test_importance_is_what_the_path_earned_over_the_square_of_the_way() -> None:
    # steps (1, 0) and (1, 2) with gradients (-3, 0) and (-1, -2): omega = 3 + 1 and 4, way 2 and 2
    model, guard = Line(0.0, 0.0), SI(strength=0.5, damping=1.0)
    stage = stage_of(model, [point(1, 0)])
    guard.begin(stage)
    move(model, guard, stage, (-3.0, 0.0), (1.0, 0.0))
    move(model, guard, stage, (-1.0, -2.0), (1.0, 2.0))
    guard.end(stage)
    assert guard.importance["w"].tolist() == pytest.approx([4 / (4 + 1), 4 / (4 + 1)])

    guard.begin(stage)
    with torch.no_grad():
        model.w += torch.tensor([1.0, -2.0])
    penalty = guard.terms(step_of(stage))["si"]
    assert penalty.item() == pytest.approx(0.5 * 0.8 * (1 + 4))
    assert torch.autograd.grad(penalty, model.w)[0].tolist() == pytest.approx([0.8, -1.6])


def test_the_path_is_that_of_the_loss_without_the_penalty_and_importance_is_never_below_zero() -> None:
    model, guard = Line(0.0, 0.0), SI(strength=0.5, damping=1.0)
    stage = stage_of(model, [point(1, 0)])
    guard.begin(stage)
    move(model, guard, stage, (-4.0, 2.0), (1.0, 1.0))  # the second was carried uphill: -2 / 2 is cut to 0
    guard.end(stage)
    assert guard.importance["w"].tolist() == pytest.approx([2.0, 0.0])

    guard.begin(stage)
    move(model, guard, stage, (-1.0, 0.0), (1.0, 0.0))  # at the anchor the penalty has no gradient
    move(model, guard, stage, (-1.0 + 2 * 0.5 * 2.0 * 1.0, 0.0), (1.0, 0.0))  # one away it has 2 c Omega = 2
    guard.end(stage)
    assert guard.importance["w"][0].item() == pytest.approx(2.0 + (1 + 1) / (4 + 1))


def test_on_a_straight_way_the_path_adds_up_to_the_fall_of_the_loss() -> None:
    bench = BENCHES["classifier"]
    guard, model = SI(), bench.build()
    seen: list[float] = []
    earned: list[float] = []

    def look(step: object, losses: dict[str, float]) -> None:
        seen.append(losses["new"])
        earned.append(sum(e.sum().item() for e in guard.earned.values()))

    settings = Settings(lr=1e-4, steps=60, batch_size=10, accumulation=1)
    train(model, bench.tasks[0], [guard], settings, on_step=look)
    assert earned[-2] == pytest.approx(seen[0] - seen[-1], rel=0.05)


def test_the_penalty_holds_the_weights() -> None:
    bench, moved = BENCHES["classifier"], {}
    for strength in (1e-6, 100.0):
        model, snapshots = bench.build(), []
        for _ in stages(model, bench.tasks, [SI(strength=strength)], Settings(lr=1e-2, steps=30)):
            snapshots.append([p.detach().clone() for p in model.parameters()])
        moved[strength] = sum((a - b).square().sum().item() for a, b in zip(*snapshots, strict=True))
    assert moved[100.0] < 0.5 * moved[1e-6]


def test_si_refuses_an_adapter_before_the_first_step() -> None:
    orders: list[list[Strategy]] = [[LoRA(), SI()]]
    for order in orders:
        with pytest.raises(Conflict, match="leave one of them out"):
            train(llama(), BENCHES["lm"].tasks[0], order)
