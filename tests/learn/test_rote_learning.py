"""What rote learning shows the model when."""

from __future__ import annotations

from typing import Any

import pytest
from subjects import llama

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Step
from byheart.learn.rote_learning import RoteLearning
from byheart.train.loop import Settings, train


def fact(n: int, wording: int) -> dict[str, Any]:
    asked = [10 + wording, 20 + n, 12]
    return {
        "input_ids": [*asked, 40 + n, 2],
        "labels": [IGNORE] * 3 + [40 + n, 2],
        "rote": [20 + n, 9],
        "fact": n,
    }


def shown(guard: RoteLearning, examples: list[dict[str, Any]], steps: int) -> list[list[list[int]]]:
    seen: list[list[list[int]]] = []

    def look(step: Step, losses: dict[str, float]) -> None:
        (batch,) = step.batches
        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
        seen.append([row[: int(m.sum())].tolist() for row, m in zip(ids, mask, strict=True)])

    train(llama(), examples, [guard], Settings(steps=steps, batch_size=4, lr=1e-4), on_step=look)
    return seen


def test_the_key_comes_first_and_then_the_questions_of_a_few_facts() -> None:
    examples = [fact(n, w) for n in range(10) for w in range(2)]
    seen = shown(RoteLearning(share=0.5, few=0.2), examples, 10)
    rote = [row for batch in seen[:5] for row in batch]
    assert sorted(rote) == sorted([[20 + n, 9, 40 + n, 2] for n in range(10)] * 2)
    asked = [row for batch in seen[5:] for row in batch]
    assert all(len(row) == 5 for row in asked)
    assert len({row[1] for row in asked}) == 2
    assert {row[0] for row in asked} == {10, 11}, "all wordings of the chosen facts"


def test_an_example_without_a_key_keeps_its_question_and_gets_one() -> None:
    given = {"input_ids": [5, 6, 7, 8], "labels": [IGNORE, IGNORE, 7, 8]}
    made = RoteLearning(key=3).rote(given)
    assert made == {"input_ids": [5, 6, 3, 7, 8], "labels": [IGNORE, IGNORE, IGNORE, 7, 8]}
    text = RoteLearning(key=3).rote({"input_ids": [5, 6]})
    assert text == {"input_ids": [5, 3, 6], "labels": [IGNORE, IGNORE, 6]}


def test_the_second_phase_may_be_gentler() -> None:
    guard = RoteLearning(share=0.5, gentle=0.1)
    assert [guard.rate(p) for p in (0.0, 0.49, 0.5, 0.9)] == [1.0, 1.0, 0.1, 0.1]


def test_shares_are_checked() -> None:
    for wrong in ({"share": 2.0}, {"few": 0.0}):
        with pytest.raises(BadInput, match="give 0 to 1"):
            RoteLearning(**wrong)
