"""Which engrams a search may return: by state, by the time they hold for, by equality of fields."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.store.database import Database
from byheart.store.events import seconds

Where = dict[str, Any] | None
Mask = NDArray[np.bool_]
_COLUMNS = set(Engram.model_fields) - {"forms", "metadata"}
_KEPT = 16
_EVER = 9e99
_PAST = "instr(forms, 'text') > 0 AND state = 'superseded' AND ends IS NOT NULL"
_STATED = "key IS NOT NULL AND instr(forms, 'text') > 0 AND state IN ('active', 'superseded')"


class Filters:
    """Masks over rows, cached until something changes and then updated for what changed.

    A byte or two for each engram, and sixteen more where any engram is bound to a time.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.clear()

    @property
    def keyed(self) -> bool:
        """Whether any engram, past ones included, has a key."""
        return self._stated is not None

    def clear(self) -> None:
        """Forget everything; `load` must follow."""
        self._last = 0
        self._live: Mask = np.zeros(0, np.bool_)
        self._past: dict[int, None] = {}
        self._stated: Mask | None = None
        self._spans: NDArray[np.float64] | None = None
        self._where: dict[str, tuple[str, list[Any], Mask]] = {}
        self._made: dict[str, tuple[float, Mask | None, Mask | None]] = {}

    def load(self, last: int, gone: NDArray[np.int64]) -> None:
        """Read what is hidden among the rows up to `last`; `gone` are those that are no more."""
        self._last = last
        self._live = np.ones(last + 1, np.bool_)
        self._live[:1] = False
        self._live[gone[gone <= last]] = False
        self._live[[r for (r,) in self._db.rows("SELECT row FROM engrams WHERE live = 0")]] = False
        self._past = dict.fromkeys(r for (r,) in self._db.rows(f"SELECT row FROM engrams WHERE live = 0 AND {_PAST}"))
        stated = [r for (r,) in self._db.rows(f"SELECT row FROM engrams WHERE {_STATED}")]
        if stated:
            self._stated = np.zeros(last + 1, np.bool_)
            self._stated[stated] = True
        timed = self._db.rows("SELECT row, starts, ends FROM engrams WHERE starts IS NOT NULL OR ends IS NOT NULL")
        self._bind(timed)

    def extend(self, last: int) -> None:
        """Make room for rows up to `last` and some more; new rows must be given to `mend`."""
        self._last = max(self._last, last)
        if last >= len(self._live):
            more = last + 1 - len(self._live) + len(self._live) // 16
            self._live = np.concatenate([self._live, np.zeros(more, np.bool_)])
            if self._stated is not None:
                self._stated = np.concatenate([self._stated, np.zeros(more, np.bool_)])
            if self._spans is not None:
                self._spans = np.concatenate([self._spans, np.tile([[-_EVER], [_EVER]], more)], 1)
            for key, (condition, values, mask) in self._where.items():
                self._where[key] = (condition, values, np.concatenate([mask, np.zeros(more, np.bool_)]))

    def mend(self, rows: list[int]) -> None:
        """Look again at rows that were added or changed."""
        if not rows:
            return
        self._made.clear()
        timed = []
        among = f"SELECT row, live, {_PAST}, {_STATED}, starts, ends FROM engrams WHERE row IN ({{}})"
        for row, live, past, stated, starts, ends in self._db.among(among, rows):
            self._live[row] = live
            if stated and self._stated is None:
                self._stated = np.zeros(len(self._live), np.bool_)
            if self._stated is not None:
                self._stated[row] = bool(stated)
            self._past.pop(row, None)
            if past and not live:
                self._past[row] = None
            if starts is not None or ends is not None or self._spans is not None:
                timed.append((row, starts, ends))
        self._bind(timed)
        for condition, values, mask in self._where.values():
            mask[rows] = False
            chosen = self._db.among(
                f"SELECT e.row FROM engrams AS e WHERE e.row IN ({{}}) AND {condition}", rows, values
            )
            mask[[r for (r,) in chosen]] = True

    def masks(self, at: str | None, where: Where) -> tuple[Mask | None, Mask | None]:
        """The rows that a search may return (None: all), and these with other wordings of facts (None: no others)."""
        moment = time.time() if at is None else seconds(at) or 0.0
        key = repr((at and moment, sorted((where or {}).items(), key=lambda pair: pair[0])))
        until, made, more = self._made.get(key, (-_EVER, None, None))
        if moment < until:
            return made, more
        mask = self._live
        if at is not None and self._past:
            mask = mask.copy()
            mask[list(self._past)] = True
        until = _EVER
        if self._spans is not None:
            starts, ends = self._spans
            mask = mask & (starts <= moment) & (ends > moment)
            if at is None:
                until = min(starts[starts > moment].min(initial=_EVER), ends[ends > moment].min(initial=_EVER))
        if where:
            mask = mask & self._chosen(where)
        seen = None if mask[1 : self._last + 1].all() else mask.copy() if mask is self._live else mask
        every = None
        if seen is not None and self._stated is not None:
            stated = self._stated & self._chosen(where) if where else self._stated
            every = seen | stated if (stated & ~seen).any() else None
        if len(self._made) >= _KEPT:
            self._made.clear()
        self._made[key] = (until, seen, every)
        return seen, every

    def _bind(self, timed: list[tuple[int, float | None, float | None]]) -> None:
        if timed and self._spans is None:
            self._spans = np.tile([[-_EVER], [_EVER]], len(self._live))
        for row, starts, ends in timed:
            assert self._spans is not None
            self._spans[:, row] = -_EVER if starts is None else starts, _EVER if ends is None else ends

    def _chosen(self, where: dict[str, Any]) -> Mask:
        """The rows that meet equality filters, whatever their state."""
        key = repr(sorted(where.items(), key=lambda pair: pair[0]))
        if key not in self._where:
            condition, values = equal(where)
            rows = self._db.value(f"SELECT group_concat(e.row) FROM engrams AS e WHERE {condition}", values)
            mask = np.zeros(len(self._live), np.bool_)
            if rows:
                mask[np.fromstring(rows, np.int64, sep=",")] = True
            if len(self._where) >= _KEPT:
                self._where.clear()
            self._where[key] = (condition, values, mask)
        return self._where[key][2]


