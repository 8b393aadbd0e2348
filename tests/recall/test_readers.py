"""Readers: what they show the subject, and what they make of its reply."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.core.records import Hit
from byheart.recall.read.adapt_retrieve_revise import AdaptRetrieveRevise
from byheart.recall.read.chain_of_note import ChainOfNote

HITS = [
    Hit(id="ann", text="Ann sails to Velm in May.", score=3.0),
    Hit(id="ben", text="Ben sails to Velm in June.", score=2.0),
    Hit(id="tide", text="The tide is low at noon.", score=1.0),
]


class Says:
    """Gives its replies one after the other and keeps what it was shown."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.shown = list(replies), []

    def generate(self, prompts, *, max_tokens=64, temperature=0.0, copies=1, seed=0):
        self.shown += prompts
        return [[Generation(self.replies.pop(0))] for _ in prompts]

    def score(self, pairs):
        raise NotImplementedError


def test_notes_come_first_and_the_useful_ones_are_cited() -> None:
    says = Says(
        "Note 1: about Ann, irrelevant.\nNote 2: Ben sails in June.\nNote 3: of no use.\nAnswer: in June\n\nBye"
    )
    answer = ChainOfNote().answer(says, "When does Ben sail?", HITS)
    assert (answer.text, answer.form, [h.id for h in answer.hits]) == ("in June", "text", ["ben"])
    assert says.shown[0][1]["content"].split("\n")[:3] == [
        "Question: When does Ben sail?",
        "Passage 1: Ann sails to Velm in May.",
        "Passage 2: Ben sails to Velm in June.",
    ]


@pytest.mark.parametrize("reply", ["Note 1: no use.\nAnswer: unknown", "Answer: Unknown.", "Answer:", ""])
def test_what_is_unknown_is_no_answer(reply: str) -> None:
    answer = ChainOfNote().answer(Says(reply), "When does Cy sail?", HITS)
    assert (answer.text, answer.form, answer.hits) == ("", "none", ())


def test_a_reply_without_the_mark_ends_in_its_answer_and_cites_by_words() -> None:
    answer = ChainOfNote(passages=2).answer(Says("I think that\nBen sails in June."), "When does Ben sail?", HITS)
    assert answer.text == "Ben sails in June."
    assert [h.id for h in answer.hits] == ["ben"]


def test_the_draft_is_what_is_looked_up_and_what_is_revised() -> None:
    looked: list[str] = []

    def search(query: str) -> list[Hit]:
        looked.append(query)
        return HITS

    drafter, reviser = Says("Ben sails in May."), Says(" in June ")
    answer = AdaptRetrieveRevise(passages=2).ask(drafter, reviser, "When does Ben sail?", search)
    assert looked == ["Ben sails in May."]
    assert (answer.text, answer.form, [h.id for h in answer.hits]) == ("in June", "text", ["ben"])
    shown = reviser.shown[0][1]["content"]
    assert "Draft: Ben sails in May.\nEvidence 1: Ann sails" in shown
    assert "tide" not in shown
    empty = AdaptRetrieveRevise().ask(Says(""), Says("June"), "When does Ben sail?", search)
    assert looked[1] == "When does Ben sail?"
    assert empty.text == "June"


def test_a_reviser_without_a_draft_writes_its_own() -> None:
    says = Says("May.", "June.")
    assert AdaptRetrieveRevise().answer(says, "When does Ben sail?", HITS).text == "June."
    assert "Draft: May." in says.shown[1][1]["content"]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInput, match="passages=0"):
        ChainOfNote(passages=0)
    with pytest.raises(BadInput, match="draft_tokens=0"):
        AdaptRetrieveRevise(draft_tokens=0)
