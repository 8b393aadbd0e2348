"""PostgreSQL alone: ranks as SQLite does, an index without losses, bytes gone from the server, and crashes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import BadInput, Busy, Newer, Unknown
from byheart.core.records import Engram, Item, Result, Version
from byheart.store.sqlite import Store

# ruff: noqa: E402 (what follows needs it)
psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'byheart[postgres]'")

from byheart.store.postgres import erase, search
from byheart.store.postgres.address import Address
from byheart.store.postgres.replace import drop
from byheart.store.postgres.store import PostgresStore
from byheart.store.postgres.terms import Terms

SECRET = "Marta Quillfeather repaired the zeppelin moorings of Vexholm in her xylograph studio."
LONG = "Overflow: " + " ".join(f"quagmire{i}thistle" for i in range(1200))
RARE = [
    "Quillfeather",
    "quillfeath",
    "zeppelin",
    "moorings",
    "moor",
    "vexholm",
    "xylograph",
    "quagmire7thistle",
    "krambamb",
    "dwell",
]


@pytest.fixture
def address(postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"p{abs(hash(request.node.name)) % 10**12}"
    yield postgres.address(name)
    with psycopg.connect(postgres.address("x").partition("#")[0], autocommit=True) as link:
        link.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture
def pg(address: str, tmp_path: Path) -> Iterator[PostgresStore]:
    with PostgresStore(address, tmp_path / "brain", dimension=4) as store:
        yield store


def test_ranks_and_scores_are_those_of_sqlite(pg: PostgresStore, tmp_path: Path, make) -> None:
    rng = np.random.default_rng(0)
    vocabulary = (
        "ferries ferry sailing sailed boats café naïve e-mail 3.14 running runner Šibenik generalization".split()
    )
    vocabulary += [f"word{i}" for i in range(40)]
    texts = [" ".join(rng.choice(vocabulary, rng.integers(1, 30))) + f" note{i}" for i in range(400)]
    engrams = [make(f"e{i}", t, source=f"s{i % 7}", position=i // 7) for i, t in enumerate(texts)]
    vectors = rng.standard_normal((400, 4))
    with Store(tmp_path / "other", dimension=4) as other:
        for store in (pg, other):
            store.add(engrams, vectors)
            store.update([f"e{i}" for i in range(0, 400, 9)], state="archived")
            store.erase([f"e{i}" for i in range(5, 400, 11)])
        for _ in range(40):
            query = " ".join(rng.choice(vocabulary, 6))
            ours, theirs = pg.lexical(query, 40), other.lexical(query, 40)
            assert np.allclose([s for _, s in ours], [s for _, s in theirs], atol=1e-9), query
            assert {i for i, s in ours if s > ours[-1][1]} == {i for i, s in theirs if s > theirs[-1][1]}
            vector = rng.standard_normal(4)
            ours, theirs = pg.dense(vector, 40), other.dense(vector, 40)
            assert np.allclose([s for _, s in ours], [s for _, s in theirs], atol=1e-6)
            assert {i for i, s in ours if s > ours[-1][1] + 1e-6} <= {i for i, _ in theirs}
        assert pg.check() == []


def test_the_index_loses_nothing_to_filters_time_or_erasure(address: str, tmp_path: Path, make) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((3000, 16)).astype(np.float32)
    engrams = [
        make(f"e{i}", owner="rare" if i % 200 == 0 else "many", state="archived" if i % 3 == 0 else "active")
        for i in range(3000)
    ]
    vectors[7] = 0
    with PostgresStore(address, tmp_path, dimension=16, exact=500) as store:
        store.add(engrams[:400], vectors[:400])
        assert not search.indexed(store.db)
        store.add(engrams[400:], vectors[400:])
        assert search.indexed(store.db)
        for way in ("seqscan", "sort"):  # so few are sooner read than asked of an index
            store.db.execute(f"SET enable_{way} = off")
        plan = store.db.rows("EXPLAIN " + search._INDEXED.format("e.live"), (vectors[1], vectors[1], 40, 10))
        assert "vectors_near" in str(plan)
        share = []
        for _ in range(20):
            query = rng.standard_normal(16).astype(np.float32)
            cosines = vectors @ query / np.maximum(np.linalg.norm(vectors, axis=1), 1e-9) / np.linalg.norm(query)
            alive = [i for i in np.argsort(-cosines) if engrams[i].state == "active"]
            ids = [i for i, _ in store.dense(query, 50)]
            share.append(len({f"e{i}" for i in alive[:50]} & set(ids)) / 50)
            rare = [f"e{i}" for i in alive if engrams[i].owner == "rare"][:50]
            assert [i for i, _ in store.dense(query, 50, where={"owner": "rare"})] == rare
        assert np.mean(share) > 0.95
        assert len(store.dense(query, 5000)) == 2000
        assert ("e7", 0.0) in store.dense(query, 5000)
        best = store.dense(query, 1)[0][0]
        store.erase([best])
        assert best not in [i for i, _ in store.dense(query, 50)]
        assert search.indexed(store.db)


def content(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the server; one that it removes meanwhile holds nothing."""
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError, IsADirectoryError):
            yield str(path.relative_to(folder)), path.read_bytes()


