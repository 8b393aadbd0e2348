"""Finding engrams in PostgreSQL: BM25 summed over a table of postings, vectors by pgvector."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.store import history, wordings
from byheart.store.base import Ranked, Where
from byheart.store.events import seconds
from byheart.store.postgres.events import facet
from byheart.store.postgres.server import Server
from byheart.store.postgres.terms import Terms
from byheart.store.search import words

EXACT = 10_000
_TERMS = 48
_WIDEST = 2000
# OFFSET 0 keeps the planner, which has no statistics of what users say, from pulling a subquery up: each term's
# postings are to be read through their index, the best be filtered singly until there are k, and what is sorted
# is to be a row and a number, without the vector they came from.
_FIELDS = set(Engram.model_fields) - {"forms", "metadata"}
_BM25 = """
WITH rare AS MATERIALIZED (
    SELECT term, greatest(ln((engrams - n + 0.5) / (n + 0.5)), 1e-6)::float8 AS idf,
        0.9 * engrams / greatest(length, 1)::float8 AS shorter
    FROM (
        SELECT a.term, (SELECT count(*) FROM postings AS p WHERE p.term = a.term) AS n,
            (SELECT engrams FROM totals) AS engrams, (SELECT length FROM totals) AS length
        FROM unnest(?::text[]) AS a (term) OFFSET 0
    ) AS terms
)
SELECT e.id, s.score FROM (
    SELECT p.row, sum(p.part) AS score FROM rare AS r CROSS JOIN LATERAL (
        SELECT row, r.idf * count * float8 '2.2' / (count + float8 '0.3' + r.shorter * length) AS part
        FROM postings WHERE term = r.term OFFSET 0
    ) AS p GROUP BY p.row ORDER BY score DESC, p.row OFFSET 0
) AS s CROSS JOIN LATERAL (SELECT e.id FROM engrams AS e WHERE e.row = s.row AND {} OFFSET 0) AS e
ORDER BY s.score DESC, s.row LIMIT ?
"""
_DENSE = """
SELECT id, CASE WHEN far = 'NaN' THEN 0 ELSE 1 - far END AS near FROM (
    SELECT e.id, v.row, v.vector <=> ? AS far FROM vectors AS v JOIN engrams AS e ON e.row = v.row
    WHERE {} OFFSET 0
) AS nearest ORDER BY near DESC, row LIMIT ?
"""
_INDEXED = """
SELECT e.id, 1 - v.far FROM (
    SELECT row, vector <=> ? AS far FROM vectors ORDER BY vector <=> ? LIMIT ?
) AS v CROSS JOIN LATERAL (SELECT e.id FROM engrams AS e WHERE e.row = v.row AND {} OFFSET 0) AS e
ORDER BY v.far, v.row LIMIT ?
"""
_STATED = "e.facets ->> 'key' IS NOT NULL AND strpos(e.forms, 'text') > 0 AND e.state IN ('active', 'superseded')"
_HOLDING = """
WITH wording AS MATERIALIZED (SELECT e.id, e.row, e.facets FROM engrams AS e WHERE e.id IN ({{}}))
SELECT e.id, e.id FROM wording JOIN engrams AS e ON e.row = wording.row WHERE {} AND {}
UNION ALL
SELECT wording.id, e.id FROM wording JOIN engrams AS e ON e.facets ->> 'key' = wording.facets ->> 'key'
    AND e.facets ->> 'owner' IS NOT DISTINCT FROM wording.facets ->> 'owner' AND e.row <> wording.row WHERE {} AND {}
