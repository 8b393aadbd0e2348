"""What the parts that both databases share need of a connection: statements with `?`, and transactions that nest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Link(Protocol):
    """A connection that any thread may use, one thread at a time: SQLite's `Database` or PostgreSQL's `Server`."""

    lock: Any

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any: ...

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> None: ...

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any: ...

    def among(self, sql: str, keys: Sequence[Any], more: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def transaction(self) -> AbstractContextManager[None]: ...
