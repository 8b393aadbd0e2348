"""`byheart store`: where a memory is kept: moved, backed up, restored, imported, scrubbed, rebuilt, measured."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from byheart.app.terminal import bars, console, dump
from byheart.core.errors import BadInput, Unknown

if TYPE_CHECKING:
    from byheart.store.base import AnyStore

BATCH = 1000
Where = Annotated[str, typer.Option("--memory", "-m", envvar="BYHEART_MEMORY", help="The memory's folder.")]
Url = Annotated[str | None, typer.Option(envvar="BYHEART_STORE", help="Its address, when that has a password.")]
Within = Annotated[
    str | None, typer.Option("--namespace", "-n", help="A memory of its own within the folder, such as a user's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(help="Where a memory is kept.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Where a memory is kept."""


@app.command()
def move(
    target: Annotated[str, typer.Argument(help="postgresql://user@host/db#name, or 'folder' for its own file.")],
    folder: Where = "./brain",
    namespace: Within = None,
    store: Url = None,
    as_json: Json = False,
) -> None:
    """Move a memory to another store; killed midway, run it again."""
    from byheart.store import transfer
    from byheart.store.opening import address_of

    home = _home(folder, namespace)
    with bars(as_json) as progress:
        if target == "folder":
            counts = transfer.to_folder(home, store, progress=progress)
        else:
            counts = transfer.to_server(home, target, progress=progress)
    _note_namespaces(folder, namespace, "were not moved with it; move each with --namespace")
    _tell({"moved": address_of(home) or str(home.database), **counts}, as_json)


@app.command()
def backup(
    path: Annotated[str, typer.Argument(help="The file to write.")],
    folder: Where = "./brain",
    namespace: Within = None,
    store: Url = None,
    as_json: Json = False,
) -> None:
    """Write a memory and its weights into one file."""
    from byheart.store import backup as backups

    with bars(as_json) as progress, _open(folder, namespace, store) as source:
        counts = backups.backup(source, path, progress=progress)
    _note_namespaces(folder, namespace, "are not in this backup; back each up with --namespace, into a file of its own")
    _tell({"written": path, **counts}, as_json)


@app.command()
def restore(
    path: Annotated[str, typer.Argument(help="A file that backup wrote.")],
    folder: Where = "./brain",
    namespace: Within = None,
    store: Url = None,
    as_json: Json = False,
) -> None:
    """Check a backup, then put it in the memory's place."""
    from byheart.store import backup as backups
    from byheart.store.folder import within

    home = within(folder, namespace)
    with bars(as_json) as progress:
        counts = backups.restore(path, home, store, progress=progress)
    _tell({"restored": str(home), **counts}, as_json)


@app.command("import")
def take(
    path: Annotated[str, typer.Argument(help="A file with one JSON object on each line; - is standard input.")],
    folder: Where = "./brain",
    namespace: Within = None,
    store: Url = None,
    batch: Annotated[int, typer.Option(help="Engrams stored at once.", min=1)] = BATCH,
    as_json: Json = False,
) -> None:
    """Add engrams from lines of JSON, a batch at a time."""
    from byheart.memory import Memory
    from byheart.memory.intake import import_lines

    home = _home(folder, namespace)
    try:
        lines = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a file with JSON lines") from error
    with lines, bars(as_json) as progress, Memory.open(home.path, store=store) as memory:
        counts = import_lines(memory, lines, batch=batch, progress=progress)
    _tell(counts, as_json)


@app.command()
def scrub(folder: Where = "./brain", namespace: Within = None, store: Url = None, as_json: Json = False) -> None:
    """Drop what lingers of erased content, and say what cannot be reached."""
    with _open(folder, namespace, store) as opened:
        opened.scrub()
        unseen = opened.unseen()
    _tell({"scrubbed": str(opened.folder.path), "unseen": unseen}, as_json)


@app.command()
def rebuild(folder: Where = "./brain", namespace: Within = None, store: Url = None, as_json: Json = False) -> None:
    """Make the tables and indexes anew from the event log, and check.

    Ends with 1 when something is damaged still.
    """
    with _open(folder, namespace, store) as opened:
        opened.rebuild()
        left = opened.check()
    _tell({"rebuilt": str(opened.folder.path), "damaged": left}, as_json)
    if left:
        raise typer.Exit(1)


@app.command()
def namespaces(folder: Where = "./brain", as_json: Json = False) -> None:
    """List the namespaces: memories of their own in the folder."""
    from byheart.store import folder as folders

    if not Path(folder).expanduser().is_dir():
        raise BadInput(f"no folder {folder!r}; name another with --memory")
    names = folders.namespaces(folder)
    if as_json:
        dump(names)
    else:
        typer.echo("\n".join(names) or "none; open one with --namespace NAME")


@app.command()
def bench(
    store: Annotated[str | None, typer.Option(help="postgresql://user@host/db; SQLite without.")] = None,
    sizes: Annotated[str, typer.Option(help="Numbers of engrams, with commas between.")] = "1000,10000",
    out: Annotated[str | None, typer.Option(help="The table as JSON, written after every size.")] = None,
    as_json: Json = False,
) -> None:
    """Measure adding and recalling, one thread."""
    from byheart.app.show import table
    from byheart.bench import storing

    try:
        wanted = [int(s) for s in sizes.split(",")]
    except ValueError:
        wanted = []
    if not wanted or min(wanted) < 10:
        raise BadInput(f"--sizes {sizes!r}: give whole numbers of 10 and more with commas between, such as 1000,10000")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    runs: list[dict[str, Any]] = []
    figures = {"bench": "store", "store": "postgresql" if store else "sqlite", "runs": runs}
    with bars(as_json) as progress:
        for size in wanted:
            runs.append({"size": size, **storing.measure(size, store, progress)})
            if out:
                Path(out).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if as_json:
        dump(figures)
    else:
        table(console(), storing.COLUMNS, map(storing.cells, runs))


def _home(folder: str, namespace: str | None) -> Any:
    from byheart.store.folder import Folder, namespaces, within
    from byheart.store.opening import exists

    home = within(folder, namespace)
    if exists(home):
        return Folder(home)
    if namespace is not None:
        look = f"byheart store namespaces -m {shlex.quote(folder)}"
        raise Unknown.name(f"namespace in {folder}", namespace, namespaces(folder), look)
    names = namespaces(folder)
    if names:
        raise BadInput(f"{folder!r} has no memory but its namespaces; name one with --namespace: {', '.join(names)}")
    raise BadInput(f"no memory at {folder!r}; make one with byheart remember FILE, or name another with --memory")


def _open(folder: str, namespace: str | None, store: str | None) -> AnyStore:
    from byheart.store.opening import open_store

    return open_store(_home(folder, namespace), store)


def _note_namespaces(folder: str, namespace: str | None, what: str) -> None:
    """Say on standard error which memories a command for the whole folder did not touch."""
    from byheart.store.folder import namespaces

    names = namespaces(folder) if namespace is None else []
    if names:
        typer.echo(f"{folder} has namespaces, memories of their own, which {what}: {', '.join(names)}", err=True)


def _tell(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        dump(facts)
        return
    for name, value in facts.items():
        typer.echo(f"{name}: {'; '.join(map(str, value)) or 'nothing' if isinstance(value, list) else value}")
