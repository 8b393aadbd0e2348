"""What every store can do, whichever database it keeps its engrams in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

from numpy.typing import ArrayLike

from byheart.core.errors import BadInput
from byheart.core.records import Brief, Certificate, Engram, Form, Item, Result, State, Version
from byheart.store import history
from byheart.store.folder import Folder, files

NEWEST = "row IN (SELECT row FROM engrams WHERE {} ORDER BY row DESC LIMIT ?)"
"""Those of the rows that meet a condition that were added last."""
KEEP: Any = object()
"""Of `update`: leave this field as it is."""
Where = dict[str, Any] | None
Ranked = tuple[str, float]


class AnyStore(ABC):
    """Engrams, indexes, versions and exams, durable before a call returns; the event log is the truth.

    `folder` holds the weights. What is written here is the contract; the tests run it on every store.
    """

    db: Any
    folder: Folder
    dimension: int | None

    @property
    def place(self) -> str:
        """Where the engrams are, in words for people."""
        return str(self.folder.path)

    @abstractmethod
    def close(self) -> None:
        """Close the database. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Group writes: all of them or none. Nests. What was erased inside is scrubbed after the outermost."""

    @contextmanager
    def lock(self, verb: str) -> Iterator[None]:
        """Hold the memory for a change of weights, or raise `Busy` at once; reading and adding go on."""
        with self.folder.lock(verb):
            yield

    # engrams
    @abstractmethod
    def add(self, engrams: Sequence[Engram], vectors: ArrayLike | None = None) -> list[Engram]:
        """Store engrams, with embeddings (n, d) where given; durable when it returns.

        Gives one engram per engram given: the same text, source, owner, question and answer as an
        active engram gives that engram, with the forms of both. Raises `BadInput` for an empty text, a
        NUL character or lone surrogate in a text, an id that is empty, used or has a comma (lists of ids are
        stored with commas between), or vectors that are not finite or of another dimension; then nothing is stored.
        """

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Engram]:
        """Engrams by id, in this order, whatever their state; `Unknown` when an id is not there."""

    @abstractmethod
    def find(self, ids: Sequence[str]) -> dict[str, Engram]:
        """Those of these engrams that are there, by id, whatever their state."""

    @abstractmethod
    def keyed(self, key: str, owner: str | None = KEEP) -> list[Engram]:
        """All engrams with a key (and owner, if given), whatever their state, in the order they were added."""

    @abstractmethod
    def all(
        self,
        state: State | None = "active",
        forms: Form | Sequence[Form] | None = None,
        source: str | None = None,
        newest: int | None = None,
    ) -> list[Engram]:
        """Engrams in the order they were added: of a state (None: any), with all these forms, of a source.

        With `newest` only so many, the last ones added.
        """

    @abstractmethod
    def count(self, state: State | None = "active", forms: Form | Sequence[Form] | None = None) -> int:
        """How many engrams `all` would give."""

    def update(
        self,
        ids: Sequence[str],
        *,
        state: State = KEEP,
        forms: Sequence[Form] = KEEP,
        version: str | None = KEEP,
        valid_to: str | None = KEEP,
        key: str | None = KEEP,
        position: int = KEEP,
    ) -> list[Engram]:
        """Change what is given of these engrams, each change an event; gives them as they are now.

        A key given so late names a line only, and begins with "#": `BadInput` for a key of words.
        """
        if key is not KEEP and key is not None and not key.startswith("#"):
            raise BadInput(f"the key {key!r} is given too late to be searched by; give it with the engram, or '#{key}'")
        given = {"state": state, "version": version, "valid_to": valid_to, "key": key, "position": position}
        changes: dict[str, Any] = {k: v for k, v in given.items() if v is not KEEP}
        if forms is not KEEP:
            changes["forms"] = tuple(forms)
        return self._change(ids, changes) if changes else self.get(ids)

    @abstractmethod
    def _change(self, ids: Sequence[str], changes: dict[str, Any]) -> list[Engram]:
        """Set these fields, with an event for each engram."""

    @abstractmethod
    def erase(self, ids: Sequence[str]) -> None:
        """Remove every byte of these engrams that the store can reach; not to be undone.

        Their events, vectors, items, lessons and results go too; the log keeps "erased" with the id.
        Raises `Busy` when another process keeps reading, `Full` when there is no room to write the
        database anew; the engrams are gone even then, and the next opening scrubs what is left.
        """

    @abstractmethod
    def scrub(self) -> None:
        """Drop what lingers of deleted content: free pages, the write-ahead log."""

    def traces(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """(file or table, string) wherever a string of `texts` stands outside the folder."""
        return []

    def unseen(self) -> list[str]:
        """Where erased content may be that no call of ours can reach, in words; empty when nowhere known."""
        return []

    # search
    def changed(self) -> tuple[int, int]:
        """A mark that differs once engrams were added, changed or erased, by any process: for caches between searches.

        The event log's last number, and how many of this process' transactions were undone, which may have shown
        numbers that others bear later.
        """
        return int(self.db.value("SELECT max(seq) FROM events") or 0), int(self.db.rollbacks)

    @abstractmethod
    def lexical(self, query: str, k: int, at: str | None = None, where: Where = None) -> list[Ranked]:
        """The k best (id, score) by stemmed BM25, best first, higher is better. Any text is a safe query.

        Searches engrams that are active, have a text form and hold now. With `at` (ISO time) those that
        held then, superseded ones included. `where` filters by equality on fields or metadata keys;
        None means missing, of a tuple any will do. A fact with a key matches by the words of the key,
        and by all statements under it that `where` lets through.
        """

    @abstractmethod
    def dense(self, vector: ArrayLike, k: int, at: str | None = None, where: Where = None) -> list[Ranked]:
        """The k best (id, cosine), best first; `at` and `where` as in `lexical`."""

    @abstractmethod
    def cosine(self, vector: ArrayLike, ids: Sequence[str]) -> dict[str, float]:
        """The cosine of each of these engrams that has a vector with `vector` (d,)."""

    @abstractmethod
    def neighbours(self, ids: Sequence[str], at: str | None = None, where: Where = None) -> dict[str, tuple[str, ...]]:
        """For each id the ids just before and after it in its source, as `lexical` would find them."""

    @abstractmethod
    def saying(self, ids: Sequence[str], phrase: str) -> set[str]:
        """Those of these engrams in whose text (or key in words) a phrase stands, letter for letter."""

    @abstractmethod
    def keys(self, ids: Sequence[str]) -> dict[str, str]:
        """The key of each of these engrams that has a key; costs next to nothing where none has."""

    @abstractmethod
    def brief(self, ids: Sequence[str]) -> dict[str, Brief]:
        """What a search weighs of each of these engrams, without reading them whole; unknown ids are left out."""

    # versions, lessons, exams
    def put_version(self, version: Version) -> None:
        """Write a version, or overwrite the version with its id."""
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
        """Make a version current; `Unknown` when it is not there."""
        history.set_setting(self.db, "head", None if name is None else self.version(name).id)

    def put_lessons(self, version: str, lessons: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Store (engram id, lesson) pairs a version was trained on; replaces that version's."""
        with self.db.transaction():
            history.put_lessons(self.db, version, lessons)

    def lessons(self, version: str) -> list[tuple[str, dict[str, Any]]]:
        """What a version was trained on, in the order stored."""
        return history.lessons(self.db, version)

    def put_items(self, version: str | None, items: Iterable[Item]) -> None:
        """Store exam questions; a known id is replaced."""
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

    def use(self, times: Mapping[str, int], at: str) -> None:
        """Count so many uses of each of these engrams, the last at a time; those that are not there are passed over."""
        with self.db.transaction():
            history.use(self.db, times, at)

    def uses(self) -> dict[str, tuple[int, str]]:
        """How often each engram that was ever used was, and when last."""
        return history.uses(self.db)

    def put_certificate(self, certificate: Certificate) -> None:
        """Append a certificate."""
        history.put_certificate(self.db, certificate)

    def certificates(self) -> list[Certificate]:
        """All certificates, oldest first."""
        return history.certificates(self.db)

    def setting(self, key: str, default: Any = None) -> Any:
        """The JSON value stored under a key."""
        return history.setting(self.db, key, default)

    def set_setting(self, key: str, value: Any) -> None:
        """Store a JSON value under a key."""
        history.set_setting(self.db, key, value)

    # in bulk
    @abstractmethod
    def vectors(self, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """(row, float32 bytes) of the next vectors above a row, in the order of the rows."""

    @abstractmethod
    def put_vectors(self, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Store vectors by row, for engrams whose events tell of them; durable when it returns."""

    def settle(self) -> None:
        """Make what a bulk load leaves for later: indexes and the planner's statistics."""
        return

    def size(self) -> int:
        """Bytes on the disk."""
        return sum(p.stat().st_size for p in files(self.folder.path))

    # upkeep
    @abstractmethod
    def check(self) -> list[str]:
        """Everything wrong with the store and the weights in its folder, in words; empty when it is sound."""

    @abstractmethod
    def rebuild(self) -> None:
        """Make the table of engrams and the full-text index anew from the event log."""


def vet(engrams: Sequence[Engram]) -> None:
    """Raise `BadInput` for an id (of a parent, too) that cannot stand in a list, and a position past 64 bits."""
    for e in engrams:
        for name in (e.id, *e.parents):
            if not name.strip() or "," in name:
                whose = "the id" if name == e.id else f"a parent of engram {e.id!r} has the id"
                raise BadInput(f"{whose} {name!r} is empty or has a comma; give an id without, such as 'note-7'")
        if not -(2**63) <= e.position < 2**63:
            raise BadInput(f"the position of engram {e.id!r} is {e.position}; give a number of at most 64 bits")
