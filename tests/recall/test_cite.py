"""Answers from hits: grounded or quoted, and citing what they rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from byheart.core.errors import BadInput
from byheart.core.records import Hit
from byheart.recall.read.cite import Cite
from byheart.recall.read.evidence import evidence

STAFF = Hit(
    id="staff",
    text="Velm > Staff\nThe harbourmaster is Marta Kask. She signs off travel. Pavel Oduya repairs the cranes.",
    score=2.0,
    metadata={"heading": "Velm > Staff"},
)
FERRY = Hit(id="ferry", text="The ferry leaves at 06:40. A ticket costs 14 crowns. The key is heron-77.", score=1.0)
TABLE = Hit(id="table", text="| Quay | Keeper |\n|---|---|\n| North | Sofia Marsh |\n| South | Tomas Berg |", score=0.5)


@dataclass
class Said:
    text: str
    logprobs: list[float] | None


class Parrot:
    """Says what it was told to say, and remembers what it was shown."""

    def __init__(self, text: str, logprobs: list[float] | None = None) -> None:
        self.text, self.logprobs, self.shown = text, logprobs, ""

    def generate(self, prompts, *, max_tokens=64, temperature=0.0, copies=1, seed=0):
        self.shown = prompts[0][-1]["content"]
        return [[Said(self.text, self.logprobs)] for _ in prompts]


def test_a_question_is_read_with_what_follows_it() -> None:
    pair = Hit(id="p", text="Where was Edake Orvell born? Quenmere", score=1.0)
    assert evidence("In which town was Edake Orvell born?", [pair])[0].text == pair.text
    assert (
        Cite().answer(Parrot("Where was Edake Orvell born?"), "Where was Edake Orvell born?", [pair]).text == "Quenmere"
    )


def test_a_grounded_answer_is_kept_with_its_confidence() -> None:
    subject = Parrot(" Pavel Oduya\n", [math.log(0.5), math.log(0.125)])
    answer = Cite().answer(subject, "Who repairs the cranes?", [STAFF, FERRY])
    assert (answer.text, answer.form) == ("Pavel Oduya", "text")
    assert answer.confidence == pytest.approx(0.25)
    assert [h.id for h in answer.hits] == ["staff"]
    assert subject.shown == "Pavel Oduya repairs the cranes. Who repairs the cranes?"


@pytest.mark.parametrize("reply", ["Jonas Brandt", "", "The cranes.", "Pavel Oduya and his 3 sons", "Marta Kask"])
def test_an_answer_that_does_not_rest_on_the_sentence_gives_way_to_it(reply: str) -> None:
    answer = Cite().answer(Parrot(reply, [-0.1]), "Who repairs the cranes?", [STAFF, FERRY])
    assert answer.text == "Pavel Oduya repairs the cranes."
    assert answer.confidence is None


def test_a_part_of_a_code_is_not_an_answer() -> None:
    assert Cite().answer(Parrot("77"), "What is the key?", [FERRY]).text == "The key is heron-77."
    assert Cite().answer(Parrot("heron-77"), "What is the key?", [FERRY]).text == "heron-77"


@pytest.mark.parametrize(
    ("question", "expected", "hit"),
    [
        ("Who signs off travel?", "The harbourmaster is Marta Kask. She signs off travel.", "staff"),
        ("When does the ferry leave?", "The ferry leaves at 06:40.", "ferry"),
        ("How much is a ticket?", "A ticket costs 14 crowns.", "ferry"),
        ("Who keeps the south quay?", "South: Keeper Tomas Berg", "table"),
    ],
)
def test_the_likeliest_sentence(question: str, expected: str, hit: str) -> None:
    best = evidence(question, [STAFF, FERRY, TABLE])[0]
    assert (best.text, best.hit.id) == (expected, hit)


def test_without_focus_the_passages_are_shown_whole_and_the_answer_taken() -> None:
    subject = Parrot("It leaves at 06:40, I believe")
    answer = Cite(focus=False, passages=2).answer(subject, "When does it leave?", [STAFF, FERRY, TABLE])
    assert subject.shown == f"{STAFF.text}\n\n{FERRY.text}\nWhen does it leave?"
    assert answer.text == "It leaves at 06:40, I believe"
    assert answer.confidence is None
    assert [h.id for h in answer.hits] == ["ferry"]


def test_no_hits_no_answer() -> None:
    answer = Cite().answer(Parrot("x"), "Who?", [])
    assert (answer.text, answer.form, answer.hits) == ("", "none", ())


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(BadInput, match="passages=0"):
        Cite(passages=0)


def test_silence_where_the_passages_speak_of_somebody_else() -> None:
    other = Hit(id="other", text="Anna Kask lives in Velm.", score=1.0)
    answer = Cite().answer(Parrot("Velm"), "Where does Marta Kask live?", [other])
    assert (answer.text, answer.form, [h.id for h in answer.hits]) == ("", "none", ["other"])
    assert Cite().answer(Parrot("Velm"), "Where does Anna Kask live?", [other]).text == "Velm"


def test_silence_where_no_statement_is_relevant_enough() -> None:
    reader = Cite(relevant=0.5)
    assert reader.answer(Parrot("x"), "What is the tax on salted herring?", [FERRY]).form == "none"
    assert reader.answer(Parrot("14 crowns"), "How much is a ferry ticket?", [FERRY]).text == "14 crowns"


def test_an_answer_of_another_kind_than_is_asked_for_gives_way_to_the_statement() -> None:
    assert Cite().answer(Parrot("The ferry"), "When does it leave?", [FERRY]).text == "The ferry leaves at 06:40."
