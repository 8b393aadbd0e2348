"""NPO against its formula, and what it does to what must go and what must stay."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import Conflict
from byheart.core.strategy import Batch, Stage, Step
from byheart.forget.npo import NPO
from byheart.kit.readout import Reader
from byheart.models import tiny
from byheart.train.compose import Strategies
from byheart.train.loop import Settings, train
from byheart.train.stream import collate

LN3 = math.log(3)


class Line(nn.Module):
    """Two logits, each a weight times the one input."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(weights))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w


def point(x: float, label: int) -> dict[str, Any]:
    return {"x": torch.tensor([x]), "labels": label}


def begun(npo: NPO, model: nn.Module, examples: list[dict[str, Any]]) -> tuple[Stage, Step, Batch]:
    """A stage that NPO has begun, and a step with its first batch of role forget."""
    reader = Reader(model)
    stage = Stage(model, examples, collate, lambda m, x: reader(x), steps=1)
    npo.begin(stage)
    ((_, batches),) = npo.batches(iter([(0, [])]), stage)
    (batch,) = batches
    return stage, Step(stage, 0, 0.0, batches, [reader(batch.inputs)]), batch


def test_value_and_gradient_at_the_start() -> None:
    # pi = pi_ref: L = (2 / beta) ln 2, and dL = 2 sigmoid(0) d log pi = d log pi = x (p - e_y) with sign turned
    for beta in (0.1, 2.0):
        model = Line(0.0, 0.0)
        npo = NPO(examples=[point(2.0, 0)], beta=beta, weight=3.0)
        _, step, batch = begun(npo, model, [])
        value = npo.objective(step, batch, step.reads[0])
        assert value.item() == pytest.approx(3 * (2 / beta) * math.log(2), rel=1e-6)
        (gradient,) = torch.autograd.grad(value, model.w)
        assert gradient.tolist() == pytest.approx([3 * 2 * 0.5, -3 * 2 * 0.5])  # the loss alone would have -+ 1


def test_value_and_gradient_after_moving() -> None:
    # reference 1/2; now w = (ln 3, 0): pi = 3/4, ratio 3/2. L = (2 / beta) ln(1 + 1.5^beta),
    # dL/dw0 = 2 * 1.5^beta / (1 + 1.5^beta) * (1 - 3/4)
    for beta in (0.1, 1.0):
        model = Line(0.0, 0.0)
        npo = NPO(examples=[point(1.0, 0)], beta=beta)
        stage, _, batch = begun(npo, model, [])
        with torch.no_grad():
            model.w[0] = LN3
        read = Reader(model)(batch.inputs)
        value = npo.objective(Step(stage, 0, 0.0, [batch], [read]), batch, read)
        ratio = 1.5**beta
        assert value.item() == pytest.approx(2 / beta * math.log(1 + ratio), rel=1e-5)
        (gradient,) = torch.autograd.grad(value, model.w)
        assert gradient[0].item() == pytest.approx(2 * ratio / (1 + ratio) / 4, rel=1e-5)


def test_what_is_forgotten_stops_being_pushed() -> None:
    pushes = []
    for gone in (0.0, -5.0, -50.0):
        model = Line(0.0, 0.0)
        npo = NPO(examples=[point(1.0, 0)], beta=1.0)
        stage, _, batch = begun(npo, model, [])
        with torch.no_grad():
            model.w[0] = gone
        read = Reader(model)(batch.inputs)
        value = npo.objective(Step(stage, 0, 0.0, [batch], [read]), batch, read)
        pushes.append(torch.autograd.grad(value, model.w)[0][0].item())
    assert pushes[0] == pytest.approx(0.5)
    assert pushes[1] < 0.03
    assert pushes[2] < 1e-12


