"""What Self-Tuning makes of a document, and what it shows the model when."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from subjects import llama

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Step
from byheart.learn.self_tuning import PHRASES, TASKS, SelfTuning
from byheart.train.loop import Settings, train

WORDS = {name: [50 + n] for n, name in enumerate(PHRASES)}
START, END, STOP, BLANK = 1, 2, 3, 4


def document(n: int) -> dict[str, Any]:
    """Two sentences about n: "n is 20 + n." and "n has 30 + n." with the name as title."""
    ids = [START, n, 6, 20 + n, STOP, n, 7, 30 + n, STOP, END]
    return {"input_ids": ids, "labels": [IGNORE, *ids[1:]], "title": [n], "entities": [[20 + n], [30 + n]]}


def question(n: int) -> dict[str, Any]:
    return {"input_ids": [START, 40, n, 41, 20 + n, END], "labels": [IGNORE] * 4 + [20 + n, END]}


def guard(**settings: Any) -> SelfTuning:
    return SelfTuning(**{"words": WORDS, "blank": BLANK, "stops": (STOP,), **settings})


def shown(strategy: SelfTuning, examples: list[dict[str, Any]], steps: int, **more: Any) -> list[list[list[int]]]:
    seen: list[list[list[int]]] = []

    def look(step: Step, losses: dict[str, float]) -> None:
        (batch,) = step.batches
        assert batch.keys == ()
        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
        seen.append([row[: int(m.sum())].tolist() for row, m in zip(ids, mask, strict=True)])

    train(llama(), examples, [strategy], Settings(steps=steps, batch_size=4, lr=1e-4), on_step=look, **more)
    return seen


def made(name: str, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of the tasks of this name, for the documents about 10 and 11."""
    rows = guard().teach([document(10), document(11)], [name], torch.Generator().manual_seed(seed))
    out = []
    for row in rows:
        assert row["input_ids"][0] == START
        assert row["input_ids"][-1] == END
        cut = row["labels"].count(IGNORE)
        assert row["labels"] == [IGNORE] * cut + row["input_ids"][cut:]
        out.append((row["input_ids"][1:cut], row["input_ids"][cut:-1]))
    return out


BODY = [10, 6, 30, STOP, 10, 7, 40, STOP]


def test_tasks_of_a_whole_document() -> None:
    (word,) = WORDS["title"]
    assert made("title")[0] == ([word, *BODY], [10])
    assert made("gist")[0] == ([*WORDS["gist"], *BODY], [30, BLANK, 40])
    assert made("teach")[0] == ([*WORDS["teach"], 10], BODY)
    assert made("flashcards")[0] == ([*WORDS["flashcards"], 10, BLANK, 30, BLANK, 40], BODY)


def test_a_sentence_is_cloze_or_choice_and_is_completed_before_its_entity() -> None:
    assert made("completion")[:2] == [
        ([10, *WORDS["completion"], 10, 6], [30, STOP]),
        ([10, *WORDS["completion"], 10, 7], [40, STOP]),
    ]
    cloze, choice = made("cloze"), made("choice")
    assert len(cloze) + len(choice) == 4
    many = [pair for seed in range(9) for pair in made("cloze", seed)]
    assert ([10, 10, 6, BLANK, STOP, *WORDS["cloze"]], [30]) in many
    many = [pair for seed in range(9) for pair in made("choice", seed)]
    assert ([10, 10, 7, BLANK, STOP, *WORDS["choice"], 30, BLANK, 40], [40]) in many


def test_what_follows_is_the_sentence_and_what_does_not_has_another_entity() -> None:
    found = {tuple(prompt): answer for seed in range(9) for prompt, answer in made("entailment", seed)}
    assert found[*BODY, *WORDS["entailment"], 10, 6, 30, STOP] == WORDS["yes"]
    assert found[*BODY, *WORDS["entailment"], 10, 6, 40, STOP] == WORDS["no"]
    assert len(found) == 8  # two documents of two sentences, true and false


def test_without_entities_the_rarest_tokens_stand_for_them() -> None:
    texts = [{"input_ids": [9, 9, 5, n, 6, 9]} for n in (10, 11)]
    (first, _) = guard().teach(texts, ["gist"], torch.Generator())
    assert first["input_ids"] == [9, *WORDS["gist"], 9, 5, 10, 6, 9, BLANK, 5, BLANK, 10, BLANK, 6, 9]


def test_three_phases_in_the_proportion_of_their_passes() -> None:
    olds, asked = [document(n) for n in range(10, 14)], [question(n) for n in range(10, 14)]
    news = [document(n) for n in (14, 15)]
    strategy = guard(documents=olds, questions=asked, epochs=(1, 2, 4), tasks=("title", "teach"))
    seen = shown(strategy, news, 9)
    assert [len(pile) for pile in strategy.piles] == [16, 6, 2]
    assert strategy.ends == pytest.approx([16 / 36, 28 / 36, 1.0])  # 16 + 12 + 8 examples: 4, 3 and 2 steps of 9
    told = {tuple(e["input_ids"]) for e in news}
    practised = Counter(tuple(row) for batch in seen[:4] for row in batch)
    assert not told & set(practised)
    assert {tuple(e["input_ids"]) for e in (*olds, *asked)} <= set(practised)
    assert {tuple(row) for batch in seen[4:7] for row in batch} == told | {tuple(e["input_ids"]) for e in asked}
    assert {tuple(row) for batch in seen[7:] for row in batch} == told


def test_old_examples_are_told_apart_by_how_much_of_them_is_scored() -> None:
    strategy = guard(tasks=("title",), also=("teach",))
    shown(strategy, [document(12)] * 2, 2, old=[document(10), question(10), document(11)])
    assert [len(pile) for pile in strategy.piles] == [5, 5, 4]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tasks": ("rhyme",)}, "no self-teaching task 'rhyme'"),
        ({"epochs": (1, 1)}, "give three numbers"),
        ({"epochs": (1, 1, 0)}, "the last above 0"),
        ({"words": {"title": [1]}}, "make them with english"),
    ],
)
def test_refuses(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        SelfTuning(**settings)


def test_every_task_has_words() -> None:
    assert set(TASKS) | {"yes", "no"} == set(PHRASES)
