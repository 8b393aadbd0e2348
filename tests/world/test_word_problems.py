"""Word problems: the solutions are right, and neither names nor wordings tell of exams."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from byheart.core.errors import BadInput
from byheart.world.facts.word_problems import STRUCTURES, TOPICS, problems


@pytest.mark.parametrize("held_out", [False, True])
def test_every_step_is_true_and_the_last_gives_the_answer(held_out: bool) -> None:
    for p in problems(80, seed=3, held_out=held_out):
        steps = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", p.rationale)
        assert steps
        for a, sign, b, result in steps:
            assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign] == int(result)
        assert steps[-1][3] == p.answer
        assert p.rationale.endswith(f"The answer is {p.answer}.")
        given = re.findall(r"\d+", p.question)
        assert all(n in given for n in steps[0][::2]) or p.structure == "twice"


def test_structures_and_topics_come_in_equal_shares_and_apart() -> None:
    made = problems(160, seed=1)
    assert set(Counter(p.structure for p in made).values()) == {160 // len(STRUCTURES)}
    assert set(Counter(p.topic for p in made).values()) == {160 // len(TOPICS)}
    assert len({(p.structure, p.topic) for p in made}) == len(STRUCTURES) * len(TOPICS)


def test_wordings_kept_for_exams_are_not_taught() -> None:
    def bare(text: str) -> str:
        return re.sub(r"\d+|[A-Z][a-z]+", "", text)

    taught, exams = ({bare(p.question) for p in problems(120, seed=2, held_out=k)} for k in (False, True))
    assert not taught & exams


def test_the_same_seed_makes_the_same_problems_and_too_many_are_refused() -> None:
    assert problems(8, seed=5) == problems(8, seed=5) != problems(8, seed=6)
    with pytest.raises(BadInput, match="1 problem or more"):
        problems(0)
