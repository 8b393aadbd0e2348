"""Putting a memory in the place of another in PostgreSQL, in a single step that is seen whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as changed

from psycopg import sql

from byheart.store.base import AnyStore
from byheart.store.folder import Folder
from byheart.store.move import move
from byheart.store.postgres.address import Address
from byheart.store.postgres.erase import turn_log
from byheart.store.postgres.store import PostgresStore


def replace(
    source: AnyStore, address: str, folder: Folder, *, progress: Callable[[str, int, int], None] | None = None
) -> None:
    """Move `source` into a new schema beside the address's, then give it the name; the old schema is dropped."""
    server = Address.read(address)
    fresh = changed(server, schema=f"{server.schema[:50]}-restored")
    drop(fresh, folder)
    with PostgresStore(fresh, source.folder) as target:
        move(source, target, progress=progress)
        names = [sql.Identifier(name) for name in (server.schema, fresh.schema)]
        with target.db.reading():
            target.db.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(names[0]))
            target.db.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(names[1], names[0]))


def drop(address: Address, folder: Folder) -> None:
    """Remove a memory's schema with all that is in it, and from the server's log if this role may."""
    with PostgresStore(address, folder) as store:
        store.db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(address.schema)))
        turn_log(store.db)
