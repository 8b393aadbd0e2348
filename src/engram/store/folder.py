"""The layout of a Memory's folder, and the lock that weight-changing verbs hold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engram.core.errors import BadInput, Busy


class Folder:
    """A Memory on disk: `memory.db`, `index/`, `weights/`, `work/` (training in progress), `exports/`, `lock`.

    Opening creates what is missing. A path that is a file raises `BadInput`; whether the database is
    ours and of a format we can read is checked where it is opened (`store.database`).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        if self.path.exists() and not self.path.is_dir():
            raise BadInput(f"{self.path} is a file, but a memory is a folder; give another path")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise BadInput(
                f"{self.path} cannot be a folder: a part of the path is a file; give another path"
            ) from error
        except PermissionError as error:
            raise BadInput(f"{self.path} may not be created: {error.strerror}; give a path you can write to") from error
        self.database = self.path / "memory.db"
        self.weights = self.path / "weights"
        self.work = self.path / "work"
        self.exports = self.path / "exports"

    def prepare(self) -> None:
        """Create the sub-folders. Called once the database is known to be ours."""
        for folder in (self.weights, self.work, self.exports):
            folder.mkdir(exist_ok=True)

    @contextmanager
    def lock(self, verb: str) -> Iterator[None]:
        """Hold the folder for a change of weights (`learn`, `forget`, `revert`), or raise `Busy` at once.

        An advisory `flock`, which the system drops when the process dies, however it dies. Reading
        and `remember` do not need it. POSIX only.
        """
        import fcntl

        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                pid, held = self.holder() or ("unknown", "another verb")
                raise Busy(
                    f"{self.path} is held by process {pid} ({held}); wait until it ends, or stop it, and {verb} again"
                ) from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"pid": os.getpid(), "verb": verb}).encode(), 0)
            try:
                yield
            finally:
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def holder(self) -> tuple[int, str] | None:
        """Process id and verb last written to the lock file; None when it is empty."""
        try:
            told = json.loads((self.path / "lock").read_bytes())
            return int(told["pid"]), str(told["verb"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
