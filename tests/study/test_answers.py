"""Exact match by one reading agrees with greedy decoding."""

from __future__ import annotations

import pytest

from byheart.kit.sample import sample
from byheart.models import tiny
from byheart.study.base.answers import exact, first, given
from byheart.train.loop import Settings, train
from byheart.world.stream.skills import tasks, vocabulary


def test_exact_match_is_what_greedy_decoding_gets_right() -> None:
    (task,) = tasks(["next"], length=2, train=40, test=20, seed=1)
    model = tiny.model(1, width=32, vocabulary=len(vocabulary()))
    train(model, task.train, (), Settings(lr=3e-3, steps=30, batch_size=20))
    right = starts = 0
    for e in task.train:
        answer = [y for y in e["labels"] if y >= 0]
        prompt = e["input_ids"][: -len(answer)]
        ((reply,), _) = sample(model, [prompt], max_tokens=len(answer))
        right += reply == answer
        starts += reply[0] == answer[0]
    assert 0 < right < 40, "the test is to tell something"
    assert exact(model, task.train) == pytest.approx(right / 40)
    assert first(model, task.train) == pytest.approx(starts / 40)
    assert [r for _, r in given(model, task.train[:3])] == [[y for y in e["labels"] if y >= 0] for e in task.train[:3]]
