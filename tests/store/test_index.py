"""Index files: what they find is what the tables say, whatever was added, changed, erased, killed or damaged."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from byheart.core.errors import Busy
from byheart.core.records import Engram
from byheart.store import bm25, cells, database, index, schema
from byheart.store.sqlite import Store

WORDS = [f"{a}{b}" for a in "bel dor fen gar hol kas lin mar nor pel".split() for b in "mund wick stad vale".split()]
D = 16


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index files after 32 engrams, cells after 64, postings skipped after 8."""
    monkeypatch.setattr(index, "TAIL", 32)
    monkeypatch.setattr(cells, "FLAT", 64)
    monkeypatch.setattr(cells, "_DEPTH", 200)
    monkeypatch.setattr(cells, "_FEW", 40)
    monkeypatch.setattr(bm25, "_CHEAP", 8)
    monkeypatch.setattr(bm25, "_LITTLE", 4)
    monkeypatch.setattr(bm25, "_FEW", 40)
    monkeypatch.setattr(bm25, "_EACH", 2)
    monkeypatch.setattr(bm25, "_RARE", 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "brain"


def some(start: int, count: int, seed: int = 0) -> tuple[list[Engram], np.ndarray]:
    """Engrams with words of very different frequency, and clustered vectors."""
    rng = np.random.default_rng([seed, start])
    shares = 1 / np.arange(1, len(WORDS) + 1)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 25), p=shares / shares.sum())) for _ in range(count)]
    engrams = [
        Engram(id=f"e{start + i}", text=f"{t} note{start + i}", created="now", owner=f"o{(start + i) % 7}")
        for i, t in enumerate(texts)
    ]
    centres = np.random.default_rng(seed).standard_normal((6, D))
    vectors = centres[rng.integers(6, size=count)] + 0.5 * rng.standard_normal((count, D))
    return engrams, vectors.astype(np.float32)


def reference(store: Store, query: list[str], k: int, shown: set[str]) -> list[tuple[str, float]]:
    """What SQLite's own full-text index finds, of some engrams."""
    link = sqlite3.connect(":memory:")
    link.execute("CREATE VIRTUAL TABLE w USING fts5 (text, tokenize = 'porter unicode61')")
    link.executemany("INSERT INTO w (rowid, text) VALUES (?, ?)", store.db.rows("SELECT row, text FROM engrams"))
    names = dict(store.db.rows("SELECT row, id FROM engrams"))
    rows = link.execute(
        "SELECT rowid, -rank FROM w WHERE w MATCH ? ORDER BY rank, rowid", (" OR ".join(query),)
    ).fetchall()
    link.close()
    return [(names[r], s) for r, s in rows if names[r] in shown][:k]


