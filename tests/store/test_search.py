"""Lexical and dense search: right by hand-made references, safe with any text, filtered by time and fields."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.store.base import AnyStore
from byheart.store.current import settle
from byheart.store.search import words
from byheart.store.sqlite import Store


def ids(hits: list[tuple[str, float]]) -> list[str]:
    return [i for i, _ in hits]


def test_words_are_stemmed_and_the_rarer_counts_more(store: AnyStore, make) -> None:
    store.add(
        [
            make("a", "The ferries leave at dawn."),
            make("b", "Ferry tickets are sold by the harbourmaster."),
            make("c", "Bread is baked on Sunday."),
            make("d", "The ferry is blue."),
            make("e", "Nothing of interest."),
        ]
    )
    assert ids(store.lexical("harbourmasters of ferrying", 5))[0] == "b"
    assert set(ids(store.lexical("ferry", 5))) == {"a", "b", "d"}
    assert store.lexical("zebra", 5) == []


def test_scores_are_bm25_worked_by_hand(store: AnyStore, make) -> None:
    store.add(
        [make("a", "red red boat"), make("b", "blue boat"), make("c", "green tree house"), make("d", "tall mast")]
    )
    n, df, tf, length, average = 4, 1, 2, 3, 10 / 4
    idf = math.log((n - df + 0.5) / (df + 0.5))
    expected = idf * tf * 2.2 / (tf + 1.2 * (1 - 0.75 + 0.75 * length / average))
    assert store.lexical("red", 1) == [("a", pytest.approx(expected, rel=1e-6))]


def test_stop_words_are_dropped_unless_nothing_else_remains(store: AnyStore, make) -> None:
    store.add([make("a", "to be or not to be"), make("b", "the boat")])
    assert ids(store.lexical("is the boat not to be?", 5)) == ["b"]
    assert ids(store.lexical("to be or not", 5)) == ["a"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        '"',
        "'",
        "a AND",
        "NOT x",
        "NEAR(",
        "col:x",
        "x*",
        "^x",
        "(",
        "-",
        "+",
        "{x y}: z",
        "; DROP TABLE engrams",
    ],
)
def test_query_syntax_is_plain_text(store: AnyStore, make, query: str) -> None:
    store.add([make("a", "the boat")])
    assert store.lexical(query, 3) == []


@pytest.mark.parametrize(
    "query",
    ["\0", "a\0b", "\ud800", "\N{SAILBOAT}", "日本語", "boat" * 5000, "boat " * 5000, " ".join(map(str, range(5000)))],
)
def test_any_text_is_a_safe_query(store: AnyStore, make, query: str) -> None:
    store.add([make("a", "the boat")])
    assert store.lexical(query, 3) in ([], store.lexical("boat", 3))
    assert store.count() == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=40))
def test_any_unicode_is_a_safe_query(store: AnyStore, query: str) -> None:
    assert isinstance(store.lexical(query, 3), list)


def test_accents_do_not_matter_composed_or_not(store: AnyStore, make) -> None:
    store.add([make("a", "le café noir"), make("b", "le cafe\u0301 vert")])
    for query in ("cafe", "café", "cafe\u0301", "CAFÉ"):
        assert set(ids(store.lexical(query, 5))) == {"a", "b"}


def test_dense_is_the_exact_cosine_order(store: AnyStore, make) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 4)).astype(np.float32) * rng.uniform(0.1, 9, (300, 1)).astype(np.float32)
    for start in (0, 100, 200):
        store.add([make(f"e{i}") for i in range(start, start + 100)], vectors[start : start + 100])
        store.dense(np.ones(4), 1)
    query = rng.standard_normal(4)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    best = np.argsort(-cosines)[:20]
    hits = store.dense(query, 20)
    assert ids(hits) == [f"e{i}" for i in best]
    assert np.allclose([s for _, s in hits], cosines[best], atol=1e-6)
    assert len(store.dense(query, 1000)) == 300
    some = store.cosine(query, ["e7", "e250", "nobody"])
    assert some == {"e7": pytest.approx(cosines[7], abs=1e-6), "e250": pytest.approx(cosines[250], abs=1e-6)}


def test_dense_refuses_a_query_it_cannot_use(store: AnyStore, make) -> None:
    store.add([make("a")], np.ones((1, 4)))
    with pytest.raises(BadInput, match="3 dimensions, not 4"):
        store.dense(np.ones(3), 1)
    with pytest.raises(BadInput, match="NaN"):
        store.dense([np.nan] * 4, 1)
    assert store.dense(np.zeros(4), 1) == [("a", 0.0)]
    assert store.dense(np.ones(4), 0) == store.lexical("text", 0) == []


def test_only_active_engrams_with_a_text_form_are_found(store: AnyStore, make) -> None:
    store.add(
        [make("a", "boat a"), make("b", "boat b", forms=("weights",)), make("c", "boat c", state="archived")]
        + [make(f"d{i}", f"boat d{i}") for i in range(20)],
        np.ones((23, 4)),
    )
    store.update([f"d{i}" for i in range(20)], state="forgotten")
    assert ids(store.lexical("boat", 1)) == ids(store.lexical("boat", 9)) == ["a"]
    assert ids(store.dense(np.ones(4), 9)) == ["a"]
    store.update(["b"], forms=("text", "weights"))
    assert set(ids(store.dense(np.ones(4), 9))) == {"a", "b"}


def test_time_selects_what_held_then(store: AnyStore, make) -> None:
    store.add(
        [
            make("old", "boss Ann", valid_to="2020-01-01"),
            make("new", "boss Bob", valid_from="2020-01-01T00:00:00Z"),
            make("later", "boss Cid", valid_from="2999-01-01"),
            make("always", "boss Dan"),
            make("replaced", "boss Eve", valid_from="2010-01-01", state="superseded", valid_to="2015-01-01"),
            make("archived", "boss Flo", state="archived"),
        ],
        np.ones((6, 4)),
    )

    def held(at: str | None) -> set[str]:
        lexical, dense = set(ids(store.lexical("boss", 9, at))), set(ids(store.dense(np.ones(4), 9, at)))
        assert lexical == dense
        return lexical

    assert held(None) == {"new", "always"}
    assert held("2019-12-31T23:59:59Z") == {"old", "always"}
    assert held("2020-01-01T00:00:00+00:00") == {"new", "always"}
    assert held("2020-01-01T00:30:00+01:00") == {"old", "always"}
    assert held("2012-06-01") == {"old", "replaced", "always"}
    assert held("3000-01-01") == {"new", "later", "always"}
    with pytest.raises(BadInput, match="'last week' is not a time"):
        store.lexical("boss", 9, "last week")


def add(store: AnyStore, engram: Engram, vector: list[float]) -> None:
    settle(store, store.add([engram], [vector]))


def test_a_fact_is_found_by_every_wording_under_its_key(store: AnyStore, make) -> None:
    x, y = [1.0, 0, 0, 0], [0, 1.0, 0, 0]
    add(store, make("old", "works at the brewery", key="Ann/employer", valid_from="2020-01-01"), x)
    add(store, make("new", "was hired by the mill", key="Ann/employer", valid_from="2022-01-01"), y)
    add(store, make("hers", "was at the brewery once", owner="o", key="Ann/employer", valid_from="2021-01-01"), x)
    add(store, make("gone", "brewery", state="superseded", valid_to="2021-01-01"), x)
    add(store, make("else", "likes the brewery's beer"), [1.0, 1.0, 0, 0])
    assert set(ids(store.lexical("brewery", 9))) == {"new", "hers", "else"}
    assert set(ids(store.lexical("mill", 9, "2020-06-01"))) == {"old"}
    assert ids(store.lexical("employer", 9, "2019-01-01")) == []
    assert set(ids(store.lexical("employer", 9, where={"owner": None}))) == {"new"}
    assert set(ids(store.lexical("employer", 9, where={"owner": "o"}))) == {"hers"}
    assert store.dense(x, 9, where={"owner": None}) == [("new", pytest.approx(1.0)), ("else", pytest.approx(0.5**0.5))]
    assert store.dense(x, 1, "2020-06-01", {"owner": None}) == [("old", pytest.approx(1.0))]
    assert store.check() == []


def test_many_wordings_of_one_fact_do_not_crowd_out_others(store: AnyStore, make) -> None:
    for n in range(40):
        add(
            store,
            make(f"count{n}", f"the counter shows {n}", key="counter", valid_from=f"2020-01-01T00:{n:02}"),
            [1, 0, 0, 0],
        )
    add(store, make("shop", "a shop with a counter of oak and more words than that"), [1, 1, 0, 0])
    assert ids(store.lexical("counter", 2)) == ids(store.dense([1, 0, 0, 0], 2)) == ["count39", "shop"]
    assert ids(store.lexical("counter", 2, "2020-01-01T00:05:30")) == ["count5", "shop"]
    store.erase(["count39"])
    assert ids(store.lexical("counter", 2)) == ["shop"]


def test_wordings_are_found_in_index_files_too(sqlite_store: Store, make) -> None:
    test_a_fact_is_found_by_every_wording_under_its_key(sqlite_store, make)
    before = [sqlite_store.lexical(q, 9, at) for q in ("brewery", "mill", "employer") for at in (None, "2020-06-01")]
    sqlite_store.fold()
    after = [sqlite_store.lexical(q, 9, at) for q in ("brewery", "mill", "employer") for at in (None, "2020-06-01")]
    assert after == before


def test_where_filters_fields_and_metadata(store: AnyStore, make) -> None:
    store.add(
        [
            make("a", "boat 1", source="s", metadata={"user": "u1", "n": 1, "ok": True, "we'ird \"key": "x"}),
            make("b", "boat 2", source="t", metadata={"user": "u2", "n": 2, "list": ["u1"]}),
            make("c", "boat 3", source="t", speaker="Ann", metadata={"user": None, "n": 2**70}),
        ],
        np.ones((3, 4)),
    )
    for where, expected in [
        ({"source": "t"}, {"b", "c"}),
        ({"user": "u1"}, {"a"}),
        ({"source": "t", "user": "u2"}, {"b"}),
        ({"n": 1}, {"a"}),
        ({"ok": True}, {"a"}),
        ({"we'ird \"key": "x"}, {"a"}),
        ({"list": "u1"}, set()),
        ({"user": None}, {"c"}),
        ({"speaker": None}, {"a", "b"}),
        ({"id": "c"}, {"c"}),
        ({"user": "nobody"}, set()),
        ({"n": 2**70}, {"c"}),
        ({"n": 2**70 + 1}, set()),
        ({"position": 2**70}, set()),
        ({"position": 10**400}, set()),
        ({"source": 2**70}, set()),
        ({}, {"a", "b", "c"}),
    ]:
        assert set(ids(store.lexical("boat", 9, where=where))) == expected, where
        assert set(ids(store.dense(np.ones(4), 9, where=where))) == expected, where
    for bad in ({"forms": "text"}, {"user": ["u1"]}, {"metadata": {}}):
        with pytest.raises(BadInput, match="give one value for a field"):
            store.lexical("boat", 9, where=bad)


def test_a_filter_sees_what_was_added_after_its_first_use(store: AnyStore, make) -> None:
    store.add([make("a", "boat", owner="o")], np.ones((1, 4)))
    assert ids(store.dense(np.ones(4), 9, where={"owner": "o"})) == ["a"]
    store.add([make("b", "ship", owner="o")], np.ones((1, 4)))
    assert ids(store.dense(np.ones(4), 9, where={"owner": "o"})) == ["a", "b"]


def test_neighbours_are_of_the_same_source_one_position_away(store: AnyStore, make) -> None:
    store.add([make(f"s{i}", source="s", position=i) for i in range(4)])
    store.add([make("t1", source="t", position=1), make("x", position=1), make("y", position=2)])
    assert store.neighbours(["s0", "s2", "t1", "x"]) == {"s0": ("s1",), "s2": ("s1", "s3"), "t1": (), "x": ()}
    store.update(["s1"], state="archived")
    assert store.neighbours(["s2"]) == {"s2": ("s3",)}


def test_words_of_a_query() -> None:
    assert words("Who's on e-mail_list #3?") == ["e", "mail", "list", "3"]
    assert words("\ud800 The THE the") == ["the"]
    assert words("!?") == []
