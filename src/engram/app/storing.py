"""`engram store`: where a memory's engrams are kept: moved, backed up, restored, imported, scrubbed, measured."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engram.app.terminal import bars, dump
from engram.core.errors import BadInput

if TYPE_CHECKING:
    from engram.store.base import AnyStore

SINGLES, BATCH, K, OWNER = 200, 1000, 10, "u1"
Where = Annotated[str, typer.Option("--memory", "-m", envvar="ENGRAM_MEMORY", help="The memory's folder.")]
Url = Annotated[str | None, typer.Option(envvar="ENGRAM_STORE", help="Its address, when that has a password.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(help="Where a memory is kept.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Where a memory is kept."""


@app.command()
def move(
    target: Annotated[str, typer.Argument(help="postgresql://user@host/db#name, or 'folder' for its own file.")],
    folder: Where = "./brain",
    store: Url = None,
    as_json: Json = False,
) -> None:
    """Move a memory to another store; killed midway, run it again."""
    from engram.store import move as moving
    from engram.store.backup import alone
    from engram.store.opening import kept, point
    from engram.store.sqlite import Store

    home = _home(folder)
    held = kept(home)
    if target == "folder":
        if held is None:
            raise BadInput(f"{home.path} has its engrams in its own file already; give an address to move them to")
        from engram.store.postgres.address import Address
        from engram.store.postgres.replace import drop

        with bars(as_json) as told, _open(folder, store) as source, Store(home) as copy:
            found = moving.move(source, copy, progress=told)
        point(home, None)
        drop(Address.read(store or held), home)
    else:
        from engram.store.postgres.address import Address
        from engram.store.postgres.store import PostgresStore

        address = Address.read(target)
        if held is not None:
            raise BadInput(f"{home.path} has its engrams in {held}; move them to 'folder' first")
        alone(home.database)
        with bars(as_json) as told, Store(home) as source, PostgresStore(address, home) as there:
            found = moving.move(source, there, progress=told)
        alone(home.database)  # whoever has the file open would go on adding to what is about to be deleted
        point(home, address.public)
        for name in ("memory.db", "memory.db-wal", "memory.db-shm"):
            (home.path / name).unlink(missing_ok=True)
    _tell({"moved": kept(home) or str(home.database), **found}, as_json)


@app.command()
def backup(
    path: Annotated[str, typer.Argument(help="The file to write.")],
    folder: Where = "./brain",
    store: Url = None,
    as_json: Json = False,
) -> None:
    """Write a memory and its weights into one file."""
    from engram.store import backup as backups

    with bars(as_json) as told, _open(folder, store) as source:
        found = backups.backup(source, path, progress=told)
    _tell({"written": path, **found}, as_json)


@app.command()
def restore(
    path: Annotated[str, typer.Argument(help="A file that backup wrote.")],
    folder: Where = "./brain",
    store: Url = None,
    as_json: Json = False,
) -> None:
    """Check a backup, then put it in the memory's place."""
    from engram.store import backup as backups

    with bars(as_json) as told:
        found = backups.restore(path, folder, store, progress=told)
    _tell({"restored": folder, **found}, as_json)


@app.command("import")
def take(
    path: Annotated[str, typer.Argument(help="A file with one JSON object on each line; - is standard input.")],
    folder: Where = "./brain",
    store: Url = None,
    batch: Annotated[int, typer.Option(help="Engrams stored at once.", min=1)] = BATCH,
    as_json: Json = False,
) -> None:
    """Add engrams from lines of JSON, a batch at a time."""
    from engram.memory import Memory
    from engram.store.intake import import_lines

    _home(folder)
    try:
        lines = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a file with JSON lines") from error
    with lines, bars(as_json) as told, Memory.open(folder, store=store) as memory:
        found = import_lines(memory.store, lines, embed=memory.embed, batch=batch, progress=told)
    _tell(found, as_json)


