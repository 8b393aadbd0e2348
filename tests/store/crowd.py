"""Several processes read and write one folder at once, and what they saw is held against what is there.

python tests/store/crowd.py --seconds 60 --processes 8 --seed 0 --out bench/results/crowd.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from byheart.core.errors import Busy
from byheart.core.query import Query
from byheart.core.records import Engram
from byheart.recall.retrieve.hybrid import Hybrid
from byheart.store import cells, index
from byheart.store.sqlite import Store

D = 16
WORDS = "ferry ledger lantern crane harbour bridge orchard archive tram kiln market tunnel dock library".split()


def vector_of(name: str) -> np.ndarray:
    """The vector that belongs to an engram, from its id alone."""
    return np.random.default_rng(list(name.encode())).standard_normal(D).astype(np.float32)


def text_of(name: str) -> str:
    """The text that belongs to an engram, from its id alone."""
    return f"{' '.join(random.Random(name).choices(WORDS, k=6))} only{name}"


class Same:
    """Embeds a text that holds an id as the vector of that id."""

    dimension = D

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.stack([vector_of(t.split("only")[-1]) for t in texts])


def work(folder: Path, who: int, seconds: float, seed: int) -> dict[str, Any]:
    """Add, search, change and erase one's own engrams until the time is over; what was done and what was wrong."""
    draw = random.Random(f"{seed} {who}")
    mine: list[str] = []
    erased: list[str] = []
    wrong: list[str] = []
    done = dict.fromkeys(("added", "searches", "archived", "erased"), 0)
    until = time.monotonic() + seconds
    with Store(folder, dimension=D, patience=60.0) as store:
        while time.monotonic() < until:
            chance = draw.random()
            if chance < 0.4 or not mine:
                new = [f"p{who}n{done['added'] + i}" for i in range(draw.choice((1, 1, 1, 40)))]
                engrams = [Engram(id=n, text=text_of(n), created="now", owner=f"p{who}") for n in new]
                store.add(engrams, np.stack([vector_of(n) for n in new]))
                mine += new
                done["added"] += len(new)
            elif chance < 0.97:
                name = draw.choice(mine)
                where = {"owner": f"p{who}"} if draw.random() < 0.3 else None
                if name not in dict(store.lexical(f"only{name}", 3, where=where)):
                    wrong.append(f"{name} is not found by its word")
                if name not in dict(store.dense(vector_of(name), 3, where=where)):
                    wrong.append(f"{name} is not found by its vector")
                hits = Hybrid().search(Query(f"{draw.choice(WORDS)} only{name}", store, Same(), k=5, where=where))
                wrong += [f"{h.id} reads {h.text!r}" for h in hits if h.text != text_of(h.id)]
                wrong += [f"{h.id} was erased and is found" for h in hits if h.id in erased]
                done["searches"] += 1
            elif chance < 0.99:
                name = mine.pop(draw.randrange(len(mine)))
                store.update([name], state="archived")
                if name in dict(store.lexical(f"only{name}", 3)):
                    wrong.append(f"{name} is archived and is found")
                done["archived"] += 1
            elif who == 0:
                name = mine.pop(draw.randrange(len(mine)))
                with suppress(Busy):  # old bytes go when the others pause; the engram is gone at once
                    store.erase([name])
                erased.append(name)
                if name in dict(store.dense(vector_of(name), 3)):
                    wrong.append(f"{name} is erased and is found")
                done["erased"] += 1
    return {**done, "mine": mine, "gone": erased, "wrong": wrong}


def crowd(folder: Path, processes: int, seconds: float, seed: int) -> dict[str, Any]:
    """Run them all, then open the folder and look for what each said that it wrote."""
    readers = []
    for who in range(processes):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            try:
                reports = work(folder, who, seconds, seed)
            except BaseException:
                reports = {"wrong": [traceback.format_exc()]}
            with os.fdopen(writing, "w") as pipe:
                json.dump(reports, pipe)
            os._exit(0)
        os.close(writing)
        readers.append((pid, reading))
    reports = []
    for pid, reading in readers:
        with os.fdopen(reading) as pipe:
            reports.append(json.load(pipe))
        os.waitpid(pid, 0)
    wrong = [w for report in reports for w in report["wrong"]]
    with Store(folder) as store:
        held = {e.id: e for e in store.all(state=None)}
        for report in reports:
            wrong += [f"{n} was written and is lost" for n in report.get("mine", ()) if n not in held]
            wrong += [f"{n} was erased and is there" for n in report.get("gone", ()) if n in held]
        wrong += [f"{n} is torn" for n, e in held.items() if e.text != text_of(n)]
        scores = dict(store.dense(np.ones(D), 10**9))
        wrong += [f"{e.id} has no vector" for e in held.values() if e.state == "active" and e.id not in scores]
        wrong += store.check()
    sums = {k: sum(report.get(k, 0) for report in reports) for k in ("added", "searches", "archived", "erased")}
    files = len(list((folder / "index").glob("*.safetensors")))
    return {"processes": processes, "seconds": seconds, **sums, "files": files, "wrong": wrong[:20]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--small", action="store_true", help="index files of a few dozen engrams, so that many are made"
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.small:
        index.TAIL, cells.FLAT = 64, 256
    with tempfile.TemporaryDirectory() as folder:
        report = crowd(Path(folder) / "brain", given.processes, given.seconds, given.seed)
    print(json.dumps(report))
    if given.out:
        job = {"bench": "crowd", "seconds": given.seconds, "processes": given.processes, "seed": given.seed}
        given.out.write_text(json.dumps({**job, **report}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
