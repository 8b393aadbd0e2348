"""Hybrid search: stemmed BM25 and embeddings, summed as z-scores, with a share of the neighbours' scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from engram.core.errors import BadInput
from engram.core.protocols import Embedder
from engram.core.records import Engram, Hit

Where = dict[str, Any] | None
Ranked = list[tuple[str, float]]


class Index(Protocol):
    """What the search needs of a store; each call filters by `at` and `where` itself."""

    def lexical(self, query: str, k: int, at: str | None = None, where: Where = None) -> Ranked: ...

    def dense(self, vector: ArrayLike, k: int, at: str | None = None, where: Where = None) -> Ranked: ...

    def cosine(self, vector: ArrayLike, ids: Sequence[str]) -> dict[str, float]: ...

    def neighbours(
        self, ids: Sequence[str], at: str | None = None, where: Where = None
    ) -> dict[str, tuple[str, ...]]: ...

    def get(self, ids: Sequence[str]) -> list[Engram]: ...


class Hybrid:
    """Words and meaning find different things; standardised, their scores can be added.

    The candidates C are the `pool` best by BM25 and the `pool` best by cosine. With z a score
    standardised over C,

        s_i = lexical * z(BM25_i) + dense * z(cosine_i)
        score_i = s_i + neighbours * sum of s_j over the neighbours j of i

    where neighbours are the passages just before and after in the same source; those of the best
    4k + 20 candidates become candidates themselves.

    An answer often stands next to the words of its question: a turn after it, a line under the
    heading. On the LoCoMo dialogues (arXiv:2402.17753) the sum finds more of the evidence turns
    than either part alone, and the neighbours add to it.

    Parameters
    ----------
    lexical: weight of the words. dense: weight of the embeddings.
    neighbours: share of the neighbours' scores; 0 leaves them out.
    pool: candidates taken from each index.
    """

    def __init__(self, *, lexical: float = 1.0, dense: float = 1.0, neighbours: float = 0.3, pool: int = 200) -> None:
        if min(lexical, dense, neighbours) < 0 or lexical + dense == 0:
            raise BadInput(
                f"weights lexical={lexical}, dense={dense}, neighbours={neighbours}: give none below 0 "
                "and one of the first two above 0"
            )
        if pool < 1:
            raise BadInput(f"pool={pool}: at least 1 candidate is needed; the default is 200")
        self.lexical = lexical
        self.dense = dense
        self.neighbours = neighbours
        self.pool = pool

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
        pool = max(self.pool, k)
        words = dict(store.lexical(query, pool, at, where)) if self.lexical else {}
        meaning: dict[str, float] = {}
        vector = None
        if self.dense and embedder is not None:
            vector = embedder.encode([query.encode("utf-8", "ignore").decode()])[0]
            meaning = dict(store.dense(vector, pool, at, where))
        ids = list(dict.fromkeys([*words, *meaning]))
        if not ids:
            return []
        unranked = min(words.values()) if len(words) == pool else 0.0
        by_word = Scale([words.get(i, unranked) for i in ids])
        if vector is not None:
            meaning |= store.cosine(vector, [i for i in ids if i not in meaning])
        furthest = min(meaning.values(), default=0.0)
        by_meaning = Scale([meaning.get(i, furthest) for i in ids])
        own = dict(zip(ids, (self.lexical * by_word.all + self.dense * by_meaning.all).tolist(), strict=True))
        near = self._near(store, sorted(ids, key=lambda i: -own[i])[: 4 * k + 20], at, where)
        new = [i for i in near if i not in own]
        if vector is not None and new:
            meaning |= store.cosine(vector, new)
        for i in new:
            own[i] = self.lexical * by_word.one(unranked) + self.dense * by_meaning.one(meaning.get(i, furthest))
        final = {i: own[i] + self.neighbours * sum(own.get(j, 0.0) for j in near.get(i, ())) for i in own}
        best = sorted(final, key=lambda i: -final[i])[:k]
        return [hit(engram, final[engram.id]) for engram in store.get(best)]

    def _near(self, store: Index, ids: list[str], at: str | None, where: Where) -> dict[str, set[str]]:
        """Who stands next to whom around these, both ways."""
        near: dict[str, set[str]] = {}
        for i, others in store.neighbours(ids, at, where).items() if self.neighbours else ():
            for j in others:
                near.setdefault(i, set()).add(j)
                near.setdefault(j, set()).add(i)
        return near


class Scale:
    """Scores brought to mean 0 and standard deviation 1 (all 0 when they are equal), and others like them."""

    def __init__(self, values: list[float]) -> None:
        array = np.array(values, np.float64)
        self.mean, self.spread = float(array.mean()), float(array.std())
        self.all = (array - self.mean) / self.spread if self.spread > 1e-12 else np.zeros_like(array)

    def one(self, value: float) -> float:
        return (value - self.mean) / self.spread if self.spread > 1e-12 else 0.0


def hit(engram: Engram, score: float) -> Hit:
    """An engram as a search result."""
    return Hit(
        id=engram.id,
        text=engram.text,
        score=score,
        source=engram.source,
        position=engram.position,
        at=engram.at,
        metadata=engram.metadata,
    )