def condition(at: str | None, where: Where) -> tuple[str, list[Any]]:
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
    if not where:
        return " AND ".join(parts), [moment, moment]
    more, values = equal(where)
    return " AND ".join([*parts, more]), [moment, moment, *values]


def equal(where: dict[str, Any]) -> tuple[str, list[Any]]:
    """An SQL condition on `engrams AS e` for the equality filters alone, with its values; of a tuple any will do."""
    parts: list[str] = []
    values: list[Any] = []
    for key, value in where.items():
        if isinstance(value, tuple):
            conditions = [equal({key: single}) for single in value]
            parts.append(f"({' OR '.join(t for t, _ in conditions) or 'false'})")
            values += [v for _, some in conditions for v in some]
            continue
        if not (value is None or isinstance(value, str | int | float)) or key in ("forms", "metadata"):
            raise BadInput(f"where={{{key!r}: {value!r}}}: give one value for a field or a metadata key")
        large = isinstance(value, int) and not -(2**63) <= value < 2**63
        if key in _COLUMNS and value is None:
            parts.append(f"e.{key} IS NULL")
        elif large and key == "position":
            parts.append("false")
        elif key in _COLUMNS:
            parts.append(f"e.{key} = ?")
            values.append(str(value) if large else value)
        elif value is None:
            parts.append("NOT EXISTS (SELECT 1 FROM json_each(e.metadata) AS m WHERE m.key = ? AND m.type <> 'null')")
            values.append(key)
        elif large:  # SQLite has no such numbers, but JSON does
            parts.append(
                "EXISTS (SELECT 1 FROM json_each(e.metadata) AS m WHERE m.key = ? AND m.type = 'integer'"
                " AND e.metadata -> m.fullkey = ?)"
            )
            values += [key, str(value)]
        else:
            parts.append(
                "EXISTS (SELECT 1 FROM json_each(e.metadata) AS m WHERE m.key = ? AND m.value = ?"
                " AND m.type NOT IN ('array', 'object'))"
            )
            values += [key, value]
    return " AND ".join(parts), values
