"""What only SQLite's file can show: its pages, its text, its own ranking, its pace."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np

from byheart.store.sqlite import Store


def test_check_tells_of_damaged_pages_instead_of_raising(tmp_path: Path, make) -> None:
    with Store(tmp_path) as store:
        store.add([make(str(i), "word " * 50 + str(i)) for i in range(400)])
    file = tmp_path / "memory.db"
    data = bytearray(file.read_bytes())
    for page in range(12, len(data) // 4096, 7):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    file.write_bytes(data)
    with Store(tmp_path) as store:
        assert store.check() != []


def test_settings_hold_text_as_it_is_written(sqlite_store: Store, tmp_path: Path) -> None:
    """No escapes: what a byte scan looks for must look the same in the file."""
    sqlite_store.set_setting("k", "Žofia")
    link = sqlite3.connect(tmp_path / "brain" / "memory.db")
    assert link.execute("SELECT value FROM settings WHERE key = 'k'").fetchone() == ('"Žofia"',)
    link.close()


def test_batched_adds_are_fast(sqlite_store: Store, make) -> None:
    """Ten thousand a second on the machine it was measured on; a tenth of it must hold anywhere."""
    engrams = [make(f"e{i}", f"engram number {i} tells of harbour {i % 97} and ferry {i % 89}") for i in range(2000)]
    start = time.perf_counter()
    sqlite_store.add(engrams, np.random.default_rng(0).standard_normal((2000, 4)))
    assert 2000 / (time.perf_counter() - start) > 1000


def test_scores_equal_the_databases_own_for_all_words_together(sqlite_store: Store, make) -> None:
    rng = np.random.default_rng(0)
    vocabulary = [f"word{i}" for i in range(60)]
    texts = [" ".join(rng.choice(vocabulary, rng.integers(1, 30))) for _ in range(500)]
    sqlite_store.add([make(f"e{i}", f"{t} note{i}") for i, t in enumerate(texts)])
    query = [str(w) for w in rng.choice(vocabulary, 6, replace=False)]
    own = sqlite_store.db.rows(
        "SELECT e.id, -words.rank FROM words JOIN engrams AS e ON e.row = words.rowid WHERE words MATCH ?"
        " ORDER BY words.rank, words.rowid LIMIT 50",
        (" OR ".join(query),),
    )
    for _ in range(2):
        hits = sqlite_store.lexical(" ".join(query), 50)
        assert np.allclose([s for _, s in hits], [s for _, s in own], atol=1e-9)
        assert {i for i, _ in hits[:20]} <= {i for i, _ in own}
