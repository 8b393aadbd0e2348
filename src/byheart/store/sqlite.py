"""The store: an object over a Memory's folder. The parts that it calls do the work; this lists what there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from byheart.core.errors import BadInput, Busy, Full
from byheart.core.records import Brief, Engram, Form, State
from byheart.store import check, erase, events, history
from byheart.store.base import KEEP, NEWEST, AnyStore, vet
from byheart.store.database import Database
from byheart.store.folder import Folder
from byheart.store.search import Search


class Store(AnyStore):
    """Engrams, indexes, versions and exams in `memory.db`, durable before a call returns.

    The event log is the truth: the table of engrams and the full-text index can be made anew from
    it (`rebuild`). Several processes may read and add at once; each waits up to `patience` seconds
    for another's write. Any thread may call.

    Parameters
    ----------
    folder: a `Folder`, or its path; created when missing.
    dimension: length of the embeddings, or None to work without. Fixed by the first that are added.
    patience: seconds to wait for another process before `Busy`.

    >>> import tempfile
    >>> from byheart.core.records import Engram
    >>> with tempfile.TemporaryDirectory() as path, Store(path) as store:
    ...     _ = store.add([Engram(id="a", text="Marta signs off travel.", created="2026-11-20")])
    ...     store.lexical("who signs for travelling?", k=1)[0][0]
    'a'
    """

    def __init__(self, folder: Folder | str | Path, *, dimension: int | None = None, patience: float = 30.0) -> None:
        self.folder = folder if isinstance(folder, Folder) else Folder(folder)
        self.db = Database(self.folder.database, patience=patience)
        try:
            self.folder.prepare()
            held = history.setting(self.db, "dimension")
            if dimension is not None and held is not None and dimension != held:
                raise BadInput(
                    f"{self.folder.path} holds vectors of {held} dimensions, the embedder gives {dimension}; "
                    "open it with the embedder it was made with"
                )
            if history.setting(self.db, erase.DUE):
                with suppress(Busy, Full):
                    erase.scrub(self.db)
        except BaseException:
            self.db.close()
            raise
        self.dimension = dimension if held is None else held
        self._search = Search(self.db)

    def close(self) -> None:
        """Close the database. Closing twice is harmless."""
        self._search.close()
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes: all of them or none. Nests. What was erased inside is scrubbed after the outermost."""
        with self.db.transaction():
            yield
        if not self.db.inside and history.setting(self.db, erase.DUE):
            self.scrub()

    # engrams
    def add(self, engrams: Sequence[Engram], vectors: ArrayLike | None = None) -> list[Engram]:
        """Store engrams, with embeddings (n, d) where given; durable when it returns.

        Gives one engram per engram given: the same text, source, owner, question and answer as an
        active engram gives that engram, with the forms of both. Raises `BadInput` for an empty text, a
        NUL character or lone surrogate in a text, an id that is empty, used or has a comma (lists of ids are
        stored with commas between), or vectors that are not finite or of another dimension; then nothing is stored.
        """
        engrams = list(engrams)
        vet(engrams)
        blobs = events.blobs(vectors, len(engrams), self.dimension)
        if not engrams:
            return []
        with self.db.transaction():
            if blobs and history.setting(self.db, "dimension") is None:
                history.set_setting(self.db, "dimension", len(blobs[0]) // 4)
            stored = events.insert(self.db, engrams, blobs)
        if blobs:
            self.dimension = len(blobs[0]) // 4
        return stored

    def get(self, ids: Sequence[str]) -> list[Engram]:
        """Engrams by id, in this order, whatever their state; `Unknown` when an id is not there."""
        return events.fetch(self.db, ids)

    def all(
        self,
        state: State | None = "active",
        forms: Form | Sequence[Form] | None = None,
        source: str | None = None,
        newest: int | None = None,
    ) -> list[Engram]:
        """Engrams in the order they were added, see the contract."""
        condition, values = _chosen(state, forms, source)
        if newest is not None:
            condition, values = NEWEST.format(condition), [*values, newest]
        return events.select(self.db, condition, values)

    def find(self, ids: Sequence[str]) -> dict[str, Engram]:
        """Those of these engrams that are there, by id, whatever their state."""
        return events.find(self.db, ids)

    def keyed(self, key: str, owner: str | None = KEEP) -> list[Engram]:
        """All engrams with a key (and owner, if given), whatever their state, in the order they were added."""
        if owner is KEEP:
            return events.select(self.db, "key = ?", (key,))
        return events.select(self.db, "key = ? AND owner IS ?", (key, owner))

    def count(self, state: State | None = "active", forms: Form | Sequence[Form] | None = None) -> int:
        """How many engrams `all` would give."""
        condition, values = _chosen(state, forms, None)
        return int(self.db.value(f"SELECT count(*) FROM engrams WHERE {condition}", values))

    def _change(self, ids: Sequence[str], changes: dict[str, Any]) -> list[Engram]:
        return events.change(self.db, ids, changes)

    def erase(self, ids: Sequence[str]) -> None:
        """Remove every byte of these engrams from the database and its write-ahead log; not to be undone.

        Their events, vectors, items, lessons and results go too; the log keeps "erased" with the id.
        Raises `Busy` when another process keeps reading, `Full` when there is no room to write the
        database anew; the engrams are gone even then, and the next opening scrubs what is left.
        """
        with self.transaction():
            erase.erase(self.db, ids)

    def scrub(self) -> None:
        """Drop free pages, the write-ahead log and old index files, where deleted content lingers."""
        with self.db.lock:
            erase.scrub(self.db)

    # search
    def lexical(
        self, query: str, k: int, at: str | None = None, where: dict[str, Any] | None = None
    ) -> list[tuple[str, float]]:
        """The k best (id, score) by stemmed BM25, best first, higher is better. Any text is a safe query.

        Finds engrams that are active, have a text form and hold now. With `at` (ISO time) those that
        held then, superseded ones included. `where` filters by equality on fields or metadata keys;
        None means missing, of a tuple any will do. A fact with a key matches by the words of the key,
        and by all statements under it that `where` lets through.
        """
        return self._search.lexical(query, k, at, where)

    def dense(
        self, vector: ArrayLike, k: int, at: str | None = None, where: dict[str, Any] | None = None
    ) -> list[tuple[str, float]]:
        """The k best (id, cosine), best first; `at` and `where` as in `lexical`. Exact up to 16,384 vectors.

        Above that the nearest cells are scanned (`store.cells`), which finds 98% and more of the ten nearest.
        """
        return self._search.dense(vector, k, at, where)

    def cosine(self, vector: ArrayLike, ids: Sequence[str]) -> dict[str, float]:
        """The cosine of each of these engrams that has a vector with `vector` (d,)."""
        return self._search.cosine(vector, list(ids))

    def neighbours(
        self, ids: Sequence[str], at: str | None = None, where: dict[str, Any] | None = None
    ) -> dict[str, tuple[str, ...]]:
        """For each id the ids just before and after it in its source, as `lexical` would find them."""
        with self.db.lock:
            return self._search.neighbours(list(ids), at, where)

    def saying(self, ids: Sequence[str], phrase: str) -> set[str]:
        """Those of these engrams in whose text (or key in words) a phrase stands, letter for letter."""
        with self.db.lock:
            return self._search.saying(list(ids), phrase)

    def keys(self, ids: Sequence[str]) -> dict[str, str]:
        """The key of each of these engrams that has a key; nothing is read where none has."""
        with self.db.lock:
            return self._search.keys(list(ids))

    def brief(self, ids: Sequence[str]) -> dict[str, Brief]:
        """What a search weighs of each of these engrams, without reading them whole; unknown ids are left out."""
        return events.brief(self.db, ids)

    # in bulk
    def vectors(self, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """(row, float32 bytes) of the next vectors above a row, in the order of the rows."""
        return self.db.rows("SELECT row, vector FROM vectors WHERE row > ? ORDER BY row LIMIT ?", (after, limit))

    def put_vectors(self, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Store vectors by row, for engrams whose events tell of them; durable when it returns."""
        with self.db.transaction():
            if vectors and history.setting(self.db, "dimension") is None:
                history.set_setting(self.db, "dimension", len(vectors[0][1]) // 4)
            self.db.executemany("INSERT INTO vectors (row, vector) VALUES (?, ?)", vectors)

    # upkeep
    def check(self) -> list[str]:
        """Everything wrong with the folder, in words; empty when it is sound."""
        return check.check(self.db, self.folder)

    def rebuild(self) -> None:
        """Make the table of engrams and the indexes anew from the event log."""
        check.rebuild(self.db)

    def fold(self) -> None:
        """Bring the index files up to date now; a query does so itself once 4,096 engrams are new."""
        self._search.fold()


def _chosen(state: State | None, forms: Form | Sequence[Form] | None, source: str | None) -> tuple[str, list[Any]]:
    """An SQL condition for `all` and `count`."""
    parts: list[str] = ["1"]
    values: list[Any] = []
    if state is not None:
        parts.append("state = ?")
        values.append(state)
    for form in (forms,) if isinstance(forms, str) else forms or ():
        parts.append("instr(',' || forms || ',', ?) > 0")
        values.append(f",{form},")
    if source is not None:
        parts.append("source = ?")
        values.append(source)
    return " AND ".join(parts), values
