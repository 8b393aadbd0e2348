"""The distance of sorted weights, by hand."""

from __future__ import annotations

import pytest
import torch

from byheart.core.strategy import Stage, Step
from byheart.learn.wasserstein import Wasserstein, distance
from byheart.train.loop import Settings, stages


def begun(weights: list[list[float]], **settings: float) -> tuple[Wasserstein, Stage]:
    model = torch.nn.Linear(2, 2, bias=False)
    model.weight.data = torch.tensor(weights)
    guard, stage = Wasserstein(**settings), Stage(model, [], None, None)
    guard.begin(stage)
    return guard, stage


def penalty(guard: Wasserstein, stage: Stage) -> float:
    return guard.terms(Step(stage, 0, 0.0))["wasserstein"].item()


def test_the_distance_is_of_the_sorted_weights() -> None:
    guard, stage = begun([[0.0, 1.0], [2.0, 3.0]], strength=0.5)
    stage.model.weight.data = torch.tensor([[5.0, 1.0], [0.0, 2.0]])  # sorted: 0 1 2 5 beside 0 1 2 3
    assert penalty(guard, stage) == pytest.approx(0.5 * 4.0)


def test_weights_may_trade_places() -> None:
    guard, stage = begun([[0.0, 1.0], [2.0, 3.0]])
    stage.model.weight.data = torch.tensor([[3.0, 2.0], [1.0, 0.0]])
    assert penalty(guard, stage) == 0.0


def test_the_pull_is_on_the_weight_that_takes_the_place() -> None:
    guard, stage = begun([[0.0, 1.0], [2.0, 3.0]], strength=1.0)
    stage.model.weight.data = torch.tensor([[3.0, 2.0], [1.5, 0.0]])  # 1.5 stands where 1 was
    guard.terms(Step(stage, 0, 0.0))["wasserstein"].backward()
    assert stage.model.weight.grad.tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_later_stages_are_held_to_the_first_start() -> None:
    data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    guard, model = Wasserstein(strength=1.0), torch.nn.Linear(2, 2)
    first = {n: p.detach().clone() for n, p in model.named_parameters()}
    done = list(stages(model, [data, data], [guard], Settings(steps=3, lr=0.1)))
    assert all(torch.equal(guard.start[n], p.flatten().sort().values) for n, p in first.items())
    assert done[1].history[0]["wasserstein"] > 0


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_of_16_bits_are_counted_to_the_same_distance_and_pull(kind: torch.dtype) -> None:
    drawn = torch.Generator().manual_seed(0)
    few = torch.randn(40, generator=drawn).to(kind)
    weights = few[torch.randint(40, (400,), generator=drawn)]  # of either sign, ten of every value
    ordered = torch.randn(400, generator=drawn).sort().values
    counted, sorted_ = weights.clone().requires_grad_(), weights.float().requires_grad_()
    ours, plain = distance(counted, ordered), distance(sorted_, ordered)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    ours.backward()
    plain.backward()
    for value in weights.unique():  # which of equal weights stands where is anyone's choice: their mean is not
        mine, theirs = counted.grad[weights == value].float(), sorted_.grad[weights == value]
        assert mine.unique().numel() == 1
        assert mine[0].item() == pytest.approx(theirs.mean().item(), rel=2e-2, abs=2e-3)
