"""Rationales of solved problems: only right ones are kept, and problems of one structure look alike when obfuscated."""

from __future__ import annotations

from typing import Any

import pytest

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.core.records import Engram
from byheart.recall.write.arm_rag import ArmRAG, obfuscate, solution, solves

POSED = {"question": "Ann has 3 pens and buys 4 pens. How many pens does Ann have?", "answer": "7"}


class Tries:
    """A subject that answers every prompt with these, one after the other."""

    def __init__(self, *tries: str) -> None:
        self.tries, self.calls = tries, []

    def generate(self, prompts: Any, *, max_tokens=64, temperature=0.0, copies=1, seed=0) -> list[list[Generation]]:
        self.calls.append((list(prompts), copies, temperature, seed))
        return [[Generation(t) for t in self.tries[:copies]] for _ in prompts]

    def score(self, pairs: Any) -> list[list[float]]:
        raise NotImplementedError


def written(source: Any, subject: Any = None, **settings: Any) -> list[Engram]:
    return [op.engram for op in ArmRAG(**settings).write(source, subject)]


def test_a_given_rationale_is_kept_where_it_ends_in_the_answer() -> None:
    (rewritten,) = written([{**POSED, "rationale": "3 + 4 = 7."}, {**POSED, "rationale": "3 * 4 = 12."}])
    assert rewritten.text == f"{POSED['question']}\nAnswer: 3 + 4 = 7."
    assert (rewritten.question, rewritten.answer, rewritten.metadata["rationale"]) == (
        POSED["question"],
        "7",
        "3 + 4 = 7.",
    )


def test_of_a_subjects_tries_the_right_ones_are_kept_each_once() -> None:
    solver = Tries("3 * 4 = 12", "3 + 4 = 7", "3 + 4 = 7", "4 + 3 = 7. The answer is 7.\n\nQuestion: What", "7")
    assert [e.metadata["rationale"] for e in written([POSED], solver, keep=2)] == [
        "3 + 4 = 7",
        "4 + 3 = 7. The answer is 7.",
    ]
    ((prompts, copies, temperature, _),) = solver.calls
    assert prompts[0].endswith(f"Question: {POSED['question']}\nAnswer:")
    assert (copies, temperature) == (5, 1.0)
    assert written([POSED], Tries("It is 12.", "I do not know.", ""), copies=3) == []


def test_one_try_without_temperature() -> None:
    solver = Tries("7", "8")
    assert len(written([POSED], solver, temperature=0.0)) == 1
    assert solver.calls[0][1] == 1


def test_a_problem_that_nobody_solved_and_a_passage_are_kept_as_they_are() -> None:
    engrams = written([POSED, "The ferry is late."])
    assert [e.text for e in engrams] == [f"{POSED['question']} 7", "The ferry is late."]
    assert [e.text for e in written(["The ferry is late."], Tries("7"))] == ["The ferry is late."]


@pytest.mark.parametrize(
    ("rationale", "answer", "right"),
    [
        ("1,200 + 34 = 1,234", "1234", True),
        ("The answer is 7 pens.", "7.0", True),
        ("The answer is 17.", "7", False),
        ("7 is a number. So it is eight.", "7", True),
        ("So they meet in Velm. That is all.", "Velm", False),
        ("That is all. They meet in Velm.", "velm", True),
        ("", "7", False),
        ("Nothing.", "", False),
    ],
)
def test_what_solves(rationale: str, answer: str, right: bool) -> None:
    assert solves(rationale, answer) is right


def test_a_solution_ends_where_the_next_problem_begins() -> None:
    assert solution("3 + 4 = 7\nQuestion: And?") == "3 + 4 = 7"
    assert solution("First.\n\nSecond.") == "First."
    assert solution("\ud83c \x00 3") == "3"


def test_problems_of_one_structure_about_other_things_become_the_same() -> None:
    a = "Ann has 3 boxes of ripe apples. How many apples does Ann have?"
    b = "Torven has 3 crates of old nails. How many nails does Torven have?"
    c = "Torven gives 3 crates of old nails to Ann. How many nails does Torven have?"
    assert obfuscate(a) == obfuscate(b) == "Ada has 3 daxes of wugs. How many wugs does Ada have?"
    assert obfuscate(c) != obfuscate(b)


def test_a_verb_that_stands_for_a_thing_is_one() -> None:
    text = "Ann books 2 seats. The books of Ann are gone, and Ann's books are many."
    assert obfuscate(text) == "Ada books 2 daxes. The wugs of Ada are gone, and Ada's wugs are many."


def test_keys_and_query_are_obfuscated_alike_or_not_at_all() -> None:
    (rewritten,) = written([{**POSED, "rationale": "3 + 4 = 7."}])
    made, plain = ArmRAG(), ArmRAG(obfuscated=False)
    assert made.keys([rewritten]) == [made.query(POSED["question"])] == [obfuscate(POSED["question"])]
    assert plain.keys([rewritten]) == [plain.query(POSED["question"])] == [POSED["question"]]


def test_the_best_example_stands_next_to_the_new_problem() -> None:
    prompt = ArmRAG.prompt("New?", ["Best?\nAnswer: a", "Second?\nAnswer: b"])
    assert prompt.endswith("Question: Second?\nAnswer: b\n\nQuestion: Best?\nAnswer: a\n\nQuestion: New?\nAnswer:")


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"copies": 0}, {"keep": 0}, {"tokens": 0}, {"temperature": 10.0}):
        with pytest.raises(BadInput):
            ArmRAG(**wrong)
