"""Whose hint the teacher sees, what it writes, and the divergence against one worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from subjects import llama

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import IGNORE, Step
from byheart.kit.readout import Reader
from byheart.learn.memento_no_more import MementoNoMore
from byheart.learn.view_batch import ViewBatch
from byheart.train.loop import Settings, train
from byheart.train.stream import collate

ASKED: dict[str, Any] = {"input_ids": [1, 20, 21, 30, 31], "labels": [IGNORE] * 3 + [30, 31], "hint": [7, 8]}


def chances(model: torch.nn.Module, ids: list[int], temperature: float) -> list[list[float]]:
    """The softened distribution after every token."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    return (logits / temperature).softmax(-1).tolist()


def shown(guard: MementoNoMore, examples: list[dict[str, Any]], size: int = 4) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of the rows of the first batch, padding taken off."""
    seen: list[tuple[list[int], list[int]]] = []

    def look(step: Step, losses: dict[str, float]) -> None:
        (batch,) = step.batches
        for ids, labels, mask in zip(
            *(batch.inputs[k] for k in ("input_ids", "labels", "attention_mask")), strict=True
        ):
            seen.append((ids[: int(mask.sum())].tolist(), labels[: int(mask.sum())].tolist()))

    train(llama(), examples, [guard], Settings(steps=1, batch_size=size), on_step=look)
    return seen


def test_the_loss_is_the_softened_divergence_from_the_answer_with_the_hint() -> None:
    model = llama()
    taught = chances(model, [1, 7, 8, 20, 21, 30], 2.0)[4:]  # what follows 21 and 30, with the hint before them
    told = chances(model, [1, 20, 21, 30], 2.0)[2:]
    apart = [sum(p * math.log(p / q) for p, q in zip(ps, qs, strict=True)) for ps, qs in zip(taught, told, strict=True)]
    guard = MementoNoMore(length=0, dropout=1.0)
    done = train(model, [ASKED], [guard], Settings(steps=1, batch_size=1))
    assert done.history[0]["new"] == pytest.approx(4 * sum(apart) / 2, rel=1e-3)
    assert sum(apart) > 1e-4


def test_a_share_of_the_loss_may_be_cross_entropy_on_the_answers() -> None:
    model = llama()
    full = Reader(model)(collate([{k: ASKED[k] for k in ("input_ids", "labels")}])).loss().item()
    parts = {}
    for weight in (1.0, 0.25, 0.0):
        guard = MementoNoMore(length=0, dropout=1.0, weight=weight)
        parts[weight] = train(llama(), [ASKED], [guard], Settings(steps=1, batch_size=1)).history[0]["new"]
    assert parts[0.0] == pytest.approx(full, rel=1e-5)
    assert parts[0.25] == pytest.approx(0.25 * parts[1.0] + 0.75 * full, rel=1e-5)


def test_the_student_fits_what_the_teacher_writes_with_the_hint_but_is_not_shown_it() -> None:
    model, ids = llama(), [1, 7, 8, 20, 21]
    for _ in range(4):
        ids.append(int(torch.tensor(chances(model, ids, 1.0)[-1]).argmax()))
    greedy = ids[5:]
    ((row, labels),) = shown(MementoNoMore(length=4, sampling=0.0, dropout=1.0, stop=63), [ASKED], 1)
    assert row == [1, 20, 21, *greedy]
    assert labels == [IGNORE] * 3 + greedy
    ((row, labels),) = shown(MementoNoMore(length=4, sampling=0.0, dropout=1.0, stop=greedy[0]), [ASKED], 1)
    assert row == [1, 20, 21, greedy[0]], "the end is part of the answer"
    prompt = {"input_ids": [1, 20, 21], "labels": [IGNORE] * 3}
    ((row, _),) = shown(MementoNoMore(length=4, sampling=0.0, dropout=1.0, stop=63, hint=[7, 8]), [prompt], 1)
    assert row == [1, 20, 21, *greedy], "no answer need be given, and one hint serves all"


def test_some_students_are_shown_the_hint() -> None:
    rows = shown(MementoNoMore(length=0, dropout=0.75), [ASKED] * 400, 400)
    plain, hinted = [1, 20, 21, 30, 31], [1, 7, 8, 20, 21, 30, 31]
    assert {tuple(r) for r, _ in rows} == {tuple(plain), tuple(hinted)}
    assert all(labels[-2:] == [30, 31] and set(labels[:-2]) == {IGNORE} for _, labels in rows)
    assert sum(r == plain for r, _ in rows) / 400 == pytest.approx(0.75, abs=0.07)


def test_a_teacher_seen_seldom_answers_alike() -> None:
    other = {"input_ids": [1, 22, 40], "labels": [IGNORE, IGNORE, 40], "hint": [9]}
    settings = Settings(steps=1, batch_size=2, bucket=False)
    both = train(llama().double(), [ASKED, other], [MementoNoMore(length=0, dropout=1.0)], settings).history[0]["new"]
    few = [ASKED, other, ASKED, other]  # more examples than visits: a copy of the model is asked, not a memo
    copied = train(llama().double(), few, [MementoNoMore(length=0, dropout=1.0)], settings)
    singles = [
        train(llama().double(), [e], [MementoNoMore(length=0, dropout=1.0)], Settings(steps=1, batch_size=1)).history[
            0
        ]["new"]
        for e in (ASKED, other)
    ]
    mixed = {round((2 * singles[0] + singles[1]) / 3, 4), round(singles[0], 4), round(singles[1], 4)}
    assert both == pytest.approx((2 * singles[0] + singles[1]) / 3, rel=1e-3)
    assert round(copied.history[0]["new"], 4) in mixed


def test_bad_calls_say_what_to_do() -> None:
    bare = {k: ASKED[k] for k in ("input_ids", "labels")}
    with pytest.raises(BadInput, match="has no hint"):
        train(llama(), [bare], [MementoNoMore()])
    with pytest.raises(BadInput, match="beyond a prompt of 3 tokens"):
        train(llama(), [ASKED], [MementoNoMore(at=4)])
    with pytest.raises(BadInput, match="give 0 to 1"):
        MementoNoMore(dropout=2.0)
    with pytest.raises(BadInput, match="more than 0"):
        MementoNoMore(temperature=0.0)
    with pytest.raises(Conflict, match="without keys"):
        train(llama(), [ASKED] * 4, [ViewBatch(), MementoNoMore(length=0)], Settings(batch_size=4))
