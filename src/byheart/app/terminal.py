"""Writing to the terminal: consoles, JSON, progress bars."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from byheart.memory.parts import Progress

_interrupts: list[int] = []


def console(err: bool = False) -> Console:
    """A console on standard output or error, wide where nobody looks."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 120
    return Console(stderr=err, width=width, highlight=False, soft_wrap=True)


def dump(value: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def heed_interrupts() -> None:
    """Note every SIGINT besides raising it: what an import or a destructor swallows is raised again by `bars`."""

    def note(number: int, frame: Any) -> None:
        _interrupts.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)


def _heed(stage: str, done: int, total: int) -> None:
    if _interrupts:
        _interrupts.clear()
        raise KeyboardInterrupt


@contextmanager
def bars(silent: bool) -> Iterator[Progress]:
    """Bars on a terminal's standard error, one per stage; nothing is shown anywhere else."""
    if silent or not sys.stderr.isatty():
        yield _heed
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(err=True), transient=True) as shown:
        stages: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            _heed(stage, done, total)
            if stage not in stages:
                stages[stage] = shown.add_task(stage, total=total)
            shown.update(stages[stage], completed=done, total=total)

        yield update
