"""Finding engrams: words through SQLite's full-text index, vectors by an exact scan in memory."""

from __future__ import annotations

import re
import time
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engram.core.errors import BadInput
from engram.core.records import Engram
from engram.store.database import Database
from engram.store.events import seconds
from engram.store.stop import STOP

Where = dict[str, Any] | None
Ranked = tuple[str, float]
_COLUMNS = set(Engram.model_fields) - {"forms", "metadata"}
_TERMS = 48
_KEPT = 4_000_000


class Search:
    """Read-only queries over a `Database`, with the vectors kept in memory.

    The vectors are read once (1.5 kB each at 384 dimensions) and followed by the event log's
    sequence number, so that what other processes write is seen by the next query. An exact scan is
    one matrix-vector product: 0.3 ms for 10,000 engrams, 5 ms for 100,000 on one core.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen = (-1, 0)
        self._loaded = False
        self._rows: NDArray[np.int64] = np.empty(0, np.int64)
        self._matrix: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._count = 0
        self._dead: NDArray[np.int64] = np.empty(0, np.int64)
        self._timed: NDArray[np.float64] = np.empty((0, 3))
        self._chosen: dict[str, NDArray[np.int64]] = {}
        self._found: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def lexical(self, query: str, k: int, at: str | None, where: Where) -> list[Ranked]:
        """The k best by stemmed BM25 (k1 = 1.2, b = 0.75), best first, higher is better.

        BM25 adds up over words, so each word's scores are fetched once (about a microsecond for
        each engram that has it) and kept until something changes.
        """
        with self._db.lock:
            self._refresh()
            parts = [self._postings(word) for word in words(query)[:_TERMS]]
            parts = [part for part in parts if len(part[0])]
            if not parts or k < 1:
                return []
            scores = np.bincount(np.concatenate([r for r, _ in parts]), np.concatenate([s for _, s in parts]))
            rows = np.flatnonzero(scores)
            return self._best(rows, scores[rows], k, at, where)

    def dense(self, vector: Any, k: int, at: str | None, where: Where) -> list[Ranked]:
        """The k best by cosine, exactly, best first."""
        with self._db.lock:
            self._refresh()
            self._load()
            if not self._count or k < 1:
                return []
            scores = self._matrix[: self._count] @ self._unit(vector)
            return self._best(self._rows[: self._count], scores, k, at, where)

    def cosine(self, vector: Any, ids: list[str]) -> dict[str, float]:
        """The cosine of each of these engrams with a vector; those without a vector are left out."""
        with self._db.lock:
            self._refresh()
            self._load()
            if not self._count or not ids:
                return {}
            found = self._db.among("SELECT id, row FROM engrams WHERE id IN ({})", ids)
            rows = np.array([r for _, r in found], np.int64)
            places = np.minimum(np.searchsorted(self._rows[: self._count], rows), self._count - 1)
            scores = self._matrix[places] @ self._unit(vector)
            here = self._rows[places] == rows
            return {i: float(s) for (i, _), s, h in zip(found, scores, here, strict=True) if h}

    def neighbours(self, ids: list[str], at: str | None, where: Where) -> dict[str, tuple[str, ...]]:
        """For each id those just before and after it in its source that the filters let through."""
        condition, values = _condition(at, where)
        near: dict[str, list[str]] = {i: [] for i in ids}
        for one, other in self._db.among(
            "SELECT o.id, e.id FROM engrams AS o CROSS JOIN engrams AS e ON e.source = o.source AND"
            " e.position IN (o.position - 1, o.position + 1) WHERE o.id IN ({})"
            f" AND {condition} ORDER BY e.position, e.row",
            list(near),
            values,
        ):
            near[one].append(other)
        return {i: tuple(others) for i, others in near.items()}

    def _refresh(self) -> None:
        """Drop what is no longer true since the last query."""
        seen = (self._db.value("SELECT max(seq) FROM events") or 0, self._db.rollbacks)
        if seen == self._seen:
            return
        undone = seen[1] != self._seen[1] or seen[0] < self._seen[0]
        if undone or (self._count and self._moved()):
            self._rows, self._matrix, self._count = np.empty(0, np.int64), np.empty((0, 0), np.float32), 0
        self._loaded = False
        self._chosen.clear()
        self._found.clear()
        self._dead = np.array([r for (r,) in self._db.rows("SELECT row FROM engrams WHERE live = 0")], np.int64)
        timed = self._db.rows(
            "SELECT row, ifnull(starts, -9e99), ifnull(ends, 9e99) FROM engrams"
            " WHERE starts IS NOT NULL OR ends IS NOT NULL"
        )
        self._timed = np.array(timed, np.float64).reshape(-1, 3)
        self._seen = seen

    def _moved(self) -> bool:
        """Whether vectors of rows already known came, went or changed since the last query."""
        kinds = self._db.rows("SELECT DISTINCT kind FROM events WHERE seq > ?", (self._seen[0],))
        return any(kind in ("vector", "erased", "rebuilt") for (kind,) in kinds)

    def _load(self) -> None:
        """Fetch the vectors of rows above the last known one, scaled to length 1."""
        if self._loaded:
            return
        last = int(self._rows[self._count - 1]) if self._count else 0
        with self._db.lock:
            cursor = self._db.execute("SELECT row, vector FROM vectors WHERE row > ? ORDER BY row", (last,))
            while part := cursor.fetchmany(4096):
                rows = np.array([r for r, _ in part], np.int64)
                block = np.frombuffer(b"".join(v for _, v in part), np.float32).reshape(len(part), -1)
                length = np.linalg.norm(block, axis=1, keepdims=True)
                self._append(rows, np.divide(block, length, out=np.zeros_like(block), where=length > 0))
        self._loaded = True

    def _append(self, rows: NDArray[np.int64], block: NDArray[np.float32]) -> None:
        total = self._count + len(rows)
        if total > len(self._rows):
            size = max(total, len(self._rows) * 3 // 2)
            grown = np.zeros((size, block.shape[1]), np.float32)
            places = np.zeros(size, np.int64)
            if self._count:
                grown[: self._count] = self._matrix[: self._count]
                places[: self._count] = self._rows[: self._count]
            self._matrix, self._rows = grown, places
        self._matrix[self._count : total] = block
        self._rows[self._count : total] = rows
        self._count = total

    def _unit(self, vector: Any) -> NDArray[np.float32]:
        one = np.asarray(vector, np.float32).reshape(-1)
        if len(one) != self._matrix.shape[1]:
            raise BadInput(
                f"the vector has {len(one)} dimensions, not {self._matrix.shape[1]}; use this memory's embedder"
            )
        if not np.isfinite(one).all():
            raise BadInput("the query's vector holds NaN or infinity; check the embedder's output")
        length = float(np.linalg.norm(one))
        return one / np.float32(length) if length > 0 else one

    def _hidden(self) -> NDArray[np.int64]:
        """Rows not to be found now: not active, without a text form, or outside the time they hold for."""
        if not len(self._timed):
            return self._dead
        moment = time.time()
        out = self._timed[(self._timed[:, 1] > moment) | (self._timed[:, 2] <= moment), 0]
        return np.union1d(self._dead, out.astype(np.int64))

    def _chosen_by(self, at: str | None, where: Where) -> NDArray[np.int64]:
        """Rows that a filter lets through; kept until something changes."""
        key = repr((at, sorted((where or {}).items(), key=lambda pair: pair[0])))
        moving = at is None and len(self._timed) > 0
        if moving or key not in self._chosen:
            condition, values = _condition(at, where)
            rows = self._db.rows(f"SELECT e.row FROM engrams AS e WHERE {condition} ORDER BY e.row", values)
            if len(self._chosen) > 64:
                self._chosen.clear()
            self._chosen[key] = np.array([r for (r,) in rows], np.int64)
        return self._chosen[key]

    def _best(
        self, rows: NDArray[np.int64], scores: NDArray[Any], k: int, at: str | None, where: Where
    ) -> list[Ranked]:
        """The k best of those rows that the filters let through, equal scores in the order added."""
        if at is not None or where:
            kept = np.isin(rows, self._chosen_by(at, where), assume_unique=True)
            rows, scores = rows[kept], scores[kept]
        elif len(hidden := self._hidden()):
            kept = np.isin(rows, hidden, assume_unique=True, invert=True)
            rows, scores = rows[kept], scores[kept]
        if len(rows) > k:
            top = np.argpartition(-scores, k - 1)[:k]
            rows, scores = rows[top], scores[top]
        order = np.lexsort((rows, -scores))
        chosen = rows[order].tolist()
        names = dict(self._db.among("SELECT row, id FROM engrams WHERE row IN ({})", chosen))
        return [(names[row], score) for row, score in zip(chosen, scores[order].tolist(), strict=True)]

    def _postings(self, word: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The rows that have a word, and what it adds to their BM25."""
        if word not in self._found:
            told = self._db.rows("SELECT rowid, -rank FROM words WHERE words MATCH ?", (f'"{word}"',))
            if sum(len(rows) for rows, _ in self._found.values()) > _KEPT:
                self._found.clear()
            self._found[word] = (np.array([r for r, _ in told], np.int64), np.array([s for _, s in told], np.float64))
        return self._found[word]


