"""GEM's quadratic programme against brute force, and its projections against ones worked by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from line import Line, point, stage_of, step_of
from subjects import BENCHES

from byheart.learn.gem import GEM, bounded
from byheart.train.loop import Settings, stages


def brute(p: np.ndarray, q: np.ndarray, least: float) -> float:
    """The least value of 1/2 v' p v + q' v over v >= least: every set of bounds that may hold is tried."""
    best = np.inf
    for pattern in product((False, True), repeat=len(q)):
        free = np.array(pattern)
        v = np.full(len(q), least)
        if free.any():
            v[free] = np.linalg.lstsq(p[np.ix_(free, free)], -(q + p[:, ~free] @ v[~free])[free], rcond=None)[0]
        if (v >= least - 1e-9).all():
            best = min(best, v @ p @ v / 2 + q @ v)
    return best


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_the_programme_is_solved(least: float) -> None:
    rng = np.random.default_rng(3)
    for trial in range(300):
        n = 1 + trial % 6
        g = rng.normal(size=(n, max(1, 7 - trial % 4)))  # sometimes fewer dimensions than constraints
        p, q = g @ g.T, g @ rng.normal(size=g.shape[1]) + 0.3 * (trial % 3 == 0)
        v = bounded(p, q, least)
        assert (v >= least).all()
        if np.linalg.matrix_rank(p) == n:
            assert v @ p @ v / 2 + q @ v == pytest.approx(brute(p, q, least), rel=1e-6, abs=1e-8)


def test_the_step_is_the_nearest_that_meets_every_constraint() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        g, past = rng.normal(size=3), rng.normal(size=(2, 3))
        step = g + bounded(past @ past.T, past @ g) @ past
        assert (past @ step >= -1e-6).all()
        others = g + rng.normal(size=(20000, 3)) * 1.5
        allowed = others[(others @ past.T >= 0).all(1)]
        assert np.linalg.norm(step - g) <= np.linalg.norm(allowed - g, axis=1).min() + 1e-6


def test_one_task_is_the_projection_of_a_gem_and_the_margin_goes_beyond() -> None:
    # the kept example wants label 0: its gradient is (-1/2, 1/2), the step's (1/2, -1/2)
    for margin, want in ((0.0, 0.0), (1.5, -0.25)):
        model = Line(0.0, 0.0)
        guard = GEM(margin=margin)
        guard.end(stage_of(model, [point(1, 0)]))
        stage = stage_of(model, [point(1, 1)], batch_size=1)
        model.w.grad = torch.tensor([0.5, -0.5])
        guard.gradients(step_of(stage))
        assert model.w.grad.tolist() == pytest.approx([want, -want], abs=1e-6)
        assert guard.projected == 1


def test_a_step_that_hurts_nothing_is_left_alone() -> None:
    model, guard = Line(0.0, 0.0), GEM()
    guard.end(stage_of(model, [point(1, 0)]))
    model.w.grad = torch.tensor([-0.5, 0.5])
    guard.gradients(step_of(stage_of(model, [point(1, 0)], batch_size=1)))
    assert model.w.grad.tolist() == [-0.5, 0.5]
    assert guard.projected == 0


def test_every_stage_keeps_its_own_examples() -> None:
    bench = BENCHES["classifier"]
    guard = GEM(capacity=4)
    for n, _ in enumerate(stages(bench.build(), bench.tasks, [guard], Settings(steps=2, batch_size=5)), 1):
        assert [len(k) for k in guard.kept] == [4] * n
    assert {e["labels"] for e in guard.kept[0]} <= set(range(5))
    assert {e["labels"] for e in guard.kept[1]} <= set(range(5, 10))
