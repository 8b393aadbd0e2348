"""The layout of a Memory's folder, and the lock that weight-changing verbs hold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from byheart.core.errors import BadInput, Busy

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


NAMESPACES = "namespaces"
MEMORIES = ("memory.db", "store.json")
"""The files that mark a folder as a memory; each memory has at least one."""


def within(path: str | Path, namespace: str | None) -> Path:
    """The folder of a namespace below a folder; any text is a name, no two share a folder.

    >>> within("brain", "Ann/1").as_posix(), within("brain", None).as_posix()
    ('brain/namespaces/%41nn%2F1', 'brain')
    """
    home = Path(path).expanduser()
    if namespace is None:
        return home
    if not namespace.strip():
        raise BadInput(f"namespace={namespace!r} is empty; give a user's name, or none")
    try:
        encoded = namespace.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"namespace={namespace!r} has a lone surrogate; decode it as UTF-8") from error
    name = "".join(chr(b) if chr(b) in _PLAIN else f"%{b:02X}" for b in encoded)
    if len(name) > 255:
        raise BadInput(f"namespace {namespace[:40]!r}... is too long; give a name of {255 // 3} bytes at most")
    return home / NAMESPACES / name


def namespaces(path: str | Path) -> list[str]:
    """The names of the namespaces below a folder, in alphabetical order."""
    home = Path(path).expanduser() / NAMESPACES
    names = [p.name for p in home.iterdir() if any((p / n).exists() for n in MEMORIES)] if home.is_dir() else []
    return sorted(unquote(name) for name in names)


def files(home: Path) -> list[Path]:
    """The files of a memory in order of their paths, without those of its namespaces, which are others' memories."""
    return sorted(p for p in home.rglob("*") if p.is_file() and p.relative_to(home).parts[0] != NAMESPACES)


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
            lock = json.loads((self.path / "lock").read_bytes())
            return int(lock["pid"]), str(lock["verb"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
