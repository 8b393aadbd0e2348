"""A memory that changes its place leaves nothing behind, whenever it is killed; index files go with their memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import BadInput, Conflict
from byheart.store import index, transfer
from byheart.store.backup import backup, restore
from byheart.store.base import AnyStore
from byheart.store.folder import Folder
from byheart.store.move import LEFT, summary
from byheart.store.opening import address_of, open_store
from byheart.store.sqlite import Store


@pytest.fixture
def address(postgres, tmp_path: Path) -> Iterator[str]:
    url = postgres.address(f"w{uuid.uuid4().hex[:12]}")
    yield url
    from byheart.store.postgres.address import Address
    from byheart.store.postgres.replace import drop

    drop(Address.read(url), Folder(tmp_path / "gone"))


@pytest.fixture
def home(tmp_path: Path, make) -> Folder:
    """A folder with forty engrams in an index file."""
    with Store(tmp_path / "brain") as store:
        fill(store, make)
        store._search.fold()
    folder = Folder(tmp_path / "brain")
    assert segments(folder)
    return folder


def fill(store: AnyStore, make) -> None:
    rng = np.random.default_rng(0)
    store.add([make(f"e{i}", f"notice {i} of the ferry") for i in range(40)], rng.standard_normal((40, 4)))
    store.erase(["e7"])


def segments(home: Folder) -> list[str]:
    return [p.name for p in index.files(home.path) if p.name != "lock"]


def schemas(address: str) -> list[str]:
    import psycopg

    with psycopg.connect(address.partition("#")[0]) as link:
        return [name for (name,) in link.execute("SELECT nspname FROM pg_namespace")]


@contextmanager
def stopped_at(step: str) -> Iterator[None]:
    """What a kill would do when a move comes to this step."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, step, stop)
        yield


def test_index_files_go_with_the_memory_there_and_back(home: Folder, address: str) -> None:
    moved = transfer.to_server(home, address)
    assert (segments(home), home.database.exists(), address_of(home)) == ([], False, address)
    (home.path / "index" / "stray.safetensors").write_text("ferry")
    with pytest.raises(BadInput, match="move them to"):
        transfer.to_server(home, address + "other")
    assert transfer.to_server(home, address)["digest"] == moved["digest"]
    assert segments(home) == []
    with pytest.raises(BadInput, match="already; nothing is left to move"):
        transfer.to_server(home, address)
    (home.path / "index" / "stray.safetensors").write_text("ferry")
    assert transfer.to_folder(home)["digest"] == moved["digest"]
    assert (segments(home), address_of(home)) == ([], None)
    assert address.partition("#")[2] not in schemas(address)
    with Store(home) as store:
        assert (store.check(), store.setting(LEFT), store.count()) == ([], None, 39)
    with pytest.raises(BadInput, match="in its own file already"):
        transfer.to_folder(home)


def test_a_move_killed_before_it_deletes_is_finished_by_the_same_move(home: Folder, address: str, make) -> None:
    with stopped_at("_remove"), pytest.raises(KeyboardInterrupt):
        transfer.to_server(home, address)
    assert (home.database.exists(), address_of(home)) == (True, address)
    with open_store(home) as there:
        there.add([make("later")])
        there.erase(["e3"])
        held = summary(there)
    assert transfer.to_server(home, address) == held
    assert (segments(home), home.database.exists()) == ([], False)


def test_a_file_that_holds_more_than_the_server_is_not_deleted(home: Folder, address: str, make) -> None:
    transfer.to_server(home, address)
    with Store(home) as store:
        store.add([make("mine")])
    for move in (lambda: transfer.to_server(home, address), lambda: transfer.to_folder(home)):
        with pytest.raises(Conflict, match=r"holds what .* does not \(added mine at"):
            move()
    with Store(home) as store:
        assert store.get(["mine"])
    home.database.unlink()
    transfer.to_folder(home)


def test_a_move_back_killed_before_the_schema_is_dropped_is_finished_by_the_same_move(
    home: Folder, address: str, make
) -> None:
    transfer.to_server(home, address)
    with stopped_at("_drop"), pytest.raises(KeyboardInterrupt):
        transfer.to_folder(home)
    assert (home.database.exists(), address_of(home)) == (True, None)
    with Store(home) as store:
        store.add([make("later")])
        store.erase(["e3"])
        held = summary(store)
    with pytest.raises(BadInput, match="finish it first"):
        transfer.to_server(home, address + "other")
    with pytest.raises(BadInput, match="not in"):
        transfer.to_folder(home, address + "other")
    assert transfer.to_folder(home) == held
    assert address.partition("#")[2] not in schemas(address)


def test_a_move_back_killed_before_the_folder_forgets_the_server_begins_again(home: Folder, address: str, make) -> None:
    transfer.to_server(home, address)
    with stopped_at("point"), pytest.raises(KeyboardInterrupt):
        transfer.to_folder(home)
    with open_store(home) as there:
        there.add([make("later")])
        held = summary(there)
    assert transfer.to_folder(home) == held
    with Store(home) as store:
        assert (store.count(), store.setting(LEFT)) == (40, None)


def test_a_backup_of_a_memory_with_index_files_is_sound_and_restore_deletes_them(home: Folder, make) -> None:
    with Store(home) as store:
        copied = backup(store, home.path.parent / "b.db")
        store.add([make("after", "Zelda Quon keeps the lamp.")], np.ones((1, 4)))
        store._search.fold()
    assert segments(home)
    restore(home.path.parent / "b.db", home)
    assert segments(home) == []
    restore(home.path.parent / "b.db", home.path.parent / "new")
    for place in (home, home.path.parent / "new"):
        with Store(place) as store:
            assert (store.check(), summary(store)["engrams"]) == ([], copied["engrams"])
            assert len(store.lexical("ferry", 99)) == 39


def test_restoring_into_a_server_deletes_the_folders_index_files(home: Folder, address: str) -> None:
    with Store(home) as store:
        backup(store, home.path.parent / "b.db")
    transfer.to_server(home, address)
    (home.path / "index" / "stray.safetensors").write_text("ferry")
    restore(home.path.parent / "b.db", home)
    assert segments(home) == []
    transfer.to_folder(home)
