"""Erasing: no byte of an engram stays in the database, its write-ahead log or its free pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from byheart.core.errors import Busy, Full, Unknown
from byheart.store import history
from byheart.store.database import Database
from byheart.store.events import now
from byheart.store.index import GONE, Index
from byheart.store.link import Link

DUE = "scrub due"
SHORT = 4


def erase(db: Database, ids: Sequence[str]) -> None:
    """Delete engrams with everything stored about them; the log keeps their ids alone.

    Deletes their events, vectors, items, lessons and results, empties the details of other results
    that quote their text or an answer of four characters or more, and writes the full-text index
    anew: a deletion in it only adds a mark, and the words would stay. `scrub` must follow; a
    setting remembers that it is due, so that a kill in between is made good on the next opening.
    """
    with db.transaction():
        ids = list(dict.fromkeys(ids))
        stored = db.among("SELECT id, row, text, question, answer FROM engrams WHERE id IN ({})", ids)
        gone = {i for (i,) in db.among("SELECT engram FROM events WHERE kind = 'erased' AND engram IN ({})", ids)}
        for i in ids:
            if i not in gone and i not in {f[0] for f in stored}:
                raise Unknown(f"no engram {i!r} in {db.path.parent}, so it cannot be erased (list them: byheart list)")
        if not stored:
            return
        keys = [(f[0],) for f in stored]
        rows = [(f[1],) for f in stored]
        items = [r for key in keys for r in db.rows("SELECT id, payload FROM items WHERE engram = ?", key)]
        texts = {s for f in stored for s in f[2:] if s} | history.golds(p for _, p in items)
        db.executemany("DELETE FROM results WHERE item = ?", [(i,) for i, _ in items])
        for table in ("results", "lessons", "items"):
            db.executemany(f"DELETE FROM {table} WHERE engram = ?", keys)
        for table in ("vectors", "events", "engrams"):
            db.executemany(f"DELETE FROM {table} WHERE row = ?", rows)
        empty_details(db, [t for t in texts if len(t) >= SHORT])
        history.unlearn(db)
        db.execute("INSERT INTO words (words) VALUES ('rebuild')")
        history.set_setting(db, GONE, sorted({*history.setting(db, GONE, []), *(r for (r,) in rows)}))
        stamp = now()
        db.executemany("INSERT INTO events (kind, engram, at) VALUES ('erased', ?, ?)", [(*k, stamp) for k in keys])
        history.set_setting(db, DUE, True)


def scrub(db: Database) -> None:
    """Write index files anew without what was erased, and the database without free pages and write-ahead log.

    Raises `Busy` when another process reads for longer than the patience, `Full` when there is no
    room for the copy; the engrams are gone either way, only old bytes may remain until it succeeds.
    """
    gone = history.setting(db, GONE, [])
    try:
        Index(db).drop(gone)
        _checkpoint(db)
        db.execute("VACUUM")
        _checkpoint(db)
    except Full as error:
        raise Full(f"erased, but {db.path} needs as much free space as its own size to drop old bytes") from error
    with db.transaction():
        left = sorted(set(history.setting(db, GONE, [])) - set(gone))
        history.set_setting(db, GONE, left)
        history.set_setting(db, DUE, bool(left))


def _checkpoint(db: Database) -> None:
    blocked = db.value("PRAGMA wal_checkpoint(TRUNCATE)")
    if blocked:
        raise Busy(f"another process is reading {db.path}; close it, then open the memory again to drop old bytes")


def empty_details(db: Link, texts: list[str]) -> None:
    """Take away the details of results that quote what is being erased (a model's words, say)."""
    low = [t.casefold() for t in texts]
    changed: list[tuple[str, int]] = []
    for place, payload in db.rows("SELECT place, payload FROM results"):
        result = from_json(payload)
        if result["detail"] and any(t in s for s in _strings(result["detail"]) for t in low):
            changed.append((to_json({**result, "detail": {"erased": True}}).decode(), place))
    db.executemany("UPDATE results SET payload = ? WHERE place = ?", changed)


def _strings(value: Any) -> list[str]:
    """Every string in a JSON value, keys included, in lower case."""
    if isinstance(value, str):
        return [value.casefold()]
    if isinstance(value, dict):
        return [s for pair in value.items() for part in pair for s in _strings(part)]
    if isinstance(value, list):
        return [s for part in value for s in _strings(part)]
    return []
