"""What helps: the right keys hold what is to be said, and exams are of other people, words, things and wordings."""

from __future__ import annotations

import re

import pytest

from byheart.world.facts.aids import INSTRUCTIONS, aids
from byheart.world.facts.people import FIRST, MIDDLE


@pytest.mark.parametrize("held_out", [False, True])
def test_right_keys_help_and_wrong_outputs_are_wrong(held_out: bool) -> None:
    made = {a.kind: a for a in aids(3, seed=4, held_out=held_out)}
    assert list(made) == list(INSTRUCTIONS)
    for kind, aid in made.items():
        assert len(set(aid.keys)) == len(aid.keys)
        for need in aid.needs:
            assert need.right
            assert len({need.output, *need.wrong}) == 4
            if kind != "examples":
                assert need.output in aid.keys[need.right[0]]
    for need in made["examples"].needs:
        word = need.query.split(": ")[1]
        assert all(f": {word} ->" not in made["examples"].keys[n] for n in need.right)
        assert any(f": {word} ->" in k for k in made["examples"].keys), "the same word tempts"


def test_exams_share_no_words_that_name_something_with_lessons() -> None:
    lessons, exams = (aids(60, seed=1, held_out=k) for k in (False, True))
    for a, b in zip(lessons, exams, strict=True):
        assert not {n.query for n in a.needs} & {n.query for n in b.needs}
        assert not set(a.keys) & set(b.keys)
    people = {a + b for a in FIRST for b in MIDDLE}
    named = [{w for k in made[1].keys for w in re.findall(r"\w+", k)} & people for made in (lessons, exams)]
    assert len(named[0]) == len(named[1]) == 60
    assert not named[0] & named[1]
    words = [{n.query.split(": ")[1] for n in made[2].needs} for made in (lessons, exams)]
    assert not words[0] & words[1]
    calls = [{k.split(":")[0].split("_", 1)[1] for k in made[3].keys} for made in (lessons, exams)]
    assert not calls[0] & calls[1]


def test_the_same_seed_makes_the_same() -> None:
    assert aids(2, seed=5) == aids(2, seed=5) != aids(2, seed=6)
