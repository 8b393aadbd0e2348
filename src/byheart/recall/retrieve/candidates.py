"""The step that searches share: candidates for a query from both indexes, each with both scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from byheart.core.protocols import Index
from byheart.core.query import Query

Scores = NDArray[np.float64]


class Candidates(NamedTuple):
    """Engrams that may answer, with BM25 and cosine (n,) of each.

    An engram that the word index did not give has the BM25 of the last that it gave, or 0 if it gave all it has. An
    engram without a vector has the least cosine.
    """

    ids: list[str]
    words: Scores
    meaning: Scores
    vector: NDArray[np.float32] | None
    unranked: float
    furthest: float

    def widened(self, store: Index, new: list[str]) -> Candidates:
        """These and further engrams, which neither index gave."""
        cosines = {} if self.vector is None or not new else store.cosine(self.vector, new)
        words = np.concatenate([self.words, np.full(len(new), self.unranked)])
        meaning = np.concatenate([self.meaning, [cosines.get(i, self.furthest) for i in new]])
        return self._replace(ids=[*self.ids, *new], words=words, meaning=meaning)


def find(query: Query, text: str | None, vector: NDArray[np.float32] | None, pool: int) -> Candidates:
    """The `pool` best engrams by the words of `text` and the `pool` best by `vector`; None leaves that index out."""
    store, at, where = query.index, query.at, query.where
    words = {} if text is None else dict(store.lexical(text, pool, at, where))
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
