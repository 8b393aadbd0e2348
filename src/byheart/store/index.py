"""Index files beside the database: made from it, mapped by every process, never the truth."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import Busy, Damaged
from byheart.store import arrays, cells, history, postings
from byheart.store.cells import Cells, Layout
from byheart.store.database import Database
from byheart.store.postings import Gathered, Postings
from byheart.store.tokens import Tokens

Rows = NDArray[np.int64]
KEY = "index"
GONE = "erased rows"
INDEXED = "CASE WHEN key IS NULL OR key LIKE '#%' THEN text ELSE key || ': ' || text END"
"""What a search reads of an engram, as `Engram.indexed` tells."""
TAIL = 4_096
_FACTOR = 8
_TEXTS = 20_000
_VECTORS = 8_192


class Segment(NamedTuple):
    """One file: the words and vectors of the engrams up to row `last` that no earlier segment has.

    seq: the event log's number when it was begun. crc: of the file.
    """

    file: str
    last: int
    seq: int
    crc: int
    words: Postings
    cells: Cells

    @property
    def record(self) -> dict[str, Any]:
        """The entry of this segment in the database."""
        return {"file": self.file, "last": self.last, "seq": self.seq, "crc": self.crc}


class Index:
    """The segments of a memory, named by a setting in the database and lying in `index/`.

    What was added since the last segment is searched in memory; past 4,096 engrams it becomes a segment, which
    swallows those before it that are less than eight times as large: there are few, and an engram is written anew a
    few times only. A file is written under another name, flushed, renamed, and then named in the database, so a kill
    leaves the old segments in force and at most a stray file, which the next writer deletes. One writer at a time
    (`index/lock`); readers need no lock, for a file that is named never changes.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.folder = db.path.parent / "index"
        self._again = 0

    def held(self) -> list[Segment]:
        """The segments in force; those after a file that is missing or not whole are left out."""
        while True:
            records = history.setting(self._db, KEY, [])
            segments: list[Segment] = []
            try:
                for record in records:
                    segments.append(_open(self.folder, record))
                return segments
            except (FileNotFoundError, Damaged):
                if history.setting(self._db, KEY, []) == records:
                    return segments

    def late(self, segments: Sequence[Segment]) -> list[int]:
        """Rows that were given their vector after their segment was begun."""
        if not segments:
            return []
        rows = self._db.rows(
            "SELECT row, max(seq) FROM events WHERE kind = 'vector' AND row <= ? GROUP BY row", (segments[-1].last,)
        )
        ends = [s.last for s in segments]
        return [row for row, seq in rows if seq > segments[int(np.searchsorted(ends, row))].seq]

    def fold(self, tokens: Tokens, new: int, *, least: int | None = None) -> bool:
        """Put the `new` engrams outside segments into a segment, unless they are few; true if segments may differ.

        Waits for another process that is at it where much is to be done. Without room on the disk or leave to
        write there it does nothing: queries then search in memory.
        """
        least = TAIL if least is None else least
        if self._db.inside or new <= max(least, self._again):
            return False
        try:
            with self._writing(self._db.patience if new > 16 * TAIL else 0.0):
                self._fold(tokens, least)
        except Busy:
            return False
        except OSError:
            self._again = 2 * new
            return False
        return True

    def drop(self, gone: Sequence[int]) -> None:
        """Write the segments anew without these rows, and delete every file that is not in force."""
        if not self.folder.exists():
            return
        with self._writing(self._db.patience):
            left: list[Segment] = []
            held = self.held()
            for segment in held:
                try:
                    left.append(self._without(segment, np.array(gone, np.int64)))
                except OSError:
                    break
            if [s.record for s in left] != history.setting(self._db, KEY, []):
                history.set_setting(self._db, KEY, [s.record for s in left])
            self._sweep(left)

    def faults(self) -> list[str]:
        """What is wrong with the files, in words."""
        wrong = []
        for record in history.setting(self._db, KEY, []):
            path = self.folder / _name(record["file"])
            if not path.exists():
                wrong.append(f"{path.name} is missing from {self.folder}; run byheart store rebuild")
            elif arrays.checksum(path) != record["crc"]:
                wrong.append(f"{path.name} in {self.folder} is altered; run byheart store rebuild")
        return wrong

    def _new(self, segments: Sequence[Segment]) -> int:
        top = self._db.value("SELECT max(row) FROM engrams") or 0
        return int(top) - (segments[-1].last if segments else 0)

    def _fold(self, tokens: Tokens, least: int) -> None:
        held = self.held()
        seq = int(self._db.value("SELECT max(seq) FROM events") or 0)
        top = int(self._db.value("SELECT max(row) FROM engrams") or 0)
        size = self._new(held)
        if size <= least:
            return
        left = list(held)
        if len(self.late(left)) > TAIL:
            left = []
        while left and len(left[-1].words.docs) < _FACTOR * size:
            size += len(left.pop().words.docs)
        self._sweep(held)
        made = self._write(left[-1].last if left else 0, top, seq, tokens)
        with self._db.transaction():
            moved = self._db.value("SELECT 1 FROM events WHERE seq > ? AND kind IN ('erased', 'rebuilt')", (seq,))
            if not moved:
                history.set_setting(self._db, KEY, [*(s.record for s in left), made])
        self._sweep(self.held())

    def _write(self, after: int, top: int, seq: int, tokens: Tokens) -> dict[str, Any]:
        """A segment of the rows above `after` up to `top`."""
        gathered = Gathered()
        count = 0
        for rows, names, texts in self._texts(after, top):
            gathered.add(rows, names, tokens.count(texts))
            count += len(rows)
        layout = cells.arrange(lambda: self.vectors(after, top), count)
        words = gathered.arrays()
        order = np.argsort(layout.rows)
        rows = layout.rows[order]

        def fill(matrix: NDArray[np.float32]) -> None:
            for some, vectors in self.vectors(after, top):
                here = np.isin(some, rows)
                matrix[order[np.searchsorted(rows, some[here])]] = vectors[here]

        return self._put(words, layout, fill, top, seq)

    def _without(self, segment: Segment, gone: Rows) -> Segment:
        """A segment, or its copy without some rows."""
        if not np.isin(segment.words.docs, gone).any() and not (segment.cells.find(gone) >= 0).any():
            return segment
        arrays_by_name = arrays.open_file(self.folder / _name(segment.file))
        words = postings.without(_part(arrays_by_name, "words."), gone)
        old = segment.cells
        layout, left = old.without(gone)

        def fill(matrix: NDArray[np.float32]) -> None:
            for i in range(0, len(left), _VECTORS):
                matrix[i : i + _VECTORS] = old.matrix[left[i : i + _VECTORS]]

        return _open(self.folder, self._put(words, layout, fill, segment.last, segment.seq))

    def _put(
        self,
        words: dict[str, NDArray[Any]],
        layout: Layout,
        fill: Callable[[NDArray[np.float32]], None],
        last: int,
        seq: int,
    ) -> dict[str, Any]:
        """Write a segment's file durably; gives what the database is to keep of it."""
        name = secrets.token_hex(8)
        fresh = self.folder / f".new-{name}"
        contents = {f"words.{n}": a for n, a in words.items()} | {f"vectors.{n}": a for n, a in layout.arrays().items()}
        shapes = {n: (a.dtype.name, a.shape) for n, a in contents.items()}
        shape = (len(layout.rows), layout.centres.shape[1])
        made = arrays.create(fresh, shapes | {"vectors.matrix": ("float32", shape)})
        for n, a in contents.items():
            made[n][...] = a
        fill(made["vectors.matrix"])
        del made
        os.rename(fresh, self.folder / _name(name))
        arrays.flush(self.folder / _name(name))
        return {"file": name, "last": last, "seq": seq, "crc": arrays.checksum(self.folder / _name(name))}

    def _texts(self, after: int, top: int) -> Iterator[tuple[Rows, list[str], list[str]]]:
        while part := self._db.rows(
            f"SELECT row, id, {INDEXED} FROM engrams WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
            (after, top, _TEXTS),
        ):
            yield np.array([r for r, _, _ in part], np.int64), [i for _, i, _ in part], [t for _, _, t in part]
            after = part[-1][0]

    def vectors(self, after: int, top: int) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
        """The vectors of rows above `after` up to `top`, scaled to length 1, in portions."""
        while part := self._db.rows(
            "SELECT row, vector FROM vectors WHERE row > ? AND row <= ? ORDER BY row LIMIT ?", (after, top, _VECTORS)
        ):
            yield np.array([r for r, _ in part], np.int64), unit([v for _, v in part])
            after = part[-1][0]

    def _sweep(self, segments: Sequence[Segment]) -> None:
        names = {"lock", *(_name(s.file) for s in segments)}
        for path in self.folder.iterdir():
            if path.name not in names:
                with suppress(FileNotFoundError):
                    path.unlink()

    @contextmanager
    def _writing(self, patience: float) -> Iterator[None]:
        """Be the only writer here; `Busy` when another still writes after so many seconds."""
        import fcntl

        self.folder.mkdir(exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= until:
                        raise Busy(f"another process is writing {self.folder}; try again in a minute") from error
                    time.sleep(0.02)
            yield
        finally:
            os.close(handle)


def files(folder: Path) -> list[Path]:
    """The index files in a memory's folder, in force or not."""
    place = folder / "index"
    return sorted(place.iterdir()) if place.is_dir() else []


def unit(blobs: Sequence[bytes]) -> NDArray[np.float32]:
    """Stored vectors (n, d) scaled to length 1; a vector of zeros stays."""
    block = np.frombuffer(b"".join(blobs), np.float32).reshape(len(blobs), -1)
    length = np.linalg.norm(block, axis=1, keepdims=True)
    return np.divide(block, length, out=np.zeros_like(block), where=length > 0)


def _open(folder: Path, record: dict[str, Any]) -> Segment:
    path = folder / _name(record["file"])
    contents = arrays.open_file(path)
    try:
        return Segment(**record, words=Postings(_part(contents, "words.")), cells=Cells(_part(contents, "vectors.")))
    except KeyError as error:
        raise Damaged(f"{path} lacks {error}; delete it: it is made anew from the database") from error


def _part(contents: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in contents.items() if name.startswith(prefix)}


def _name(file: str) -> str:
    return f"{file}.safetensors"
