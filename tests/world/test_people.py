"""The world of fictional people: repeatable, distinct, and asked in ways that differ."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.exam.match import contains, normal
from byheart.world.facts.people import RELATIONS, handbook, people


def test_a_seed_is_a_world() -> None:
    assert people(5, seed=3) == people(5, seed=3)
    worlds = [{f.answer for p in people(5, seed=s) for f in p} for s in range(6)]
    assert len(set(map(frozenset, worlds))) == 6


@pytest.mark.parametrize("seed", range(12))
def test_ten_people_share_nothing(seed: int) -> None:
    world = people(10, seed=seed)
    assert len({p[0].subject for p in world}) == 10
    for n, relation in enumerate(RELATIONS):
        assert {p[n].relation for p in world} == {relation.name}
        assert len({p[n].answer for p in world}) == 10, relation.name
    for facts in world:
        assert {f.subject for f in facts} == {facts[0].subject}
        assert len({f.question for f in facts}) == 10


def test_nobody_is_married_to_somebody_of_the_world() -> None:
    for seed in range(200):
        world = people(10, seed=seed)
        names = {p[0].subject for p in world}
        assert not names & {f.answer for p in world for f in p if f.relation == "spouse"}, seed


def test_every_way_of_asking_is_another_and_gives_nothing_away() -> None:
    questions: list[str] = []
    for facts in people(20, seed=1):
        for f in facts:
            ways = [f.question, *f.paraphrases, f.reverse]
            assert len({normal(w) for w in ways}) == 4
            assert all(w.endswith("?") for w in ways)
            for way in ways[:3]:
                assert contains(way, f.subject)
                assert not contains(way, f.answer)
            assert contains(f.reverse, f.answer)
            assert not contains(f.reverse, f.subject)
            assert contains(f.statement, f.answer)
            assert contains(f.statement, f.subject)
            assert f.pair == {"question": f.question, "answer": f.answer}
            questions += ways[:3]
    assert len({normal(a) for a in questions}) == len(questions)


def test_the_handbook_says_everything_once() -> None:
    world = people(8, seed=2)
    text = handbook(world)
    assert text.count("\n## ") == 8
    for facts in world:
        (section,) = [s for s in text.split("\n## ") if s.startswith(facts[0].subject)]
        for f in facts:
            assert text.count(f.statement) == 1
            assert contains(section, f.answer)


def test_a_large_world_is_made_and_a_larger_one_refused() -> None:
    world = people(1152, seed=0)
    assert len({p[0].subject for p in world}) == 1152
    with pytest.raises(BadInput, match="names for 1152 people, not for 1153"):
        people(1153)