"""


class Search:
    """Read-only queries over a `Server`; nothing is cached between them.

    Words: BM25 with k1 = 1.2 and b = 0.75 as SQLite's full-text index computes it, from the same
    terms. Vectors: below `exact` of them all are compared; above, the HNSW index is asked for
    more and more of the nearest (an iterative scan, pgvector 0.8) until the filters have let k
    through. What the index cannot be trusted with (scores below 0, a query of zeros, filters that
    leave few) is compared exactly.
    """

    def __init__(self, db: Server, terms: Terms, *, exact: int = EXACT) -> None:
        self._db = db
        self._terms = terms
        self.exact = exact

    def lexical(self, query: str, k: int, at: str | None, where: Where) -> list[Ranked]:
        """The k best by stemmed BM25, best first, higher is better."""
        terms = list(dict.fromkeys(t for counted in self._terms.count(words(query)[:_TERMS]) for t, _ in counted))
        holds, values = _condition(at, where)
        if not terms or k < 1:
            return []

        def best(n: int, condition: str) -> list[Ranked]:
            return self._db.rows(_BM25.format(condition), (terms, *values, n))

        return self._best_wordings(best, k, holds, values)

    def dense(self, vector: Any, k: int, at: str | None, where: Where, dimension: int | None) -> list[Ranked]:
        """The k best by cosine, best first."""
        holds, values = _condition(at, where)
        if dimension is None or k < 1:
            return []
        unit = _unit(vector, dimension)
        near_by = unit.any() and self._db.value("SELECT engrams FROM totals") > self.exact and indexed(self._db)

        def best(n: int, condition: str) -> list[Ranked]:
            query, near = _INDEXED.format(condition), 4 * n
            while near_by and near < self.exact:
                rows = self._db.rows(query, (unit, unit, near, *values, n))
                if len(rows) == n and rows[-1][1] >= 0:
                    return rows
                near = 8 * near if rows else self.exact
            return self._db.rows(_DENSE.format(condition), (unit, *values, n))

        return self._best_wordings(best, k, holds, values)

    def _best_wordings(
        self, best: Callable[[int, str], list[Ranked]], k: int, conditions: tuple[str, str], values: list[Any]
    ) -> list[Ranked]:
        """The k best that a search brings; of a fact with a history by any of its wordings."""
        holds, wanted = conditions
        if not self.keyed():
            return best(k, f"{holds} AND {wanted}")

        def holding(ids: Sequence[str]) -> dict[str, str]:
            return dict(self._db.among(_HOLDING.format(holds, wanted, holds, wanted), ids, [*values, *values]))

        return wordings.best(lambda n: best(n, f"(({holds}) OR {_STATED}) AND {wanted}"), holding, k)

    def keyed(self) -> bool:
        """Whether any engram has a key."""
        return bool(self._db.value("SELECT 1 FROM engrams WHERE facets ->> 'key' IS NOT NULL LIMIT 1"))

    def cosine(self, vector: Any, ids: list[str], dimension: int | None) -> dict[str, float]:
        """The cosine of each of these engrams with a vector; those without a vector are left out."""
        if dimension is None or not ids:
            return {}
        unit = _unit(vector, dimension)
        rows = self._db.rows(
            "SELECT e.id, v.vector <=> ? FROM engrams AS e JOIN vectors AS v ON v.row = e.row WHERE e.id = ANY (?)",
            (unit, [i for i in ids if "\0" not in i]),
        )
        return {i: 0.0 if np.isnan(far) else 1 - far for i, far in rows}

    def neighbours(self, ids: list[str], at: str | None, where: Where) -> dict[str, tuple[str, ...]]:
        """For each id those just before and after it in its source that the filters let through."""
        holds, values = _condition(at, where)
        near: dict[str, list[str]] = {i: [] for i in ids}
        for engram, other in self._db.among(
            "SELECT o.id, e.id FROM engrams AS o JOIN engrams AS e ON md5(e.source) = md5(o.source)"
            " AND e.source = o.source AND e.position IN (o.position - 1, o.position + 1) WHERE o.id IN ({})"
            f" AND {' AND '.join(holds)} ORDER BY e.position, e.row",
            list(near),
            values,
        ):
            near[engram].append(other)
        return {i: tuple(others) for i, others in near.items()}


def index(db: Server, exact: int) -> None:
    """Make the HNSW index once there are more than `exact` vectors. Adding waits, reading goes on.

    Vectors of more than 2,000 dimensions cannot have an index and are compared exactly however many there are.
    """
    few = db.value("SELECT engrams FROM totals") <= exact
    if few or indexed(db) or (history.setting(db, "dimension") or 0) > _WIDEST:
        return
    with db.transaction():
        if not indexed(db) and db.value("SELECT count(*) FROM vectors") > exact:
            db.execute("SET LOCAL maintenance_work_mem = '512MB'")
            db.execute("SET LOCAL max_parallel_maintenance_workers = 0")
            db.execute("CREATE INDEX vectors_near ON vectors USING hnsw (vector vector_cosine_ops)")


def indexed(db: Server) -> bool:
    """Whether the HNSW index is there."""
    return bool(db.value("SELECT to_regclass('vectors_near') IS NOT NULL"))


def _unit(vector: Any, dimension: int) -> NDArray[np.float32]:
    unit = np.asarray(vector, np.float32).reshape(-1)
    if len(unit) != dimension:
        raise BadInput(f"the vector has {len(unit)} dimensions, not {dimension}; use this memory's embedder")
    if not np.isfinite(unit).all():
        raise BadInput("the query's vector holds NaN or infinity; check the embedder's output")
    length = float(np.linalg.norm(unit))
    return unit / np.float32(length) if length > 0 else unit


def _condition(at: str | None, where: Where) -> tuple[tuple[str, str], list[Any]]:
    """SQL conditions on `engrams AS e` that it holds at a time and passes the filters, with their values."""
    if at is None:
        moment, parts = time.time(), ["e.live"]
    else:
        moment = seconds(at) or 0.0
        parts = [
            "strpos(e.forms, 'text') > 0",
            "(e.state = 'active' OR (e.state = 'superseded' AND e.ends IS NOT NULL))",
        ]
    parts.append("(e.starts IS NULL OR e.starts <= ?) AND (e.ends IS NULL OR e.ends > ?)")
    holds, parts = " AND ".join(parts), ["true"]
    values: list[Any] = [moment, moment]
    for key, value in (where or {}).items():
        conditions = [_equal(key, single) for single in (value if isinstance(value, tuple) else (value,))]
        parts.append(f"({' OR '.join(t for t, _ in conditions) or 'false'})")
        values += [v for _, some in conditions for v in some]
    return (holds, " AND ".join(parts)), values


def _equal(key: str, value: Any) -> tuple[str, list[Any]]:
    """An SQL condition on `engrams AS e` for a filter, with its values."""
    if not (value is None or isinstance(value, str | int | float)) or key in ("forms", "metadata"):
        raise BadInput(f"where={{{key!r}: {value!r}}}: give one value for a field or a metadata key")
    name = (key if key in _FIELDS else f".{key}").replace("\0", "\ufffd")
    text = facet(_as_stored(key, value))
    if text is None:
        return ("NOT jsonb_exists(e.facets, ?)", [name]) if value is None else ("false", [])
    return "e.facets @> ?::jsonb", [json.dumps({name: text})]


def _as_stored(key: str, value: Any) -> Any:
    """A value in the type of its field, as SQLite's columns compare: a number as text, and the other way round."""
    if value is None or key not in _FIELDS:
        return value
    if key != "position":
        return value if isinstance(value, str) else str(int(value) if isinstance(value, bool) else value)
    try:
        return float(value)
    except (ValueError, OverflowError):
        return float("nan")