def traces_in(folder: Path, words: list[str]) -> list[tuple[str, str]]:
    """(file, word) for each word in each of the server's files, in any case."""
    return [(name, w) for name, data in content(folder) for w in words if w.lower().encode() in data.lower()]


def test_no_byte_of_what_was_erased_remains_in_the_servers_files(postgres, pg: PostgresStore, make) -> None:
    rng = np.random.default_rng(0)
    pg.add([make(f"o{i}", f"Ordinary notice number {i} about ferries.") for i in range(300)], rng.random((300, 4)))
    metadata = {"question": "Who repaired the moorings?", "answer": "Marta Quillfeather", "metadata": {"k": "Vexholm"}}
    secrets = [
        make("s1", SECRET, **metadata),
        make("s2", LONG, source="thistle.md", speaker="Zeppelina", key="Krambamb/dwelling"),
    ]
    pg.add(secrets, np.array([[0.123, 9, 9, 9], [9, 0.456, 9, 9]], np.float32))
    item = Item(
        id="i1", question="Who of Vexholm?", answer="zeppelin pilot Orsolya", accept=("Krambamb's",), engram="s1"
    )
    pg.put_items("v1", [item])
    pg.put_lessons("v1", [("s1", {"prompt": "zeppelin early draft"}), ("o1", {"prompt": "bread"})])
    pg.put_lessons("v1", [("s1", {"prompt": SECRET * 40}), ("o1", {"prompt": "bread"})])
    pg.put_results("v1", [Result(exam="recall", item="i3", value=0, detail={"said": "It was MARTA QUILLFEATHER!"})])
    pg.put_results("v1", [Result(exam="recall", item="i4", value=0, detail={"said": "It is krambamb's."})])
    pg.put_results("v1", [Result(exam="recall", item="i1", value=1, engram="s1", detail={"said": "Vexholm"})])
    pg.put_version(Version(id="v1", created="now", summary={"sample": "zeppelin moorings"}))
    pg.put_version(Version(id="v1", created="now"))
    pg.db.execute("ANALYZE")
    pg.db.execute("CHECKPOINT")
    words = [SECRET, "Marta", "Orsolya", "Zeppelina", "thistle.md", "early draft", *RARE]
    assert {w for _, w in traces_in(postgres.data, words)} >= {
        SECRET,
        "Orsolya",
        "early draft",
        "quillfeath",
        "zeppelin",
    }
    assert {w for _, w in pg.traces(["Quillfeather", "Orsolya", "nowhere"])} == {"Quillfeather", "Orsolya"}
    with psycopg.connect(pg.address.url) as other:  # whoever holds a snapshot keeps dead rows alive in VACUUM FULL
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        pg.erase(["s1", "s2"])
    assert traces_in(postgres.data, words) == []
    data = b"".join(raw for _, raw in content(postgres.data))
    vectors = np.array([[0.123, 9, 9, 9], [9, 0.456, 9, 9]], np.float32)
    assert not any(v.tobytes() in data for v in vectors)
    assert pg.traces(words) == []
    assert pg.unseen() == []
    assert pg.check() == []
    assert (pg.count(None), pg.lexical("zeppelin moorings", 5), pg.items()) == (300, [], [])
    assert [r.detail for r in pg.results()] == [{"erased": True}, {"erased": True}]
    assert pg.db.rows("SELECT kind, row, engram, payload FROM events WHERE row IS NULL") == [
        ("erased", None, "s1", "{}"),
        ("erased", None, "s2", "{}"),
    ]
    pg.rebuild()
    assert pg.check() == []


