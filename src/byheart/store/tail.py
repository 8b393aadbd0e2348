"""What is newer than every index file, held in memory: its words and its vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.store.bm25 import Ranker
from byheart.store.database import Database
from byheart.store.filters import Mask
from byheart.store.index import INDEXED, Index, unit
from byheart.store.tokens import Tokens

Rows = NDArray[np.int64]
_PORTION = 20_000


class Tail:
    """The engrams above row `after` up to row `top`, and those below with a vector given late; scanned exactly.

    `top` is moved by the search as it takes notice of what was added: others may add at any moment.
    """

    def __init__(self, db: Database, index: Index, tokens: Tokens, ranker: Ranker, after: int) -> None:
        self._db, self._index, self._tokens, self._ranker = db, index, tokens, ranker
        self.after = self.top = after
        self._worded = self._embedded = after
        self._postings: dict[str, tuple[list[int], list[int]]] = {}
        self._late: list[int] = []
        self._places: dict[int, int] = {}
        self._rows: Rows = np.empty(0, np.int64)
        self._room: NDArray[np.float32] = np.empty((0, 0), np.float32)

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The vectors (n, d) at length 1."""
        return self._room[: len(self._places)]

    def words(self, term: str) -> tuple[Rows, Rows] | None:
        """The rows that have a word, in order, and how often."""
        postings = self._postings.get(term)
        return None if postings is None else (np.array(postings[0], np.int64), np.array(postings[1], np.int64))

    def search(self, vector: NDArray[np.float32], mask: Mask | None) -> tuple[Rows, NDArray[np.float32]]:
        """Rows and cosines with a unit vector (d,) of all that a mask lets through."""
        rows = self._rows[: len(self._places)]
        if not len(rows):
            return rows, np.empty(0, np.float32)
        scores = self.matrix @ vector
        return (rows, scores) if mask is None else (rows[mask[rows]], scores[mask[rows]])

    def find(self, rows: Rows) -> Rows:
        """The places of rows in `matrix`, -1 for those that are not here."""
        return np.array([self._places.get(r, -1) for r in rows.tolist()], np.int64)

    def late(self, rows: list[int]) -> None:
        """Tell of rows that were given their vector after they were added."""
        self._late += [r for r in rows if r <= self._embedded and r not in self._places]

    def read_words(self) -> None:
        """Take in the words of what was added since."""
        while part := self._db.rows(
            f"SELECT row, {INDEXED} FROM engrams WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
            (self._worded, self.top, _PORTION),
        ):
            rows = np.array([r for r, _ in part], np.int64)
            counted = self._tokens.count([t for _, t in part])
            self._ranker.learn(rows, counted.lengths)
            docs, times = rows[counted.docs].tolist(), counted.times.tolist()
            for n, term in enumerate(counted.terms):
                a, b = counted.starts[n], counted.starts[n + 1]
                postings = self._postings.setdefault(term, ([], []))
                postings[0].extend(docs[a:b])
                postings[1].extend(times[a:b])
            self._worded = part[-1][0]

    def read_vectors(self) -> None:
        """Take in the vectors of what was added since, and those given late."""
        if self._late:
            stored = self._db.among("SELECT row, vector FROM vectors WHERE row IN ({})", sorted(set(self._late)))
            self._late = []
            if stored:
                self._append(np.array([r for r, _ in stored], np.int64), unit([v for _, v in stored]))
        for rows, block in self._index.vectors(self._embedded, self.top):
            self._append(rows, block)
            self._embedded = int(rows[-1])

    def _append(self, rows: Rows, block: NDArray[Any]) -> None:
        count = len(self._places)
        total = count + len(rows)
        if total > len(self._rows):
            size = max(total, count * 3 // 2)
            grown = np.zeros((size, block.shape[1]), np.float32)
            places = np.zeros(size, np.int64)
            grown[:count], places[:count] = self._room[:count] if count else 0.0, self._rows[:count]
            self._room, self._rows = grown, places
        self._room[count:total], self._rows[count:total] = block, rows
        self._places.update(zip(rows.tolist(), range(count, total), strict=True))
