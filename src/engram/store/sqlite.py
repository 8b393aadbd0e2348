"""The store: one object over a Memory's folder. The parts it calls do the work, this lists what there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import ArrayLike

from engram.core.errors import BadInput, Busy, Full
from engram.core.records import Brief, Certificate, Engram, Form, Item, Result, State, Version
from engram.store import check, erase, events, history
from engram.store.database import Database
from engram.store.folder import Folder
from engram.store.search import Search

_KEEP: Any = object()


class Store:
    """Engrams, indexes, versions and exams in `memory.db`, durable before a call returns.

    The event log is the truth: the table of engrams and the full-text index can be made anew from
    it (`rebuild`). Several processes may read and add at once; each waits up to `patience` seconds
    for another's write. Any thread may call.

    Parameters
    ----------
    folder: a `Folder`, or the path of one; created when missing.
    dimension: length of the embeddings, or None to work without. Fixed by the first that are added.
    patience: seconds to wait for another process before `Busy`.

    >>> import tempfile
    >>> from engram.core.records import Engram
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

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        active one gives that one, with the forms of both. Raises `BadInput` for an empty text, a
        NUL character or lone surrogate in a text, a used id, or vectors that are not finite or of
        another dimension; then nothing is stored.
        """
        engrams = list(engrams)
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
        """Engrams by id, in this order, whatever their state; `Unknown` when one is not there."""
        return events.fetch(self.db, ids)

    def all(
        self,
        state: State | None = "active",
        forms: Form | Sequence[Form] | None = None,
        source: str | None = None,
    ) -> list[Engram]:
        """Engrams in the order they were added: of a state (None: any), with all these forms, of a source."""
        return events.select(self.db, *_chosen(state, forms, source))

    def count(self, state: State | None = "active", forms: Form | Sequence[Form] | None = None) -> int:
        """How many engrams `all` would give."""
        condition, values = _chosen(state, forms, None)
        return int(self.db.value(f"SELECT count(*) FROM engrams WHERE {condition}", values))

    def update(
        self,
        ids: Sequence[str],
        *,
        state: State = _KEEP,
        forms: Sequence[Form] = _KEEP,
        version: str | None = _KEEP,
        valid_to: str | None = _KEEP,
    ) -> list[Engram]:
        """Change what is given of these engrams, each change an event; gives them as they are now."""
        told = {"state": state, "forms": forms, "version": version, "valid_to": valid_to}
        changes = {k: v for k, v in told.items() if v is not _KEEP}
        return events.change(self.db, ids, changes) if changes else self.get(ids)

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
        None means missing.
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

    def brief(self, ids: Sequence[str]) -> dict[str, Brief]:
        """What a search weighs of each of these engrams, without reading them whole; unknown ids are left out."""
        return events.brief(self.db, ids)

    # versions, lessons, exams
    def put_version(self, version: Version) -> None:
        """Write a version, or overwrite the one with its id."""
        history.put_version(self.db, version)

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        return history.versions(self.db)

    def version(self, name: str) -> Version:
        """The version with this id or unique prefix; `Unknown` with a suggestion."""
        return history.version(self.db, name)

    def head(self) -> str | None:
        """The id of the current version; None before the first."""
        return history.setting(self.db, "head")

    def set_head(self, name: str | None) -> None:
        """Make a version the current one; `Unknown` when it is not there."""
        history.set_setting(self.db, "head", None if name is None else self.version(name).id)

    def put_lessons(self, version: str, lessons: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Store (engram id, lesson) pairs a version was trained on; replaces that version's."""
        with self.db.transaction():
            history.put_lessons(self.db, version, lessons)

    def lessons(self, version: str) -> list[tuple[str, dict[str, Any]]]:
        """What a version was trained on, in the order stored."""
        return history.lessons(self.db, version)

    def put_items(self, version: str | None, items: Iterable[Item]) -> None:
        """Store exam questions; one with a known id replaces it."""
        with self.db.transaction():
            history.put_items(self.db, version, items)

    def items(self, engrams: Sequence[str] | None = None, version: str | None = None) -> list[Item]:
        """Exam questions of these engrams (None: of all), of this version (None: of any)."""
        return history.items(self.db, engrams, version)

    def put_results(self, version: str | None, results: Iterable[Result]) -> None:
        """Store exam results under a version; same exam, item and seed replaces."""
        with self.db.transaction():
            history.put_results(self.db, version, results)

    def results(self, version: str | None = None, exam: str | None = None) -> list[Result]:
        """Exam results of a version, of an exam, or all."""
        return history.results(self.db, version, exam)

    def put_certificate(self, certificate: Certificate) -> None:
        """Append a certificate."""
        history.put_certificate(self.db, certificate)

    def certificates(self) -> list[Certificate]:
        """All certificates, oldest first."""
        return history.certificates(self.db)

    def setting(self, key: str, default: Any = None) -> Any:
        """A JSON value kept under a key."""
        return history.setting(self.db, key, default)

    def set_setting(self, key: str, value: Any) -> None:
        """Keep a JSON value under a key."""
        history.set_setting(self.db, key, value)

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