def test_an_erasure_is_undone_with_its_transaction_and_made_good_on_opening(address: str, tmp_path: Path, make) -> None:
    with PostgresStore(address, tmp_path, dimension=4) as store:
        store.add([make("s1", SECRET), make("o", "other")], np.eye(4)[:2])
        with pytest.raises(BadInput), store.transaction():
            _erase_then_fail(store)
        assert store.get(["s1"])[0].text == SECRET
        erase.erase(store.db, Terms(), ["s1"])
        store.db._link.close()
    with PostgresStore(address, tmp_path) as store:
        assert not store.setting(erase.DUE)
        assert store.traces(["zeppelin moorings", "quillfeath"]) == []


def test_a_reader_makes_erasing_busy_and_the_text_is_gone_all_the_same(address: str, tmp_path: Path, make) -> None:
    with PostgresStore(address, tmp_path, patience=0.2) as store, PostgresStore(address, tmp_path) as reader:
        store.add([make("s1", SECRET)])
        with reader.db.reading():
            reader.db.value("SELECT count(*) FROM engrams")
            with pytest.raises(Busy, match="another process is reading"):
                store.erase(["s1"])
            assert store.lexical("zeppelin", 5) == []
        store.scrub()
        assert store.traces(["zeppelin"]) == []


def test_a_plain_role_works_and_says_what_it_cannot_reach(postgres, address: str, tmp_path: Path, make) -> None:
    server = postgres.address("x").partition("#")[0]
    schema = Address.read(address).schema
    with psycopg.connect(server, autocommit=True) as link:
        link.execute("CREATE EXTENSION IF NOT EXISTS vector")
        link.execute("CREATE ROLE plain LOGIN")
        link.execute("GRANT CREATE ON DATABASE postgres TO plain")
    try:
        with PostgresStore(address.replace("postgres@", "plain@"), tmp_path, dimension=4) as store:
            store.add([make("s1", SECRET), make("o", "other")], np.eye(4)[:2])
            store.erase(["s1"])
            assert store.check() == []
            assert store.dense([0, 1, 0, 0], 5) == [("o", 1.0)]
            assert len(store.unseen()) == 1
            assert "this role may not" in store.unseen()[0]
    finally:
        with psycopg.connect(server, autocommit=True) as link:
            link.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            link.execute("DROP OWNED BY plain; DROP ROLE plain")


def test_what_keeps_the_log_elsewhere_is_named(pg: PostgresStore) -> None:
    assert pg.unseen() == []
    pg.db.rows("SELECT pg_create_physical_replication_slot('follower', true)")
    try:
        pg.db.execute("SET log_min_duration_statement = 0")
        slots, loud = pg.unseen()
        assert "replication slots" in slots
        assert "follower" in slots
        assert "text log" in loud
    finally:
        pg.db.rows("SELECT pg_drop_replication_slot('follower')")


