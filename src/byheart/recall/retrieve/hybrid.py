"""Hybrid search: stemmed BM25 and embeddings, summed as z-scores, with a share of the neighbours' scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byheart.core.errors import BadInput, Unknown
from byheart.core.methods import Variants
from byheart.core.protocols import Embedder
from byheart.core.records import Engram, Hit
from byheart.recall.names import names
from byheart.recall.retrieve import keyed
from byheart.recall.retrieve.candidates import Index, Where, find


class Hybrid:
    """Words and meaning find different things; standardised, their scores can be added.

    The candidates C are the `pool` best by BM25 and the `pool` best by cosine. With z a score
    standardised over C,

        s_i = lexical * z(BM25_i) + dense * z(cosine_i)
        score_i = s_i + neighbours * sum of s_j over the neighbours j of i

    where neighbours are the passages just before and after in the same source; those of the best
    4k + 20 candidates become candidates themselves.

    Before the neighbours' scores are added, a text gains `named` for each name of several words that it shares with
    the query (BM25 has none for their order, and other people have one of them), and facts with keys are compared as
    facts: see `keyed.lifted`. Both only where words and meaning are searched.

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

    def search(
        self,
        store: Index,
        embedder: Embedder | None,
        query: str,
        k: int = 10,
        at: str | None = None,
        where: Where = None,
    ) -> list[Hit]:
        """The k best engrams for a query, best first; without an embedder by words alone.

        `at` (ISO time) finds what held then, `where` filters by equality; see the store's `lexical`.
        An empty query finds nothing.
        """
        if not query.strip() or k < 1:
            return []
        vector = None
        if self.dense and embedder is not None:
            vector = embedder.encode([query.encode("utf-8", "ignore").decode()])[0]
        found = find(store, query if self.lexical else None, vector, max(self.pool, k), at, where)
        if not found.ids:
            return []
        by_word, by_meaning = Scale(found.words), Scale(found.meaning)
        first = np.argsort(-(self.lexical * by_word.all + self.dense * by_meaning.all), kind="stable")[: 4 * k + 20]
        near = self._near(store, [found.ids[n] for n in first], at, where)
        known = set(found.ids)
        found = found.widened(store, list(dict.fromkeys(i for i, _ in near if i not in known)))
        own = self.lexical * by_word.of(found.words) + self.dense * by_meaning.of(found.meaning)
        if self.lexical and self.dense:
            for name in dict.fromkeys(n for n in names(query) if self.named and " " in n):
                some = store.saying(found.ids, name)
                own += self.named * np.array([i in some for i in found.ids])
            if self.keys and (keys := store.keys(found.ids)):
                own = keyed.lifted(query, found.ids, keys, own)
        place = {i: n for n, i in enumerate(found.ids)}
        final = own.copy()
        sides = np.array([place[i] for pair in near for i in pair], np.int64).reshape(-1, 2)
        np.add.at(final, sides[:, 0], self.neighbours * own[sides[:, 1]])
        best = np.argsort(-final, kind="stable")[:k]
        return hits(store, {found.ids[n]: float(final[n]) for n in best})

    def _near(self, store: Index, ids: list[str], at: str | None, where: Where) -> list[tuple[str, str]]:
        """Who stands next to whom around these, both ways."""
        told = store.neighbours(ids, at, where) if self.neighbours else {}
        pairs = [(i, j) for i, others in told.items() for j in others]
        return list(dict.fromkeys([*pairs, *((j, i) for i, j in pairs)]))


class Scale:
    """Scores brought to mean 0 and standard deviation 1 (all 0 when they are equal), and others like them."""

    def __init__(self, values: ArrayLike) -> None:
        array = np.asarray(values, np.float64)
        self.mean, self.spread = float(array.mean()), float(array.std())
        self.all = self.of(array)

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values on this scale."""
        return (values - self.mean) / self.spread if self.spread > 1e-12 else np.zeros_like(values)


def hits(store: Index, scores: Mapping[str, float]) -> list[Hit]:
    """Engrams as search results; one that another process erased meanwhile is left out."""
    try:
        found = store.get(list(scores))
    except Unknown:
        there = store.brief(list(scores))
        found = store.get([i for i in scores if i in there])
    return [hit(e, scores[e.id]) for e in found]


def hit(e: Engram, score: float) -> Hit:
    """An engram as a search result."""
    return Hit(id=e.id, text=e.text, score=score, source=e.source, position=e.position, at=e.at, metadata=e.metadata)
