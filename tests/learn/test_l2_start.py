"""The pull to the start against a number worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import Line, point, stage_of, step_of

from byheart.learn.l2_start import L2ToStart


def test_l2_to_start() -> None:
    model, guard = Line(1.0, 1.0), L2ToStart(strength=0.5)
    stage = stage_of(model, [point(1, 0)])
    guard.begin(stage)
    with torch.no_grad():
        model.w.copy_(torch.tensor([3.0, 0.0]))
    assert guard.terms(step_of(stage))["l2_start"].item() == pytest.approx(0.5 / 2 * (4 + 1))
