"""Views of a sample: how long it rests, and the divergence between views worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import KL_QUARTERS, LN3, Line, point, stage_of, step_of
from subjects import BENCHES, llama

from byheart.core.strategy import Batch
from byheart.learn.view_batch import ViewBatch


def test_view_batch_rests_a_sample_for_v_times_as_long() -> None:
    examples = [point(float(i), 0) for i in range(12)]
    stage = stage_of(Line(0.0, 0.0), examples, batch_size=4)
    guard = ViewBatch(views=2, strength=0.0)
    guard.begin(stage)
    stream = ((n, [stage.batch(examples[:4], "new", range(4))]) for n in range(12))
    seen: dict[float, list[int]] = {}
    for number, (batch,) in guard.batches(stream, stage):
        values = batch.inputs["x"][:, 0].tolist()
        assert values[0::2] == values[1::2]  # two views of two samples
        for v in set(values):
            seen.setdefault(v, []).append(number)
    assert all(len(times) == 2 for times in seen.values())
    assert sum(b - a for a, b in seen.values()) / 12 == pytest.approx(6)  # 3 without views


def test_view_batch_makes_views_agree_with_the_first() -> None:
    model, guard = Line(LN3, 0.0), ViewBatch(views=2, weight=2.0)
    stage = stage_of(model, [], batch_size=4)
    inputs = {"x": torch.tensor([[0.0], [1.0], [1.0], [1.0]]), "labels": torch.tensor([0, 0, 1, 1])}
    term = guard.terms(step_of(stage, Batch(inputs)))["views"]
    assert term.item() == pytest.approx(2 * (KL_QUARTERS + 0) / 2, rel=1e-5)


def test_view_batch_compares_the_same_tokens() -> None:
    model, bench = llama(), BENCHES["lm"]
    guard = ViewBatch(views=2, after=0.0, strength=0.5)
    stage = stage_of(model, bench.tasks[0], batch_size=4)
    ((_, (batch,)),) = guard.batches(iter([(0, [])]), stage)
    step = step_of(stage, batch)
    log = step.reads[0].logits.log_softmax(-1)
    row = step.reads[0].rows
    pairs = [(log[row == 0], log[row == 1]), (log[row == 2], log[row == 3])]
    want = torch.cat([(a.exp() * (a - b)).sum(-1) for a, b in pairs]).mean()
    assert guard.terms(step)["views"].item() == pytest.approx(want.item(), rel=1e-4)
    clean, changed = batch.inputs["input_ids"][::2], batch.inputs["input_ids"][1::2]
    assert (clean != changed).any()
    assert torch.equal(batch.inputs["labels"][::2], batch.inputs["labels"][1::2])
