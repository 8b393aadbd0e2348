"""Engrams, versions, exams and settings: stored, changed, read back, in every store alike."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import numpy as np
import pytest

from byheart.core.errors import BadInput, Busy, Unknown
from byheart.core.records import Certificate, Check, Engram, Item, Result, Version
from byheart.store.base import AnyStore
from byheart.store.current import settle


def test_everything_about_an_engram_comes_back(store: AnyStore, make) -> None:
    full = Engram(
        id="a",
        text="Marta Kask\nsigns “travel” \N{SAILBOAT}",
        source="handbook.md",
        position=3,
        speaker="Marta",
        owner="ops",
        at="2026-01-02",
        valid_from="2026-01-01T00:00:00Z",
        valid_to="2027-01-01",
        created="2026-11-20T06:00:00+00:00",
        state="archived",
        forms=("text", "weights"),
        version="v1",
        question="Who signs?",
        answer="Marta",
        metadata={"page": 3, "tags": ["x", "y"], "deep": {"z": None}, "float": 0.1},
    )
    store.add([full])
    assert store.get(["a"]) == [full]
    assert store.all() == []
    assert store.all(state=None) == [full]


def test_engrams_are_found_by_id_and_by_key(store, make) -> None:
    long = "k" * 300
    store.add([make("e")])
    assert store.keys(["e", "none"]) == {}
    store.add([make("a", key="x"), make("b", key="x", owner="o"), make("c", key=long), make("d")])
    assert [e.id for e in store.keyed("x")] == ["a", "b"]
    assert [e.id for e in store.keyed("x", "o")] == ["b"]
    assert [e.id for e in store.keyed("x", None)] == ["a"]
    assert [e.id for e in store.keyed(long)] == ["c"]
    assert store.keyed("y") == []
    assert store.find(["a", "none"]) == {"a": make("a", key="x")}
    changed = store.update(["d"], key="#x", position=7)
    assert changed == store.get(["d"]) == [make("d", key="#x", position=7)]
    with pytest.raises(BadInput, match="the key 'x' is given too late"):
        store.update(["d"], key="x")
    assert [e.id for e in store.keyed("x", None)] == ["a"]
    assert [e.id for e in store.keyed("#x", None)] == ["d"]
    assert store.keys(["d", "none", "a", "c"]) == {"a": "x", "c": long, "d": "#x"}
    assert store.saying(["a", "b", "d", "none"], "text of b") == {"b"}
    assert store.saying(["a", "b", "d"], "x: text") == {"a", "b"}  # keys in words, "#x" is none
    assert store.saying([], "text") == set()
    briefs = store.brief(["d", "none"])
    assert (list(briefs), briefs["d"].position, briefs["d"].length, briefs["d"].asks) == (
        ["d"],
        7,
        len("text of d"),
        False,
    )
    assert store.check() == []


def test_of_one_key_the_last_is_current_whatever_the_order_told(store, make) -> None:
    for i, at in (("b", "2025-01-01"), ("a", "2024-01-01"), ("c", "2026-01-01")):
        settle(store, store.add([make(i, key="x", at=at, valid_from=at)]))
    assert [(e.id, e.state, e.valid_to) for e in sorted(store.keyed("x"), key=lambda e: e.id)] == [
        ("a", "superseded", "2025-01-01"),
        ("b", "superseded", "2026-01-01"),
        ("c", "active", None),
    ]
    assert [i for i, _ in store.lexical("text", 5)] == ["c"]
    assert [i for i, _ in store.lexical("text", 5, at="2025-06-01")] == ["b"]


def test_the_same_content_is_stored_once_and_its_forms_join(store: AnyStore, make) -> None:
    store.add([make("a", "x", source="s")], np.eye(4)[:1])
    again = store.add(
        [make("b", "x", source="s", forms=("weights",)), make("c", "x", source="t"), make("d", "x", source="s")]
    )
    assert [e.id for e in again] == ["a", "c", "a"]
    assert again[0].forms == again[2].forms == ("text", "weights")
    assert store.count() == 2
    assert store.get(["a"])[0].forms == ("text", "weights")
    within = store.add([make("e", "y"), make("f", "y")])
    assert [e.id for e in within] == ["e", "e"]


def test_a_question_owner_or_answer_makes_content_different(store: AnyStore, make) -> None:
    store.add(
        [
            make("a", "x"),
            make("b", "x", owner="o"),
            make("c", "x", question="q"),
            make("d", "x", question="q", answer="1"),
        ]
    )
    assert store.count() == 4


def test_content_that_is_no_longer_active_may_be_stored_again(store: AnyStore, make) -> None:
    store.add([make("a", "x")])
    store.update(["a"], state="superseded")
    assert store.add([make("b", "x")])[0].id == "b"
    assert [e.id for e in store.all(state=None)] == ["a", "b"]


def test_a_vector_missing_at_first_is_taken_later(store: AnyStore, make) -> None:
    store.add([make("a", "x")])
    assert store.dense([1, 0, 0, 0], 5) == []
    store.add([make("b", "x")], np.eye(4)[:1])
    assert store.dense([1, 0, 0, 0], 5) == [("a", 1.0)]
    assert store.check() == []


def test_update_changes_what_it_names_and_logs_it(store: AnyStore, make) -> None:
    store.add([make("a"), make("b")])
    updated = store.update(["a"], state="superseded", forms=("weights",), version="v1", valid_to="2026-12-01")
    assert updated == store.get(["a"])
    assert (updated[0].state, updated[0].forms, updated[0].version, updated[0].valid_to) == (
        "superseded",
        ("weights",),
        "v1",
        "2026-12-01",
    )
    assert store.update(["a"], version=None)[0].version is None
    assert store.get(["b"])[0].state == "active"
    kinds = [k for (k,) in store.db.rows("SELECT kind FROM events ORDER BY seq")]
    assert kinds == ["added", "added", "changed", "changed"]
    assert store.check() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": "gone"}, "state may not be 'gone'"),
        ({"forms": ("paper",)}, "forms"),
        ({"valid_to": "soon"}, "'soon'"),
    ],
)
def test_update_refuses_what_an_engram_cannot_be(store: AnyStore, make, changes: dict, message: str) -> None:
    store.add([make("a")])
    with pytest.raises(BadInput, match=message):
        store.update(["a"], **changes)
    assert store.check() == []


def test_selecting_by_state_form_and_source(store: AnyStore, make) -> None:
    store.add(
        [make("a", source="s"), make("b", source="t", forms=("weights",)), make("c", source="s", state="archived")]
    )
    assert [e.id for e in store.all()] == ["a", "b"]
    assert [e.id for e in store.all(state=None, source="s")] == ["a", "c"]
    assert [e.id for e in store.all(forms="weights")] == ["b"]
    assert store.all(forms=("text", "weights")) == []
    assert [e.id for e in store.all(newest=1)] == ["b"]
    assert [e.id for e in store.all(state=None, source="s", newest=5)] == ["a", "c"]
    assert (store.count(), store.count(None), store.count(forms="text")) == (2, 3, 1)


def test_unknown_ids_are_named(store: AnyStore) -> None:
    for call in (store.get, store.update, store.erase):
        with pytest.raises(Unknown, match="'zz'"):
            call(["zz"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "a\0b"}, "text of engram 'bad' holds a NUL"),
        ({"source": "a\0b"}, "source of engram 'bad' holds a NUL"),
        ({"text": "  \n"}, "empty text"),
        ({"text": "\ud800 lone"}, "cannot be stored"),
        ({"metadata": {"k": "\ud800"}}, "cannot be stored"),
        ({"metadata": {"k": object()}}, "cannot be stored"),
        ({"id": "taken", "text": "other"}, "'taken' is taken"),
        ({"valid_from": "yesterday"}, "'yesterday' is not a time"),
        ({"id": "a,b"}, "the id 'a,b' is empty or has a comma"),
    ],
)
def test_values_that_cannot_be_kept_are_refused_and_nothing_is_stored(
    store: AnyStore, make, fields: dict, message: str
) -> None:
    store.add([make("taken")])
    bad = make("bad").model_copy(update=fields)
    with pytest.raises(BadInput, match=message):
        store.add([make("good"), bad])
    assert [e.id for e in store.all(state=None)] == ["taken"]


def test_a_text_that_spells_an_escaped_nul_is_kept(store: AnyStore, make) -> None:
    store.add([make("a", "the escape \\u0000 in source code")])
    assert store.get(["a"])[0].text == "the escape \\u0000 in source code"


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.full((1, 4), np.nan), "NaN"),
        (np.array([[1, 0, np.inf, 0]]), "infinity"),
        (np.ones((1, 3)), "3 dimensions, this memory has 4"),
        (np.ones((2, 4)), r"not \(1, dimension\)"),
        (np.ones(4), r"shape \(4,\)"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(store: AnyStore, make, vectors: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        store.add([make("a")], vectors)
    assert store.count() == 0


def test_the_first_vectors_fix_the_dimension(open_store, make) -> None:
    with open_store() as store:
        store.add([make("a")], np.ones((1, 3)))
        with pytest.raises(BadInput, match="this memory has 3"):
            store.add([make("b")], np.ones((1, 4)))
    with pytest.raises(BadInput, match="holds vectors of 3 dimensions, the embedder gives 4"):
        open_store(dimension=4)
    with open_store() as store:
        assert store.dimension == 3


def test_a_transaction_is_all_or_nothing_and_nests(store: AnyStore, make) -> None:
    def fail(id: str) -> None:
        with store.transaction():
            store.put_version(Version(id="v1", created="now"))
            store.add([make(id)], np.eye(4)[:1])
            assert store.dense([1, 0, 0, 0], 1) == [(id, 1.0)]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail("a")
    assert (store.versions(), store.count()) == ([], 0)
    assert store.dense([1, 0, 0, 0], 1) == []
    with store.transaction():
        store.add([make("b")])
        with pytest.raises(RuntimeError):
            fail("c")
        store.put_version(Version(id="v2", created="now"))
        store.set_head("v2")
    assert [e.id for e in store.all()] == ["b"]
    assert store.head() == "v2"
    assert store.check() == []


def test_vectors_after_a_rolled_back_add_are_the_new_ones(store: AnyStore, make) -> None:
    """The undone add and the next one use the same row and sequence numbers."""

    def fail() -> None:
        with store.transaction():
            store.add([make("a")], np.eye(4)[:1])
            store.dense([1, 0, 0, 0], 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    store.add([make("b")], np.eye(4)[1:2])
    assert store.dense([0, 1, 0, 0], 1) == [("b", 1.0)]


def test_versions_by_name_prefix_and_suggestion(store: AnyStore) -> None:
    for name in ("v1", "v10", "v2b"):
        store.put_version(Version(id=name, created="now", summary={"n": name}))
    store.put_version(Version(id="v1", created="now", summary={"n": "changed"}, erased=True))
    assert [v.id for v in store.versions()] == ["v1", "v10", "v2b"]
    assert store.version("v1").summary == {"n": "changed"}
    assert store.version("v2").id == "v2b"
    with pytest.raises(Unknown, match="did you mean 'v1"):
        store.version("v100")
    with pytest.raises(Unknown, match="fits versions v1, v10, v2b"):
        store.version("v")
    with pytest.raises(Unknown):
        store.version("")
    with pytest.raises(Unknown):
        store.set_head("v3")
    assert store.head() is None


def test_lessons_items_results_certificates_and_settings_come_back(store: AnyStore, make) -> None:
    store.add([make("a"), make("b")])
    lessons = [("b", {"prompt": "q", "weight": 0.5}), ("a", {"prompt": "p"}), ("b", {"prompt": "r"})]
    store.put_lessons("v1", lessons)
    store.put_lessons("v1", lessons)
    assert store.lessons("v1") == lessons
    assert store.lessons("v2") == []

    items = [
        Item(id="1", question="q", answer="x", engram="a"),
        Item(id="2", question="q", answer="y", accept=("8", "eíght")),
    ]
    store.put_items("v1", items)
    assert store.items() == items
    store.put_items("v1", [Item(id="2", question="q", answer="z")])
    assert store.items() == [items[0], Item(id="2", question="q", answer="z")]
    assert store.items(["a"]) == [items[0]]
    assert store.items(version="v0") == []

    result = Result(exam="recall", item="1", value=1.0, engram="a", detail={"said": "x"})
    store.put_results("v1", [result, result.model_copy(update={"seed": 1})])
    store.put_results("v1", [result.model_copy(update={"value": 0.0})])
    store.put_results("v2", [result])
    assert [(r.version, r.seed, r.value) for r in store.results()] == [("v1", 0, 0.0), ("v1", 1, 1.0), ("v2", 0, 1.0)]
    assert [r.version for r in store.results("v2", exam="recall")] == ["v2"]
    assert store.results(exam="other") == []

    certificate = Certificate(passed=True, checks=(Check(name="bytes", passed=True, measured=0),))
    store.put_certificate(certificate)
    assert store.certificates() == [certificate]
    store.set_setting("model", {"name": "tiny"})
    assert store.setting("model") == {"name": "tiny"}
    assert store.setting("none", 3) == 3
    assert store.check() == ["lessons of version v1, which is not among the versions"]


def test_a_lesson_about_an_unknown_engram_is_refused(store: AnyStore) -> None:
    with pytest.raises(BadInput, match=r"(?i)foreign key"):
        store.put_lessons("v1", [("zz", {})])
    assert store.lessons("v1") == []


def test_a_result_that_is_not_a_number_is_refused(store: AnyStore) -> None:
    with pytest.raises(BadInput, match="item '7' in exam 'loss' is nan"):
        store.put_results("v1", [Result(exam="loss", item="7", value=float("nan"))])


def test_two_processes_adding_at_once_lose_nothing(open_store, make) -> None:
    with open_store(dimension=4) as store:
        children = []
        for name in "pq":
            child = os.fork()
            if child == 0:
                try:
                    with open_store(dimension=4) as mine:
                        for i in range(60):
                            mine.add([make(f"{name}{i}"), make(f"shared-{name}{i}", f"shared {i}")], np.ones((2, 4)))
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(child)
        assert [os.waitpid(c, 0)[1] for c in children] == [0, 0]
        texts = sorted(e.text for e in store.all())
        assert texts == sorted(
            [f"text of {n}{i}" for n in "pq" for i in range(60)] + [f"shared {i}" for i in range(60)]
        )
        assert len(store.dense(np.ones(4), 1000)) == 180
        assert store.check() == []


def test_another_processes_writes_are_seen_by_the_next_search(open_store, make) -> None:
    with open_store(dimension=4) as first, open_store(dimension=4) as two:
        first.add([make("a", "harbour")], np.eye(4)[:1])
        assert two.dense([1, 1, 0, 0], 5)[0][0] == "a"
        first.add([make("b", "ferry harbour")], np.eye(4)[1:2])
        assert {i for i, _ in two.dense([1, 1, 0, 0], 5)} == {"a", "b"}
        first.update(["a"], state="archived")
        assert [i for i, _ in two.dense([1, 1, 0, 0], 5)] == ["b"]
        assert [i for i, _ in two.lexical("harbour", 5)] == ["b"]
        first.erase(["b"])
        assert two.dense([1, 1, 0, 0], 5) == []


def test_a_lock_held_too_long_is_busy_and_changes_nothing(open_store, make) -> None:
    with open_store() as first, open_store(patience=0.2) as two:
        with first.transaction():
            start = time.monotonic()
            with pytest.raises(Busy, match=r"locked by another process for 0\.2 s"):
                two.add([make("a")])
            assert 0.15 < time.monotonic() - start < 5
        assert two.count() == 0
        two.add([make("a")])
        assert first.count() == 1


def test_check_finds_what_was_tampered_with_and_rebuild_mends_it(open_store, make) -> None:
    with open_store(dimension=4) as store:
        store.add([make("a", "first"), make("b", "second"), make("c", "third")], np.eye(4)[:3])
        store.update(["b"], state="archived")
        whole = store.all(state=None)
        column = "payload" if open_store.kind == "postgres" else "text"
        store.db.execute(f"UPDATE engrams SET {column} = replace({column}, 'first', 'forged') WHERE id = 'a'")
        column = "payload" if open_store.kind == "postgres" else "state"
        store.db.execute(f"UPDATE engrams SET {column} = replace({column}, 'archived', 'active') WHERE id = 'b'")
        faults = "\n".join(store.check())
        assert "engram a differs from the log" in faults
        assert "engram b differs from the log" in faults
        assert "engram c" not in faults
        assert "full-text index differs" in faults
        store.rebuild()
        assert store.check() == []
        assert store.all(state=None) == whole
        assert store.lexical("first", 3)[0][0] == "a"
        assert [i for i, _ in store.dense(np.ones(4), 5)] == ["a", "c"]


def test_check_finds_altered_and_missing_vectors(store: AnyStore, open_store, make) -> None:
    store.add([make("a"), make("b")], np.eye(4)[:2])
    other = np.full(4, 2, np.float32)
    blob = other.tobytes() if open_store.kind == "sqlite" else other
    store.db.execute("UPDATE vectors SET vector = ? WHERE row = 1", (blob,))
    assert store.check() == ["the vector of engram a is missing or altered; forget and remember it again"]
    store.db.execute("DELETE FROM vectors WHERE row = 2")
    assert len(store.check()) == 2


def test_whatever_changes_engrams_is_told_by_a_number(open_store, make) -> None:
    with open_store() as store, open_store() as other:
        seen = [store.changed()]
        store.add([make("a", "One."), make("b", "Two.")])
        seen.append(other.changed())
        other.set_setting("anything", 1)
        assert store.changed() == other.changed() == seen[-1]
        other.update(["a"], state="archived")
        seen.append(store.changed())
        with suppress(ZeroDivisionError), store.transaction():
            store.add([make("c", "Three.")])
            seen.append(store.changed())
            raise ZeroDivisionError
        store.add([make("d", "Four.")])
        seen.append(store.changed())
    with open_store() as store:
        store.erase(["b"])
        seen.append(store.changed())
    assert len(set(seen)) == len(seen)


def test_erasing_drops_what_methods_learned(store, make) -> None:
    store.add([make("a", "One."), make("b", "Two.")])
    for key in ("learned", "learned a method", "anything"):
        store.set_setting(key, {"x": 1})
    store.erase(["a"])
    assert [store.setting(k) for k in ("learned", "learned a method", "anything")] == [None, None, {"x": 1}]
