"""The step that searches share: candidates for a query from both indexes, each with its scores from both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byheart.core.records import Brief, Engram

Where = dict[str, Any] | None
Scores = NDArray[np.float64]


class Index(Protocol):
    """What the searches need of a store; each call filters by `at` and `where` itself."""

    def lexical(self, query: str, k: int, at: str | None = None, where: Where = None) -> list[tuple[str, float]]: ...

    def dense(
        self, vector: ArrayLike, k: int, at: str | None = None, where: Where = None
    ) -> list[tuple[str, float]]: ...

    def cosine(self, vector: ArrayLike, ids: Sequence[str]) -> dict[str, float]: ...

    def neighbours(
        self, ids: Sequence[str], at: str | None = None, where: Where = None
    ) -> dict[str, tuple[str, ...]]: ...

    def saying(self, ids: Sequence[str], phrase: str) -> set[str]: ...

    def keys(self, ids: Sequence[str]) -> dict[str, str]: ...

    def brief(self, ids: Sequence[str]) -> dict[str, Brief]: ...

    def get(self, ids: Sequence[str]) -> list[Engram]: ...


class Candidates(NamedTuple):
    """Engrams that may answer, with BM25 and cosine (n,) of each.

    One that the words did not bring has the BM25 of the last they brought, or 0 if they brought all they have; one
    without a vector the least cosine.
    """

    ids: list[str]
    words: Scores
    meaning: Scores
    vector: NDArray[np.float32] | None
    unranked: float
    furthest: float

    def widened(self, store: Index, new: list[str]) -> Candidates:
        """These and some more, which neither index brought."""
        told = {} if self.vector is None or not new else store.cosine(self.vector, new)
        words = np.concatenate([self.words, np.full(len(new), self.unranked)])
        meaning = np.concatenate([self.meaning, [told.get(i, self.furthest) for i in new]])
        return self._replace(ids=[*self.ids, *new], words=words, meaning=meaning)


def find(
    store: Index, query: str | None, vector: NDArray[np.float32] | None, pool: int, at: str | None, where: Where
) -> Candidates:
    """The `pool` best by the words of a query and the `pool` best by its vector, where these are given."""
    words = {} if query is None else dict(store.lexical(query, pool, at, where))
    meaning = {} if vector is None else dict(store.dense(vector, pool, at, where))
    ids = list(dict.fromkeys([*words, *meaning]))
    if vector is not None and ids:
        meaning |= store.cosine(vector, [i for i in ids if i not in meaning])
    unranked = min(words.values()) if len(words) == pool else 0.0
    furthest = min(meaning.values(), default=0.0)
    return Candidates(
        ids,
        np.array([words.get(i, unranked) for i in ids]),
        np.array([meaning.get(i, furthest) for i in ids]),
        vector,
        unranked,
        furthest,
    )