@pytest.mark.parametrize("name", ["a\0b", "x'; DROP TABLE engrams; --", '"', "%s", "?"])
def test_hostile_ids_and_names_are_plain_text(pg: PostgresStore, make, name: str) -> None:
    pg.add([make("a", "the boat", metadata={"k": name})])
    for call in (pg.get, pg.update, pg.erase):
        with pytest.raises(Unknown):
            call([name])
    assert pg.neighbours([name]) == {name: ()}
    assert pg.cosine(np.ones(4), [name]) == {}
    assert [i for i, _ in pg.lexical("boat", 3, where={"k": name})] == ["a"]
    for where in ({"source": name}, {name: "x"}, {"k": name + "x"}):
        assert pg.lexical("boat", 3, where=where) == []
    if "\0" in name:
        with pytest.raises(BadInput, match="NUL"):
            pg.set_setting(name, 1)
    else:
        pg.set_setting(name, name)
        assert pg.setting(name) == name
    with pytest.raises(BadInput, match="surrogate"):
        pg.get(["\ud800"])


def test_a_very_long_word_is_found_and_does_not_stop_an_add(pg: PostgresStore, make) -> None:
    blob = "QUJD" * 3000
    pg.add([make("a", f"attached {blob}"), make("b", "attached nothing")])
    assert [i for i, _ in pg.lexical(blob, 3)] == ["a"]
    assert pg.check() == []


def test_a_full_embedding_comes_back_bit_for_bit(address: str, tmp_path: Path, make) -> None:
    vectors = np.random.default_rng(0).standard_normal((3, 384)).astype(np.float32)
    vectors[0, :3] = [-0.0, 1e-45, 3e38]
    with PostgresStore(address, tmp_path) as store:
        store.add([make("a"), make("b"), make("c")], vectors)
        assert store.check() == []
        assert store.dense(vectors[1], 1)[0] == ("b", pytest.approx(1, abs=1e-6))


def test_wide_vectors_and_a_memory_that_was_moved_away(address: str, tmp_path: Path, make) -> None:
    wide = np.random.default_rng(0).standard_normal((30, 2500)).astype(np.float32)
    with PostgresStore(address, tmp_path, exact=10) as store:
        store.add([make(f"e{i}") for i in range(30)], wide)
        assert not search.indexed(store.db)
        assert store.dense(wide[7], 1)[0][0] == "e7"
        drop(store.address, store.folder)
        with pytest.raises(BadInput, match="not there any more"):
            store.add([make("late")])


def test_memories_in_one_database_do_not_see_each_other(postgres, pg: PostgresStore, tmp_path: Path, make) -> None:
    pg.add([make("a", "the boat")], np.ones((1, 4)))
    with PostgresStore(postgres.address("neighbour-2"), tmp_path / "b") as other:
        assert (other.count(), other.lexical("boat", 3), other.dimension) == (0, [], None)
        other.db.execute('DROP SCHEMA "neighbour-2" CASCADE')


def test_addresses_that_cannot_be_used_are_refused_with_what_to_do(postgres, address: str, tmp_path: Path) -> None:
    base = address.partition("#")[0]
    with psycopg.connect(base, autocommit=True) as link:
        link.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.x ()")
    for wrong, message in [
        (f"{base}#theirs", "another program's"),
        (f"{base}#public", "cannot name a memory's schema"),
        (f"{base}#x'; --", "cannot name a memory's schema"),
        ("mysql://host/db", "no PostgreSQL address"),
        ("postgresql://nobody@127.0.0.1:1/db#x", "cannot be reached"),
        (f"{base}&nonsense=1#x", "no address of PostgreSQL"),
    ]:
        with pytest.raises(BadInput, match=message):
            PostgresStore(wrong, tmp_path)
    with psycopg.connect(base, autocommit=True) as link:
        link.execute("DROP SCHEMA theirs CASCADE")


