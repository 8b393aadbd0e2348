"""What the studies of readers ask and teach: passages that tell it or do not, notes by rule, laws and cases."""

from __future__ import annotations

import numpy as np
import pytest

from byheart.core.strategy import IGNORE
from byheart.exam.match import contains
from byheart.models.lm import load
from byheart.recall.read.adapt_retrieve_revise import AdaptRetrieveRevise
from byheart.recall.read.chain_of_note import ChainOfNote
from byheart.study.base.pretrained import first_sixty
from byheart.study.recall import adapt_retrieve_revise, chain_of_note
from byheart.world.facts.people import people

PAIRS = [(i.question, i.answer) for i in first_sixty()]


def posed(kind: str, count: int = 20, *, held_out: bool = False) -> list[chain_of_note.Question]:
    rng = np.random.default_rng(0)
    world = people(30, seed=0)
    return [chain_of_note.posed_question(kind, world, PAIRS, 3, rng, n=n, held_out=held_out) for n in range(count)]


@pytest.mark.parametrize(("kind", "holding"), [("told", 1), ("known", 0), ("unknown", 0)])
def test_as_many_passages_hold_the_answer_as_the_kind_says(kind: str, holding: int) -> None:
    facts = {q: f for person in people(30, seed=0) for f in person for q in (f.question, f.paraphrases[0])}
    for question in posed(kind):
        if kind == "known":
            assert not any(contains(h.text, question.answer) for h in question.hits)
        else:
            fact = facts[question.question]
            assert sum(h.text == fact.statement for h in question.hits) == holding
            assert question.answer == (fact.answer if holding else "unknown")
        assert len({h.text for h in question.hits}) == len(question.notes) == 3


def test_notes_say_of_whom_a_passage_tells_and_set_aside_what_does_not_answer() -> None:
    reader = ChainOfNote(passages=3)
    for kind in chain_of_note.KINDS:
        for question in posed(kind):
            answer, useful = reader.parsed(question.noted)
            assert answer == question.answer
            assert len(useful) == (kind == "told")
            if useful:
                assert contains(question.hits[useful[0] - 1].text, question.answer)
            read = reader.read(question.noted, question.question, question.hits)
            assert chain_of_note.right(read, question)


def test_a_namesake_stands_beside_the_one_who_is_asked_about() -> None:
    shared = 0
    for question in posed("unknown"):
        names = {w for n in question.notes for w in n.split(",")[0].split()}
        shared += any(w in question.question for w in names)
    assert shared >= 18


def test_the_wordings_of_the_test_are_not_taught() -> None:
    taught = {" ".join(w for w in a.question.split() if w.islower()) for a in posed("told", 200)}
    tested = {" ".join(w for w in a.question.split() if w.islower()) for a in posed("told", 200, held_out=True)}
    assert tested
    assert not taught & tested


def test_every_second_example_with_notes_counts_the_answer_alone() -> None:
    lm = load("tiny")
    rows = posed("told", 2)
    whole, alone = chain_of_note.examples(lm, ChainOfNote(passages=3), rows, True)
    for example, reply in ((whole, rows[0].noted), (alone, f" {rows[1].answer}")):
        scored = [t for t in example["labels"] if t != IGNORE]
        assert lm.tokenizer.decode(scored, skip_special_tokens=True) == reply


def test_cases_are_told_in_words_of_their_article_and_the_test_keeps_its_own() -> None:
    rng = np.random.default_rng(0)
    taught = adapt_retrieve_revise.cases(250, ["Ann Drue"], rng, held_out=False)
    held_out = adapt_retrieve_revise.cases(250, ["Ann Drue"], rng, held_out=True)
    assert {c.article for c in held_out} == set(range(25))
    assert not {c.question for c in taught} & {c.question for c in held_out}
    things = list(adapt_retrieve_revise.THINGS.items())
    for case in held_out:
        law = adapt_retrieve_revise.law(case.article, 40)
        formal, wordings = things[case.article % len(things)]
        assert formal in law
        assert any(s in case.question for s in wordings[2:])
        assert "40 crowns" in law


def test_fares_are_answered_by_one_of_the_evidence_and_drafts_are_mostly_wrong() -> None:
    made = AdaptRetrieveRevise(passages=3)
    right = drafted = 0
    for n, (prompt, answer) in enumerate(adapt_retrieve_revise.lessons(made, 200, np.random.default_rng(0))):
        shown = prompt[-1]["content"]
        way = shown.split("sails ")[1].split(".")[0]
        evidence = [line for line in shown.split("\n") if line.startswith("Evidence")]
        assert [answer in line for line in evidence if f"ticket {way} costs" in line] == [True]
        if n % 2:
            drafted += 1
            right += answer in shown.split("\n")[1]
    assert drafted == 100
    assert 10 <= right <= 40
