"""LwF's softened divergence against a number worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import KL_QUARTERS, LN3, Line, point, stage_of, step_of

from byheart.learn.lwf import LwF


def test_lwf_squares_the_temperature() -> None:
    model, guard = Line(0.0, 0.0), LwF()
    stage = stage_of(model, [point(1, 0)], index=1)
    guard.begin(stage)
    with torch.no_grad():
        model.w[0] = 2 * LN3  # softened by T = 2: ln 3
    batch = stage.batch(stage.examples, "new", [0])
    assert guard.terms(step_of(stage, batch))["lwf"].item() == pytest.approx(4 * KL_QUARTERS, rel=1e-5)