def test_log_likelihood_is_summed_over_tokens_and_averaged_over_examples() -> None:
    model = tiny.model(3, width=32, vocabulary=64)
    rows = [{"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8]}, {"input_ids": [9, 10], "labels": [-100, 10]}]
    npo = NPO(examples=rows, beta=0.5)
    stage, _, batch = begun(npo, model, [])
    then = {k: -Reader(model)(collate([rows[k]])).losses().sum().item() for k in (0, 1)}
    assert npo.reference[0].item() == pytest.approx(then[0], rel=1e-6)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight += 0.1
    read = Reader(model)(batch.inputs)
    got = npo.objective(Step(stage, 0, 0.0, [batch], [read]), batch, read).item()
    want = 0.0
    for k in (0, 1):
        now = -Reader(model)(collate([rows[k]])).losses().sum().item()
        want += 2 / 0.5 * math.log(1 + math.exp(0.5 * (now - then[k]))) / 2
    assert got == pytest.approx(want, rel=1e-5)


def memories(low: int, count: int = 6) -> list[dict[str, Any]]:
    g = torch.Generator().manual_seed(low)
    rows = []
    for n in range(count):
        ids = [low + n, *torch.randint(30, 64, (5,), generator=g).tolist()]
        rows.append({"input_ids": ids, "labels": [-100, *ids[1:]]})
    return rows


def loss(model: nn.Module, rows: list[dict[str, Any]]) -> float:
    with torch.no_grad():
        return Reader(model)(collate(rows)).loss().item()


@pytest.fixture(scope="module")
def knows() -> nn.Module:
    """A tiny model that knows both sets by heart."""
    model = tiny.model(3, width=32, vocabulary=64)
    both = [*memories(3), *memories(16)]
    train(model, both, (), Settings(lr=1e-2, steps=60, batch_size=12))
    assert loss(model, both) < 0.05
    return model


def test_the_forget_set_goes_and_the_retain_set_stays(knows: nn.Module) -> None:
    forget, retain = memories(3), memories(16)
    model = copy.deepcopy(knows)
    train(model, retain, [NPO(examples=forget, batch=6)], Settings(lr=2e-3, steps=30, batch_size=6))
    assert loss(model, forget) > 3.0
    assert loss(model, retain) < 0.1
    alone = copy.deepcopy(knows)
    train(alone, retain, (), Settings(lr=2e-3, steps=30, batch_size=6))
    assert loss(alone, forget) < 1.0, "retaining alone forgets it too"


def test_without_batches_it_is_plain_training(knows: nn.Module) -> None:
    models = [copy.deepcopy(knows) for _ in range(2)]
    settings = Settings(lr=1e-3, steps=3)
    train(models[0], memories(16), [NPO(examples=memories(3), **NPO.neutral)], settings)
    train(models[1], memories(16), (), settings)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_every_example_gets_its_turn_and_keys_find_it() -> None:
    forget = memories(3)
    npo = NPO(examples=forget, batch=2)
    reader = Reader(tiny.model(3, width=32, vocabulary=64))
    stage = Stage(reader.model, [], collate, lambda m, x: reader(x))
    stage.offer("forget", memories(16))  # somebody else's
    npo.begin(stage)
    seen = set()
    for _, (batch,) in npo.batches(((n, []) for n in range(30)), stage):
        assert len(batch) == 2
        for key, ids in zip(batch.keys, batch.inputs["input_ids"].tolist(), strict=True):
            assert stage.pools["forget"][key]["input_ids"] == ids
            seen.add(key)
    assert seen == set(range(6, 12))


class _Killed(Exception):
    pass


@pytest.mark.parametrize("at", [0, 3])
def test_a_killed_run_resumes_bit_for_bit(at: int, knows: nn.Module, tmp_path: Path) -> None:
    settings = Settings(lr=1e-3, steps=6, batch_size=4, accumulation=2, save_every=0.0)

    def run(model: nn.Module, **more: Any) -> list[dict[str, float]]:
        return train(model, memories(16), [NPO(examples=memories(3), batch=2)], settings, **more).history

    def kill(step: Step, losses: dict[str, float]) -> None:
        if step.index == at:
            raise _Killed

    whole, resumed = copy.deepcopy(knows), copy.deepcopy(knows)
    history = run(whole)
    with pytest.raises(_Killed):
        run(copy.deepcopy(knows), folder=tmp_path, on_step=kill)
    assert run(resumed, folder=tmp_path) == history
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_two_of_them_are_refused() -> None:
    with pytest.raises(Conflict, match="NPO and NPO both claim 'objective:forget'"):
        Strategies([NPO(), NPO()])