def test_a_newer_format_is_refused(address: str, tmp_path: Path) -> None:
    with PostgresStore(address, tmp_path) as store:
        store.db.execute("UPDATE about SET format = 99")
    with pytest.raises(Newer, match="has format 99"):
        PostgresStore(address, tmp_path)


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    url = "postgresql://ann:hush@127.0.0.1:1/db?password=hush#b"
    assert Address.read(url).public == "postgresql://ann@127.0.0.1:1/db#b"
    with pytest.raises(BadInput) as caught:
        PostgresStore(url, tmp_path)
    assert "hush" not in str(caught.value)


def test_verbs_that_change_weights_exclude_each_other_across_folders(pg: PostgresStore, address: str, tmp_path) -> None:
    with PostgresStore(address, tmp_path / "elsewhere") as other:
        with pg.lock("learn"), pytest.raises(Busy, match="held by another process"), other.lock("forget"):
            pass
        with other.lock("forget"):
            pass


def test_clients_killed_at_any_moment_lose_nothing_acknowledged(address: str, tmp_path: Path, make) -> None:
    PostgresStore(address, tmp_path).close()
    rng = np.random.default_rng(5)
    acknowledged: list[str] = []
    turn = 0
    while turn < 12 or (len(acknowledged) <= 12 and turn < 100):  # on a busy machine many are killed before they add
        turn += 1
        acknowledged += _killed(address, tmp_path, turn, make, lambda: time.sleep(rng.uniform(0, 0.06)))
        with PostgresStore(address, tmp_path) as store:
            assert set(acknowledged) <= {e.id for e in store.all(state=None)}
    with PostgresStore(address, tmp_path) as store:
        assert store.check() == []
        assert len(store.dense(np.ones(4), 10**6)) == store.count() >= len(acknowledged) > 12


def test_a_server_killed_at_any_moment_loses_nothing_acknowledged(postgres, address: str, tmp_path, make) -> None:
    reopened = PostgresStore(address, tmp_path)
    acknowledged: list[str] = []
    rng = np.random.default_rng(6)
    for turn in range(4):

        def crash() -> None:
            time.sleep(rng.uniform(0.02, 0.15))
            postgres.kill()

        acknowledged += _killed(address, tmp_path, turn, make, crash)
        postgres.start()
        assert set(acknowledged) <= {e.id for e in reopened.all(state=None)}
        assert reopened.check() == []
    assert len(acknowledged) > 4
    with reopened.transaction():
        reopened.add([make("last")])
    assert reopened.get(["last"])
    reopened.close()
    with pytest.raises(BadInput, match="was closed"):
        reopened.count()


def test_a_server_that_dies_inside_a_transaction_undoes_it(postgres, pg: PostgresStore, make) -> None:

    def crash() -> None:
        pg.add([make("a")])
        postgres.kill()
        postgres.start()
        pg.add([make("b")])

    with pytest.raises(Busy, match="went away"), pg.transaction():
        crash()
    assert pg.count(None) == 0
    pg.add([make("c")])
    assert pg.count(None) == 1


def _erase_then_fail(store: PostgresStore) -> None:
    store.erase(["s1"])
    store.add([store.get(["o"])[0].model_copy(update={"text": ""})])


def _killed(address: str, folder: Path, turn: int, make, until) -> list[str]:
    """The ids that a process said were added before it was killed, or its server was."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            with PostgresStore(address, folder, dimension=4) as store:
                os.write(writing, b"ready\n")
                for n in range(100_000):
                    ids = [f"{turn}-{n}-{i}" for i in range(1 + n % 3)]
                    store.add([_one(make, i, n) for i in ids], np.ones((len(ids), 4)))
                    os.write(writing, "".join(f"{i}\n" for i in ids).encode())
        finally:
            os._exit(1)
    os.close(writing)
    data = os.read(reading, 6)
    until()
    os.kill(pid, signal.SIGKILL)
    while part := os.read(reading, 65536):
        data += part
    os.close(reading)
    os.waitpid(pid, 0)
    return data.decode().split("\n")[1:-1]


def _one(make, id: str, n: int) -> Engram:
    return make(id, f"notice {id} " + "harbour " * (n % 40))