@app.command()
def scrub(folder: Where = "./brain", store: Url = None, as_json: Json = False) -> None:
    """Drop what lingers of erased content, and say what cannot be reached."""
    with _open(folder, store) as opened:
        opened.scrub()
        unseen = opened.unseen()
    _tell({"scrubbed": folder, "unseen": unseen}, as_json)


@app.command()
def bench(
    store: Annotated[str | None, typer.Option(help="postgresql://user@host/db; SQLite without.")] = None,
    sizes: Annotated[str, typer.Option(help="Numbers of engrams, with commas between.")] = "1000,10000",
    as_json: Json = False,
) -> None:
    """Measure adding and recalling, one thread."""
    try:
        wanted = [int(s) for s in sizes.split(",")]
    except ValueError:
        wanted = []
    if not wanted or min(wanted) < 10:
        raise BadInput(f"--sizes {sizes!r}: give whole numbers of 10 and more with commas between, such as 1000,10000")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    runs = [{"size": size, **measure(size, store)} for size in wanted]
    _tell({"bench": "store", "store": "postgresql" if store else "sqlite", "runs": runs}, as_json)


def measure(size: int, address: str | None = None) -> dict[str, Any]:
    """Adds a second, one by one and in batches, and milliseconds of a hybrid search, of a fresh store."""
    import numpy as np

    from engram.core.records import Engram
    from engram.recall.retrieve.hybrid import Hybrid
    from engram.world.notices import DIMENSION, Corpus, timed

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

    with _fresh(address) as store:
        single = min(SINGLES, size // 10)
        start, spent = time.perf_counter(), time.process_time()
        for i in range(single):
            store.add([build(i)], vectors[i : i + 1])
        one = single / (time.perf_counter() - start)
        start = time.perf_counter()
        for i in range(single, size, BATCH):
            end = min(i + BATCH, size)
            store.add([build(j) for j in range(i, end)], vectors[i:end])
        many = (size - single) / (time.perf_counter() - start)
        spent = time.process_time() - spent
        store.settle()

        def recall(where: dict[str, Any] | None) -> Callable[[int], list[str]]:
            def work(i: int) -> list[str]:
                table.row = i
                return [hit.text for hit in search.search(store, table, data.queries[i], K, where=where)]

            return work

        gold = data.gold
        start = time.perf_counter()
        recall(None)(0)
        first = time.perf_counter() - start
        return {
            "single_adds_per_s": round(one, 1),
            "batched_adds_per_s": round(many, 1),
            "client_cpu_s_adding": round(spent, 2),
            "recall": timed(recall(None), gold),
            "recall_with_filter": timed(recall({"owner": OWNER}), gold),
            "first_recall_ms": round(1000 * first, 1),
            "bytes": store.size(),
        }


@contextmanager
def _fresh(address: str | None) -> Iterator[AnyStore]:
    """A store of its own, gone afterwards."""
    from engram.store.folder import Folder
    from engram.store.sqlite import Store

    with tempfile.TemporaryDirectory() as home:
        if address is None:
            with Store(home) as store:
                yield store
            return
        from engram.store.postgres.address import Address
        from engram.store.postgres.replace import drop
        from engram.store.postgres.store import PostgresStore

        told = Address.read(f"{address.partition('#')[0]}#bench-{secrets.token_hex(4)}")
        try:
            with PostgresStore(told, home) as opened:
                yield opened
        finally:
            drop(told, Folder(home))


def _home(folder: str) -> Any:
    from engram.store.folder import Folder
    from engram.store.opening import exists

    if not exists(folder):
        raise BadInput(f"no memory at {folder!r}; make one with engram remember FILE, or name another with --memory")
    return Folder(folder)


def _open(folder: str, store: str | None) -> AnyStore:
    from engram.store.opening import open_store

    return open_store(_home(folder), store)


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        dump(found)
        return
    for name, value in found.items():
        typer.echo(f"{name}: {'; '.join(map(str, value)) or 'nothing' if isinstance(value, list) else value}")
