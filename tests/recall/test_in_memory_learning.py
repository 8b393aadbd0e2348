"""In-Memory Learning: notes counted by hand, revised over batches, read before the next guess; or a subject writes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from byheart.core.protocols import Generation
from byheart.core.records import Engram, Op
from byheart.models.embedder import HashEmbedder
from byheart.recall.update.in_memory_learning import InMemoryLearning, counts
from byheart.store.sqlite import Store
from byheart.study.base.carrying import carry_out

EMBEDDER = HashEmbedder()
KINDS = ("mib", "zog")


def guess(name: str, text: str, kind: str, right: bool, owner: str | None = None) -> Op:
    metadata = {"guess": kind, "right": right}
    return Op(kind="add", engram=Engram(id=name, text=text, owner=owner, created="now", metadata=metadata))


FIRST = [
    guess("1", "It has fur. It sings.", "zog", True),
    guess("2", "It has fur. It is mute.", "zog", True),
    guess("3", "It has scales. It is mute.", "zog", False),
]
SECOND = [guess("4", "It has scales. It sings.", "zog", False), guess("5", "It has fur. It sings.", "mib", False)]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_notes_and_scores_by_hand(tmp_path: Path) -> None:
    learner = InMemoryLearning(momentum=0.5, strength=2.0)
    with Store(tmp_path, dimension=256) as store:
        carry_out(store, EMBEDDER, learner.reconcile(store, FIRST, EMBEDDER))
        (note,) = store.all()
        assert counts(note)[""] == (3, 2)
        assert counts(note)["It has fur."] == (2, 2)
        assert note.text == (
            "Guessing a zog was right 2 times of 3. Signs of a zog: It has fur. (2 of 2) It sings. (1 of 1) "
            "Signs against it: It has scales. (0 of 1) It is mute. (1 of 2)"
        )
        base = logit((2 + 1) / (3 + 2))  # right + 1 of tried + kinds
        fur = logit((2 + 2 * 0.6) / (2 + 2)) - base
        assert learner.infer(store, "It has fur.", KINDS) == pytest.approx([logit(1 / 2), base + fur])
        carry_out(store, EMBEDDER, learner.reconcile(store, SECOND, EMBEDDER))
        mib, zog = sorted(store.all(), key=lambda e: e.key or "")
        assert counts(zog)[""] == (0.5 * 3 + 1, 0.5 * 2)
        assert counts(zog)["It has scales."] == (0.5 * 1 + 1, 0.0)
        assert counts(zog)["It is mute."] == (0.5 * 2, 0.5 * 1), "what was not seen again fades"
        assert counts(mib)["It has fur."] == (1, 0)
        assert zog.parents == (note.id,)


def test_without_momentum_the_last_batch_is_all_that_is_known(tmp_path: Path) -> None:
    learner = InMemoryLearning(momentum=0.0)
    with Store(tmp_path, dimension=256) as store:
        carry_out(store, EMBEDDER, learner.reconcile(store, FIRST, EMBEDDER))
        carry_out(store, EMBEDDER, learner.reconcile(store, SECOND[:1], EMBEDDER))
        (note,) = store.all()
        assert counts(note)[""] == (1, 0)
        assert counts(note)["It has fur."] == (0, 0)


def test_a_forgotten_note_is_not_read(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        carry_out(store, EMBEDDER, InMemoryLearning().reconcile(store, FIRST, EMBEDDER))
        assert InMemoryLearning().infer(store, "It has fur.", KINDS)[1] > 0
        store.update([store.all()[0].id], state="forgotten")
        assert InMemoryLearning().infer(store, "It has fur.", KINDS) == [0.0, 0.0]


def test_guesses_are_passed_and_owners_have_notes_of_their_own(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        other = Op(kind="add", engram=Engram(id="x", text="Tea is ready.", created="now"))
        theirs = guess("9", "It has fur.", "mib", True, owner="eve")
        ops = InMemoryLearning().reconcile(store, [other, *FIRST, theirs], EMBEDDER)
        assert [o.kind for o in ops] == ["add", "add", "pass", "pass", "pass", "add", "pass"]
        assert ops[0] is other
        carry_out(store, EMBEDDER, ops)
        assert store.count() == 3
        learner = InMemoryLearning()
        assert learner.infer(store, "It has fur.", KINDS, owner="eve")[0] > 0
        assert learner.infer(store, "It has fur.", KINDS)[0] == 0


class Writes:
    """Writes the notes it is told to, and takes every kind that its prompt names for likely."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.prompts: list[str] = []

    def generate(self, prompts, **_):
        self.prompts += [p[-1]["content"] for p in prompts]
        return [[Generation(self.text)] for _ in prompts]

    def score(self, pairs):
        self.prompts += [p[-1]["content"] for p, _ in pairs]
        return [[-0.5 if f"is a {kind}" in p[-1]["content"] else -2.0] for p, kind in pairs]


def test_a_subject_writes_revises_and_reads(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        subject, learner = Writes("What has fur is a zog."), InMemoryLearning()
        for batch in (FIRST, SECOND):
            carry_out(store, EMBEDDER, learner.reconcile(store, batch, EMBEDDER, subject))
        first, second = subject.prompts
        assert "It has scales. It is mute. I said: zog. That was wrong." in first
        assert "older rules" not in first
        assert second.endswith("keep what still holds:\nWhat has fur is a zog.")
        (note,) = store.all()
        assert note.text == "What has fur is a zog."
        assert learner.infer(store, "It has fur.", KINDS, subject) == [-2.0, -0.5]
        assert subject.prompts[-1].startswith("What has fur is a zog.\n\nIt has fur.\nIs it a mib or a zog?")
        assert InMemoryLearning().reconcile(store, SECOND, EMBEDDER, Writes(" \0")) == []
        InMemoryLearning(momentum=0.0).reconcile(store, SECOND, EMBEDDER, subject)
        assert "older rules" not in subject.prompts[-1]
