"""Durable adds and recall from 1,000 to 1,000,000 engrams, and beside mem0 and LangGraph's stores.

    python bench/store.py --sizes 1000,10000,100000,1000000 [--peer-python PATH] [--peer-sizes 10000] [--out FILE]

All get the same texts and the same precomputed embeddings, one thread each, in one run, one after the other. byheart is
measured through `Store.add` and the whole of `Hybrid.search` (words, vectors, neighbours, reading the hits), in a
process of its own that opens the folder, so that its first search is a cold one (of the process; the system may have
the file's pages) and its memory its own. mem0 is measured through `Memory.add(..., infer=False)` and
`Memory.search` with its local store, LangGraph through `put` or `batch` and `search` of its stores, each with its
embedder replaced by a table. mem0 wants a user filter on every search, so all its memories belong to one user. Peers
run under their own Python (a virtual environment with `mem0ai`, `langgraph` and `langgraph-checkpoint-sqlite`;
where its sqlite3 cannot load extensions, `pysqlite3-binary` stands in, and the JSON says so). Milliseconds are given
as wall time and as processor time: on a busy machine the second tells more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# One thread each: set before NumPy is imported.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np

from byheart.world.facts.notices import BLOCK, DIMENSION, QUERIES, Corpus, K, owner, timed

SINGLES = 200


def measure(size: int) -> dict[str, Any]:
    """byheart at one size: adding and folding here, recall in a process of its own."""
    from byheart.core.records import Engram
    from byheart.store.sqlite import Store

    made = "2026-11-20T06:00:00+00:00"
    with tempfile.TemporaryDirectory() as folder:
        single, spent, one = min(SINGLES, size // 10), 0.0, 0.0
        with Store(folder, dimension=DIMENSION) as store:
            for start, texts, vectors in Corpus(size).blocks():
                engrams = [
                    Engram(
                        id=secrets.token_hex(8),
                        text=text,
                        source=f"file{n // 20}",
                        position=n % 20,
                        owner=owner(n),
                        created=made,
                    )
                    for n, text in enumerate(texts, start)
                ]
                began, alone = time.perf_counter(), single if start == 0 else 0
                for n in range(alone):
                    store.add([engrams[n]], vectors[n : n + 1])
                one += time.perf_counter() - began
                began = time.perf_counter()
                store.add(engrams[alone:], vectors[alone:])
                spent += time.perf_counter() - began
            began, used = time.perf_counter(), time.process_time()
            if size > 4096:
                store.fold()
            fold = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}
        held = {p: p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()}
        index = sum(n for p, n in held.items() if p.parent.name == "index")
        command = [sys.executable, __file__, "--recall", folder, "--sizes", str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return {
            "single_adds_per_s": round(single / one, 1),
            "batched_adds_per_s": round((size - single) / spent, 1),
            "fold": {k: round(v, 2) for k, v in fold.items()},
            "bytes": sum(held.values()),
            "bytes_of_index": index,
            "bytes_per_engram": round(sum(held.values()) / size),
            **json.loads(done.stdout.splitlines()[-1]),
        }


def resident() -> dict[str, int]:
    """Resident memory of this process in bytes: its own, and mapped files that processes share."""
    told = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if line.count(":") == 1)
    return {name: 1024 * int(told[key].split()[0]) for name, key in (("own", "RssAnon"), ("mapped", "RssFile"))}


def recall(folder: str, size: int) -> dict[str, Any]:
    """What a process that opens the folder measures."""
    from byheart.core.query import Query
    from byheart.core.records import Engram
    from byheart.recall.retrieve.hybrid import Hybrid
    from byheart.recall.retrieve.ranked import Ranked
    from byheart.store.sqlite import Store

    class Table:
        dimension = DIMENSION
        row = 0

        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return data.near[self.row : self.row + 1]

    data, table = Corpus(size), Table()
    exact = data.nearest()
    before = resident()
    start, used = time.perf_counter(), time.process_time()
    with Store(folder) as store:

        def ask(search: Hybrid | Ranked, where: Callable[[int], dict[str, Any] | None]) -> Callable[[int], list[str]]:
            def work(i: int) -> list[str]:
                table.row = i
                return [hit.text for hit in search.search(Query(data.queries[i], store, table, k=K, where=where(i)))]

            return work

        plain = ask(Hybrid(), lambda i: None)
        plain(0)
        told: dict[str, Any] = {
            "cold_ms": round(1000 * (time.perf_counter() - start), 1),
            "cold_cpu_ms": round(1000 * (time.process_time() - used), 1),
            "recall": timed(plain, data.gold),
            "recall_again": timed(plain, data.gold),
            "recall_of_owner": timed(ask(Hybrid(), lambda i: {"owner": owner(data.rows[i])}), data.gold),
            "ranked": timed(ask(Ranked(), lambda i: None), data.gold, 50),
        }
        after = resident()
        told["resident"] = {k: after[k] - before[k] for k in after}

        def added(i: int) -> list[str]:
            store.add([Engram(id=f"new{i}", text=f"A new one, {i}.", created="now")], data.near[i : i + 1])
            start, used = time.perf_counter(), time.process_time()
            hits = plain(i)
            spent.append((1000 * (time.perf_counter() - start), 1000 * (time.process_time() - used)))
            return hits

        reached = [sum(s >= e - 1e-6 for _, s in store.dense(v, K)) for v, e in zip(data.near, exact, strict=True)]
        told["recall_at_10_of_exact"] = sum(min(r, K) for r in reached) / (K * QUERIES)
        spent: list[tuple[float, float]] = []
        for i in range(20):
            added(i)
        told["recall_after_an_add"] = dict(
            zip(("p50_ms", "cpu_p50_ms"), np.median(spent, 0).round(3).tolist(), strict=True)
        )
    return told


def compare(size: int, peer_python: str | None) -> dict[str, Any]:
    """byheart at one size, and its peers where a Python for them is given, with the ratios."""
    told: dict[str, Any] = {"size": size, "load_before": os.getloadavg()[0], "byheart": measure(size)}
    ours = told["byheart"]
    for name in ("mem0", "langgraph-sqlite", "langgraph-memory") if peer_python else ():
        peers = Path(__file__).with_name("peers.py")
        done = subprocess.run(
            [str(peer_python), peers, name, str(size)], stdout=subprocess.PIPE, text=True, check=False
        )
        peer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.returncode}
        told[name] = peer
        if "recall" in peer:
            told.setdefault("ratio", {})[name] = {
                "batched_adds": round(ours["batched_adds_per_s"] / peer["batched_adds_per_s"], 2),
                "single_adds": round(ours["single_adds_per_s"] / peer["single_adds_per_s"], 2),
                "recall_p50": round(peer["recall"]["p50_ms"] / ours["recall"]["p50_ms"], 2),
                "recall_cpu_p50": round(peer["recall"]["cpu_p50_ms"] / ours["recall"]["cpu_p50_ms"], 2),
            }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000", help="numbers of engrams, comma-separated")
    parser.add_argument("--peer-python", help="a Python that has the peers; without it only byheart is measured")
    parser.add_argument("--peer-sizes", default="10000", help="sizes at which peers are measured")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--recall", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(s) for s in given.sizes.split(",")]
    if given.recall:
        print(json.dumps(recall(given.recall, sizes[0])))
        return
    beside = {int(s) for s in given.peer_sizes.split(",")}
    runs = []
    for size in sizes:
        runs.append(compare(size, given.peer_python if size in beside else None))
        print(f"{size:,} engrams: {json.dumps(runs[-1])}", file=sys.stderr)
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": 1}
    told = {
        "bench": "store",
        "machine": machine,
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "numpy": np.__version__},
        "setting": {"dimension": DIMENSION, "k": K, "queries": QUERIES, "batch": BLOCK, "singles": SINGLES},
        "runs": runs,
    }
    text = json.dumps(told, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
