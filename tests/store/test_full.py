"""No room on the disk: a clear error, and everything as it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import Full
from byheart.store.sqlite import Store


def test_a_database_at_its_limit_refuses_and_keeps_what_it_had(sqlite_store: Store, make) -> None:
    sqlite_store.add([make("a", "before")], np.ones((1, 4)))
    sqlite_store.db.execute(f"PRAGMA max_page_count = {sqlite_store.db.value('PRAGMA page_count') + 4}")
    big = [make(f"b{i}", f"{i} " + "words that fill pages " * 200) for i in range(20)]
    with pytest.raises(Full, match=r"memory\.db; nothing was changed: free some space"):
        sqlite_store.add(big, np.ones((20, 4)))
    assert [e.id for e in sqlite_store.all(state=None)] == ["a"]
    assert sqlite_store.check() == []
    sqlite_store.db.execute("PRAGMA max_page_count = 1073741823")
    sqlite_store.add(big, np.ones((20, 4)))
    assert sqlite_store.count() == 21
    assert sqlite_store.check() == []


def test_a_full_database_inside_a_nested_transaction_undoes_the_whole(sqlite_store: Store, make) -> None:
    sqlite_store.add([make("a")])
    sqlite_store.db.execute(f"PRAGMA max_page_count = {sqlite_store.db.value('PRAGMA page_count') + 4}")

    def both() -> None:
        with sqlite_store.transaction():
            sqlite_store.set_setting("k", 1)
            sqlite_store.add([make(f"b{i}", f"{i} " + "words " * 900) for i in range(20)])

    with pytest.raises(Full):
        both()
    assert sqlite_store.setting("k") is None
    assert sqlite_store.count(None) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine does not let tests mount a tmpfs: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_refuses_and_keeps_what_it_had(tiny_disk: Path, make) -> None:
    stored: list[int] = []
    with Store(tiny_disk / "brain", dimension=4) as store:

        def fill() -> None:
            for i in range(2000):
                store.add([make(f"e{i}", f"{i} " + "harbour notice " * 100)], np.ones((1, 4)))
                stored.append(i)

        with pytest.raises(Full, match="nothing was changed"):
            fill()
        assert store.count(None) == len(stored) > 10
        assert store.check() == []
    with Store(tiny_disk / "brain") as store:
        assert store.count(None) == len(stored)
        assert store.check() == []


def test_weights_on_a_full_disk_are_refused_and_leave_nothing_behind(tiny_disk: Path) -> None:
    torch = pytest.importorskip("torch")
    from byheart.store.weights import Weights

    weights = Weights(tiny_disk / "weights")
    small = weights.put({"a": torch.arange(4.0)})
    with pytest.raises(Full, match="no room for"):
        weights.put({"b": torch.zeros(1_000_000)})
    assert [p.name for p in (tiny_disk / "weights").iterdir()] == [f"{small['a']}.safetensors"]
    assert torch.equal(weights.get(small)["a"], torch.arange(4.0))
