"""Violation of expectation: what surprises is kept, what was expected or known is not; over a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from byheart.core.protocols import Generation
from byheart.core.records import Engram, Op
from byheart.models.embedder import HashEmbedder
from byheart.recall.update.violation_of_expectation import ViolationOfExpectation
from byheart.store.sqlite import Store
from byheart.study.base.carrying import carry_out

EMBEDDER = HashEmbedder()
ASKED = "What will you drink?"
TEA, COFFEE = "Green tea for me.", "Coffee, please."


def message(text: str, expected: str = COFFEE, asked: str = ASKED, owner: str = "ann", **more: str) -> Op:
    metadata = {"asked": asked, "expected": expected, **more}
    return Op(kind="add", engram=Engram(id=text, text=text, owner=owner, created="now", metadata=metadata))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, dimension=256) as opened:
        yield opened


class Scores:
    """Scores every token of a message alike, and lists what it is told to."""

    def __init__(self, each: float = -1.0, text: str = "") -> None:
        self.each, self.text, self.prompt = each, text, ""

    def generate(self, prompts, **_):
        self.prompt = prompts[0][-1]["content"]
        return [[Generation(self.text)] for _ in prompts]

    def score(self, pairs):
        self.prompt = pairs[-1][0][-1]["content"]
        return [
            [self.each * (1 + continuation.startswith("Coffee"))] * len(continuation.split())
            for _, continuation in pairs
        ]


def test_surprise_by_hand() -> None:
    """Words hash to coordinates of their own: a cosine is shared words over the root of the product of counts."""
    keeps = ViolationOfExpectation()
    assert keeps.surprise(EMBEDDER, "Coffee now, please.", "Coffee, please.") == pytest.approx(1 - 2 / 6**0.5)
    assert keeps.surprise(EMBEDDER, "What rain! Coffee, please.", "Coffee, please.") == pytest.approx(0, abs=1e-6)
    assert keeps.surprise(EMBEDDER, COFFEE, "") == 1.0


def test_only_what_surprises_is_kept_and_only_once(store: Store) -> None:
    keeps = ViolationOfExpectation()
    (passed,) = keeps.reconcile(store, [message(COFFEE)], EMBEDDER)
    assert (passed.kind, passed.reason) == ("pass", "expected")
    ops = keeps.reconcile(store, [message(TEA), message(TEA + " ")], EMBEDDER)
    assert [o.kind for o in ops] == ["add", "pass", "pass"]
    assert ops[0].engram is not None
    assert ops[0].engram.text == f"{ASKED} {TEA}"
    assert ops[0].engram.owner == "ann"
    assert ops[1].target == ops[0].engram.id
    carry_out(store, EMBEDDER, ops)
    assert [o.kind for o in keeps.reconcile(store, [message(TEA)], EMBEDDER)] == ["pass"], "it is known"
    assert [o.kind for o in keeps.reconcile(store, [message(TEA, owner="ben")], EMBEDDER)] == ["add", "pass"]


def test_of_a_message_that_surprises_what_was_expected_is_left_out(store: Store) -> None:
    surprise = message("Coffee, please. The lift is stuck.")
    ops = ViolationOfExpectation().reconcile(store, [surprise], EMBEDDER, Scores(-5.0))
    assert [o.engram.metadata["said"] for o in ops if o.kind == "add" and o.engram] == ["The lift is stuck."]


def test_facts_make_the_next_expectation(store: Store) -> None:
    keeps = ViolationOfExpectation()
    carry_out(store, EMBEDDER, keeps.reconcile(store, [message(TEA)], EMBEDDER))
    question = "What will you drink today?"
    assert keeps.expect(store, EMBEDDER, question, owner="ann") == TEA
    assert (
        keeps.expect(store, EMBEDDER, question, choices=[COFFEE, "A green tea.", "Juice."], owner="ann")
        == "A green tea."
    )
    assert keeps.expect(store, EMBEDDER, question, owner="ben") == ""
    assert keeps.expect(store, EMBEDDER, "What do they sell?", owner="ann") == "", "another matter"


def test_a_subject_is_surprised_by_what_is_unlikely(store: Store) -> None:
    keeps = ViolationOfExpectation(nats=2.0)
    for each, kinds in ((-1.9, ["pass"]), (-2.1, ["add", "pass"])):
        subject = Scores(each)
        surprise = message(TEA, before="Most people take coffee.")
        assert [o.kind for o in keeps.reconcile(store, [surprise], EMBEDDER, subject)] == kinds
        assert subject.prompt.startswith("Most people take coffee.\n\nThe user is asked: What will you drink?")
    carry_out(store, EMBEDDER, keeps.reconcile(store, [message(TEA)], EMBEDDER))
    assert keeps.expect(store, EMBEDDER, ASKED, subject, [COFFEE, "Green tea."], "ann") == "Green tea."
    assert f"What is known about the user:\n- {ASKED} {TEA}\n\n" in subject.prompt


def test_a_subject_derives_facts_if_it_is_to(store: Store) -> None:
    keeps = ViolationOfExpectation(derive=True)
    listed = Scores(-5.0, "1. Ann drinks green tea.\n\n- None\n2) \n* She avoids milk.\0\ud83c")
    ops = keeps.reconcile(store, [message(TEA)], EMBEDDER, listed)
    assert [o.engram.metadata["said"] for o in ops if o.kind == "add" and o.engram] == [
        "Ann drinks green tea.",
        "She avoids milk.",
    ]
    assert f"It was expected that the user would say: {COFFEE}\nThe user said: {TEA}" in listed.prompt
    assert [o.kind for o in keeps.reconcile(store, [message(TEA)], EMBEDDER, Scores(-5.0, "None"))] == ["pass"]


def test_a_message_without_words_keeps_nothing(store: Store) -> None:
    assert [o.kind for o in ViolationOfExpectation().reconcile(store, [message("?!")], EMBEDDER)] == ["pass"]
