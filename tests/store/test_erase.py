"""Erasing, shown by reading every byte of the files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import BadInput, Busy
from byheart.core.records import Item, Result, Version
from byheart.store import erase
from byheart.store.base import AnyStore
from byheart.store.sqlite import Store

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


def traces_in(folder: Path, words: Iterable[str]) -> list[tuple[str, str, str]]:
    """(file, word, encoding) for each word in each file of the folder, case-insensitively for ASCII."""
    hits = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes().lower()
        for word in words:
            for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                if word.lower().encode(encoding) in data:
                    hits.append((path.name, word, encoding))
    return hits


def fill(store: Store, make) -> None:
    rng = np.random.default_rng(0)
    others = [make(f"o{i}", f"Ordinary notice number {i} about ferries and bread.") for i in range(300)]
    store.add(others, rng.standard_normal((300, 4)))
    secrets = [
        make(
            "s1", SECRET, question="Who repaired the moorings?", answer="Marta Quillfeather", metadata={"k": "Vexholm"}
        ),
        make("s2", LONG, source="thistle.md", speaker="Zeppelina", key="Krambamb/dwelling"),
    ]
    store.add(secrets, np.array([[0.123, 9, 9, 9], [9, 0.456, 9, 9]], np.float32))
    store.put_items("v1", [Item(id="i1", question="Who of Vexholm?", answer="zeppelin pilot Orsolya", engram="s1")])
    store.put_items(
        "v1",
        [
            Item(
                id="i1", question="Whose xylograph?", answer="the Quillfeather one", accept=("Krambamb's",), engram="s1"
            )
        ],
    )
    store.put_items("v1", [Item(id="i2", question="When does bread come?", answer="08:15", engram="o1")])
    store.put_lessons("v1", [("s1", {"prompt": "zeppelin early draft"}), ("o1", {"prompt": "bread"})])
    store.put_lessons("v1", [("s1", {"prompt": SECRET * 40}), ("o1", {"prompt": "bread"})])
    store.put_results(
        "v1",
        [
            Result(exam="recall", item="i1", value=1, engram="s1", detail={"said": "Marta Quillfeather"}),
            Result(exam="paraphrase", item="i1", value=1, detail={"said": "Vexholm"}),
            Result(exam="recall", item="i2", value=0, engram="o1", detail={"said": ["it is", "The QUILLFEATHER One!"]}),
            Result(exam="recall", item="i3", value=0, engram="o1", detail={"said": "at 08:15"}),
            Result(exam="recall", item="i4", value=0, engram="o1", detail={"said": "It is krambamb's."}),
        ],
    )
    store.put_version(Version(id="v1", created="now", summary={"sample": "zeppelin moorings"}))
    store.put_version(Version(id="v1", created="now"))
    store.set_setting("note", "xylograph " * 900)
    store.set_setting("note", "")


def _erase_then_fail(store: Store) -> None:
    store.erase(["s1", "s2"])
    store.add([store.get(["o1"])[0].model_copy(update={"text": ""})])


def test_no_byte_of_what_was_erased_remains(tmp_path: Path, make) -> None:
    words = [SECRET, LONG[:200], LONG[-200:], "Marta", "Orsolya", "Zeppelina", "thistle.md", "early draft", *RARE]
    vectors = [np.array(v, np.float32).tobytes() for v in ([0.123, 9, 9, 9], [9, 0.456, 9, 9])]
    with Store(tmp_path, dimension=4) as store:
        fill(store, make)
        seen = {w for _, w, _ in traces_in(tmp_path, words)}
        assert seen >= {SECRET, "Orsolya", "early draft", "quillfeath", "quagmire7thistle", "zeppelin"}, seen
        store.erase(["s1", "s2"])
        assert traces_in(tmp_path, words) == []
        data = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        assert not any(v in data for v in vectors)
        assert b"o1" in data
        assert store.check() == []
        assert store.count(None) == 300
        assert store.lexical("zeppelin moorings", 5) == []
        assert len(store.lexical("ferries", 500)) == 300
        assert len(store.dense(np.ones(4), 500)) == 300
        assert [i.id for i in store.items()] == ["i2"]
        assert store.lessons("v1") == [("o1", {"prompt": "bread"})]
        assert [(r.exam, r.item, r.detail) for r in store.results()] == [
            ("recall", "i2", {"erased": True}),
            ("recall", "i3", {"said": "at 08:15"}),
            ("recall", "i4", {"erased": True}),
        ]
        assert store.db.rows("SELECT kind, row, engram, payload FROM events WHERE seq > 302") == [
            ("erased", None, "s1", "{}"),
            ("erased", None, "s2", "{}"),
        ]
        store.erase(["s1"])
    assert traces_in(tmp_path, words) == []
    with Store(tmp_path) as store:
        assert store.check() == []
        store.rebuild()
        assert store.count(None) == 300
    assert traces_in(tmp_path, words) == []


def test_a_scrub_cut_short_is_made_good_on_opening(tmp_path: Path, make) -> None:
    with Store(tmp_path, dimension=4) as store:
        fill(store, make)
        erase.erase(store.db, ["s1", "s2"])
        assert {w for _, w, _ in traces_in(tmp_path, RARE)} >= {"zeppelin", "vexholm"}
        store.db._link.close()
    with Store(tmp_path):
        assert traces_in(tmp_path, [SECRET, *RARE]) == []


def test_erasing_inside_a_transaction_is_undone_with_it_and_scrubbed_after_it(tmp_path: Path, make) -> None:
    with Store(tmp_path, dimension=4) as store:
        fill(store, make)
        with pytest.raises(BadInput), store.transaction():
            _erase_then_fail(store)
        assert store.get(["s1"])[0].text == SECRET
        assert store.check() == []
        with store.transaction():
            store.erase(["s1", "s2"])
            store.put_version(Version(id="v2", created="now"))
        assert traces_in(tmp_path, [SECRET, *RARE]) == []
        assert [v.id for v in store.versions()] == ["v1", "v2"]


def test_a_reader_elsewhere_makes_erasing_busy_and_the_text_is_gone_for_it_all_the_same(tmp_path: Path, make) -> None:
    with Store(tmp_path, dimension=4, patience=0.2) as store:
        fill(store, make)
        reader = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM engrams").fetchone()
        with pytest.raises(Busy, match="another process is reading"):
            store.erase(["s1", "s2"])
        assert store.lexical("zeppelin", 5) == []
        reader.close()
        store.scrub()
        assert traces_in(tmp_path, [SECRET, *RARE]) == []


def test_the_id_of_an_erased_engram_may_hold_new_content(store: AnyStore, make) -> None:
    store.add([make("a", "first")], np.eye(4)[:1])
    store.erase(["a"])
    store.add([make("a", "second")], np.eye(4)[1:2])
    assert store.dense([0, 1, 0, 0], 5) == [("a", 1.0)]
    assert store.lexical("first", 5) == []
    assert store.check() == []
