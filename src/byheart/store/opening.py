"""Which store a folder's engrams are in: its own `memory.db`, or the database that `store.json` names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from byheart.core.errors import BadInput, Damaged
from byheart.store.base import AnyStore
from byheart.store.folder import Folder
from byheart.store.move import flush

NAME = "store.json"


def exists(path: str | Path) -> bool:
    """Whether a memory is in this folder."""
    home = Path(path).expanduser()
    return (home / "memory.db").exists() or (home / NAME).exists()


def address_of(folder: Folder) -> str | None:
    """The address that a folder names, without its password; None when it has its own database."""
    path = folder.path / NAME
    if not path.exists():
        return None
    try:
        return str(json.loads(path.read_bytes())["store"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f'{path} does not name a store ({error}); write {{"store": "postgresql://...#name"}}') from error


def point(folder: Folder, address: str | None) -> None:
    """Have a folder name this address from now on (without its password), or none; whole or not at all."""
    path = folder.path / NAME
    if address is None:
        path.unlink(missing_ok=True)
    else:
        from byheart.store.postgres.address import Address

        scratch = folder.path / f".{NAME}"
        scratch.write_text(json.dumps({"store": Address.read(address).public}) + "\n", encoding="utf-8")
        flush(scratch)
        os.replace(scratch, path)
    flush(folder.path)


def open_store(folder: Folder | str | Path, address: str | None = None, **settings: Any) -> AnyStore:
    """The store of a folder; an address given makes or confirms that it is in PostgreSQL.

    The password is taken from the address given, else from `PGPASSWORD` or `~/.pgpass`. `settings` go
    to the store: `dimension`, `patience`. Raises `BadInput` when the folder's engrams are elsewhere.
    """
    home = folder if isinstance(folder, Folder) else Folder(folder)
    held = address_of(home)
    wanted = address or held
    if wanted is None:
        from byheart.store.sqlite import Store

        return Store(home, **settings)
    from byheart.store.postgres.address import Address

    server = Address.read(wanted)
    if held is not None and Address.read(held).public != server.public:
        raise BadInput(f"{home.path} keeps its engrams in {held}, not in {server.public}; open it without store=")
    if held is None and home.database.exists():
        raise BadInput(
            f"{home.path} keeps its engrams in {home.database.name}; move them: byheart store move '{server.public}'"
        )
    from byheart.store.postgres.store import PostgresStore

    store = PostgresStore(server, home, **settings)
    if held is None:
        point(home, server.public)
    return store
