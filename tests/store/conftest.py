"""Ready-made engrams, and a fresh store of each kind, for the store's tests."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from byheart.core.records import Engram
from byheart.store.base import AnyStore
from byheart.store.sqlite import Store

CREATED = "2026-11-20T06:00:00+00:00"
KINDS = ("sqlite", "postgres")


@pytest.fixture
def make() -> Callable[..., Engram]:
    """An engram with an id and a text; other fields by name."""

    def build(id: str, text: str = "", **fields: Any) -> Engram:
        return Engram(id=id, text=text or f"text of {id}", created=CREATED, **fields)

    return build


class Opener:
    """Opens stores of one kind; the same name is the same memory."""

    def __init__(self, kind: str, folder: Path, server: Any) -> None:
        self.kind = kind
        self.folder = folder
        self.server = server
        self._names: dict[str, str] = {}

    def __call__(self, name: str = "brain", **settings: Any) -> AnyStore:
        """Open the memory of that name, once more if it is open."""
        if self.kind == "sqlite":
            return Store(self.folder / name, **settings)
        from byheart.store.postgres.store import PostgresStore

        schema = self._names.setdefault(name, f"t{uuid.uuid4().hex[:12]}")
        return PostgresStore(self.server.address(schema), self.folder / name, **settings)

    def close(self) -> None:
        """Remove what the memories left in a server that others share."""
        for schema in self._names.values():
            import psycopg

            with psycopg.connect(self.server.address("x").partition("#")[0], autocommit=True) as link:
                link.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture(params=KINDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """A function that opens stores of each kind in turn."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    opener = Opener(request.param, tmp_path, server)
    yield opener
    opener.close()


@pytest.fixture
def store(open_store: Opener) -> Iterator[AnyStore]:
    """A fresh store of each kind."""
    with open_store(dimension=4) as opened:
        yield opened


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """A fresh SQLite store, for what only its file can show."""
    with Store(tmp_path / "brain", dimension=4) as opened:
        yield opened
