"""Durable adds and recall at 10,000 and 100,000 engrams: engram against mem0 with its local store.

    python bench/store.py --peer-python PATH [--sizes 10000,100000] [--peer-limit 10000] [--out FILE]

Both get the same texts and the same precomputed embeddings, one thread each, in one run, one after
the other. engram is measured through `Store.add` and the whole of `Hybrid.search` (words, vectors,
neighbours, reading the hits); mem0 through `Memory.add(..., infer=False)` and `Memory.search`, with
its embedder replaced by a table. mem0 wants a user filter on every search, so all its memories
belong to one user; engram is measured without a filter and with the same one. The peer runs under
its own Python (a virtual environment with `mem0ai`). Above `--peer-limit` memories, the peer's adds
are timed up to the limit and the rest is put into its vector store in bulk, untimed, so that its
search sees the full size; the JSON says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

# One thread each: set before NumPy is imported.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np

DIMENSION = 384
QUERIES = 200
SINGLES = 200
BATCH = 1000
K = 10
USER = "u1"

_FIRST = "Marta Jonas Irena Pavel Sofia Anders Lucia Tomas Greta Milo Hanna Viktor Elsa Oskar Nadia Emil".split()
_STEMS = "kask vel bren tor mar lin dor sten hol fen gar win pel rad sul nor ash cor eld vin tam rok bel jas".split()
_ENDS = "holm ster wick mund gate ford mere stad vale berg low ness".split()
_THINGS = (
    "ferry ledger lantern crane warehouse bridge orchard archive tram kiln observatory market tunnel dock library "
    "garden clinic bakery mill theatre permit invoice budget contract timetable rota manual key engine harvest"
).split()
_VERBS = (
    "approved repaired painted inspected sold closed moved measured planned funded rented cleaned lost ordered".split()
)
_MONTHS = "January February March April May June July August September October November December".split()
_TAILS = (
    "because the old one had failed during the storm",
    "after a long meeting of the council, which ended in agreement",
    "and asked everyone to report problems to the front desk before noon",
    "so that visitors no longer have to wait at the eastern entrance",
    "although the insurance had not yet confirmed that it would pay",
    "together with two apprentices who had come from the coast",
)


def corpus(size: int, seed: int = 0) -> tuple[list[str], np.ndarray, list[str], np.ndarray, list[int]]:
    """Texts, their vectors, queries, their vectors, and the text each query asks for."""
    pick = random.Random(seed)
    people = [f"{f} {a.title()}{e}" for f in _FIRST for a in _STEMS for e in _ENDS]
    places = [f"{a.title()}{b}{e}" for a in _STEMS for b in _STEMS for e in _ENDS]
    facts = [
        (pick.choice(people), pick.choice(_VERBS), pick.choice(_THINGS), pick.choice(places), pick.choice(_MONTHS))
        for _ in range(size)
    ]
    texts = [
        f"In {m} {pick.randint(1950, 2026)} {who} {verb} the {what} at {where}, {pick.choice(_TAILS)}. "
        f"The {pick.choice(_THINGS)} next to it costs {pick.randint(3, 900)} crowns a day."
        for who, verb, what, where, m in facts
    ]
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, DIMENSION))
    vectors = _unit(centres[rng.integers(200, size=size)] + 0.7 * rng.standard_normal((size, DIMENSION)))
    asked = [pick.randrange(size) for _ in range(QUERIES)]
    queries = [f"Who {facts[i][1]} the {facts[i][2]} at {facts[i][3]} in {facts[i][4]}?" for i in asked]
    near = _unit(vectors[asked] + 0.02 * rng.standard_normal((QUERIES, DIMENSION)))
    return texts, vectors, queries, near, asked


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def timed(work: Callable[[int], Sequence[str]], asked: Sequence[str]) -> dict[str, Any]:
    """Milliseconds of each search, and how often what was asked for is among the hits."""
    for i in range(5):
        work(i)
    spent, found = [], 0
    for i in range(QUERIES):
        start = time.perf_counter()
        hits = work(i)
        spent.append(1000 * (time.perf_counter() - start))
        found += asked[i] in hits
    p50, p95 = np.percentile(spent, [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "found_at_10": found / QUERIES}


def measure(size: int) -> dict[str, Any]:
    """engram at one size."""
    from engram.core.records import Engram
    from engram.recall.retrieve.hybrid import Hybrid
    from engram.store.sqlite import Store

    class Table:
        dimension = DIMENSION
        row = 0

        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return near[self.row : self.row + 1]

    texts, vectors, queries, near, asked = corpus(size)
    table, search = Table(), Hybrid()
    with tempfile.TemporaryDirectory() as folder, Store(folder, dimension=DIMENSION) as store:

        def build(i: int) -> Engram:
            made = "2026-11-20T06:00:00+00:00"
            return Engram(
                id=secrets.token_hex(8),
                text=texts[i],
                source=f"file{i // 20}",
                position=i % 20,
                owner=USER,
                created=made,
            )

        single = min(SINGLES, size // 10)
        start = time.perf_counter()
        for i in range(single):
            store.add([build(i)], vectors[i : i + 1])
        one = single / (time.perf_counter() - start)
        start = time.perf_counter()
        for i in range(single, size, BATCH):
            store.add([build(j) for j in range(i, min(i + BATCH, size))], vectors[i : i + BATCH])
        many = (size - single) / (time.perf_counter() - start)

        def recall(where: dict[str, Any] | None) -> Callable[[int], list[str]]:
            def work(i: int) -> list[str]:
                table.row = i
                return [hit.text for hit in search.search(store, table, queries[i], K, where=where)]

            return work

        gold = [texts[i] for i in asked]
        start = time.perf_counter()
        recall(None)(0)
        first = time.perf_counter() - start
        return {
            "single_adds_per_s": round(one, 1),
            "batched_adds_per_s": round(many, 1),
            "recall": timed(recall(None), gold),
            "recall_with_filter": timed(recall({"owner": USER}), gold),
            "first_recall_ms": round(1000 * first, 1),
            "bytes": sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()),
        }


def measure_peer(size: int, limit: int) -> dict[str, Any]:
    """mem0 at one size; runs under the peer's Python and imports nothing of engram."""
    texts, vectors, queries, near, asked = corpus(size)
    table = {**dict(zip(texts, vectors.tolist(), strict=True)), **dict(zip(queries, near.tolist(), strict=True))}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": folder, "OPENAI_API_KEY": "none"}
        from mem0 import Memory

        place = {"collection_name": "bench", "embedding_model_dims": DIMENSION, "path": f"{folder}/qdrant"}
        memory = Memory.from_config(
            {"vector_store": {"provider": "qdrant", "config": place}, "history_db_path": f"{folder}/history.db"}
        )

        class Table:
            config = memory.embedding_model.config

            def embed(self, text: str, memory_action: str | None = None) -> list[float]:
                return table[text]

            def embed_batch(self, texts: list[str], memory_action: str | None = None) -> list[list[float]]:
                return [table[t] for t in texts]

        memory.embedding_model = Table()
        single = min(SINGLES, size // 10)
        start = time.perf_counter()
        for text in texts[:single]:
            memory.add(text, user_id=USER, infer=False)
        one = single / (time.perf_counter() - start)
        last = min(size, limit)
        start = time.perf_counter()
        for i in range(single, last, BATCH):
            part = texts[i : min(i + BATCH, last)]
            memory.add([{"role": "user", "content": t} for t in part], user_id=USER, infer=False)
        many = (last - single) / (time.perf_counter() - start)
        for i in range(last, size, BATCH):
            part = texts[i : i + BATCH]
            memory.vector_store.insert(
                vectors=[table[t] for t in part],
                ids=[str(uuid.uuid4()) for _ in part],
                payloads=[{"data": t, "user_id": USER, "role": "user", "hash": "", "created_at": ""} for t in part],
            )

        def work(i: int) -> list[str]:
            found = memory.search(queries[i], top_k=K, filters={"user_id": USER})
            return [hit["memory"] for hit in found["results"]]

        told = {
            "single_adds_per_s": round(one, 1),
            "batched_adds_per_s": round(many, 1),
            "adds_timed": last,
            "filled_in_bulk": size - last,
            "recall": timed(work, [texts[i] for i in asked]),
            "versions": {"mem0ai": version("mem0ai"), "qdrant-client": version("qdrant-client")},
        }
        memory.close()
        return told


def compare(size: int, peer_python: str | None, limit: int) -> dict[str, Any]:
    """Both at one size, with the ratios."""
    told: dict[str, Any] = {"size": size, "load_before": os.getloadavg()[0], "engram": measure(size)}
    if peer_python:
        command = [peer_python, __file__, "--as-peer", "--sizes", str(size), "--peer-limit", str(limit)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        ours, peer = told["engram"], json.loads(done.stdout.splitlines()[-1])
        told["mem0"] = peer
        told["ratio"] = {
            "batched_adds": round(ours["batched_adds_per_s"] / peer["batched_adds_per_s"], 2),
            "single_adds": round(ours["single_adds_per_s"] / peer["single_adds_per_s"], 2),
            "recall_p50": round(peer["recall"]["p50_ms"] / ours["recall"]["p50_ms"], 2),
            "recall_p50_with_filter": round(peer["recall"]["p50_ms"] / ours["recall_with_filter"]["p50_ms"], 2),
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000", help="numbers of engrams, comma-separated")
    parser.add_argument("--peer-python", help="a Python that has mem0ai; without it only engram is measured")
    parser.add_argument("--peer-limit", type=int, default=10**9, help="time at most this many of the peer's adds")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(s) for s in given.sizes.split(",")]
    if given.as_peer:
        print(json.dumps(measure_peer(sizes[0], given.peer_limit)))
        return
    runs = []
    for size in sizes:
        runs.append(compare(size, given.peer_python, given.peer_limit))
        if "ratio" in runs[-1]:
            print(f"{size:,} engrams, engram / mem0: {runs[-1]['ratio']}", file=sys.stderr)
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": 1}
    told = {
        "bench": "store",
        "machine": machine,
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "numpy": np.__version__},
        "setting": {"dimension": DIMENSION, "k": K, "queries": QUERIES, "batch": BATCH, "singles": SINGLES},
        "runs": runs,
    }
    text = json.dumps(told, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
