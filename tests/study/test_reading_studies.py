"""What the studies of readers ask and teach: passages that tell it or do not, notes by rule, laws and cases."""

from __future__ import annotations

import numpy as np
import pytest

from byheart.core.strategy import IGNORE
from byheart.exam.general import quiz
from byheart.exam.match import contains
from byheart.models.lm import load
from byheart.recall.read.adapt_retrieve_revise import AdaptRetrieveRevise
from byheart.recall.read.chain_of_note import ChainOfNote
from byheart.study.recall import adapt_retrieve_revise, chain_of_note
from byheart.world.facts.people import people

PAIRS = [(i.question, i.answer) for i in quiz()]


def posed(kind: str, count: int = 20, *, kept: bool = False) -> list[chain_of_note.Asked]:
    rng = np.random.default_rng(0)
    world = people(30, seed=0)
    return [chain_of_note.asked(kind, world, PAIRS, 3, rng, n=n, kept=kept) for n in range(count)]


@pytest.mark.parametrize(("kind", "holding"), [("told", 1), ("known", 0), ("unknown", 0)])
def test_as_many_passages_hold_the_answer_as_the_kind_says(kind: str, holding: int) -> None:
    facts = {q: f for person in people(30, seed=0) for f in person for q in (f.question, f.paraphrases[0])}
    for one in posed(kind):
        if kind == "known":
            assert not any(contains(h.text, one.answer) for h in one.hits)
        else:
            fact = facts[one.question]
            assert sum(h.text == fact.statement for h in one.hits) == holding
            assert one.answer == (fact.answer if holding else "unknown")
        assert len({h.text for h in one.hits}) == len(one.notes) == 3


def test_notes_say_of_whom_a_passage_tells_and_set_aside_what_does_not_answer() -> None:
    reader = ChainOfNote(passages=3)
    for kind in chain_of_note.KINDS:
        for one in posed(kind):
            answer, useful = reader.parsed(one.noted)
            assert answer == one.answer
            assert len(useful) == (kind == "told")
            if useful:
                assert contains(one.hits[useful[0] - 1].text, one.answer)
            read = reader.read(one.noted, one.question, one.hits)
            assert chain_of_note.right(read, one)


def test_a_namesake_stands_beside_the_one_who_is_asked_about() -> None:
    shared = 0
    for one in posed("unknown"):
        names = {w for n in one.notes for w in n.split(",")[0].split()}
        shared += any(w in one.question for w in names)
    assert shared >= 18


def test_the_wordings_of_the_test_are_not_taught() -> None:
    taught = {" ".join(w for w in a.question.split() if w.islower()) for a in posed("told", 200)}
    asked = {" ".join(w for w in a.question.split() if w.islower()) for a in posed("told", 200, kept=True)}
    assert asked
    assert not taught & asked


def test_every_second_example_with_notes_counts_the_answer_alone() -> None:
    lm = load("tiny")
    rows = posed("told", 2)
    whole, alone = chain_of_note.examples(lm, ChainOfNote(passages=3), rows, True)
    for example, said in ((whole, rows[0].noted), (alone, f" {rows[1].answer}")):
        scored = [t for t in example["labels"] if t != IGNORE]
        assert lm.tokenizer.decode(scored, skip_special_tokens=True) == said


def test_cases_are_told_in_words_of_their_article_and_the_test_keeps_its_own() -> None:
    rng = np.random.default_rng(0)
    taught = adapt_retrieve_revise.cases(250, ["Ann Drue"], rng, kept=False)
    kept = adapt_retrieve_revise.cases(250, ["Ann Drue"], rng, kept=True)
    assert {c.article for c in kept} == set(range(25))
    assert not {c.question for c in taught} & {c.question for c in kept}
    things = list(adapt_retrieve_revise.THINGS.items())
    for case in kept:
        law = adapt_retrieve_revise.law(case.article, 40)
        formal, said = things[case.article % len(things)]
        assert formal in law
        assert any(s in case.question for s in said[2:])
        assert "40 crowns" in law


def test_fares_are_answered_by_one_of_the_evidence_and_drafts_are_mostly_wrong() -> None:
    made = AdaptRetrieveRevise(passages=3)
    right = drafted = 0
    for n, (prompt, answer) in enumerate(adapt_retrieve_revise.lessons(made, 200, np.random.default_rng(0))):
        shown = prompt[-1]["content"]
        way = shown.split("sails ")[1].split(".")[0]
        told = [line for line in shown.split("\n") if line.startswith("Evidence")]
        assert [answer in line for line in told if f"ticket {way} costs" in line] == [True]
        if n % 2:
            drafted += 1
            right += answer in shown.split("\n")[1]
    assert drafted == 100
    assert 10 <= right <= 40