def words(query: str) -> list[str]:
    """The distinct words of a text, lower case, without stop words unless nothing else remains.

    >>> words("Who signs off the travel?"), words("to be or not to be")
    (['signs', 'travel'], ['to', 'be', 'or', 'not'])
    """
    clean = unicodedata.normalize("NFC", query.encode("utf-8", "ignore").decode())
    found = list(dict.fromkeys(re.findall(r"[^\W_]+", clean.lower())))
    return [w for w in found if w not in STOP] or found


def _condition(at: str | None, where: Where) -> tuple[str, list[Any]]:
    """An SQL condition on `engrams AS e` for a time and equality filters, with its values."""
    if at is None:
        moment, parts = time.time(), ["e.live = 1"]
    else:
        moment = seconds(at) or 0.0
        parts = [
            "instr(e.forms, 'text') > 0",
            "(e.state = 'active' OR (e.state = 'superseded' AND e.ends IS NOT NULL))",
        ]
    parts.append("(e.starts IS NULL OR e.starts <= ?) AND (e.ends IS NULL OR e.ends > ?)")
    values: list[Any] = [moment, moment]
    for key, value in (where or {}).items():
        if not (value is None or isinstance(value, str | int | float)) or key in ("forms", "metadata"):
            raise BadInput(f"where={{{key!r}: {value!r}}}: give one value for a field or a metadata key")
        if key in _COLUMNS:
            parts.append(f"e.{key} IS ?")
            values.append(value)
        elif value is None:
            parts.append("NOT EXISTS (SELECT 1 FROM json_each(e.metadata) AS m WHERE m.key = ? AND m.type <> 'null')")
            values.append(key)
        else:
            parts.append(
                "EXISTS (SELECT 1 FROM json_each(e.metadata) AS m WHERE m.key = ? AND m.value = ?"
                " AND m.type NOT IN ('array', 'object'))"
            )
            values += [key, value]
    return " AND ".join(parts), values
