"""Replay's ratio, its keys and its own reservoir."""

from __future__ import annotations

import pytest
from line import Line, point, stage_of
from subjects import BENCHES

from byheart.learn.replay import Replay
from byheart.train.loop import train


def test_replay_draws_its_ratio_and_keys_find_the_examples() -> None:
    old = [point(float(i), 0) for i in range(20)]
    stage = stage_of(Line(0.0, 0.0), [point(0, 0)] * 4, old=old, batch_size=2)
    stage.offer("replay", [point(-1, 0)] * 3)  # somebody else's
    guard = Replay(ratio=0.25)
    guard.begin(stage)
    counts = []
    stream = ((n, [stage.batch(stage.examples[:2], "new", (0, 1))]) for n in range(400))
    for _, batches in guard.batches(stream, stage):
        replayed = [b for b in batches if b.role == "replay"]
        counts.append(sum(len(b) for b in replayed))
        for b in replayed:
            assert [float(stage.pools["replay"][k]["x"]) for k in b.keys] == b.inputs["x"][:, 0].tolist()
    assert sum(counts) / len(counts) == pytest.approx(0.5, abs=0.08)
    assert max(counts) == 1


def test_replay_from_its_own_reservoir_needs_no_old_examples() -> None:
    bench = BENCHES["classifier"]
    guard, model = Replay(capacity=3), bench.build()
    histories = [train(model, t, [guard], bench.settings, index=i).history[0] for i, t in enumerate(bench.tasks)]
    assert [sorted(h) for h in histories] == [["new"], ["new", "replay"]]
    assert len(guard.memory) == 3
    assert guard.memory.seen == 20