def agree(store: Store, seed: int = 0, where: dict | None = None, least: float = 1.0) -> None:
    """Words exactly as FTS5 has them, vectors by exact cosine, of all that may be found."""
    rng = np.random.default_rng(seed)
    shown = {e.id for e in store.all() if where is None or all(getattr(e, k) == v for k, v in where.items())}
    for size in (1, 2, 3, 6):
        query = [str(w) for w in rng.choice(WORDS, size, replace=False)]
        for k in (5, 60):
            hits, expected = store.lexical(" ".join(query), k, where=where), reference(store, query, k, shown)
            assert np.allclose([s for _, s in hits], [s for _, s in expected], rtol=0, atol=1e-12)
            assert {i for i, s in hits if s > expected[-1][1] + 1e-9} == {
                i for i, s in expected if s > expected[-1][1] + 1e-9
            }
    vectors = {i: np.frombuffer(v, np.float32) for i, v in _vectors(store) if i in shown}
    hit = []
    for i in rng.choice(list(vectors), 10):
        query = (vectors[i] + 0.3 * rng.standard_normal(D)).astype(np.float32)
        cosine = {i: float(v @ query / np.linalg.norm(v) / np.linalg.norm(query)) for i, v in vectors.items()}
        hits = dict(store.dense(query, 10, where=where))
        assert all(abs(cosine[i] - s) < 1e-5 for i, s in hits.items())
        assert len(hits) == min(10, len(vectors))
        hit += [i in hits for i in sorted(cosine, key=lambda i: -cosine[i])[:10]]
        far = list(vectors)[:: max(1, len(vectors) // 20)]
        assert store.cosine(query, [*far, "nobody"]) == pytest.approx({i: cosine[i] for i in far}, abs=1e-5)
    assert np.mean(hit) >= least


def _vectors(store: Store) -> list[tuple[str, bytes]]:
    return store.db.rows("SELECT e.id, v.vector FROM vectors AS v JOIN engrams AS e ON e.row = v.row")


def files(folder: Path) -> list[Path]:
    return sorted((folder / "index").glob("*.safetensors"))


def test_searching_while_adding_finds_what_the_tables_hold(folder: Path) -> None:
    with Store(folder, dimension=D) as store:
        start = 0
        for size in (20, 30, 1, 300, 5, 40, 200, 33):
            store.add(*some(start, size))
            start += size
            agree(store, start, least=0.9)
        assert 1 <= len(files(folder)) <= 4
    with Store(folder) as store:
        agree(store, 99, least=0.9)
        assert store.check() == []


def test_a_file_is_read_by_safetensors_too(folder: Path) -> None:
    with Store(folder, dimension=D) as store:
        store.add(*some(0, 100))
        store.fold()
    tensors = load_file(files(folder)[0])
    assert tensors["vectors.matrix"].shape == (100, D)
    assert np.allclose(np.linalg.norm(tensors["vectors.matrix"], axis=1), 1.0, atol=1e-6)
    assert tensors["words.names"].tobytes().decode() == "".join(f"e{i}" for i in range(100))


def test_what_is_weighed_of_an_engram_is_read_without_the_rest(folder: Path) -> None:
    engram = Engram(id="a", text="Où est le café?", source="s", position=3, speaker="Ann", created="now")
    with Store(folder, dimension=D) as store:
        store.add([engram, engram.model_copy(update={"id": "b", "text": "Ici.", "speaker": None, "source": None})])
        assert store.brief(["b", "nobody", "a"]) == {"a": ("s", 3, "Ann", 15, True), "b": (None, 3, None, 4, False)}


def test_states_times_and_filters_hold_inside_the_files(folder: Path) -> None:
    with Store(folder, dimension=D) as store:
        store.add(*some(0, 400))
        agree(store, least=0.9)
        for where in ({"owner": "o3"}, {"owner": "o5"}, {"id": "e17"}):
            agree(store, where=where, least=0.9)
        store.update([f"e{i}" for i in range(0, 400, 3)], state="archived")
        agree(store, 1, where={"owner": "o3"}, least=0.9)
        store.update(["e0", "e3"], state="active")
        store.update(["e1"], valid_to="2020-01-01")
        store.add(*some(400, 10))
        assert "e1" not in dict(store.dense(np.ones(D), 1000))
        assert "e1" in dict(store.dense(np.ones(D), 1000, at="2019-01-01"))
        assert {"e0", "e3"} <= set(dict(store.dense(np.ones(D), 1000)))
        assert "e6" not in dict(store.lexical(" ".join(WORDS), 1000, where={"owner": "o6"}))
        store.update(["e9"], state="superseded", valid_to="2021-01-01")
        ids = [set(dict(store.lexical("note9", 9, at=at))) for at in (None, "2020-06-01", "2022-01-01")]
        assert ids == [set(), {"e9"}, set()]


def test_a_vector_given_late_is_found(folder: Path) -> None:
    engrams, vectors = some(0, 120)
    with Store(folder, dimension=D) as store:
        store.add(engrams[:100], vectors[:100])
        store.add(engrams[100:])
        store.fold()
        store.add([e.model_copy(update={"id": f"again-{e.id}"}) for e in engrams[100:]], vectors[100:])
        agree(store)
    with Store(folder) as store:
        agree(store)
        store.add(*some(120, 40))
        agree(store)


def test_what_another_process_folds_adds_or_erases_is_seen(folder: Path) -> None:
    with Store(folder, dimension=D) as first, Store(folder, dimension=D) as two:
        for start in range(0, 300, 50):
            first.add(*some(start, 50))
            agree(first, start, least=0.9)
            agree(two, start, least=0.9)
            first.erase([f"e{start + 7}"])
            agree(two, start + 1, least=0.9)
        first.fold()
        assert len(files(folder)) == 1
        agree(two, 7, least=0.9)


def test_a_file_that_is_missing_or_damaged_is_made_anew(folder: Path) -> None:
    with Store(folder, dimension=D) as store:
        store.add(*some(0, 100))
        agree(store, least=0.9)
        store.add(*some(100, 40))
        agree(store, least=0.9)
    for harm in (Path.unlink, lambda p: os.truncate(p, 1000), lambda p: os.truncate(p, 0)):
        for path in files(folder):
            harm(path)
        with Store(folder) as store:
            assert "index" in " ".join(store.check()) or not files(folder)
            agree(store, 3, least=0.9)
            assert store.check() == []
    data = bytearray(files(folder)[0].read_bytes())
    data[-100] ^= 1
    files(folder)[0].write_bytes(data)
    with Store(folder) as store:
        assert "altered" in store.check()[0]
        store.rebuild()
        agree(store, least=0.9)
        assert store.check() == []


def test_a_folder_that_cannot_be_written_or_a_transaction_is_searched_in_memory(folder: Path) -> None:
    with Store(folder, dimension=D) as store, store.transaction():
        store.add(*some(0, 200))
        agree(store)
        assert files(folder) == []
    (folder / "index").write_text("a file where a folder should be")
    with Store(folder, dimension=D) as store:
        agree(store)


def test_no_byte_of_an_erased_vector_or_word_stays_in_an_index_file(folder: Path) -> None:
    engrams, vectors = some(0, 300)
    engrams[150] = engrams[150].model_copy(update={"text": f"{WORDS[3]} quillfeather zeppelin {WORDS[5]}"})
    unit = [v / np.linalg.norm(v) for v in (vectors[150], vectors[299])]
    with Store(folder, dimension=D) as store:
        store.add(engrams, vectors)
        store.fold()
        held = b"".join(p.read_bytes() for p in files(folder))
        assert b"quillfeath" in held
        assert unit[0].tobytes()[:40] in held
        store.erase(["e150", "e299"])
        agree(store, least=0.9)
        assert store.check() == []
    for path in (p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        assert b"quillfeath" not in data
        assert not any(v.tobytes()[i : i + 12] in data for v in (*unit, vectors[150]) for i in range(0, 4 * D - 12, 12))
    assert len(files(folder)) == 1


def test_the_centre_of_a_cell_tells_nothing_of_what_was_erased(folder: Path) -> None:
    engrams, vectors = some(0, 300)
    with Store(folder, dimension=D) as store:
        store.add(engrams, vectors)
        store.fold()
        held = store._search._segments[0].cells
        cell = int(np.flatnonzero(np.diff(held.starts) > 1)[0])
        first, last = held.starts[cell], held.starts[cell + 1]
        gone, stays = held.rows[first], held.rows[first + 1 : last]
        store.erase([dict(store.db.rows("SELECT row, id FROM engrams"))[int(gone)]])
        store.dense(np.ones(D), 1)
        cells = store._search._segments[0].cells
        mean = np.stack([cells.matrix[p] for p in cells.find(stays.astype(np.int64))]).sum(0)
        assert np.allclose(cells.centres[cell], mean / np.linalg.norm(mean), atol=1e-6)


def test_what_is_erased_while_a_file_is_written_is_not_in_it(folder: Path) -> None:
    engrams, vectors = some(0, 31)
    engrams[5] = engrams[5].model_copy(update={"text": "quillfeather"})
    with Store(folder, dimension=D) as first, Store(folder, patience=0.05) as two:
        first.add(engrams, vectors)
        count = first._search._tokens.count

        def erase_first(texts):
            with suppress(Busy):
                two.erase(["e5"])
            return count(texts)

        first._search._tokens.count = erase_first
        first.fold()
        assert files(folder) == first.setting("index", []) == []
        first._search._tokens.count = count
        agree(first)
        agree(two)
    with Store(folder) as store:
        assert not store.setting("scrub due")
        assert b"quillfeath" not in b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
        agree(store)


def fold_for_ever(folder: Path, pipe: int) -> None:
    with Store(folder) as store:
        os.write(pipe, b"r")
        for n in range(10_000):
            store.add(*some(1000 + 40 * (n + int(time.time() * 1000) % 10**9 * 100), 40))
            store.lexical("note1", 1)
            if n % 3 == 2:
                store.erase([store.all()[-1].id])


def test_killed_at_any_moment_of_folding_or_erasing_it_recovers(folder: Path) -> None:
    rng = random.Random(5)
    with Store(folder, dimension=D) as store:
        store.add(*some(0, 100))
    for turn in range(12):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                fold_for_ever(folder, writing)
            finally:
                os._exit(1)
        os.close(writing)
        os.read(reading, 1)
        time.sleep(rng.uniform(0.0, 0.15))
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        os.close(reading)
        with Store(folder) as store:
            agree(store, turn, least=0.9)
            assert store.check() == []
    with Store(folder) as store:
        store.scrub()
        assert len(list((folder / "index").iterdir())) == 1 + len(store.setting("index"))


def old(folder: Path) -> None:
    """A folder as format 1 had it."""
    with Store(folder, dimension=D) as store:
        store.add(*some(0, 50))
        store.db.execute("DROP INDEX events_late")
        store.db.execute("DROP INDEX engrams_owner")
        store.db.execute("DROP INDEX engrams_key")
        for column in ("key", "parents"):
            store.db.execute(f"ALTER TABLE engrams DROP COLUMN {column}")
        store.db.execute("PRAGMA user_version=1")


def test_a_folder_of_format_1_is_brought_to_this_one(folder: Path) -> None:
    old(folder)
    with Store(folder) as store:
        assert store.db.value("PRAGMA user_version") == schema.FORMAT == 2
        plan = store.db.rows("EXPLAIN QUERY PLAN SELECT row FROM engrams WHERE owner = 'o1'")
        assert "engrams_owner" in str(plan)
        agree(store, where={"owner": "o1"})
        assert store.check() == []


def test_killed_while_it_changes_format_it_is_the_old_one_still(folder: Path, monkeypatch) -> None:
    old(folder)
    pid = os.fork()
    if pid == 0:
        run = database.Database.execute

        def kill(self, sql, values=()):
            if "user_version=2" in sql:
                os.kill(os.getpid(), signal.SIGKILL)
            return run(self, sql, values)

        monkeypatch.setattr(database.Database, "execute", kill)
        Store(folder)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    link = sqlite3.connect(folder / "memory.db")
    assert link.execute("PRAGMA user_version").fetchone() == (1,)
    assert link.execute("SELECT count(*) FROM sqlite_master WHERE name = 'engrams_owner'").fetchone() == (0,)
    link.close()
    with Store(folder) as store:
        assert store.db.value("PRAGMA user_version") == 2
        agree(store)
