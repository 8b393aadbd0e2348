"""`byheart store bench`: adding to a fresh store and searching it, in figures and in a table."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from byheart.memory.parts import Progress
    from byheart.store.base import AnyStore

SINGLES, BATCH, K, OWNER = 200, 1000, 10, "u1"
COLUMNS = (
    *("engrams", "adds/s", "in batches", "recall ms", "p95", "of an owner ms", "p95", "first ms", "found@10"),
    "size",
)


def measure(size: int, address: str | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Adds a second, one by one and in batches, and milliseconds of a hybrid search, of a fresh store."""
    import numpy as np

    from byheart.core.query import Query
    from byheart.core.records import Engram
    from byheart.recall.retrieve.hybrid import Hybrid
    from byheart.world.facts.notices import DIMENSION, Corpus, timed

    class Table:
        dimension = DIMENSION
        row = 0

        def encode(self, texts: Sequence[str]) -> Any:
            return data.near[self.row : self.row + 1]

    data = Corpus(size)
    _, parts, blocks = zip(*data.blocks(), strict=True)
    texts, vectors = [t for part in parts for t in part], np.concatenate(blocks)
    table, search = Table(), Hybrid()
    made = "2026-11-20T06:00:00+00:00"

    def build(i: int) -> Engram:
        place = {"source": f"file{i // 20}", "position": i % 20, "owner": OWNER, "created": made}
        return Engram(id=secrets.token_hex(8), text=texts[i], **place)  # type: ignore[arg-type]

    def tell(stage: str, done: int, total: int) -> None:
        if progress:
            progress(stage, done, total)

    with _fresh(address) as store:
        single = min(SINGLES, size // 10)
        adding, searching = f"adding {size:,}", f"searching {size:,}"
        start, spent = time.perf_counter(), time.process_time()
        for i in range(single):
            store.add([build(i)], vectors[i : i + 1])
        singly = single / (time.perf_counter() - start)
        start = time.perf_counter()
        for i in range(single, size, BATCH):
            end = min(i + BATCH, size)
            store.add([build(j) for j in range(i, end)], vectors[i:end])
            tell(adding, end, size)
        many = (size - single) / (time.perf_counter() - start)
        spent = time.process_time() - spent
        store.settle()

        def recall(where: dict[str, Any] | None) -> Callable[[int], list[str]]:
            def work(i: int) -> list[str]:
                table.row = i
                return [hit.text for hit in search.search(Query(data.queries[i], store, table, k=K, where=where))]

            return work

        gold = data.gold
        start = time.perf_counter()
        recall(None)(0)
        first = time.perf_counter() - start
        tell(searching, 0, 2)
        plain = timed(recall(None), gold)
        tell(searching, 1, 2)
        filtered = timed(recall({"owner": OWNER}), gold)
        tell(searching, 2, 2)
        return {
            "single_adds_per_s": round(singly, 1),
            "batched_adds_per_s": round(many, 1),
            "client_cpu_s_adding": round(spent, 2),
            "recall": plain,
            "recall_with_filter": filtered,
            "first_recall_ms": round(1000 * first, 1),
            "bytes": store.size(),
        }


@contextmanager
def _fresh(address: str | None) -> Iterator[AnyStore]:
    """A store of its own, gone afterwards."""
    from byheart.store.folder import Folder
    from byheart.store.sqlite import Store

    with tempfile.TemporaryDirectory() as home:
        if address is None:
            with Store(home) as store:
                yield store
            return
        from byheart.store.postgres.address import Address
        from byheart.store.postgres.replace import drop
        from byheart.store.postgres.store import PostgresStore

        place = Address.read(f"{address.partition('#')[0]}#bench-{secrets.token_hex(4)}")
        try:
            with PostgresStore(place, home) as opened:
                yield opened
        finally:
            drop(place, Folder(home))


def cells(run: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of the printed table, of one size."""
    searches = [f"{run[name][p]:.2f}" for name in ("recall", "recall_with_filter") for p in ("p50_ms", "p95_ms")]
    return (
        f"{run['size']:,}",
        f"{run['single_adds_per_s']:,.0f}",
        f"{run['batched_adds_per_s']:,.0f}",
        *searches,
        f"{run['first_recall_ms']:.1f}",
        f"{run['recall']['found_at_10']:.0%}",
        f"{run['bytes'] / 2**20:,.1f} MiB",
    )
