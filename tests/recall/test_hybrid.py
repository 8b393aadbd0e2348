"""Hybrid search: the sum of standardised scores with a share of the neighbours, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Engram
from byheart.recall.retrieve.hybrid import Hybrid
from byheart.store.sqlite import Store


class Letters:
    """Embeds a text as the counts of its letters, scaled to length 1."""

    dimension = 26

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[t.lower().count(chr(97 + i)) for i in range(26)] for t in texts], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class Fixed:
    """A store with made-up scores."""

    def __init__(self, words: dict[str, float], meaning: dict[str, float], near: dict[str, tuple[str, ...]]) -> None:
        self.words, self.meaning, self.near = words, meaning, near

    def lexical(self, query, k, at=None, where=None):
        return sorted(self.words.items(), key=lambda p: -p[1])[:k]

    def dense(self, vector, k, at=None, where=None):
        return sorted(self.meaning.items(), key=lambda p: -p[1])[:k]

    def cosine(self, vector, ids):
        return {i: self.meaning[i] for i in ids if i in self.meaning}

    def neighbours(self, ids, at=None, where=None):
        return {i: self.near.get(i, ()) for i in ids}

    def keys(self, ids):
        return {}

    def saying(self, ids, phrase):
        return {i for i in ids if phrase in i}

    def get(self, ids):
        return [Engram(id=i, text=i, created="now") for i in ids]


def test_the_score_worked_by_hand() -> None:
    """BM25 3, 1, 0 and cosine .9, .5, .1 have mean 4/3 and .5, deviation 1.2472 and .32660."""
    store = Fixed({"a": 3.0, "b": 1.0}, {"a": 0.9, "b": 0.5, "c": 0.1}, {"c": ("a",), "a": ("c",)})
    z = {"a": 1.33631 + 1.22474, "b": -0.26726, "c": -1.06904 - 1.22474}
    hits = Hybrid(neighbours=0.0).search(Query("q", store, Letters(), k=3))
    assert {h.id: h.score for h in hits} == {i: pytest.approx(s, abs=1e-4) for i, s in z.items()}
    hits = Hybrid(lexical=2.0, dense=0.5, neighbours=0.3).search(Query("q", store, Letters(), k=3))
    weighed = {"a": 2 * 1.33631 + 0.5 * 1.22474, "b": 2 * -0.26726, "c": 2 * -1.06904 - 0.5 * 1.22474}
    assert {h.id: h.score for h in hits} == {
        "a": pytest.approx(weighed["a"] + 0.3 * weighed["c"], abs=1e-4),
        "b": pytest.approx(weighed["b"], abs=1e-4),
        "c": pytest.approx(weighed["c"] + 0.3 * weighed["a"], abs=1e-4),
    }
    assert [h.id for h in hits] == sorted(weighed, key=lambda i: -{h.id: h.score for h in hits}[i])


@pytest.fixture
def store(tmp_path: Path):
    texts = [
        ("s", "Ann: Did you see the harbourmaster about the crane?"),
        ("s", "Ben: Yes, she said Thursday."),
        ("s", "Ann: Good."),
        ("t", "Bread is baked before dawn."),
        ("t", "Crumpets and cakes are sold at noon."),
        ("t", "The oven is cleaned on Sunday."),
    ]
    engrams = [
        Engram(id=f"{s}{i}", text=t, source=s, position=i, created="now", speaker=t[:3] if s == "s" else None)
        for i, (s, t) in enumerate(texts)
    ]
    with Store(tmp_path, dimension=26) as opened:
        opened.add(engrams, Letters().encode([t for _, t in texts]))
        yield opened


def test_words_alone_work_without_an_embedder(store: Store) -> None:
    hits = Hybrid(neighbours=0.0).search(Query("harbourmasters and cranes", store, k=3))
    assert [h.id for h in hits] == ["s0"]
    assert (hits[0].source, hits[0].position, hits[0].text[:3]) == ("s", 0, "Ann")


def test_a_neighbour_of_a_hit_is_found_though_it_shares_no_word(store: Store) -> None:
    assert [h.id for h in Hybrid(neighbours=0.3).search(Query("harbourmaster crane", store, k=3))][:2] == ["s0", "s1"]


def test_meaning_alone_works_without_words(store: Store) -> None:
    hits = Hybrid(lexical=0.0, neighbours=0.0).search(Query("Bread is baked before dawn.", store, Letters(), k=2))
    assert hits[0].id == "t3"


def test_filters_hold_for_neighbours_too(store: Store) -> None:
    hits = Hybrid(neighbours=1.0).search(Query("harbourmaster crane", store, Letters(), k=9, where={"speaker": "Ann"}))
    assert {h.id for h in hits} == {"s0", "s2"}


def test_what_is_erased_while_it_is_searched_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    get = store.get

    def erase_first(ids: list[str]) -> list[Engram]:
        monkeypatch.setattr(store, "get", get)
        store.erase(["s0"])
        return get(ids)

    monkeypatch.setattr(store, "get", erase_first)
    hits = [h.id for h in Hybrid().search(Query("harbourmaster crane", store, Letters(), k=3))]
    assert len(hits) == 2
    assert "s0" not in hits


def test_nothing_is_found_for_nothing(store: Store) -> None:
    assert Hybrid().search(Query("  ", store, Letters(), k=5)) == []
    assert Hybrid().search(Query("crane", store, Letters(), k=0)) == []
    assert Hybrid().search(Query("zebra", store, k=5)) == []


def test_an_empty_memory_is_searched_without_error(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=26) as store:
        assert Hybrid().search(Query("crane", store, Letters(), k=5)) == []


@pytest.mark.parametrize("bad", [{"lexical": -1.0}, {"lexical": 0.0, "dense": 0.0}, {"pool": 0}])
def test_weights_that_make_no_sense_are_refused(bad: dict) -> None:
    with pytest.raises(BadInput):
        Hybrid(**bad)
