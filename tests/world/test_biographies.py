"""Biographies of any size, and words as numbers."""

from __future__ import annotations

import time

import pytest

from byheart.core.errors import BadInput
from byheart.exam.match import contains
from byheart.world.facts.biographies import ATTRIBUTES, HELD_OUT, NAMES, Biographies
from byheart.world.words import END, START, Vocabulary, words


def test_a_seed_is_a_world_and_another_seed_another() -> None:
    a, b, c = Biographies(20, seed=4), Biographies(20, seed=4), Biographies(20, seed=5)
    assert [a.biography(i, 2) for i in range(20)] == [b.biography(i, 2) for i in range(20)]
    assert {a.name(i) for i in range(20)}.isdisjoint({c.name(i) for i in range(20)})


@pytest.mark.parametrize("people", [2, 1000, 125_000])
def test_names_are_unique_at_every_size(people: int) -> None:
    world = Biographies(people, seed=1)
    assert world.facts == 8 * people
    assert len(set(world._names.tolist())) == people
    assert len({world.name(i) for i in range(min(people, 1000))}) == min(people, 1000)


def test_a_million_facts_are_made_when_asked_for() -> None:
    started = time.perf_counter()
    world = Biographies(125_000)
    assert contains(world.statement(124_999, "job"), world.value(124_999, "job"))
    assert time.perf_counter() - started < 2.0
    with pytest.raises(BadInput, match=f"not between 1 and {NAMES}"):
        Biographies(NAMES + 1)
    with pytest.raises(BadInput, match="no attribute 'shoes'; give some of town"):
        Biographies(2, attributes=("town", "shoes"))


def test_attributes_do_not_depend_on_which_others_are_asked_for() -> None:
    few, all_ = Biographies(5, seed=2, attributes=("colour", "job")), Biographies(5, seed=2)
    assert [few.value(i, "job") for i in range(5)] == [all_.value(i, "job") for i in range(5)]


def test_every_wording_names_the_person_and_questions_give_nothing_away() -> None:
    world = Biographies(3, seed=0)
    for a in ATTRIBUTES:
        assert len(set(a.statements)) == len(a.statements) == 6
        assert len(set(a.questions)) == len(a.questions) == 6
        for statement in a.statements:
            assert statement.count("{s}") == statement.count("{o}") == 1
        for question in a.questions:
            assert question.count("{s}") == 1
            assert "{o}" not in question
        assert not contains(world.question(0, a.name), world.value(0, a.name))


def test_kept_wordings_are_in_no_training_text() -> None:
    world = Biographies(4, seed=3)
    train = {world.statement(0, a.name, n) for a in ATTRIBUTES for n in range(20)}
    held_out = {world.statement(0, a.name, n, held_out=True) for a in ATTRIBUTES for n in range(20)}
    assert len(held_out) == HELD_OUT * len(ATTRIBUTES)
    assert not train & held_out
    text = " ".join(world.biography(0, copy) for copy in range(50))
    assert all(s in text for s in train)
    assert not any(s in text for s in held_out)
    assert {world.question(0, "job", n) for n in range(9)}.isdisjoint(
        {world.question(0, "job", n, held_out=True) for n in range(9)}
    )


def test_copies_of_a_biography_differ_in_order_and_words_and_say_the_same() -> None:
    world = Biographies(2, seed=6)
    copies = [world.biography(1, c) for c in range(5)]
    assert len(set(copies)) == 5
    for text in copies:
        assert text.count(world.name(1)) == 8
        assert all(contains(text, world.value(1, a)) for a in world.attributes)


def test_marriage_goes_both_ways_and_nobody_teaches_himself() -> None:
    world = Biographies(7, seed=1)
    for i in range(7):
        other = world.spouse(i)
        assert other is None if i == 6 else (other is not None and world.spouse(other) == i)
        assert world.mentor(i) != i
    statement, question, answer = world.related(2, "spouse") or ("", "", "")
    assert answer == world.name(3)
    assert contains(statement, answer)
    assert not contains(question, answer)
    text, gold = world.hop(2, "mentor", "town") or ("", "")
    assert gold == world.value(world.mentor(2), "town")
    assert not contains(text, world.name(world.mentor(2)))
    assert world.hop(6, "spouse", "town") is None
    with pytest.raises(BadInput, match="two people or more"):
        Biographies(1).mentor(0)


def test_a_timeline_tells_who_employed_whom_when() -> None:
    world = Biographies(3, seed=2)
    changes = world.timeline(1)
    assert [y for y, _ in changes] == sorted({y for y, _ in changes})
    assert len({firm for _, firm in changes}) == 3
    (first, firm), (second, later), _ = changes
    assert world.employed(1, first - 1) is None
    assert world.employed(1, second - 1) == firm
    assert world.employed(1, second) == later


def test_a_worlds_vocabulary_holds_everything_it_says() -> None:
    world = Biographies(6, seed=8)
    vocabulary = world.vocabulary()
    texts = [world.biography(i, 1, held_out=k) for i in range(6) for k in (False, True)]
    texts += [
        world.question(i, a, n, held_out=k) for i in range(6) for a in world.attributes for n in (0, 1) for k in (0, 1)
    ]
    texts += [w for i in range(6) for r in ("spouse", "mentor") for w in world.related(i, r) or ()]
    texts += [w for i in range(6) for w in world.hop(i, "mentor", "year") or ()]
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)).split() == words(text)


def test_examples_score_the_answer_alone_or_the_whole_text() -> None:
    v = Vocabulary(["who is it? Marta"], extra=["KEY"])
    assert v.words[3] == "KEY"
    question, answer = v.encode("who is it?"), v.encode("Marta")
    assert v.pair("who is it?", "Marta") == {
        "input_ids": [START, *question, *answer, END],
        "labels": [-100] * 5 + [*answer, END],
    }
    assert v.text("Marta") == {"input_ids": [START, *answer, END], "labels": [-100, *answer, END]}
    with pytest.raises(BadInput, match="'Tor' is not in the vocabulary"):
        v.encode("who is Tor?")
