"""Checking a memory in PostgreSQL against itself, and making its tables anew from the event log."""

from __future__ import annotations

import zlib
from itertools import groupby

import numpy as np

from byheart.core.errors import Damaged
from byheart.store import check as files
from byheart.store import history
from byheart.store.events import now, replay
from byheart.store.folder import Folder
from byheart.store.postgres.events import floats, log, read, refill
from byheart.store.postgres.server import Server
from byheart.store.postgres.terms import Terms


def check(db: Server, terms: Terms, folder: Folder) -> list[str]:
    """Everything wrong with a memory, in words; an empty list when it is sound."""
    faults: list[str] = []
    parts = (lambda: _log(db), lambda: _postings(db, terms), lambda: files.versions(db, folder))
    with db.reading():
        for part in parts:
            try:
                faults += part()
            except (Damaged, ValueError) as error:
                faults.append(f"unreadable: {error}")
    return faults


def rebuild(db: Server, terms: Terms) -> None:
    """Write the table of engrams and the postings anew from the event log."""
    with db.transaction():
        refill(db, terms, {row: engram for row, (engram, _) in replay(db).items()})
        log(db, [("rebuilt", None, None, now(), "{}")])


def _log(db: Server) -> list[str]:
    """The event log against the table of engrams and the vectors."""
    faults: list[str] = []
    state = replay(db)
    held = {row: (id, read(p)) for row, id, p in db.rows("SELECT row, id, payload FROM engrams ORDER BY row")}
    for row, (engram, _) in state.items():
        if row not in held:
            faults.append(f"engram {engram.id} is in the log but not in the table; run byheart store rebuild")
        elif held[row] != (engram.id, engram):
            faults.append(f"engram {engram.id} differs from the log; run byheart store rebuild")
    strays = [i for row, (i, _) in held.items() if row not in state]
    faults += [f"engram {i} is in the table but not in the log; run byheart store rebuild" for i in strays]
    dimension = history.setting(db, "dimension")
    sums: dict[int, int] = {}
    with db.stream("SELECT row, vector_send(vector) FROM vectors") as vectors:
        for row, sent in vectors:
            blob = floats(sent)
            sums[row] = zlib.crc32(blob)
            if len(blob) != 4 * (dimension or 0) or not np.isfinite(np.frombuffer(blob, np.float32)).all():
                name = held[row][0] if row in held else row
                faults.append(f"the vector of engram {name} is malformed; forget and remember it again")
    for row, (engram, expected) in state.items():
        if sums.get(row) != expected:
            faults.append(f"the vector of engram {engram.id} is missing or altered; forget and remember it again")
    faults += [
        f"there is a vector of row {row}, but no engram; run byheart store rebuild" for row in sums.keys() - held.keys()
    ]
    return faults


def _postings(db: Server, terms: Terms) -> list[str]:
    """The postings and the totals against the texts."""
    length = 0
    wrong = False
    texts = db.rows("SELECT row, payload FROM engrams ORDER BY row")
    expected: dict[int, list[tuple[str, int]]] = {}
    for at in range(0, len(texts), 1000):
        part = texts[at : at + 1000]
        counts = terms.count([read(p).indexed for _, p in part])
        expected |= {row: sorted(counted) for (row, _), counted in zip(part, counts, strict=True)}
    with db.stream("SELECT row, term, count, length FROM postings ORDER BY row") as rows:
        for row, group in groupby(rows, key=lambda r: r[0]):
            counted = expected.pop(row, None)
            held = list(group)
            total = sum(n for _, _, n, _ in held)
            length += total
            wrong |= counted != sorted((t, n) for _, t, n, _ in held) or any(size != total for *_, size in held)
    wrong |= any(expected.values()) or db.rows("SELECT engrams, length FROM totals") != [(len(texts), length)]
    return ["full-text index differs from the texts; run byheart store rebuild"] if wrong else []
