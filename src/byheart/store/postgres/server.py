"""One connection to PostgreSQL: opened, checked, guarded, reopened, with transactions that nest."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from byheart.core.errors import BadInput, Busy, ByheartError, Damaged, Full, Newer
from byheart.store.postgres.address import Address
from byheart.store.postgres.schema import FORMAT, statements

try:
    import psycopg
    from pgvector.psycopg import register_vector
    from psycopg import errors, sql
except ModuleNotFoundError as error:
    raise BadInput(f"{error.name} is not installed; run: pip install 'byheart[postgres]'") from None

_MAKING = 0x656E6772
_OLDEST = (0, 8)
_SAFE = ("SELECT", "WITH", "BEGIN", "SHOW")


class Server:
    """A connection to a memory's schema that any thread may use, one thread at a time.

    A commit returns once its log is on the server's disk (`synchronous_commit`). Who writes holds the
    lock of the table `turn`, so that there is one writer to a memory, as in SQLite; readers never
    wait. Statements have `?` for values. A connection that the server dropped is opened again before
    the next statement, unless a transaction was open on it. `rollbacks` counts undone transactions.

    Parameters
    ----------
    address: the database and the schema, made when missing.
    patience: seconds to wait for another process's write before `Busy`.
    """

    def __init__(self, address: Address, *, patience: float = 30.0) -> None:
        self.address = address
        self.place = address.public
        self.patience = patience
        self.rollbacks = 0
        self.lock = threading.RLock()
        self._depth = 0
        self._closed = False
        with self._guard():
            self._link = self._connect()
            try:
                self._prepare()
            except BaseException:
                self._link.close()
                raise

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            link = psycopg.connect(self.address.url, autocommit=True, application_name="byheart", connect_timeout=10)
        except psycopg.OperationalError as error:
            message = " ".join(str(error).split())
            raise BadInput(
                f"{self.place} cannot be reached ({message}); start the server, or check the address"
            ) from None
        except psycopg.ProgrammingError as error:
            raise BadInput(f"{self.place} is no address of PostgreSQL ({error}); write it anew") from None
        waits = max(1, round(1000 * self.patience))
        settings = {"lock_timeout": waits, "synchronous_commit": "on", "jit": "off", "client_encoding": "UTF8"}
        settings |= {"default_transaction_isolation": "read committed", "hnsw.iterative_scan": "strict_order"}
        settings |= {"hnsw.ef_search": 400, "hnsw.max_scan_tuples": 2**31 - 1}
        for name, value in settings.items():
            link.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
        home = link.execute(
            "SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace"
            " WHERE e.extname = 'vector'"
        ).fetchone()
        names = [sql.Identifier(name) for name in dict.fromkeys([self.address.schema, home[0] if home else "public"])]
        link.execute(sql.SQL("SET search_path TO {}").format(sql.SQL(", ").join(names)))
        if home:
            register_vector(link)
        return link

    def _prepare(self) -> None:
        """Make the schema when it is missing; refuse a schema that is not ours, is newer, or lacks what is needed."""
        encoding = self.value("SHOW server_encoding")
        if encoding != "UTF8":
            raise BadInput(f"{self.place} is encoded in {encoding}; make a database with ENCODING 'UTF8' and give that")
        if self._form() is None:
            with self.reading():
                self.execute(f"SELECT pg_advisory_xact_lock({_MAKING})")
                if self._form() is None:
                    self._make()
            self._link.close()
            self._link = self._connect()
        form = self._form() or 0
        if form > FORMAT:
            raise Newer(
                f"{self.place} has format {form}, this engram reads up to {FORMAT}; "
                "update it: pip install --upgrade byheart"
            )
        version = self.value("SELECT extversion FROM pg_extension WHERE extname = 'vector'") or "0"
        if tuple(int(n) for n in version.split(".")[:2]) < _OLDEST:
            raise BadInput(f"{self.place} has pgvector {version}, but 0.8 is needed; run ALTER EXTENSION vector UPDATE")

    def _form(self) -> int | None:
        """The format of the schema, None when it holds nothing yet."""
        schema = (self.address.schema,)
        tables = {t for (t,) in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = ?", schema)}
        if not tables:
            return None
        if not {"about", "turn", "events"} <= tables:
            raise BadInput(f"schema {self.address.schema!r} of {self.place} is another program's; give another name")
        return int(self.value(sql.SQL("SELECT format FROM {}").format(sql.Identifier(self.address.schema, "about"))))

    def _make(self) -> None:
        try:
            self.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (psycopg.Error, ByheartError) as error:
            raise BadInput(
                f"{self.place} has no pgvector and it cannot be added ({error}); install it on the server and "
                "run CREATE EXTENSION vector as its owner"
            ) from error
        home = self.value(
            "SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace"
            " WHERE e.extname = 'vector'"
        )
        self.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.address.schema)))
        path = [sql.Identifier(self.address.schema), sql.Identifier(home)]
        self.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.SQL(", ").join(path)))
        for statement in statements():
            self.execute(statement)

    def execute(self, statement: Any, values: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        """Run a statement."""
        with self._guard():
            text = _written(statement) if isinstance(statement, str) else statement
            try:
                return self._link.execute(text, values or None)
            except psycopg.OperationalError:
                safe = isinstance(statement, str) and statement.startswith(_SAFE)
                if self._depth or not safe or not self._link.closed:
                    raise
            self._link = self._connect()
            return self._link.execute(text, values or None)

    def executemany(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement for many rows."""
        with self._guard(), self._link.cursor() as cursor:
            cursor.executemany(_written(statement), list(values))

    def rows(self, statement: Any, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._guard():
            return self.execute(statement, values).fetchall()

    def value(self, statement: Any, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        with self._guard():
            row = self.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def among(self, statement: str, keys: Sequence[Any], more: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query whose `IN ({})` is filled with `keys`; `more` values follow the keys.

        A key with a NUL character, which no text here can hold, gives no row.
        """
        able = [k for k in keys if not (isinstance(k, str) and "\0" in k)]
        query = statement.replace("IN ({})", "= ANY (?)")
        return self.rows(query, [able, *more]) if able else []

    def copy(self, table: str, columns: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Put many rows into a table at once, in binary."""
        with self._guard(), self._link.cursor() as cursor:
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
                sql.Identifier(table), sql.SQL(columns)
            )
            with cursor.copy(statement) as stream:
                stream.set_types(types)
                for row in rows:
                    stream.write_row(row)

    @contextmanager
    def stream(
        self, statement: str, values: Sequence[Any] = (), size: int = 2000
    ) -> Iterator[Iterator[tuple[Any, ...]]]:
        """The rows of a query, fetched `size` at a time; inside a transaction only."""
        with self._guard(), self._link.cursor(name="byheart") as cursor:
            cursor.itersize = size
            yield iter(cursor.execute(_written(statement), values or None))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, one writer at a time. An inner one is undone alone, if the outer catches its error."""
        with self.reading():
            if self._depth == 1:
                self.execute("LOCK TABLE turn IN EXCLUSIVE MODE")
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A transaction that leaves other writers alone, for several statements that belong together."""
        with self.lock:
            name = f"level{self._depth}"
            self.execute(f"SAVEPOINT {name}" if self._depth else "BEGIN")
            self._depth += 1
            try:
                yield
                self._depth -= 1
                self.execute(f"RELEASE {name}" if self._depth else "COMMIT")
            except BaseException:
                self._depth = int(name[5:])
                self.rollbacks += 1
                if not self._link.closed:
                    with suppress(ByheartError, psycopg.Error):
                        self.execute(f"ROLLBACK TO {name}" if self._depth else "ROLLBACK")
                        if self._depth:
                            self.execute(f"RELEASE {name}")
                raise

    @property
    def inside(self) -> bool:
        """Whether a transaction is open on this connection."""
        return self._depth > 0

    def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        with self.lock:
            self._closed = True
            self._link.close()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold the connection and turn PostgreSQL's errors into ours."""
        with self.lock:
            if self._closed:
                raise BadInput(f"{self.place} was closed; open the memory again")
            try:
                yield
            except psycopg.Error as error:
                raise self._translate(error) from error
            except UnicodeEncodeError as error:
                raise BadInput(
                    f"text has a lone surrogate {error.object[error.start]!r}; decode it as UTF-8"
                ) from error

    def _translate(self, error: psycopg.Error) -> Exception:
        message = " ".join(str(error).split())
        if isinstance(error, errors.IntegrityError):
            return BadInput(f"{self.place} refuses the write: {message}; nothing was changed, give other values")
        if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
            return Busy(f"{self.place} has been locked by another process for {self.patience:g} s; try again later")
        if isinstance(error, errors.DiskFull):
            return Full(f"no room left for {self.place}; nothing was changed: free some space and try again")
        if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
            return Damaged(f"{self.place} is damaged ({message}); restore it from a backup")
        if isinstance(error, errors.InsufficientPrivilege):
            return BadInput(f"this role may not do that in {self.place} ({message}); give it the right, or use another")
        if isinstance(error, errors.UndefinedTable):
            return BadInput(f"{self.place} is not there any more ({message}); it was moved: open the memory again")
        if "NUL (0x00)" in message:
            return BadInput(f"a text for {self.place} holds a NUL character; give text, not bytes")
        if isinstance(error, errors.ProgramLimitExceeded):
            return BadInput(f"{self.place} refuses the write: {message}; shorten the id or name")
        if isinstance(error, psycopg.OperationalError):
            return Busy(f"{self.place} went away ({message}); nothing acknowledged is lost: start it and try again")
        return error


@lru_cache(maxsize=512)
def _written(statement: str) -> str:
    """A statement as psycopg takes it."""
    return statement.replace("%", "%%").replace("?", "%s")
