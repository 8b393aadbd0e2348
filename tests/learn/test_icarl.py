"""iCaRL's loss, herding and rule against ones worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from line import LN3, Line, point, stage_of, step_of
from subjects import BENCHES, llama
from torch import nn

from byheart.core.errors import BadInput, Conflict
from byheart.learn.derpp import DERpp
from byheart.learn.icarl import ICaRL, features, herd, nearest_mean
from byheart.train.compose import Strategies
from byheart.train.loop import Settings, stages, train


def test_the_loss_is_yes_or_no_for_new_classes_and_distilled_for_old_ones() -> None:
    model = Line(LN3, 0.0, 5.0)  # three classes, the third of no stage so far
    guard = ICaRL()
    guard.begin(stage_of(model, [point(1, 0)]))
    guard.end(stage_of(model, [point(1, 0)]))
    stage = stage_of(model, [point(1, 1)] * 3, batch_size=1)
    guard.begin(stage)  # the old model says sigmoid(ln 3) = 3/4 for class 0
    with torch.no_grad():
        model.w.copy_(torch.tensor([0.0, -LN3, 9.0]))  # now 1/2 for class 0 and 1/4 for class 1
    old = -(0.75 * math.log(0.5) + 0.25 * math.log(0.5))
    new = stage.batch(stage.examples[:1], "new", [0])
    step = step_of(stage, new)
    assert guard.objective(step, new, step.reads[0]).item() == pytest.approx(3 / 4 * (old - math.log(0.25)))
    kept = stage.batch(guard.pool, "replay", [0])  # an exemplar of class 0 is no example of class 1
    step = step_of(stage, kept)
    assert guard.objective(step, kept, step.reads[0]).item() == pytest.approx(1 / 4 * (old - math.log(0.75)), rel=1e-5)


def test_in_the_first_stage_there_is_nothing_to_distil() -> None:
    model, guard = Line(LN3, 0.0), ICaRL()
    stage = stage_of(model, [point(1, 0), point(1, 1)], batch_size=2)
    guard.begin(stage)
    batch = stage.batch(stage.examples[:1], "new", [0])
    step = step_of(stage, batch)
    want = -(math.log(0.75) + math.log(0.5))
    assert guard.objective(step, batch, step.reads[0]).item() == pytest.approx(want, rel=1e-5)


def test_herding_is_greedy_and_takes_nothing_twice() -> None:
    g = torch.Generator().manual_seed(0)
    points = torch.randn(30, 4, generator=g)
    chosen = herd(points, 12)
    assert len(set(chosen)) == 12
    for k in range(1, 13):
        rest = [i for i in range(30) if i not in chosen[: k - 1]]
        gaps = {i: (points.mean(0) - points[[*chosen[: k - 1], i]].mean(0)).norm().item() for i in rest}
        assert gaps[chosen[k - 1]] == pytest.approx(min(gaps.values()))
    assert sorted(herd(points[:3], 12)) == [0, 1, 2]


def test_memory_is_shared_equally_and_shrinks_from_the_end() -> None:
    bench = BENCHES["classifier"]
    guard = ICaRL(memory=10)
    sets = []
    for _ in stages(bench.build(), bench.tasks, [guard], Settings(steps=3, batch_size=5)):
        sets.append({y: [e["x"] for e in kept] for y, kept in guard.exemplars.items()})
    assert {y: len(kept) for y, kept in sets[0].items()} == dict.fromkeys(range(5), 2)
    assert {y: len(kept) for y, kept in sets[1].items()} == dict.fromkeys(range(10), 1)
    for y in range(5):
        assert torch.equal(sets[1][y][0], sets[0][y][0])


def test_the_nearest_mean_wins_among_those_allowed() -> None:
    means = {3: torch.tensor([1.0, 0.0]), 0: torch.tensor([0.0, 1.0])}
    points = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    assert nearest_mean(points, means).tolist() == [3, 0]
    mask = torch.tensor([[True, False, False, False]] * 2)
    assert nearest_mean(points, means, mask).tolist() == [0, 0]


def test_classifying_by_means_learns_what_the_outputs_alone_lose() -> None:
    bench = BENCHES["classifier"]
    guard, model = ICaRL(memory=20), bench.build()
    for _ in stages(model, bench.tasks, [guard], Settings(lr=5e-3, steps=60, batch_size=10)):
        pass
    everything = [e for task in bench.tasks for e in task]
    inputs = {"x": torch.stack([e["x"] for e in everything])}
    right = guard.classify(model, inputs) == torch.tensor([e["labels"] for e in everything])
    assert right.float().mean() > 0.8
    assert features(model, inputs).norm(dim=1).tolist() == pytest.approx([1.0] * 20, abs=1e-5)


def test_it_says_what_it_cannot_do() -> None:
    with pytest.raises(BadInput, match="train at least one stage first"):
        ICaRL().classify(nn.Linear(2, 2), {"input": torch.eye(2)})
    with pytest.raises(BadInput, match="serves"):
        train(llama(), BENCHES["lm"].tasks[0], [ICaRL()])
    with pytest.raises(Conflict, match="both claim 'objective:replay'"):
        Strategies([ICaRL(), DERpp()])
