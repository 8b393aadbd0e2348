"""A teacher made of features against a frozen copy of the model."""

from __future__ import annotations

import copy

import pytest
import torch
from line import stage_of
from subjects import BENCHES, llama

from byheart.kit.readout import Reader
from byheart.kit.teacher import Teacher


@pytest.mark.parametrize("width", [1, 4])
def test_teacher_from_features_equals_a_frozen_copy(width: int) -> None:
    model, bench = llama(), BENCHES["lm"]
    start = copy.deepcopy(model)
    stage = stage_of(model, bench.tasks[0], batch_size=width)
    stage.steps = 20
    teacher = Teacher(stage, ("new",))
    assert teacher.reader is None, "it copied the whole model"
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    batch = stage.batch([stage.examples[k] for k in (7, 2, 4)], "new", (7, 2, 4))
    read = stage.read(model, batch.inputs)
    assert torch.allclose(teacher.logits(batch, read), Reader(start)(batch.inputs).logits, atol=1e-5)


def test_teacher_copies_when_the_pool_is_larger_than_the_stage_visits() -> None:
    bench = BENCHES["lm"]
    stage = stage_of(llama(), bench.tasks[0], batch_size=2)
    stage.steps = 1
    teacher = Teacher(stage, ("new",))
    assert teacher.reader is not None
    batch = stage.batch(stage.examples[:2], "new", (0, 1))
    read = stage.read(stage.model, batch.inputs)
    assert torch.allclose(teacher.logits(batch, read), read.logits, atol=1e-5)
