"""Killed at random moments: everything acknowledged is there, and nothing is broken."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np

from byheart.core.records import Version
from byheart.store import erase
from byheart.store.sqlite import Store

KILLS = 40


def child(folder: Path, turn: int, pipe: int, make) -> None:
    """Add engrams for ever, one or a few at a time, and say each id once `add` has returned."""
    with Store(folder, dimension=4) as store:
        os.write(pipe, b"ready\n")
        for n in range(100_000):
            ids = [f"{turn}-{n}-{i}" for i in range(1 + n % 3)]
            store.add([make(i, f"notice {i} " + "harbour " * (n % 40)) for i in ids], np.ones((len(ids), 4)))
            os.write(pipe, "".join(f"{i}\n" for i in ids).encode())


def run_and_kill(work, seconds: float) -> list[str]:
    """Fork, let `work(pipe)` run for a while after its first line, SIGKILL it; gives its whole lines."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            work(writing)
        finally:
            os._exit(1)
    os.close(writing)
    data = os.read(reading, 6)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    while part := os.read(reading, 65536):
        data += part
    os.close(reading)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    return data.decode().split("\n")[1:-1]


def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path, make) -> None:
    rng = random.Random(20261120)
    acknowledged: list[str] = []
    for turn in range(KILLS):
        acknowledged += run_and_kill(lambda pipe, t=turn: child(tmp_path, t, pipe, make), rng.uniform(0, 0.04))
        with Store(tmp_path) as store:
            held = {e.id for e in store.all(state=None)}
            missing = set(acknowledged) - held
            assert not missing, f"kill {turn} lost {sorted(missing)[:5]}"
            if turn % 8 == 7:
                assert store.check() == []
    assert len(acknowledged) > KILLS
    with Store(tmp_path) as store:
        assert store.check() == []
        assert len(store.dense(np.ones(4), 10**6)) == store.count()


def test_a_commit_of_a_version_killed_at_any_moment_is_whole_or_absent(open_store, make) -> None:
    rng = random.Random(7)
    with open_store(dimension=4) as store:
        store.add([make(f"e{i}") for i in range(20)], np.ones((20, 4)))
        ids = [e.id for e in store.all()]

    def commit(pipe: int) -> None:
        with open_store() as store:
            os.write(pipe, b"ready\n")
            start = len(store.versions())
            for n in range(start, start + 10_000):
                with store.transaction():
                    store.put_version(Version(id=f"v{n}", created="now"))
                    store.put_lessons(f"v{n}", [(i, {"n": n}) for i in ids])
                    store.update(ids, version=f"v{n}", forms=("text", "weights"))
                    store.set_head(f"v{n}")
                os.write(pipe, f"v{n}\n".encode())

    for _ in range(10):
        step = run_and_kill(commit, rng.uniform(0, 0.04))
        with open_store() as store:
            head = store.head()
            names = [v.id for v in store.versions()]
            assert head == (names[-1] if names else None)
            assert set(step) <= set(names)
            assert {e.version for e in store.all()} == {head}
            if head:
                assert store.lessons(head) == [(i, {"n": int(head[1:])}) for i in ids]
            assert store.check() == []


def test_erasing_killed_at_any_moment_is_whole_or_absent_and_leaves_no_bytes(tmp_path: Path, make) -> None:
    rng = random.Random(3)
    done = 0
    for turn in range(12):
        word = f"quillfeather{turn}x"
        with Store(tmp_path, dimension=4) as store:
            store.add([make(f"t{turn}-{i}", f"{word} notice {i}") for i in range(60)], np.ones((60, 4)))
            ids = [e.id for e in store.all() if e.id.startswith(f"t{turn}-")]

        def work(pipe: int, ids: list[str] = ids) -> None:
            with Store(tmp_path) as store:
                os.write(pipe, b"ready\n")
                store.erase(ids)
                time.sleep(10)

        run_and_kill(work, rng.uniform(0, 0.03))
        with Store(tmp_path) as store:
            left = [e.id for e in store.all() if e.id in ids]
            assert left in ([], ids)
            assert store.check() == []
            if not left:
                done += 1
                assert not store.setting(erase.DUE)
                data = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
                assert word.encode() not in data
    assert done > 0
