"""A-GEM's projection and its reference gradient against numbers worked by hand."""

from __future__ import annotations

import torch
from line import Line, point, stage_of, step_of
from subjects import BENCHES, llama

from byheart.kit import gradient
from byheart.kit.projection import remove_conflict
from byheart.kit.readout import Reader
from byheart.learn.agem import AGEM
from byheart.train.stream import collate


def test_agem_projection() -> None:
    g = [torch.tensor([3.0]), torch.tensor([4.0])]
    assert remove_conflict(g, [torch.tensor([-1.0]), torch.tensor([0.0])])
    assert [x.item() for x in g] == [0.0, 4.0]
    assert not remove_conflict(g, [torch.tensor([1.0]), torch.tensor([1.0])])
    assert [x.item() for x in g] == [0.0, 4.0]


def test_agem_reference_is_the_mean_over_positions_of_all_chunks() -> None:
    model, bench = llama(), BENCHES["lm"]
    stage = stage_of(model, bench.tasks[1], old=bench.tasks[0], batch_size=3)
    live = list(model.parameters())
    got = gradient.mean(stage, list(bench.tasks[0]), live)
    want = torch.autograd.grad(Reader(model)(collate(bench.tasks[0])).loss(), live)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(got, want, strict=True))


def test_agem_leaves_no_gradient_against_the_past() -> None:
    model = Line(0.0, 0.0)
    stage = stage_of(model, [point(1, 1)], old=[point(1, 0)], batch_size=1)
    guard = AGEM()
    guard.begin(stage)
    model.w.grad = torch.tensor([0.5, -0.5])  # of CE on label 1; on the old label 0 it is (-1/2, 1/2)
    guard.gradients(step_of(stage))
    assert model.w.grad.tolist() == [0.0, 0.0]
    assert guard.projected == 1
