"""A backup is one file: a `memory.db` with the weights in it. It is checked before it replaces anything."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from byheart.core.errors import BadInput, Busy, Damaged
from byheart.store.base import AnyStore
from byheart.store.events import now
from byheart.store.folder import Folder
from byheart.store.index import KEY, Index, files
from byheart.store.move import LEFT, copy_weights, flush, move, refuse_unfinished, summary
from byheart.store.opening import address_of, point
from byheart.store.sqlite import Store

Progress = Callable[[str, int, int], None]
BACKUPS = "backups"
"""The setting that lists backups: path -> when it was made. `forget` names those that may hold the content."""

_PART = 1 << 24


def backup(store: AnyStore, path: str | Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Write a store and its weights into a new file, checked, and note where it is; adding goes on meanwhile.

    From SQLite by its online backup, from PostgreSQL by a move. Gives the number of rows by table and
    the digest. Raises `BadInput` when the file is there already, `Damaged` when the store is not sound.
    """
    path = Path(path).expanduser().resolve()
    if path.exists():
        raise BadInput(f"{path} is there already; give a new name for the backup")
    if not path.parent.is_dir():
        raise BadInput(f"{path.parent} is no folder; make it, or give another path")
    refuse_unfinished(store)
    # noted before it exists, so that a kill cannot leave a copy that nobody knows of
    store.set_setting(BACKUPS, {**store.setting(BACKUPS, {}), str(path): now()})
    with _scratch(unfinished(path)) as scratch:
        if isinstance(store, Store):
            link, copy = sqlite3.connect(store.folder.database), sqlite3.connect(scratch / "memory.db")
            with closing(link), closing(copy):
                link.backup(copy, pages=4096, sleep=0.001)
            with Store(scratch) as copied:
                copied.set_setting(KEY, [])
                copy_weights(store.folder, copied.folder)
                summed = _sound(copied, path)
        else:
            with Store(scratch) as copied:
                summed = move(store, copied, progress=progress)
        _pack(scratch / "memory.db", scratch / "weights")
        flush(scratch / "memory.db")
        os.replace(scratch / "memory.db", path)
        flush(path.parent)
    return summed


def restore(
    path: str | Path, folder: Folder | str | Path, address: str | None = None, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Put a backup in the place of what a folder (and the address that it names) holds now, once it is checked.

    Until then nothing is touched: the backup is unpacked beside it, its log, tables, vectors and weights
    are checked, and for PostgreSQL it is first moved into a schema of its own, which then takes the
    name. The index files of what was replaced are deleted. Gives the number of rows by table and the digest.
    Raises `Damaged` for a backup that is not sound, `Busy` when another process has the memory open.
    """
    path, home = Path(path).expanduser(), folder if isinstance(folder, Folder) else Folder(folder)
    if not path.is_file():
        raise BadInput(f"{path} is no file; give a backup made with byheart store backup")
    wanted = address or address_of(home)
    if address is not None and address_of(home) is None and home.database.exists():
        raise BadInput(f"{home.path} keeps its engrams in memory.db; move them first: byheart store move '{address}'")
    home.prepare()
    with home.lock("restore"), _scratch(home.work / "restore") as scratch:
        shutil.copyfile(path, scratch / "memory.db")
        _unpack(scratch / "memory.db", scratch / "weights")
        with Store(scratch) as copy:
            copy.set_setting(KEY, [])
            copy.db.execute("DELETE FROM settings WHERE key = ?", (LEFT,))
            summed = _sound(copy, path)
            copy.set_setting(BACKUPS, {**copy.setting(BACKUPS, {}), str(path.resolve()): now()})
            copy_weights(copy.folder, home)
            if wanted is not None:
                from byheart.store.postgres.replace import replace

                replace(copy, wanted, home, progress=progress)
                point(home, address_of(home) or wanted)
                for file in files(home.path):
                    file.unlink()
        if wanted is None:
            alone(scratch / "memory.db")
            if home.database.exists():
                alone(home.database)
            flush(scratch / "memory.db")
            os.replace(scratch / "memory.db", home.database)
            flush(home.path)
            with Store(home) as restored:
                Index(restored.db).drop([])
    return summed


def _sound(store: AnyStore, path: Path) -> dict[str, Any]:
    refuse_unfinished(store)
    faults = store.check()
    if faults:
        raise Damaged(f"{path} is not sound ({'; '.join(faults[:3])}); nothing was changed: use another backup")
    return summary(store)


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """A folder for unfinished work; what a kill left of an earlier folder is removed first."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def unfinished(path: Path) -> Path:
    """Where a backup is made before it gets its name; a kill may leave it."""
    return path.with_name(f".{path.name}.part")


def _pack(database: Path, weights: Path) -> None:
    """Put files into the database, in parts that any SQLite can hold."""
    alone(database)
    with closing(sqlite3.connect(database)) as link, link:
        link.execute("CREATE TABLE files (path TEXT, part INTEGER, data BLOB NOT NULL, PRIMARY KEY (path, part))")
        for file in sorted(p for p in weights.rglob("*") if p.is_file()):
            with open(file, "rb") as data:
                for part, piece in enumerate(iter(lambda: data.read(_PART), b"")):
                    link.execute("INSERT INTO files VALUES (?, ?, ?)", (str(file.relative_to(weights)), part, piece))


def _unpack(database: Path, weights: Path) -> None:
    """Take the files out of the database again; `BadInput` when it is no backup."""
    weights.mkdir()
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as link:
            for (name,) in link.execute("SELECT DISTINCT path FROM files").fetchall():
                place = weights / name
                if not place.resolve().is_relative_to(weights.resolve()):
                    raise BadInput(f"the backup has a file named {name!r}, outside the weights; use another backup")
                place.parent.mkdir(exist_ok=True)
                with open(place, "wb") as file:
                    for (data,) in link.execute("SELECT data FROM files WHERE path = ? ORDER BY part", (name,)):
                        file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            link.execute("DROP TABLE files")
            link.execute("VACUUM")
    except sqlite3.DatabaseError as error:
        raise Damaged(f"the backup cannot be read ({error}); nothing was changed: use another backup") from error


def alone(database: Path) -> None:
    """Fold the write-ahead log of a database in and leave that mode, which needs it to ourselves."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=2.0)) as link:
        try:
            mode = link.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise Busy(f"another process has {database} open ({error}); close it and try again") from error
    if mode != "delete":
        raise Busy(f"another process has {database} open; close it and try again")
