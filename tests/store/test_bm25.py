"""The best by BM25: both ways find what scoring every engram finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.store import bm25
from byheart.store.bm25 import K1, B, QueryWord, Ranker

DOCS = 400


def query_words(seed: int, shares: list[float]) -> tuple[Ranker, list[QueryWord], np.ndarray]:
    """A ranker over engrams in rows 1 to 400, words that such shares of them have, and how often each has each."""
    rng = np.random.default_rng(seed)
    rows = np.arange(1, DOCS + 1)
    has = rng.random((len(shares), DOCS)) < np.array(shares)[:, None]
    times = has * rng.integers(1, 5, has.shape)
    ranker = Ranker()
    ranker.learn(rows, times.sum(0) + rng.integers(1, 30, DOCS))
    return ranker, [ranker.word(rows[t > 0], t[t > 0]) for t in times], times


def every(ranker: Ranker, times: np.ndarray) -> np.ndarray:
    """The score of each row by the formula, written out."""
    many = (times > 0).sum(1)
    idf = np.log((DOCS - many + 0.5) / (many + 0.5))
    length = ranker.lengths[1 : DOCS + 1].astype(np.float64)
    norm = K1 * (1 - B + B * length / (ranker.words / DOCS))
    scores = np.zeros(DOCS + 1)
    scores[1:] = (np.where(idf > 0, idf, 1e-6)[:, None] * times * (K1 + 1) / (times + norm)).sum(0)
    return scores


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shares=st.lists(st.sampled_from([0.004, 0.02, 0.1, 0.3, 0.6]), min_size=1, max_size=8),
    k=st.sampled_from([1, 5, 40]),
    share=st.sampled_from([None, 0.5, 0.05]),
    way=st.sampled_from(["either", "sums"]),
)
def test_the_best_are_those_of_scoring_all(
    seed: int, shares: list[float], k: int, share: float | None, way: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "_FEW": 50,
            "_CHEAP": 8,
            "_EACH": 1,
            "_RARE": 16,
            "_LITTLE": 4 if way == "either" else 10**9,
        }.items():
            patch.setattr(bm25, name, value)
        ranker, words, times = query_words(seed, shares)
        mask = np.random.default_rng(seed).random(len(ranker.lengths)) < share if share else None
        rows, scores = ranker.best(words, k, mask)
    wanted = every(ranker, times) * (1 if mask is None else mask[: DOCS + 1])
    best = [r for r in np.lexsort((np.arange(DOCS + 1), -wanted)) if wanted[r] > 0][:k]
    np.testing.assert_allclose(scores, wanted[best], rtol=1e-9)
    np.testing.assert_allclose(wanted[rows], scores, rtol=1e-9)
    assert not ranker._sums.any()


def test_sets_of_common_words_look_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three words that a third has each, those with two of them are enough for the best five."""
    monkeypatch.setattr(bm25, "_LITTLE", 4)
    monkeypatch.setattr(bm25, "_EACH", 2)
    ranker, words, times = query_words(3, [0.3, 0.3, 0.3])
    chosen = ranker._by_sets(words, 5, None)
    assert chosen is not None
    rows, _ = chosen
    assert 5 <= len(rows) < (times > 0).any(0).sum() / 2


def test_too_many_for_sets_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bm25, "_LITTLE", 4)
    ranker, words, _ = query_words(3, [0.3, 0.3, 0.3])
    assert ranker._by_sets(words, 200, None) is None
    assert len(ranker.best(words, 200)[0]) == 200
