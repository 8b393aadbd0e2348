"""TAG's step against steps worked by hand and against the optimizers that it is in the first stage."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from line import Line, point, stage_of, step_of
from subjects import BENCHES

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Strategy
from byheart.learn.lora import LoRA
from byheart.learn.tag import TAG
from byheart.train.loop import Settings, train


def moves(rule: TAG, gradients: Sequence[Sequence[float]], rate: float = 0.01) -> list[float]:
    """How far a stage of steps with these gradients moves two weights."""
    model = Line(0.0, 0.0)
    stage = stage_of(model, [point(1, 0)])
    optimizer = torch.optim.SGD([model.w], lr=rate)
    rule.begin(stage)
    for index, g in enumerate(gradients):
        model.w.grad = torch.tensor(g)
        step = step_of(stage)
        step.index = index
        rule.own_step(step, optimizer)
    rule.end(stage)
    return model.w.tolist()


@pytest.mark.parametrize(("optimizer", "factor"), [("rmsprop", 10.0), ("adagrad", 1.0), ("adam", 1.0)])
@pytest.mark.parametrize(("gradient", "cosine"), [((0.6, -0.8), 1), ((0.8, 0.6), 0), ((-0.6, 0.8), -1)])
def test_the_second_stage_divides_by_both(
    optimizer: str, factor: float, gradient: tuple[float, float], cosine: int
) -> None:
    # After one step of each stage the moments of Adagrad, and of Adam once corrected, are the gradients themselves
    # and their squares; RMSProp's second moments are 0.01 of the squares, so its step is ten times as long.
    rule = TAG(optimizer=optimizer, b=3.0)
    moves(rule, [(0.6, -0.8)])
    alpha, own = math.exp(-3.0 * cosine), math.exp(-3.0)
    want = [
        -0.01 * factor * g / math.sqrt(alpha * before**2 + own * g**2)
        for g, before in zip(gradient, (0.6, -0.8), strict=True)
    ]
    assert moves(rule, [gradient]) == pytest.approx(want, rel=1e-4)
    assert rule.alphas["w"] == pytest.approx([alpha, own], rel=1e-4)


def test_every_stage_before_counts_as_it_was_left() -> None:
    # V: 0.01 (1, 0), then 0.01 (0, 1), then 0.01 (0.64, 0.36); cosines of (0.8, 0.6) with (1, 0) and (0, 1)
    rule = TAG(b=1.0)
    moves(rule, [(1.0, 0.0)])
    moves(rule, [(0.0, 1.0)])
    one, two, own = math.exp(-0.8), math.exp(-0.6), math.exp(-1.0)
    want = [-0.1 * 0.8 / math.sqrt(one + own * 0.64), -0.1 * 0.6 / math.sqrt(two + own * 0.36)]
    assert moves(rule, [(0.8, 0.6)]) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adagrad", "adam"])
def test_the_first_stage_is_the_optimizer_named(optimizer: str) -> None:
    gradients = [(0.6, -0.8), (0.1, 0.3), (-0.5, 0.2)]
    weights = torch.nn.Parameter(torch.zeros(2))
    reference = {
        "rmsprop": torch.optim.RMSprop([weights], lr=0.01, alpha=0.99, eps=1e-8),
        "adagrad": torch.optim.Adagrad([weights], lr=0.01, eps=1e-8),
        "adam": torch.optim.Adam([weights], lr=0.01, eps=1e-8),
    }[optimizer]
    for g in gradients:
        weights.grad = torch.tensor(g)
        reference.step()
    assert moves(TAG(optimizer=optimizer), gradients) == pytest.approx(weights.tolist(), rel=1e-4)


def test_a_moment_of_zero_is_like_nothing() -> None:
    rule = TAG()
    moves(rule, [(1.0, 0.0)])
    assert moves(rule, [(0.0, 0.0)]) == [0.0, 0.0]
    assert rule.alphas["w"] == pytest.approx([1.0, math.exp(-5.0)])


def test_the_rate_of_each_parameter_is_that_of_its_group() -> None:
    class Slow(Strategy):
        def groups(self, model: torch.nn.Module) -> dict[str, float]:
            return {"bias": 0.5}

    model = torch.nn.Linear(1, 2).bfloat16()
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    train(model, [{"input": torch.ones(1).bfloat16(), "labels": 0}], [Slow(), TAG()], Settings(lr=0.0125, steps=1))
    assert model.weight[:, 0].tolist() == [0.125, -0.125]  # a first step of RMSProp is ten times the rate
    assert model.bias.tolist() == [0.0625, -0.0625]


def test_refuses_an_optimizer_it_has_no_version_of() -> None:
    with pytest.raises(BadInput, match=r"optimizer='sgd' .* rmsprop, adagrad"):
        TAG(optimizer="sgd")


def test_refuses_a_negative_b() -> None:
    with pytest.raises(BadInput, match=r"b=-1 .* give 0 or more"):
        TAG(b=-1)


@pytest.mark.parametrize("betas", [(1.0, 0.99), (0.9, -0.1)])
def test_refuses_what_is_no_decay_rate(betas: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="no decay rates; give two numbers from 0 to below 1"):
        TAG(betas=betas)


def test_refuses_adapters() -> None:
    bench = BENCHES["lm"]
    with pytest.raises(Conflict, match="TAG holds the weights, which an adapter"):
        bench.run([LoRA(), TAG()])
