"""KL to the start against a number worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import KL_QUARTERS, LN3, Line, point, stage_of, step_of
from subjects import BENCHES

from byheart.core.errors import Conflict
from byheart.learn.kl import KL
from byheart.learn.replay import Replay


def test_kl_to_the_start() -> None:
    model = Line(0.0, 0.0)
    stage = stage_of(model, [point(1, 0)])
    guard = KL(weight=2.0)
    guard.begin(stage)
    with torch.no_grad():
        model.w[0] = LN3
    batch = stage.batch(stage.examples, "new", [0])
    assert guard.terms(step_of(stage, batch))["kl"].item() == pytest.approx(2 * KL_QUARTERS, rel=1e-5)


def test_kl_with_replace_only_distils_replayed_text() -> None:
    model = Line(0.0, 0.0)
    stage = stage_of(model, [point(1, 0)], old=[point(2, 1)])
    replay, guard = Replay(), KL(replace=True)
    replay.begin(stage)
    guard.begin(stage)
    with torch.no_grad():
        model.w[0] = LN3 / 2
    step = step_of(stage, stage.batch(stage.old, "replay", [0]))
    assert guard.terms(step) == {}
    assert guard.objective(step, step.batches[0], step.reads[0]).item() == pytest.approx(KL_QUARTERS, rel=1e-5)


def test_kl_listed_before_the_replay_it_should_guard_says_so() -> None:
    with pytest.raises(Conflict, match="after the one"):
        BENCHES["lm"].run([KL(roles=("replay",)), Replay()])
