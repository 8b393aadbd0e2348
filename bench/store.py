"""Durable adds and recall at 10,000 and 100,000 engrams: engram against mem0 with its local store.

    python bench/store.py --peer-python PATH [--sizes 10000,100000] [--peer-limit 10000] [--out FILE]

Both get the same texts and the same precomputed embeddings, one thread each, in one run, one after
the other. engram is measured as `engram store bench` does it, through `Store.add` and the whole of
`Hybrid.search` (words, vectors, neighbours, reading the hits); mem0 through `Memory.add(...,
infer=False)` and `Memory.search`, with its embedder replaced by a table. mem0 wants a user filter on
every search, so all its memories belong to one user; engram is measured without a filter and with
the same one. The peer runs under its own Python (a virtual environment with `mem0ai`). Above
`--peer-limit` memories, the peer's adds are timed up to the limit and the rest is put into its
vector store in bulk, untimed, so that its search sees the full size; the JSON says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

# One thread each: set before NumPy is imported.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np

from engram.world.notices import DIMENSION, QUERIES, corpus, timed

SINGLES, BATCH, K, USER = 200, 1000, 10, "u1"


def measure_peer(size: int, limit: int) -> dict[str, Any]:
    """mem0 at one size; runs under the peer's Python and imports of engram the notices alone."""
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
    from engram.app.storing import measure

    told: dict[str, Any] = {"size": size, "load_before": os.getloadavg()[0], "engram": measure(size)}
    if peer_python:
        command = [peer_python, __file__, "--as-peer", "--sizes", str(size), "--peer-limit", str(limit)]
        path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=path)
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
