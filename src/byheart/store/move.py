"""Moving a whole memory between stores: killed midway and called again, it ends the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from byheart.core.errors import BadInput, Conflict, Damaged
from byheart.store.base import AnyStore
from byheart.store.erase import DUE
from byheart.store.folder import Folder
from byheart.store.index import GONE, KEY

Progress = Callable[[str, int, int], None]
MOVING = "moving"
"""The setting that a store has while it is an unfinished copy: where from, and how far."""

LEFT = "left"
"""The setting that names the schema a memory has been moved from, until that is dropped."""

_OWN = (MOVING, LEFT, DUE, KEY, GONE)
_TABLES = {
    "events": ("seq", "kind, row, engram, at, payload"),
    "versions": ("place", "id, payload"),
    "items": ("place", "id, version, engram, payload"),
    "lessons": ("place", "version, engram, payload"),
    "results": ("place", "version, exam, item, seed, engram, payload"),
    "certificates": ("place", "payload"),
}


def move(source: AnyStore, target: AnyStore, *, batch: int = 1000, progress: Progress | None = None) -> dict[str, Any]:
    """Copy everything of a store into an empty store: the log in its order, with its times and ids, and all else.

    The target is marked as unfinished until the copy has been checked: its own `check`, the number of
    rows and a digest of every table. The source may be read meanwhile and not written. What the
    source holds is left there; deleting it is the caller's to decide.

    Gives the number of rows by table and the digest of all. Raises `BadInput` when the target is not
    empty, `Conflict` when it was begun from another source or the source has changed since,
    `Damaged` when the copy is not what was copied.
    """
    with ExitStack() as held:
        held.enter_context(source.lock("move"))
        if source.folder.path.resolve() != target.folder.path.resolve():
            held.enter_context(target.lock("move"))
        held.enter_context(source.transaction())
        if target.setting(MOVING) is None and target.count(None) and summary(target, batch) == summary(source, batch):
            return summary(target, batch)
        state = _begin(source, target)
        copy_weights(source.folder, target.folder)
        _copy(source, target, "events", batch, progress)
        if not state["made"]:
            with target.transaction():
                target.rebuild()
                target.db.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events) AND kind = 'rebuilt'")
                target.set_setting(MOVING, {**state, "made": True})
        _copy_vectors(source, target, batch, progress)
        for table in [t for t in _TABLES if t != "events"]:
            _copy(source, target, table, batch, progress)
        with target.transaction():
            for key, value in _settings(source):
                target.db.execute("DELETE FROM settings WHERE key = ?", (key,))
                target.db.execute("INSERT INTO settings (key, value) VALUES (?, ?)", (key, value))
        target.settle()
        summed = _verify(source, target, batch, progress)
        target.db.execute("DELETE FROM settings WHERE key = ?", (MOVING,))
        target.dimension = target.setting("dimension")
    return summed


def refuse_unfinished(store: AnyStore) -> None:
    """Raise `Conflict` when a store is a copy that was not finished."""
    state = store.setting(MOVING)
    if state:
        raise Conflict(
            f"{store.place} is an unfinished copy of {state['from']}; run the same byheart store command again"
        )


def refuse_missing(source: AnyStore, target: AnyStore, batch: int = 1000) -> None:
    """Raise `Conflict` unless the log of `target` begins with all of that of `source`, but for what was erased since.

    So `source` is an older state of the same memory, and may go.
    """
    gone = {name for (name,) in target.db.rows("SELECT engram FROM events WHERE kind = 'erased'")}

    def log(store: AnyStore) -> Iterator[tuple[Any, ...]]:
        for rows in _pages(store, "events", batch):
            yield from (r[1:5] for r in rows if r[3] not in gone)

    theirs = log(target)
    for ours in log(source):
        if next(theirs, None) != ours:
            raise Conflict(
                f"{source.place} holds what {target.place} does not ({ours[0]} {ours[2]} at {ours[3]}); nothing was "
                "deleted: compare the two, and remove the one you do not want yourself"
            )


def summary(store: AnyStore, batch: int = 1000) -> dict[str, Any]:
    """The number of rows by table, and a digest of every row: equal for equal memories in any store."""
    whole = sha256()
    counts: dict[str, Any] = {}
    for table in (*_TABLES, "vectors", "settings"):
        counts[table] = 0
        for row in _everything(store, table, batch):
            whole.update(to_json(row) if table != "vectors" else b"%d " % row[0] + row[1])
            counts[table] += 1
        whole.update(f"{table} {counts[table]};".encode())
    return {**counts, "engrams": store.count(None), "digest": whole.hexdigest()}


def _begin(source: AnyStore, target: AnyStore) -> dict[str, Any]:
    """The state of the copy, new or resumed."""
    refuse_unfinished(source)
    last = source.db.value("SELECT max(seq) FROM events") or 0
    state = {"from": source.place, "last": last, "count": _count(source, "events"), "made": False}
    held = target.setting(MOVING)
    if held is None:
        full = [t for t in (*_TABLES, "settings") if _count(target, t)]
        if full:
            raise BadInput(f"{target.place} is not empty (it has {full[0]}); move to a place that has nothing yet")
        target.set_setting(MOVING, state)
        return state
    if {**held, "made": False} != state:
        raise Conflict(
            f"{target.place} is an unfinished copy of {held['from']} as it was with {held['count']} events, not of "
            f"{source.place} with {state['count']}; delete it and move again"
        )
    return dict(held)


def _copy(source: AnyStore, target: AnyStore, table: str, batch: int, progress: Progress | None) -> None:
    """The rows of a table that the target lacks, each batch in a transaction of its own."""
    key, columns = _TABLES[table]
    done, of = _count(target, table), _count(source, table)
    after = -1
    if done:
        after = source.db.value(f"SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET ?", (done - 1,))
    marks = ", ".join("?" * len(columns.split(",")))
    for rows in _pages(source, table, batch, after):
        with target.transaction():
            target.db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [r[1:] for r in rows])
        done += len(rows)
        if progress:
            progress(table, done, of)


def _copy_vectors(source: AnyStore, target: AnyStore, batch: int, progress: Progress | None) -> None:
    done, of = _count(target, "vectors"), _count(source, "vectors")
    after = target.db.value("SELECT max(row) FROM vectors") or 0
    while vectors := source.vectors(after, batch):
        target.put_vectors(vectors)
        after = vectors[-1][0]
        done += len(vectors)
        if progress:
            progress("vectors", done, of)


def copy_weights(source: Folder, target: Folder) -> None:
    """Copy tensors and blobs that the target lacks; each is whole or absent, and named by its hash."""
    target.prepare()
    for path in sorted(source.weights.iterdir()):
        place = target.weights / path.name
        if path.name.startswith(".new-") or place.exists():
            continue
        scratch = target.weights / f".new-{path.name}"
        shutil.rmtree(scratch, ignore_errors=True)
        if path.is_dir():
            shutil.copytree(path, scratch)
        else:
            shutil.copyfile(path, scratch)
        for file in [scratch] if scratch.is_file() else [*scratch.iterdir(), scratch]:
            flush(file)
        os.replace(scratch, place)
    flush(target.weights)


def flush(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _verify(source: AnyStore, target: AnyStore, batch: int, progress: Progress | None) -> dict[str, Any]:
    if progress:
        progress("checking", 0, 1)
    ours, theirs = summary(source, batch), summary(target, batch)
    wrong = [f"{k}: {theirs[k]} for {ours[k]}" for k in ours if ours[k] != theirs[k]]
    wrong += [fault for fault in target.check() if fault not in source.check()] if not wrong else []
    if wrong:
        raise Damaged(
            f"the copy in {target.place} is not what was copied ({'; '.join(wrong[:3])}); the source is as it was: "
            "delete the copy and move again"
        )
    if progress:
        progress("checking", 1, 1)
    return theirs


def _everything(store: AnyStore, table: str, batch: int) -> Iterator[tuple[Any, ...]]:
    if table == "settings":
        yield from _settings(store)
    elif table == "vectors":
        after = 0
        while vectors := store.vectors(after, batch):
            yield from vectors
            after = vectors[-1][0]
    else:
        for rows in _pages(store, table, batch):
            yield from (r[1:] for r in rows)


def _pages(store: AnyStore, table: str, batch: int, after: int = -1) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a table in their order, a batch at a time, with their key first."""
    key, columns = _TABLES[table]
    query = f"SELECT {key}, {columns} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?"
    while rows := store.db.rows(query, (after, batch)):
        yield rows
        after = rows[-1][0]


def _settings(store: AnyStore) -> list[tuple[str, str]]:
    return sorted((k, v) for k, v in store.db.rows("SELECT key, value FROM settings") if k not in _OWN)


def _count(store: AnyStore, table: str) -> int:
    return int(store.db.value(f"SELECT count(*) FROM {table}"))
