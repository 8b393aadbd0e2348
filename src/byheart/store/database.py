"""One SQLite connection: opened, checked, guarded, with transactions that nest."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from byheart.core.errors import BadInput, Busy, ByheartError, Damaged, Full, Newer
from byheart.store.schema import APPLICATION, CHANGES, FORMAT, TABLES

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    """A connection to `memory.db` that any thread may use, one thread at a time.

    Write-ahead log with `synchronous=FULL`: a commit returns once its bytes are on the disk.
    `secure_delete` overwrites what is deleted; temporary tables stay in memory, so that no content
    reaches a temporary file. `rollbacks` counts undone transactions, for caches that looked inside.

    Parameters
    ----------
    path: the file; created when missing or empty.
    patience: seconds to wait for another process's write before `Busy`.
    """

    def __init__(self, path: Path, *, patience: float = 30.0) -> None:
        self.path = path
        self.patience = patience
        self.rollbacks = 0
        self.lock = threading.RLock()
        self._depth = 0
        with self._guard():
            self._link = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except BaseException:
            self._link.close()
            raise

    def _open(self) -> None:
        fresh = self._fresh()
        self._set_wal()
        for pragma in ("synchronous=FULL", "secure_delete=ON", "foreign_keys=ON", "temp_store=MEMORY"):
            self.execute(f"PRAGMA {pragma}")
        self.execute("PRAGMA cache_size=-65536")
        if not fresh:
            self._renew()
        else:
            with self.transaction():
                if self._fresh():
                    for statement in TABLES.split(";\n"):
                        self.execute(statement)
                    self.execute(f"PRAGMA application_id={APPLICATION}")
                    self.execute(f"PRAGMA user_version={FORMAT}")
            handle = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _fresh(self) -> bool:
        """Whether the file holds nothing yet; raises when it holds something that is not ours."""
        try:
            ours, form, tables = self.rows(
                "SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_master)"
                " FROM pragma_application_id AS a, pragma_user_version AS v"
            )[0]  # a single statement: another process may be making the tables
        except Damaged as error:
            raise BadInput(f"{self.path} is not a memory's database; give another folder") from error
        if ours == 0 and form == 0 and tables == 0:
            return True
        if ours != APPLICATION:
            raise BadInput(f"{self.path} is another program's database; give another folder")
        if form > FORMAT:
            raise Newer(
                f"{self.path.parent} has format {form}, this engram reads up to {FORMAT}; "
                "update it: pip install --upgrade byheart"
            )
        return False

    def _renew(self) -> None:
        """Bring a folder of an earlier format to this format, all or nothing."""
        if self.value("PRAGMA user_version") == FORMAT:
            return
        with self.transaction():
            for form in range(self.value("PRAGMA user_version"), FORMAT):
                for statement in CHANGES[form]:
                    self.execute(statement)
            self.execute(f"PRAGMA user_version={FORMAT}")

    def _set_wal(self) -> None:
        """Switch to write-ahead logging; SQLite does not wait for its lock here, so we do."""
        until = time.monotonic() + self.patience
        while True:
            try:
                self.execute("PRAGMA journal_mode=WAL")
                return
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement."""
        with self._guard():
            return self._link.execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement for many rows."""
        with self._guard():
            self._link.executemany(sql, values)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._guard():
            return self._link.execute(sql, values).fetchall()

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        with self._guard():
            row = self._link.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def among(self, sql: str, keys: Sequence[Any], more: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query whose `IN ({})` is filled with `keys`, in portions; `more` values follow the keys."""
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            rows += self.rows(sql.format(",".join("?" * len(part))), [*part, *more])
        return rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. An inner transaction that raises is undone alone, if the outer transaction catches it."""
        with self.lock:
            name = f"level{self._depth}"
            self.execute(f"SAVEPOINT {name}" if self._depth else "BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._depth -= 1
                self.execute(f"RELEASE {name}" if self._depth else "COMMIT")
            except BaseException:
                self._depth = int(name[5:])
                self.rollbacks += 1
                if self._link.in_transaction:
                    with suppress(ByheartError):
                        self.execute(f"ROLLBACK TO {name}" if self._depth else "ROLLBACK")
                        if self._depth:
                            self.execute(f"RELEASE {name}")
                raise

    @property
    def inside(self) -> bool:
        """Whether a transaction is open on this connection."""
        return self._depth > 0

    def close(self) -> None:
        """Close; the last connection to close folds the write-ahead log into the database."""
        with self.lock:
            self._link.close()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold the connection and turn SQLite's errors into ours."""
        with self.lock:
            try:
                yield
            except sqlite3.IntegrityError as error:
                raise BadInput(f"{self.path} refuses the write: {error}; nothing was changed") from error
            except sqlite3.DatabaseError as error:
                raise self._translate(error) from error
            except UnicodeEncodeError as error:
                raise BadInput(
                    f"text has a lone surrogate {error.object[error.start]!r}; decode it as UTF-8"
                ) from error

    def _translate(self, error: sqlite3.DatabaseError) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _FULL:
            return Full(f"no room left for {self.path}; nothing was changed: free some space and try again")
        if code & 0xFF in _BUSY:
            return Busy(f"{self.path} has been locked by another process for {self.patience:g} s; try again later")
        if code & 0xFF in _BROKEN:
            return Damaged(f"{self.path} is damaged ({error}); restore the folder from a backup")
        if code & 0xFF == sqlite3.SQLITE_READONLY:
            return BadInput(f"{self.path} may not be written; make the folder writable")
        if code & 0xFF == sqlite3.SQLITE_CANTOPEN:
            return BadInput(f"{self.path} cannot be opened; check that the folder is readable and writable")
        return error
