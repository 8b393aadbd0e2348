"""Updaters: what they propose for new thoughts and topics, over a real store, and what becomes of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.core.query import Query
from byheart.core.records import Engram, Op
from byheart.models.embedder import HashEmbedder
from byheart.recall.retrieve.lsh import LSH, Buckets
from byheart.recall.update.reflective_memory import ProspectiveReflection
from byheart.recall.update.think_in_memory import ThinkInMemory
from byheart.store.sqlite import Store

EMBEDDER = HashEmbedder()


def thought(
    name: str, text: str, head: str = "", relation: str = "", tail: str = "", owner: str | None = None
) -> Engram:
    triple = {"head": head, "relation": relation, "tail": tail} if head else {}
    return Engram(id=name, text=text, created="now", metadata=triple, owner=owner)


def adds(*engrams: Engram) -> list[Op]:
    return [Op(kind="add", engram=e) for e in engrams]


def kinds(ops: list[Op]) -> list[tuple[str, str | None, str | None]]:
    return [(o.kind, o.target, o.engram.text if o.engram and o.kind in ("add", "replace") else None) for o in ops]


class Says:
    def __init__(self, text: str) -> None:
        self.text, self.shown = text, ""

    def generate(self, prompts, *, max_tokens=64, temperature=0.0, copies=1, seed=0):
        self.shown = prompts[0][-1]["content"]
        return [[Generation(self.text)] for _ in prompts]

    def score(self, pairs):
        raise NotImplementedError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    thoughts = [
        thought("ann", "Ann works as a diver.", "Ann", "job", "diver"),
        thought("ben", "Ben works as a baker.", "Ben", "job", "baker"),
        thought("boat", "The boat of Ann is red and needs varnish."),
        thought("other", "Ann works as a diver.", "Ann", "job", "diver", owner="eve"),
    ]
    with Store(tmp_path, dimension=256) as opened:
        opened.add(thoughts, EMBEDDER.encode([e.text for e in thoughts]))
        yield opened


ALL = {"buckets": 2, "probes": 2}
"""So few buckets that all are opened: the rules alone decide."""


def test_a_contradicted_thought_is_forgotten_and_no_other(store: Store) -> None:
    new = thought("new", "Ann works as a pilot.", "Ann", "job", "pilot")
    assert kinds(ThinkInMemory(**ALL).reconcile(store, adds(new), EMBEDDER)) == [
        ("delete", "ann", None),
        ("add", None, "Ann works as a pilot."),
    ]
    assert store.count() == 4, "an updater changes nothing itself"


def test_what_is_known_is_passed_and_what_may_be_many_is_merged(store: Store) -> None:
    known = thought("new", "Ann dives for a living, as a diver.", "Ann", "job", "diver")
    assert kinds(ThinkInMemory(**ALL).reconcile(store, adds(known), EMBEDDER)) == [("pass", "ann", None)]
    more = thought("new", "Ann works as a pilot.", "Ann", "job", "pilot")
    (op,) = ThinkInMemory(many=("job",), **ALL).reconcile(store, adds(more), EMBEDDER)
    assert kinds([op]) == [("replace", "ann", "Ann works as a diver, pilot.")]
    assert op.engram is not None
    assert op.engram.metadata["tail"] == "diver; pilot"


def test_a_batch_contradicts_itself(store: Store) -> None:
    first = thought("a", "Cy works as a cook.", "Cy", "job", "cook")
    second = thought("b", "Cy works as a smith.", "Cy", "job", "smith")
    updater = ThinkInMemory(**ALL)
    assert kinds(updater.reconcile(store, adds(first, second), EMBEDDER)) == [("add", None, "Cy works as a smith.")]
    assert kinds(updater.reconcile(store, adds(first, first), EMBEDDER))[0] == ("add", None, "Cy works as a cook.")
    many = ThinkInMemory(many=("job",), **ALL)
    assert kinds(many.reconcile(store, adds(first, second), EMBEDDER)) == [("add", None, "Cy works as a cook, smith.")]
    pilot = thought("p", "Ann works as a pilot.", "Ann", "job", "pilot")
    smith = thought("s", "Ann works as a smith.", "Ann", "job", "smith")
    assert kinds(many.reconcile(store, adds(pilot, smith), EMBEDDER)) == [
        ("replace", "ann", "Ann works as a diver, pilot, smith.")
    ]


def test_only_the_bucket_of_the_new_thought_is_looked_at(store: Store) -> None:
    new = thought("new", "By trade, since last spring, the same Ann is a pilot.", "Ann", "job", "pilot")
    order = Buckets(256, 16).order(EMBEDDER.encode([new.text, "Ann works as a diver."]))
    near = order[0].tolist().index(order[1, 0])
    assert near > 0, "choose another wording: these share a bucket"
    assert kinds(ThinkInMemory(probes=near).reconcile(store, adds(new), EMBEDDER)) == [("add", None, new.text)]
    assert ("delete", "ann", None) in kinds(ThinkInMemory(probes=near + 1).reconcile(store, adds(new), EMBEDDER))


def test_without_a_triple_the_subject_decides(store: Store) -> None:
    new = thought("new", "The boat of Ann is blue now.")
    says = Says("2")
    ops = ThinkInMemory(**ALL).reconcile(store, adds(new), EMBEDDER, says)
    listed = says.shown.split("\n")[2]
    assert ops[0].kind == "delete"
    assert listed == f"[2] {store.get([ops[0].target or ''])[0].text}"
    assert kinds(ThinkInMemory(**ALL).reconcile(store, adds(new), EMBEDDER)) == [("add", None, new.text)]
    assert kinds(ThinkInMemory(**ALL).reconcile(store, adds(new), EMBEDDER, Says("none"))) == [("add", None, new.text)]


def test_a_topic_that_is_kept_is_gone_on_with(store: Store) -> None:
    new = thought("new", "The boat of Ann is red. It sails in May.")
    (op,) = ProspectiveReflection(alike=0.4).reconcile(store, adds(new), EMBEDDER)
    assert kinds([op]) == [("replace", "boat", "The boat of Ann is red and needs varnish. It sails in May.")]
    assert kinds(ProspectiveReflection(alike=0.99).reconcile(store, adds(new), EMBEDDER)) == [("add", None, new.text)]


def test_topics_of_one_batch_merge_too_and_owners_do_not(store: Store) -> None:
    first = thought("a", "The lute of Cy has six strings.")
    second = thought("b", "The lute of Cy has a crack.")
    assert kinds(ProspectiveReflection(alike=0.6).reconcile(store, adds(first, second), EMBEDDER)) == [
        ("add", None, "The lute of Cy has six strings. The lute of Cy has a crack.")
    ]
    foreign = thought("c", "The boat of Ann is red and needs varnish.", owner="eve")
    assert kinds(ProspectiveReflection(alike=0.6).reconcile(store, adds(foreign), EMBEDDER)) == [
        ("add", None, foreign.text)
    ]


def test_the_subject_says_what_joins(store: Store) -> None:
    new = thought("new", "Ann sold her boat.")
    says = Says("Merge [1] Ann had a red boat and sold it.")
    (op,) = ProspectiveReflection().reconcile(store, adds(new), EMBEDDER, says)
    assert kinds([op])[0][0] == "replace"
    assert kinds([op])[0][2] == "Ann had a red boat and sold it."
    for reply in ("Add", "Merge [9] nothing", ""):
        assert kinds(ProspectiveReflection().reconcile(store, adds(new), EMBEDDER, Says(reply))) == [
            ("add", None, new.text)
        ]


def test_other_operations_pass_through(store: Store) -> None:
    ops = [Op(kind="delete", target="ben"), Op(kind="pass")]
    assert ThinkInMemory().reconcile(store, ops, EMBEDDER) == ops
    assert ProspectiveReflection().reconcile(store, ops, EMBEDDER) == ops
    deleted = [Op(kind="delete", target="ann"), *adds(thought("n", "Ann works as a pilot.", "Ann", "job", "pilot"))]
    assert ThinkInMemory(**ALL).reconcile(store, deleted, EMBEDDER) == deleted, "what is deleted is not deleted again"


def test_the_hash_worked_by_hand() -> None:
    """On axes x and y the vector (-3, 1) has the products -3, 1, 3, -1 with x, y, -x, -y."""
    hashed = Buckets(2, 4)
    hashed.axes = np.eye(2)
    assert hashed.order([[-3.0, 1.0]]).tolist() == [[2, 1, 3, 0]]


def test_one_bucket_holds_what_is_near_and_filling_opens_more(store: Store) -> None:
    text = "Ann works as a diver."
    order = Buckets(256, 16).order(EMBEDDER.encode([e.text for e in store.all()] + [text]))
    same = {e.id for e, row in zip(store.all(), order, strict=False) if row[0] == order[-1, 0]}
    assert {h.id for h in LSH(fill=False).search(Query(text, store, EMBEDDER, k=9))} == same
    assert len(LSH().search(Query(text, store, EMBEDDER, k=9))) == 4
    assert LSH().search(Query(text, store, EMBEDDER, k=2)) == LSH(probes=16).search(Query(text, store, EMBEDDER, k=2))


@pytest.mark.parametrize("made", [lambda: LSH(buckets=7), lambda: LSH(probes=0), lambda: ThinkInMemory(group=0)])
def test_settings_that_make_no_sense_are_refused(made) -> None:
    with pytest.raises(BadInput):
        made()
    with pytest.raises(BadInput):
        ProspectiveReflection(alike=0.0)
