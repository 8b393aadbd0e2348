"""`PostgresStore`: the store's contract over a schema of PostgreSQL, for when one machine is not enough."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from byheart.core.errors import BadInput, Busy, ByheartError, Full
from byheart.core.records import Brief, Engram, Form, State
from byheart.store import history
from byheart.store.base import KEEP, NEWEST, AnyStore, Ranked, Where, vet
from byheart.store.erase import DUE
from byheart.store.events import blobs
from byheart.store.folder import Folder
from byheart.store.postgres import check, erase, events, search
from byheart.store.postgres.address import Address
from byheart.store.postgres.schema import ANEW
from byheart.store.postgres.server import Server
from byheart.store.postgres.terms import Terms


class PostgresStore(AnyStore):
    """Engrams, indexes, versions and exams in a schema; weights in a folder, as ever.

    Adding is serialised by a lock on the schema's table `turn`, reading never waits. Vectors are
    compared exactly up to `exact` of them, with pgvector's HNSW index above; `check` and `rebuild`
    know the log to be the truth, as in SQLite. Any thread may call.

    Parameters
    ----------
    address: `postgresql://user@host/database#schema`; the schema is made when missing.
    folder: a `Folder`, or its path, for weights and work in progress.
    dimension: length of the embeddings, or None to work without. Fixed by the first that are added.
    patience: seconds to wait for another process before `Busy`.
    exact: so many vectors are searched without an index.
    """

    def __init__(
        self,
        address: Address | str,
        folder: Folder | str | Path,
        *,
        dimension: int | None = None,
        patience: float = 30.0,
        exact: int = search.EXACT,
    ) -> None:
        self.address = Address.read(address) if isinstance(address, str) else address
        self.folder = folder if isinstance(folder, Folder) else Folder(folder)
        self.db = Server(self.address, patience=patience)
        self._terms = Terms()
        self._search = search.Search(self.db, self._terms, exact=exact)
        try:
            self.folder.prepare()
            held = history.setting(self.db, "dimension")
            if dimension is not None and held is not None and dimension != held:
                raise BadInput(
                    f"{self.place} holds vectors of {held} dimensions, the embedder gives {dimension}; "
                    "open it with the embedder it was made with"
                )
            if history.setting(self.db, DUE):
                with suppress(Busy, Full):
                    erase.scrub(self.db)
        except BaseException:
            self.close()
            raise
        self.dimension = dimension if held is None else held

    @property
    def place(self) -> str:
        """The address, without its password."""
        return self.address.public

    def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        self.db.close()
        self._terms.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes, see the contract; the writer's lock is held from the first line to the last."""
        with self.db.transaction():
            yield
        if not self.db.inside and history.setting(self.db, DUE):
            self.scrub()

    @contextmanager
    def lock(self, verb: str) -> Iterator[None]:
        """The folder's lock, and a lock in the database for those who have another folder."""
        with super().lock(verb):
            key = f"SELECT {{}}(hashtext('byheart'), hashtext('{self.address.schema}'))"
            if not self.db.value(key.format("pg_try_advisory_lock")):
                raise Busy(f"{self.place} is held by another process; wait until it ends, and {verb} again")
            try:
                yield
            finally:
                self.db.rows(key.format("pg_advisory_unlock"))

    # engrams
    def add(self, engrams: Sequence[Engram], vectors: ArrayLike | None = None) -> list[Engram]:
        """Store engrams, see the contract; past `exact` vectors the first to notice makes their index."""
        engrams = list(engrams)
        vet(engrams)
        given = blobs(vectors, len(engrams), self.dimension)
        if not engrams:
            return []
        with self.db.transaction():
            if given:
                self._fix(len(given[0]) // 4)
            stored = events.insert(self.db, self._terms, engrams, given)
        if given:
            self.dimension = len(given[0]) // 4
            if not self.db.inside:
                with suppress(ByheartError):  # the engrams are stored; the next add tries again
                    search.index(self.db, self._search.exact)
        return stored

    def _fix(self, dimension: int) -> None:
        """Let the first vectors decide how long all are."""
        held = history.setting(self.db, "dimension")
        if held is None:
            self.db.execute(f"ALTER TABLE vectors ALTER COLUMN vector TYPE vector({dimension})")
            history.set_setting(self.db, "dimension", dimension)
        elif held != dimension:
            raise BadInput(f"vectors have {dimension} dimensions, this memory has {held}; use its embedder")

    def get(self, ids: Sequence[str]) -> list[Engram]:
        return events.fetch(self.db, ids)

    def find(self, ids: Sequence[str]) -> dict[str, Engram]:
        return events.find(self.db, ids)

    def keyed(self, key: str, owner: str | None = KEEP) -> list[Engram]:
        """All engrams with a key, see the contract."""
        wanted = json.dumps({"key": events.facet(key)})
        rows = self.db.rows("SELECT payload FROM engrams WHERE facets @> ?::jsonb ORDER BY row", (wanted,))
        line = [e for (payload,) in rows if (e := events.read(payload)).key == key]
        return [e for e in line if owner is KEEP or e.owner == owner]

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
        rows = self.db.rows(f"SELECT payload FROM engrams WHERE {condition} ORDER BY row", values)
        return [events.read(payload) for (payload,) in rows]

    def count(self, state: State | None = "active", forms: Form | Sequence[Form] | None = None) -> int:
        """How many engrams `all` would give."""
        condition, values = _chosen(state, forms, None)
        return int(self.db.value(f"SELECT count(*) FROM engrams WHERE {condition}", values))

    def _change(self, ids: Sequence[str], changes: dict[str, Any]) -> list[Engram]:
        return events.change(self.db, ids, changes)

    def erase(self, ids: Sequence[str]) -> None:
        """Remove these engrams, then every byte of them from the server's files that may be reached from here.

        As a superuser that is all of them, the write-ahead log too; `unseen` names what is not.
        """
        with self.transaction():
            erase.erase(self.db, self._terms, ids)

    def scrub(self) -> None:
        with self.db.lock:
            erase.scrub(self.db)

    def traces(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        return erase.traces(self.db, texts)

    def unseen(self) -> list[str]:
        return erase.unseen(self.db)

    # search
    def lexical(self, query: str, k: int, at: str | None = None, where: Where = None) -> list[Ranked]:
        return self._search.lexical(query, k, at, where)

    def dense(self, vector: ArrayLike, k: int, at: str | None = None, where: Where = None) -> list[Ranked]:
        """The k best (id, cosine), best first: exactly up to `exact` vectors, by the index above."""
        return self._search.dense(vector, k, at, where, self._length())

    def cosine(self, vector: ArrayLike, ids: Sequence[str]) -> dict[str, float]:
        return self._search.cosine(vector, list(ids), self._length())

    def neighbours(self, ids: Sequence[str], at: str | None = None, where: Where = None) -> dict[str, tuple[str, ...]]:
        return self._search.neighbours(list(ids), at, where)

    def saying(self, ids: Sequence[str], phrase: str) -> set[str]:
        """Those of these engrams in whose text a phrase stands, see the contract."""
        return {i for i, e in self.find(ids).items() if phrase in e.indexed}

    def keys(self, ids: Sequence[str]) -> dict[str, str]:
        """The key of each of these engrams that has a key, see the contract."""
        engrams = self.find(ids) if self._search.keyed() else {}
        return {i: e.key for i, e in engrams.items() if e.key is not None}

    def brief(self, ids: Sequence[str]) -> dict[str, Brief]:
        """What a search weighs of these engrams, see the contract."""
        engrams = self.find(ids).values()
        return {e.id: Brief(e.source, e.position, e.speaker, len(e.text), "?" in e.text) for e in engrams}

    def _length(self) -> int | None:
        """The vectors' dimension as soon as there are any, whoever added them."""
        if self.dimension is None:
            self.dimension = history.setting(self.db, "dimension")
        return self.dimension

    # in bulk
    def vectors(self, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """(row, float32 bytes) of the next vectors above a row, in the order of the rows."""
        statement = "SELECT row, vector_send(vector) FROM vectors WHERE row > ? ORDER BY row LIMIT ?"
        return [(row, events.floats(sent)) for row, sent in self.db.rows(statement, (after, limit))]

    def put_vectors(self, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Store vectors by row, for engrams whose events tell of them; durable when it returns."""
        with self.db.transaction():
            if vectors:
                self._fix(len(vectors[0][1]) // 4)
                rows = [(row, np.frombuffer(blob, np.float32)) for row, blob in vectors]
                self.db.copy("vectors", "row, vector", ("int8", "vector"), rows)

    def settle(self) -> None:
        """Make the index of the vectors if there are enough of them, and the planner's statistics."""
        search.index(self.db, self._search.exact)
        self.db.execute(f"ANALYZE {', '.join(ANEW)}")

    def size(self) -> int:
        """Bytes on the disks: of the folder, and of the schema's tables with their indexes."""
        tables = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c WHERE c.relkind = 'r'"
        relations = f"{tables} AND c.relnamespace = to_regnamespace(?)"
        return super().size() + int(self.db.value(relations, (f'"{self.address.schema}"',)))

    # upkeep
    def check(self) -> list[str]:
        return check.check(self.db, self._terms, self.folder)

    def rebuild(self) -> None:
        check.rebuild(self.db, self._terms)


def _chosen(state: State | None, forms: Form | Sequence[Form] | None, source: str | None) -> tuple[str, list[Any]]:
    """An SQL condition for `all` and `count`."""
    parts: list[str] = ["true"]
    values: list[Any] = []
    if state is not None:
        parts.append("state = ?")
        values.append(state)
    for form in (forms,) if isinstance(forms, str) else forms or ():
        parts.append("strpos(',' || forms || ',', ?) > 0")
        values.append(f",{form},")
    if source is not None:
        parts.append("md5(source) = md5(?) AND source = ?")
        values += [source, source]
    return " AND ".join(parts), values
