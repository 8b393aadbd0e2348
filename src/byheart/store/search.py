"""Finding engrams by words and by vectors: index files for most, memory for what is new since."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.store import history, wordings
from byheart.store.bm25 import QueryWord, Ranker
from byheart.store.cells import Cells
from byheart.store.database import Database
from byheart.store.filters import Filters, Mask, Where, condition
from byheart.store.index import GONE, INDEXED, Index, Segment, unit
from byheart.store.stop import STOP
from byheart.store.tail import Tail
from byheart.store.tokens import Tokens

Ranked = tuple[str, float]
Rows = NDArray[np.int64]
_TERMS = 48
_FOLLOWED = 20_000
_REMEMBERED = 20_000
_POSTINGS = 4_000_000
_LINE = "SELECT e.row, e.key, e.owner FROM engrams AS e WHERE {}"


class Search:
    """Read-only queries over a `Database` and its index files.

    Each query first reads the event log's last number. What was added since is taken into memory, what changed is
    looked at again; so what other processes write is seen by the next query, and one more engram among a million
    costs it a fraction of a millisecond. In private memory are about ten bytes an engram, and the newest whole.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tokens = Tokens()
        self._index = Index(db)
        self._filters = Filters(db)
        self._seen = (-1, 0)
        self._segments: list[Segment] = []
        self._ranker = Ranker()
        self._tail = Tail(db, self._index, self._tokens, self._ranker, 0)
        self._ids: dict[str, int] = {}
        self._query_words: dict[str, QueryWord] = {}

    def lexical(self, query: str, k: int, at: str | None, where: Where) -> list[Ranked]:
        """The k best by stemmed BM25 (k1 = 1.2, b = 0.75), best first, higher is better."""
        with self._db.lock:
            self._refresh()
            self._tail.read_words()
            terms = dict.fromkeys(t for word in words(query)[:_TERMS] for t in self._tokens.of(word))
            query_words = [a for t in terms if (a := self._query_word(t)) is not None]

            def best(n: int, mask: Mask | None) -> tuple[Rows, NDArray[Any]]:
                return self._ranker.best(query_words, n, mask)

            return self._best_wordings(best, k, at, where)

    def dense(self, vector: Any, k: int, at: str | None, where: Where) -> list[Ranked]:
        """The k best by cosine, best first: exactly up to 16,384 engrams, above that as `Cells` tells."""
        with self._db.lock:
            self._refresh()
            unit = self._unit(vector)
            if unit is None or k < 1:
                return []

            def best(n: int, mask: Mask | None) -> tuple[Rows, NDArray[Any]]:
                parts = [s.cells.search(unit, n, mask) for s in self._segments]
                parts.append(self._tail.search(unit, mask))
                rows, scores = np.concatenate([r for r, _ in parts]), np.concatenate([s for _, s in parts])
                if len(rows) > n:
                    edge = np.partition(scores, len(rows) - n)[len(rows) - n]
                    rows, scores = rows[scores >= edge], scores[scores >= edge]
                order = np.lexsort((rows, -scores))[:n]
                return rows[order], scores[order]

            return self._best_wordings(best, k, at, where)

    def cosine(self, vector: Any, ids: list[str]) -> dict[str, float]:
        """The cosine of each of these engrams with a vector; those without a vector are left out."""
        with self._db.lock:
            self._refresh()
            unit = self._unit(vector)
            if unit is None or not ids:
                return {}
            known = self._rows_of(ids)
            rows = np.array(list(known.values()), np.int64)
            scores = np.full(len(rows), np.nan, np.float32)
            parts: list[Cells | Tail] = [*(s.cells for s in self._segments), self._tail]
            for part in parts:
                places = part.find(rows)
                here = places >= 0
                if here.any():
                    scores[here] = part.matrix[places[here]] @ unit
            return {i: s for i, s in zip(known, scores.tolist(), strict=True) if s == s}

    def neighbours(self, ids: list[str], at: str | None, where: Where) -> dict[str, tuple[str, ...]]:
        """For each id those just before and after it in its source that the filters let through."""
        with self._db.lock:
            self._refresh()
            shown, _ = self._filters.masks(at, where)
            near: dict[str, list[str]] = {i: [] for i in ids}
            known = {row: i for i, row in self._rows_of(ids).items()}
            pairs = self._db.among(
                "SELECT o.row, e.row FROM engrams AS o CROSS JOIN engrams AS e ON e.source = o.source AND"
                " e.position BETWEEN o.position - 1 AND o.position + 1 AND e.position <> o.position"
                " WHERE o.row IN ({}) ORDER BY e.position, e.row",
                list(known),
            )
            # a row past the mask is of an engram that another process has added since
            let = {row for _, row in pairs if shown is None or (row < len(shown) and shown[row])}
            names = self._names(np.array(list(let), np.int64))
            for engram, row in pairs:
                if row in names:
                    near[known[engram]].append(names[row])
            return {i: tuple(others) for i, others in near.items()}

    def saying(self, ids: list[str], phrase: str) -> set[str]:
        """Those of these engrams in whose text (or key in words) a phrase stands."""
        names = {row: i for i, row in self._rows_of(ids).items()}
        statement = f"SELECT row FROM engrams WHERE row IN ({{}}) AND instr({INDEXED}, ?) > 0"
        return {names[row] for (row,) in self._db.among(statement, list(names), [phrase])}

    def keys(self, ids: list[str]) -> dict[str, str]:
        """The key of each of these engrams that has a key."""
        self._refresh()
        if not self._filters.keyed:
            return {}
        names = {row: i for i, row in self._rows_of(ids).items()}
        rows = self._db.among("SELECT row, key FROM engrams WHERE row IN ({}) AND key IS NOT NULL", list(names))
        return {names[row]: key for row, key in rows}

    def fold(self) -> None:
        """Put engrams that are in no index file into an index file."""
        with self._db.lock:
            self._refresh()
            self._query_words.clear()
            last = self._db.value("SELECT max(row) FROM engrams") or 0
            if self._index.fold(self._tokens, last - self._tail.after, least=0):
                self._reset()

    def close(self) -> None:
        """Let go of the files and of the index in memory."""
        self._segments = []
        self._tokens.close()

    def _refresh(self) -> None:
        """Take in what happened since the last query."""
        seen = (self._db.value("SELECT max(seq) FROM events") or 0, self._db.rollbacks)
        if seen == self._seen:
            return
        self._query_words.clear()
        fresh: list[tuple[str, int]] = []
        whole = self._seen[0] < 0 or seen[1] != self._seen[1] or seen[0] < self._seen[0]
        if not whole:
            fresh = self._db.rows("SELECT kind, row FROM events WHERE seq > ? LIMIT ?", (self._seen[0], _FOLLOWED + 1))
            whole = len(fresh) > _FOLLOWED or any(kind in ("erased", "rebuilt") for kind, _ in fresh)
        last = self._db.value("SELECT max(row) FROM engrams") or 0
        if self._index.fold(self._tokens, last - self._tail.after):
            whole = True
        if whole:
            self._reset()
        else:
            self._tail.late([row for kind, row in fresh if kind == "vector"])
            self._tail.top = last
            self._filters.extend(last)
            self._filters.mend(list(dict.fromkeys(row for kind, row in fresh if kind in ("added", "changed"))))
        self._seen = seen

    def _best_wordings(
        self, best: Callable[[int, Mask | None], tuple[Rows, NDArray[Any]]], k: int, at: str | None, where: Where
    ) -> list[Ranked]:
        """The k best rows that a search brings, by name; of a fact with a history by any of its wordings."""
        shown, every = self._filters.masks(at, where)
        if shown is None or every is None:
            return self._named(*best(k, shown))

        def search(n: int) -> list[tuple[int, float]]:
            rows, scores = best(n, every)
            return list(zip(rows.tolist(), scores.tolist(), strict=True))

        def holding(rows: Sequence[int]) -> dict[int, int]:
            known = {r: r for r in rows if shown[r]}
            return known | self._holding([r for r in rows if r not in known], at, where)

        ranked = wordings.best(search, holding, k)
        return self._named(np.array([r for r, _ in ranked], np.int64), np.array([s for _, s in ranked], np.float64))

    def _holding(self, rows: Sequence[int], at: str | None, where: Where) -> dict[int, int]:
        """For each wording the row of the same key and owner that the filters let through."""
        of = {r: (key, owner) for r, key, owner in self._db.among(_LINE.format("e.row IN ({})"), rows)}
        holds, values = condition(at, where)
        keys = list(dict.fromkeys(key for key, _ in of.values()))
        line = _LINE.format(f"e.key IN ({{}}) AND {holds}") + " ORDER BY e.row"
        now = {(key, owner): row for row, key, owner in self._db.among(line, keys, values)}
        return {r: now[wording] for r, wording in of.items() if wording in now}

    def _query_word(self, term: str) -> QueryWord | None:
        """A word's postings, cached until something is added, up to four million of them."""
        if term in self._query_words:
            return self._query_words[term]
        postings = [p for s in self._segments if (p := s.words.get(term)) is not None]
        postings += [p for p in (self._tail.words(term),) if p is not None]
        if not postings:
            return None
        rows, times = postings[0] if len(postings) == 1 else map(np.concatenate, zip(*postings, strict=True))
        if sum(len(a.rows) for a in self._query_words.values()) > _POSTINGS:
            self._query_words.clear()
        self._query_words[term] = self._ranker.word(rows.astype(np.int64), times)
        return self._query_words[term]

    def _reset(self) -> None:
        """Read anew what is known of the index files and of what is hidden."""
        self._ids.clear()
        self._segments = self._index.held()
        self._ranker = Ranker()
        for segment in self._segments:
            self._ranker.learn(segment.words.docs, segment.words.lengths)
        after = self._segments[-1].last if self._segments else 0
        self._tail = Tail(self._db, self._index, self._tokens, self._ranker, after)
        self._tail.late([r for r in self._index.late(self._segments) if not self._has_vector(r)])
        gone = np.array(history.setting(self._db, GONE, []), np.int64)
        last = max(self._db.value("SELECT max(row) FROM engrams") or 0, after)
        self._tail.top = last
        self._filters.clear()
        self._filters.load(last, gone)

    def _has_vector(self, row: int) -> bool:
        return any((s.cells.find(np.array([row])) >= 0).any() for s in self._segments)

    def _unit(self, vector: Any) -> NDArray[np.float32] | None:
        """A query's vector at length 1; None while there is no vector to compare it with."""
        self._tail.read_vectors()
        parts = [*(s.cells.matrix for s in self._segments), self._tail.matrix]
        wide = max(m.shape[1] for m in parts)
        if not wide:
            return None
        array = np.asarray(vector, np.float32).reshape(-1)
        if len(array) != wide:
            raise BadInput(f"the vector has {len(array)} dimensions, not {wide}; use this memory's embedder")
        if not np.isfinite(array).all():
            raise BadInput("the query's vector holds NaN or infinity; check the embedder's output")
        return unit([array.tobytes()])[0]

    def _named(self, rows: Rows, scores: NDArray[Any]) -> list[Ranked]:
        """Rows with their ids; a row that another process erased meanwhile is left out."""
        names = self._names(rows)
        return [(names[r], s) for r, s in zip(rows.tolist(), scores.tolist(), strict=True) if r in names]

    def _names(self, rows: Rows) -> dict[int, str]:
        """The ids of rows, cached for the next query."""
        names = {row: name for s in self._segments for row, name in s.words.names(rows).items()}
        newer = [r for r in rows.tolist() if r not in names] if len(names) < len(rows) else []
        if newer:
            names.update(self._db.among("SELECT row, id FROM engrams WHERE row IN ({})", newer))
        if len(self._ids) > _REMEMBERED:
            self._ids.clear()
        self._ids.update(zip(names.values(), names.keys(), strict=True))
        return names

    def _rows_of(self, ids: list[str]) -> dict[str, int]:
        unknown = [i for i in ids if i not in self._ids]
        rows = dict(self._db.among("SELECT id, row FROM engrams WHERE id IN ({})", unknown)) if unknown else {}
        return {i: row for i in ids if (row := self._ids.get(i, rows.get(i))) is not None}


def words(query: str) -> list[str]:
    """The distinct words of a text, lower case, without stop words unless nothing else remains.

    >>> words("Who signs off the travel?"), words("to be or not to be")
    (['signs', 'travel'], ['to', 'be', 'or', 'not'])
    """
    clean = unicodedata.normalize("NFC", query.encode("utf-8", "ignore").decode())
    terms = list(dict.fromkeys(re.findall(r"[^\W_]+", clean.lower())))
    return [w for w in terms if w not in STOP] or terms
