"""Moving between stores, killed or not; backups."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import BadInput, Busy, Conflict, Damaged
from byheart.core.records import Certificate, Item, Result, Version
from byheart.store.backup import BACKUPS, backup, restore
from byheart.store.base import AnyStore
from byheart.store.move import MOVING, move, refuse_unfinished, summary
from byheart.store.opening import address_of, open_store, point
from byheart.store.sqlite import Store


def fill(store: AnyStore, make, size: int = 60) -> None:
    """Something in every table, history included, and weights that a version names."""
    from hashlib import sha256

    rng = np.random.default_rng(0)
    store.add(
        [make(f"e{i}", f"notice {i} of the ferry", source=f"s{i % 5}", position=i) for i in range(size)],
        rng.standard_normal((size, 4)),
    )
    store.add([make("bare", "nothing but words", metadata={"k": [1, None, "é"], "n": 1.5})])
    store.update(["e3", "e4"], state="superseded", valid_to="2026-12-01", version="v1")
    store.erase(["e7"])
    store.rebuild()
    store.put_version(Version(id="v1", created="now", taught=("e1",), adapter=_blob(store.folder.weights, sha256)))
    store.put_lessons("v1", [("e2", {"prompt": "b"}), ("e1", {"prompt": "a"})])
    store.put_items(
        "v1", [Item(id="i1", question="q", answer="a", engram="e1"), Item(id="i0", question="q", answer="b")]
    )
    store.put_results("v1", [Result(exam="recall", item="i1", value=1, seed=s, engram="e1") for s in range(3)])
    store.put_certificate(Certificate(passed=True, checks=()))
    store.set_setting("model", {"name": "tiny", "é": None})
    store.set_head("v1")


def _blob(weights: Path, sha256) -> str:
    from byheart.store.weights import Weights

    return Weights(weights).put_blob({"a.json": b"{}" * 100})


def same(first: AnyStore, other: AnyStore) -> None:
    assert summary(first) == summary(other)
    assert first.all(None) == other.all(None)
    assert (first.head(), first.items(), first.results()) == (other.head(), other.items(), other.results())
    assert other.check() == []
    query = np.ones(4)
    assert [i for i, _ in first.dense(query, 20)] == [i for i, _ in other.dense(query, 20)]
    assert dict(first.lexical("ferry notice 9", 999)) == pytest.approx(dict(other.lexical("ferry notice 9", 999)))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_everything_arrives_and_the_source_stays(open_store, kind: str, tmp_path: Path, make, request) -> None:
    if kind == "postgres":
        open_store.server = request.getfixturevalue("postgres")
    with open_store("source") as source:
        fill(source, make)
        open_store.kind = kind
        with open_store("target") as target:
            summed = move(source, target, batch=7)
            same(source, target)
            assert (summed["engrams"], summed["events"], summed["vectors"]) == (60, 64, 59)
            refuse_unfinished(target)
            assert target.dimension == 4
            target.add([make("new", "later")], np.ones((1, 4)))
            assert target.check() == []
        with open_store("target") as target, pytest.raises(BadInput, match="is not empty"):
            move(source, target)


def test_killed_at_any_moment_and_called_again_it_ends_the_same(open_store, tmp_path: Path, make) -> None:
    kind = open_store.kind
    open_store.kind = "sqlite"
    with open_store("source") as source:
        fill(source, make, 400)
    rng = random.Random(1)
    open_store.kind = kind
    open_store("target").close()
    unfinished = 0
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                with Store(tmp_path / "source") as source, open_store("target") as target:
                    move(source, target, batch=5)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.02, 0.12))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with open_store("target") as target:
            unfinished += bool(target.setting(MOVING))
            if not target.setting(MOVING) and target.count(None):
                break
            if target.setting(MOVING):
                with pytest.raises(Conflict, match="unfinished copy"):
                    refuse_unfinished(target)
    assert unfinished > 0
    with Store(tmp_path / "source") as source, open_store("target") as target:
        if target.setting(MOVING):
            move(source, target, batch=50)
        same(source, target)


def test_a_source_that_changed_after_a_kill_is_refused(tmp_path: Path, make) -> None:
    with Store(tmp_path / "a") as source, Store(tmp_path / "b") as target:
        fill(source, make)

        def stop(what: str, done: int, of: int) -> None:
            if what == "vectors":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            move(source, target, batch=10, progress=stop)
        source.add([make("more")])
        with pytest.raises(Conflict, match=r"64 events, not of .* with 65"):
            move(source, target)


def test_a_copy_that_is_not_what_was_copied_is_damaged(tmp_path: Path, make) -> None:
    with Store(tmp_path / "a") as source, Store(tmp_path / "b") as target:
        fill(source, make)

        def forge(what: str, done: int, of: int) -> None:
            if what == "checking" and not done:
                target.db.execute("UPDATE results SET payload = replace(payload, 'recall', 'recoil')")

        with pytest.raises(Damaged, match="digest"):
            move(source, target, progress=forge)
        assert target.setting(MOVING)


def test_the_source_is_not_written_while_it_moves(tmp_path: Path, make) -> None:
    with Store(tmp_path / "a") as source, Store(tmp_path / "a", patience=0.1) as other, Store(tmp_path / "b") as target:
        fill(source, make)
        refused = []

        def write(what: str, done: int, of: int) -> None:
            with pytest.raises(Busy):
                other.add([make("late")])
            refused.append(other.get(["e1"])[0].id)

        move(source, target, progress=write)
        assert refused[0] == "e1"


def test_a_backup_is_one_file_that_comes_back_whole(open_store, tmp_path: Path, make) -> None:
    file = tmp_path / "kept" / "monday.db"
    file.parent.mkdir()
    with open_store("brain") as store:
        fill(store, make)
        copied = backup(store, file)
        assert [p.name for p in file.parent.iterdir()] == ["monday.db"]
        assert list(store.setting(BACKUPS)) == [str(file)]
        assert copied == summary(store)
        before = store.all(None)
        store.add([make("after", "added after the backup")])
        with pytest.raises(BadInput, match="is there already"):
            backup(store, file)
        if open_store.kind == "postgres":
            point(store.folder, store.place)
    for weight in (tmp_path / "brain" / "weights").glob("*/*"):
        weight.unlink()
        weight.parent.rmdir()
    address = address_of(store.folder)
    restore(file, tmp_path / "brain", address)
    with open_store("brain") as store:
        assert store.all(None) == before
        assert store.check() == []
        assert list(store.setting(BACKUPS)) == [str(file)]
        assert sorted(p.name for p in (tmp_path / "brain" / "work").iterdir()) == []
    if open_store.kind == "postgres":
        with open_store("elsewhere") as other:
            name = other.place
            other.db.execute("INSERT INTO settings VALUES ('x', '1')")
        restore(file, tmp_path / "elsewhere", name)
        with open_store("elsewhere") as other:
            assert (other.all(None), other.setting("x")) == (before, None)


def test_a_backup_that_is_not_sound_replaces_nothing(tmp_path: Path, make) -> None:
    with Store(tmp_path / "brain") as store:
        fill(store, make)
        backup(store, tmp_path / "whole.db")
        store.add([make("after")])
        held = store.all(None)
    data = bytearray((tmp_path / "whole.db").read_bytes())
    for place in range(9 * 4096, len(data), 3 * 4096):
        data[place : place + 40] = b"\xff" * 40
    (tmp_path / "torn.db").write_bytes(data)
    (tmp_path / "note.db").write_text("hello")
    link = sqlite3.connect(tmp_path / "forged.db")
    with sqlite3.connect(tmp_path / "whole.db") as whole:
        whole.backup(link)
    whole.close()
    link.execute("UPDATE engrams SET text = 'forged' WHERE id = 'e1'")
    link.commit()
    link.close()
    for name in ("torn.db", "note.db", "forged.db"):
        with pytest.raises((Damaged, BadInput)):
            restore(tmp_path / name, tmp_path / "brain")
    with Store(tmp_path / "brain") as store:
        assert store.all(None) == held
        assert store.check() == []


def test_restoring_under_an_open_store_is_busy(tmp_path: Path, make) -> None:
    with Store(tmp_path / "brain") as store:
        fill(store, make)
        backup(store, tmp_path / "b.db")
        with pytest.raises(Busy, match="another process"):
            restore(tmp_path / "b.db", tmp_path / "brain")
        assert store.check() == []


def test_a_folder_names_its_store_without_the_password(postgres, tmp_path: Path, make) -> None:
    address = postgres.address("named")
    with open_store(tmp_path / "a", address.replace("postgres@", "postgres:hush@")) as store:
        store.add([make("a")])
    assert "hush" not in (tmp_path / "a" / "store.json").read_text()
    with open_store(tmp_path / "a") as store:
        assert store.count() == 1
        assert not store.folder.database.exists()
    with pytest.raises(BadInput, match="keeps its engrams in postgresql"):
        open_store(tmp_path / "a", postgres.address("other"))
    Store(tmp_path / "b").close()
    with pytest.raises(BadInput, match=r"keeps its engrams in memory\.db; move them"):
        open_store(tmp_path / "b", address)
    (tmp_path / "a" / "store.json").write_text("{}")
    with pytest.raises(Damaged, match="does not name a store"):
        open_store(tmp_path / "a")
    from byheart.store.folder import Folder
    from byheart.store.postgres.address import Address
    from byheart.store.postgres.replace import drop

    drop(Address.read(address), Folder(tmp_path / "c"))
