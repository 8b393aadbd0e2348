"""Checking a memory against itself, and making its tables anew from the event log."""

from __future__ import annotations

import zlib

import numpy as np

from byheart.core.errors import Damaged
from byheart.store import events, history
from byheart.store.database import Database
from byheart.store.folder import Folder
from byheart.store.index import KEY, Index
from byheart.store.link import Link
from byheart.store.weights import Weights


def check(db: Database, folder: Folder) -> list[str]:
    """Everything wrong with a folder, in words; an empty list when it is sound."""
    faults: list[str] = []
    with db.lock:
        for part in (lambda: _pages(db), lambda: _log(db), Index(db).faults, lambda: versions(db, folder)):
            try:
                faults += part()
            except (Damaged, ValueError) as error:
                faults.append(f"unreadable: {error}")
    return faults


def rebuild(db: Database) -> None:
    """Write the table of engrams and the full-text index anew from the event log, and let go of the index files."""
    with db.transaction():
        state = events.replay(db)
        events.refill(db, {row: engram for row, (engram, _) in state.items()})
        db.execute("INSERT INTO words (words) VALUES ('rebuild')")
        history.set_setting(db, KEY, [])
        db.execute("INSERT INTO events (kind, at) VALUES ('rebuilt', ?)", (events.now(),))


def _pages(db: Database) -> list[str]:
    faults = [f"database: {m}" for (m,) in db.rows("PRAGMA integrity_check") if m != "ok"]
    faults += [f"{t}: row {r} points to a missing {p}" for t, r, p, _ in db.rows("PRAGMA foreign_key_check")]
    try:
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    except Damaged as error:
        faults.append(f"full-text index differs from the texts ({error.__cause__}); run byheart store rebuild")
    return faults


def _log(db: Database) -> list[str]:
    """The event log against the table of engrams and the vectors."""
    faults: list[str] = []
    state = events.replay(db)
    rows = dict(db.rows("SELECT row, id FROM engrams ORDER BY row"))
    held = dict(zip(rows, events.select(db, "1", ()), strict=True))
    for row, (engram, _) in state.items():
        if row not in held:
            faults.append(f"engram {engram.id} is in the log but not in the table; run byheart store rebuild")
        elif held[row] != engram:
            faults.append(f"engram {engram.id} differs from the log; run byheart store rebuild")
    faults += [
        f"engram {rows[r]} is in the table but not in the log; run byheart store rebuild"
        for r in rows
        if r not in state
    ]
    dimension = history.setting(db, "dimension")
    sums: dict[int, int] = {}
    for row, blob in db.rows("SELECT row, vector FROM vectors"):
        sums[row] = zlib.crc32(blob)
        if len(blob) != 4 * (dimension or 0) or not np.isfinite(np.frombuffer(blob, np.float32)).all():
            faults.append(f"the vector of engram {rows.get(row, row)} is malformed; forget and remember it again")
    for row, (engram, expected) in state.items():
        if sums.get(row) != expected:
            faults.append(f"the vector of engram {engram.id} is missing or altered; forget and remember it again")
    return faults


def versions(db: Link, folder: Folder) -> list[str]:
    """What is wrong with the versions: weights missing or altered, lessons or a head without a version."""
    weights = Weights(folder.weights)
    faults: list[str] = []
    known = history.versions(db)
    for version in known:
        for name, key in version.weights.items():
            fault = weights.fault(key)
            if fault:
                faults.append(f"version {version.id}, tensor {name}: {fault}")
        if version.adapter:
            try:
                weights.get_blob(version.adapter)
            except Damaged as error:
                faults.append(f"version {version.id}, adapter: {error}")
    names = {v.id for v in known}
    head = history.setting(db, "head")
    if head is not None and head not in names:
        faults.append(f"the current version {head} is not among the versions")
    for (name,) in db.rows("SELECT DISTINCT version FROM lessons"):
        if name not in names:
            faults.append(f"lessons of version {name}, which is not among the versions")
    return faults
