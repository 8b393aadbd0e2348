"""Hybrid search: stemmed BM25 and embeddings, summed as z-scores, with a share of the neighbours' scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byheart.core.errors import BadInput, Unknown
from byheart.core.methods import Variants
from byheart.core.protocols import Index
from byheart.core.query import Query
from byheart.core.records import Engram, Hit
from byheart.recall.names import names
from byheart.recall.retrieve import keyed
from byheart.recall.retrieve.candidates import find


class Hybrid:
    """Adds the standardised scores of words and meaning, which find different engrams.

    The candidates C are the `pool` best by BM25 and the `pool` best by cosine. With z a score
    standardised over C,

        s_i = lexical * z(BM25_i) + dense * z(cosine_i)
        score_i = s_i + neighbours * sum of s_j over the neighbours j of i

    where neighbours are the passages just before and after in the same source; those of the best
    4k + 20 candidates become candidates themselves.

    Before the neighbours' scores are added, a text gains `named` for each name of several words that it shares with
    the query: BM25 ignores the order of words, and other people share one of them. Facts with keys are compared as
    facts; see `keyed.lifted`. Both steps need words and meaning.

    An answer often stands next to the words of its question: a turn after it, a line under the
    heading. On the LoCoMo dialogues (arXiv:2402.17753) the sum finds more of the evidence turns
    than either part alone, and the neighbours add to it.

    Parameters
    ----------
    lexical: weight of the words. dense: weight of the embeddings.
    neighbours: share of the neighbours' scores; 0 leaves them out.
    named: what a whole name is worth, in standard deviations.
    pool: candidates taken from each index. keys: whether to compare facts by their keys.
    """

    name: ClassVar[str] = "hybrid"
    variants: ClassVar[Variants] = {
        "bm25": {"dense": 0.0, "neighbours": 0.0},
        "dense": {"lexical": 0.0, "neighbours": 0.0},
    }

    def __init__(
        self,
        *,
        lexical: float = 1.0,
        dense: float = 1.0,
        neighbours: float = 0.3,
        named: float = 2.0,
        pool: int = 200,
        keys: bool = True,
    ) -> None:
        if min(lexical, dense, neighbours, named) < 0 or lexical + dense == 0:
            raise BadInput(
                f"weights lexical={lexical}, dense={dense}, neighbours={neighbours}, named={named}: give none below 0 "
                "and one of the first two above 0"
            )
        if pool < 1:
            raise BadInput(f"pool={pool}: at least 1 candidate is needed; the default is 200")
        self.lexical = lexical
        self.dense = dense
        self.neighbours = neighbours
        self.named = named
        self.pool = pool
        self.keys = keys

    def search(self, query: Query) -> list[Hit]:
        """The `query.k` best engrams, best first; without an embedder by words alone."""
        if query.empty:
            return []
        store, text = query.index, query.text
        vector = query.embedder.encode([query.clean])[0] if self.dense and query.embedder is not None else None
        candidates = find(query, text if self.lexical else None, vector, max(self.pool, query.k))
        if not candidates.ids:
            return []
        by_word, by_meaning = Scale(candidates.words), Scale(candidates.meaning)
        scores = self.lexical * by_word.all + self.dense * by_meaning.all
        first = np.argsort(-scores, kind="stable")[: 4 * query.k + 20]
        near = self._near(query, [candidates.ids[n] for n in first])
        known = set(candidates.ids)
        candidates = candidates.widened(store, list(dict.fromkeys(i for i, _ in near if i not in known)))
        ids = candidates.ids
        own = self.lexical * by_word.of(candidates.words) + self.dense * by_meaning.of(candidates.meaning)
        if self.lexical and self.dense:
            for name in dict.fromkeys(n for n in names(text) if self.named and " " in n):
                named = store.saying(ids, name)
                own += self.named * np.array([i in named for i in ids])
            if self.keys and (keys := store.keys(ids)):
                own = keyed.lifted(text, ids, keys, own)
        place = {i: n for n, i in enumerate(ids)}
        final = own.copy()
        sides = np.array([place[i] for pair in near for i in pair], np.int64).reshape(-1, 2)
        np.add.at(final, sides[:, 0], self.neighbours * own[sides[:, 1]])
        best = np.argsort(-final, kind="stable")[: query.k]
        return hits(store, {ids[n]: float(final[n]) for n in best})

    def _near(self, query: Query, ids: list[str]) -> list[tuple[str, str]]:
        """Pairs of ids that are neighbours, in both orders."""
        near = query.index.neighbours(ids, query.at, query.where) if self.neighbours else {}
        pairs = [(i, j) for i, others in near.items() for j in others]
        return list(dict.fromkeys([*pairs, *((j, i) for i, j in pairs)]))


class Scale:
    """The scale on which given scores have mean 0 and standard deviation 1 (all 0 when they are equal)."""

    def __init__(self, values: ArrayLike) -> None:
        array = np.asarray(values, np.float64)
        self.mean, self.spread = float(array.mean()), float(array.std())
        self.all = self.of(array)

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values on this scale."""
        return (values - self.mean) / self.spread if self.spread > 1e-12 else np.zeros_like(values)


def hits(store: Index, scores: Mapping[str, float]) -> list[Hit]:
    """Engrams as search results, by id and score; an engram that another process erased meanwhile is left out."""
    try:
        engrams = store.get(list(scores))
    except Unknown:
        there = store.brief(list(scores))
        engrams = store.get([i for i in scores if i in there])
    return [hit(e, scores[e.id]) for e in engrams]


def hit(e: Engram, score: float) -> Hit:
    """An engram as a search result."""
    return Hit(id=e.id, text=e.text, score=score, source=e.source, position=e.position, at=e.at, metadata=e.metadata)
