"""A memory whose engrams are in PostgreSQL: every verb, the certificate, moving there and back by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from byheart import Memory
from byheart.app import cli
from byheart.core.errors import BadInput, Busy, Conflict
from byheart.core.records import Check
from byheart.store.backup import backup
from byheart.store.move import MOVING
from byheart.world.facts.people import people

LOOSE = 100.0
OPEN = {"model": "tiny", "embedder": "hash"}


@pytest.fixture
def address(postgres, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    told = postgres.address(f"m{abs(hash(request.node.name)) % 10**12}")
    yield told
    from byheart.store.folder import Folder
    from byheart.store.postgres.address import Address
    from byheart.store.postgres.replace import drop

    drop(Address.read(told), Folder(tmp_path / "gone"))


def facts() -> list[dict[str, str]]:
    return [f.pair for f in people(1, seed=5)[0][:2]]


def test_every_verb_works_and_the_certificate_reads_the_servers_files(address: str, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain", store=address, **OPEN) as memory:
        memory.remember("Marta Kask signs off travel.")
        assert memory.recall("who signs off travel?", k=1)[0].text == "Marta Kask signs off travel."
        assert memory.learn(facts(), strategy="plain", budget=LOOSE).committed
        name = people(1, seed=5)[0][0].subject
        certificate = memory.forget(name, k=2)
        assert certificate.passed, str(certificate)
        server = {c.name: c for c in certificate.checks}["bytes of it in files of the server"]
        assert (server.passed, server.measured) == (True, 0)
        assert name not in str([h.text for h in memory.recall(name, k=10)])
        memory.revert("v0")
        assert memory.check() == []
    assert sorted(p.name for p in (tmp_path / "brain").iterdir()) == [
        *("exports", "lock", "store.json", "weights", "work")
    ]
    with Memory.open(tmp_path / "brain") as memory:
        assert (memory.head.id, [(v.id, v.erased) for v in memory.log()]) == ("v0", [("v1", True), ("v0", False)])
        assert memory.store.place.startswith("postgresql://postgres@")


def test_what_the_server_hides_is_not_shown_and_what_it_holds_is_refused(address: str, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain", store=address, **OPEN) as memory:
        memory.remember(["Vexholm has a zeppelin named Quillfeather.", "Vexholm has another one."])
        memory.store.db.rows("SELECT pg_create_physical_replication_slot('follower', true)")
        try:
            check = _server(memory, "Quillfeather")
            assert check.passed is False
            assert "pg_wal/" in check.detail
            assert "replication slots" in check.detail
        finally:
            memory.store.db.rows("SELECT pg_drop_replication_slot('follower')")
        memory.store.db.execute("SET log_min_duration_statement = 0")
        check = _server(memory, "another one")
        assert (check.passed, check.measured) == (None, 0)
        assert "text log" in check.detail


def _server(memory: Memory, query: str) -> Check:
    """The only check of a certificate that was not passed, which is that of the server."""
    certificate = memory.forget(query)
    assert not certificate.passed
    (failed,) = [c for c in certificate.checks if not c.passed]
    assert failed.name == "bytes of it in files of the server"
    return failed


def test_a_backup_that_may_hold_it_is_named_until_it_is_deleted(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        memory.remember(["Vexholm has a zeppelin.", "Bread comes at noon.", "Ferries leave at dawn."])
        backup(memory.store, tmp_path / "monday.db")
        certificate = memory.forget("zeppelin")
        failed = [c for c in certificate.checks if not c.passed]
        assert [c.name for c in failed] == ["backups that may hold it"]
        assert str(tmp_path / "monday.db") in failed[0].detail
        memory.remember("Said after the backup was made.")
        assert memory.forget("Said after").passed
        (tmp_path / "monday.db").unlink()
        assert memory.forget("Bread").passed


def test_an_unfinished_copy_is_no_memory(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        memory.store.set_setting(MOVING, {"from": "elsewhere"})
    with pytest.raises(Conflict, match="unfinished copy of elsewhere"):
        Memory.open(tmp_path / "brain")


def test_two_machines_do_not_change_weights_at_once(address: str, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "a", store=address, **OPEN) as one, Memory.open(tmp_path / "b", store=address) as two:
        with one.store.lock("learn"), pytest.raises(Busy, match="held by another process"):
            two.revert("v0")
        assert two.revert("v0").id == "v0"


def test_a_memory_moves_by_command_there_and_back(address: str, tmp_path: Path, capsys) -> None:
    def run(*arguments: str) -> tuple[int, dict]:
        with pytest.raises(SystemExit) as stopped:
            cli.main([*arguments, "--memory", str(tmp_path / "brain"), "--json"])
        return stopped.value.code or 0, json.loads(capsys.readouterr()[0])

    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        memory.remember(["Marta Kask signs off travel.", "Bread comes at noon."])
        code, told = run("store", "move", address)
        assert (code, told["error"]["type"]) == (2, "Busy")  # or what is added here from now on would be lost
    (tmp_path / "more.jsonl").write_text(
        '{"text": "Ferries leave at dawn.", "page": 3}\n{"text": "The crane rests."}\n'
    )
    assert run("store", "import", str(tmp_path / "more.jsonl")) == (0, {"lines": 2, "new": 2})
    code, told = run("store", "move", address)
    assert (code, told["engrams"], told["moved"]) == (0, 4, address)
    assert not (tmp_path / "brain" / "memory.db").exists()
    assert run("recall", "ferries at dawn", "-k", "1")[1][0]["text"] == "Ferries leave at dawn."
    assert run("store", "move", address)[0] == 2
    code, kept = run("store", "backup", str(tmp_path / "b.db"))
    assert (code, kept["engrams"]) == (0, 4)
    assert run("forget", "Bread")[0] == 1  # the backup may hold it
    code, told = run("store", "restore", str(tmp_path / "b.db"))
    assert (code, told["digest"]) == (0, kept["digest"])
    assert run("store", "scrub")[1]["unseen"] == []
    assert run("store", "move", "folder")[1]["engrams"] == 4
    assert not (tmp_path / "brain" / "store.json").exists()
    assert len(run("recall", "bread", "-k", "9")[1]) == 4
    assert run("check")[0] == 0


def test_stores_are_measured_by_command(postgres, capsys) -> None:
    for where in ([], ["--store", postgres.address("x").partition("#")[0]]):
        with pytest.raises(SystemExit):
            cli.main(["store", "bench", "--sizes", "50", "--json", *where])
        told = json.loads(capsys.readouterr()[0])
        assert told["runs"][0]["recall"]["found_at_10"] == 1.0
        assert told["runs"][0]["batched_adds_per_s"] > 0
    with pytest.raises(SystemExit):
        cli.main(["store", "bench", "--sizes", "few", "--json"])
    assert json.loads(capsys.readouterr()[0])["error"]["type"] == "BadInput"


def test_a_folder_with_its_own_file_is_not_opened_elsewhere(tmp_path: Path, address: str) -> None:
    Memory.open(tmp_path / "brain", **OPEN).close()
    with pytest.raises(BadInput, match=r"keeps its engrams in memory\.db"):
        Memory.open(tmp_path / "brain", store=address)
