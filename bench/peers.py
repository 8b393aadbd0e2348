"""mem0 and LangGraph's stores, measured as `store.py` measures byheart; runs under the peers' Python.

PYTHON bench/peers.py mem0|langgraph-sqlite|langgraph-memory SIZE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # what makes the texts needs NumPy alone

from byheart.world.facts.notices import USER, Corpus, K, timed

SINGLES = 200


def measure(
    data: Corpus, single: Callable[[str], Any], many: Callable[[list[str]], Any], ask: Callable[[int], Sequence[str]]
) -> dict[str, Any]:
    """Adds and searches of a peer."""
    alone = min(SINGLES, data.size // 10)
    one = spent = 0.0
    for start, texts, _ in data.blocks():
        some = alone if start == 0 else 0
        began = time.perf_counter()
        for text in texts[:some]:
            single(text)
        one += time.perf_counter() - began
        began = time.perf_counter()
        many(texts[some:])
        spent += time.perf_counter() - began
    for i in range(5):
        ask(i)
    return {
        "single_adds_per_s": round(alone / one, 1),
        "batched_adds_per_s": round((data.size - alone) / spent, 1),
        "recall": timed(ask, data.gold),
    }


def mem0(data: Corpus, folder: str) -> dict[str, Any]:
    """mem0 with Qdrant in a folder."""
    os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": folder, "OPENAI_API_KEY": "none"}
    from mem0 import Memory

    place = {"collection_name": "bench", "embedding_model_dims": data.near.shape[1], "path": f"{folder}/qdrant"}
    memory = Memory.from_config(
        {"vector_store": {"provider": "qdrant", "config": place}, "history_db_path": f"{folder}/history.db"}
    )
    table = data.table()

    class Table:
        config = memory.embedding_model.config

        def embed(self, text: str, memory_action: str | None = None) -> list[float]:
            return table[text]

        def embed_batch(self, texts: list[str], memory_action: str | None = None) -> list[list[float]]:
            return [table[t] for t in texts]

    memory.embedding_model = Table()

    def ask(i: int) -> list[str]:
        found = memory.search(data.queries[i], top_k=K, filters={"user_id": USER})
        return [hit["memory"] for hit in found["results"]]

    def many(texts: list[str]) -> None:
        memory.add([{"role": "user", "content": t} for t in texts], user_id=USER, infer=False)

    told = measure(data, lambda text: memory.add(text, user_id=USER, infer=False), many, ask)
    memory.close()
    return told


def langgraph(data: Corpus, folder: str, kind: str) -> dict[str, Any]:
    """LangGraph's InMemoryStore, or its SqliteStore with sqlite-vec."""
    from langgraph.store.base import PutOp

    table = data.table()

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [table[t] if t in table else table[json.loads(t)["text"]] for t in texts]  # SqliteStore gives JSON

    index = {"dims": data.near.shape[1], "embed": embed, "fields": ["text"]}
    noted = {}
    if kind == "langgraph-memory":
        from langgraph.store.memory import InMemoryStore

        store: Any = InMemoryStore(index=index)
    else:
        import sqlite3

        link = sqlite3.connect(":memory:")
        try:
            link.enable_load_extension(True)
            link.close()
        except (AttributeError, sqlite3.Error):
            import pysqlite3

            sys.modules["sqlite3"] = pysqlite3
            noted = {"sqlite3": "of pysqlite3-binary, for this Python's loads no extensions"}
        import sqlite3 as loaded

        from langgraph.store.sqlite import SqliteStore

        place = loaded.connect(f"{folder}/store.db", check_same_thread=False, isolation_level=None)
        store = SqliteStore(place, index=index)
        store.setup()
    count = iter(range(10**9))

    def many(texts: list[str]) -> None:
        store.batch([PutOp((USER,), str(next(count)), {"text": t}) for t in texts])

    def ask(i: int) -> list[str]:
        return [hit.value["text"] for hit in store.search((USER,), query=data.queries[i], limit=K)]

    return noted | measure(data, lambda t: store.put((USER,), str(next(count)), {"text": t}), many, ask)


def main() -> None:
    name, size = sys.argv[1], int(sys.argv[2])
    data = Corpus(size)
    with tempfile.TemporaryDirectory() as folder:
        told = mem0(data, folder) if name == "mem0" else langgraph(data, folder, name)
    told["versions"] = {}
    for package in ("mem0ai", "qdrant-client") if name == "mem0" else ("langgraph", "langgraph-checkpoint-sqlite"):
        with suppress(PackageNotFoundError):
            told["versions"][package] = version(package)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
