"""Changing the place where a folder's engrams are stored: copy, name the new place, delete the old one.

Each step may be the last before a kill: called again, it goes on from there. What is deleted has arrived elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput
from byheart.store import index
from byheart.store.backup import alone
from byheart.store.folder import Folder
from byheart.store.move import LEFT, MOVING, move, refuse_missing, refuse_unfinished, summary
from byheart.store.opening import address_of, open_store, point
from byheart.store.sqlite import Store

if TYPE_CHECKING:
    from byheart.store.postgres.address import Address

Progress = Callable[[str, int, int], None]


def to_server(home: Folder, address: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Move a folder's engrams to PostgreSQL, and delete its database and index files.

    Where the folder names this address already and still has files, a kill left them: they are deleted once all that
    they hold is also in the database. Gives the number of rows by table and the digest. Raises `BadInput` when the
    engrams are elsewhere, `Busy` when another process has the database open, `Conflict` when it holds what has not
    arrived.
    """
    from byheart.store.postgres.address import Address
    from byheart.store.postgres.store import PostgresStore

    server, held = Address.read(address), address_of(home)
    if held is not None and Address.read(held).public != server.public:
        raise BadInput(f"{home.path} has its engrams in {held}; move them to 'folder' first")
    if held is not None and not _files(home):
        raise BadInput(f"{home.path} has its engrams in {held} already; nothing is left to move")
    if held is not None:
        with PostgresStore(server, home) as there:
            refuse_unfinished(there)
            if home.database.exists():
                _arrived(home, there)
            _remove(home)
            return summary(there)
    alone(home.database)
    with Store(home) as source:
        left = source.setting(LEFT)
    if left not in (None, server.public):
        raise BadInput(f"{left} still has what was moved from there; finish it first: byheart store move folder")
    with Store(home) as source, PostgresStore(server, home) as there:
        summed = move(source, there, progress=progress)
    alone(home.database)  # whoever has the file open would go on adding to what is about to be deleted
    point(home, server.public)
    _remove(home)
    return summed


def to_folder(home: Folder, address: str | None = None, *, progress: Progress | None = None) -> dict[str, Any]:
    """Move a folder's engrams from PostgreSQL into its own database, and drop the schema that they were in.

    The database notes the schema until that is dropped, so a kill in between leaves nothing unknown. `address` gives
    a password. Raises `BadInput` when the engrams are in the folder already, `Conflict` when what is to be deleted
    holds what has not arrived.
    """
    from byheart.store.postgres.address import Address

    held = address_of(home)
    if held is None:
        return _let_go(home, address)
    server = Address.read(address or held)
    with open_store(home, address) as source:
        if home.database.exists():
            _arrived(home, source)
        with Store(home) as copy:
            summed = move(source, copy, progress=progress)
            copy.set_setting(LEFT, server.public)
            index.Index(copy.db).drop([])
    point(home, None)
    _drop(home, server)
    return summed


def _arrived(home: Folder, there: Any) -> None:
    """Delete a database that was left beside a named store, once all of it is there; a store begun from it stays."""
    alone(home.database)
    with Store(home) as left:
        state = left.setting(MOVING)
        if state is not None and state["from"] == there.place:
            return
        refuse_missing(left, there)
    _remove(home)


def _let_go(home: Folder, address: str | None) -> dict[str, Any]:
    """Drop the schema that the engrams came from, if a kill left it."""
    from byheart.store.postgres.address import Address
    from byheart.store.postgres.store import PostgresStore

    with Store(home) as here:
        left = here.setting(LEFT)
        if left is None:
            raise BadInput(f"{home.path} has its engrams in its own file already; give an address to move them to")
        server = Address.read(address or left)
        if server.public != left:
            raise BadInput(
                f"{home.path} had its engrams in {left}, not in {server.public}; give the password of the former"
            )
        with PostgresStore(server, home) as there:
            refuse_missing(there, here)
        summed = summary(here)
    _drop(home, server)
    return summed


def _drop(home: Folder, address: Address) -> None:
    from byheart.store.postgres.replace import drop

    drop(address, home)
    with Store(home) as here:
        here.db.execute("DELETE FROM settings WHERE key = ?", (LEFT,))


def _files(home: Folder) -> list[Path]:
    """The database's files and the index files of a folder, the database itself last: it tells that there are some."""
    files = [home.path / f"{home.database.name}{end}" for end in ("-wal", "-shm", "-journal", "")]
    return [*index.files(home.path), *(p for p in files if p.exists())]


def _remove(home: Folder) -> None:
    for path in _files(home):
        path.unlink(missing_ok=True)
