"""Writing to the terminal: consoles, JSON, progress bars."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
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


class Pace:
    """How long a stage will take, by how fast it went since it was first heard of.

    What was done before that, by a run that was stopped, does not count as fast. `clock` gives seconds.

    >>> times = iter([0.0, 10.0])
    >>> pace = Pace(clock=lambda: next(times))
    >>> pace.left("learning", 20, 80), pace.left("learning", 30, 80)
    (None, 50.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: dict[str, tuple[float, int]] = {}

    def left(self, stage: str, done: int, total: int) -> float | None:
        """Seconds until `total`; None while the pace or the total is not known."""
        now = self._clock()
        start, before = self._first.setdefault(stage, (now, done))
        if done <= before or done >= total:
            return None
        return (now - start) * (total - done) / (done - before)


def duration(seconds: float) -> str:
    """A time in words, in its two largest units.

    >>> duration(9.6), duration(130), duration(7380)
    ('10 s', '2 min 10 s', '2 h 3 min')
    """
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def bars(silent: bool, *, clock: Callable[[], float] = time.monotonic, every: float = 30.0) -> Iterator[Progress]:
    """How far long work is and how long it will take, on standard error: bars on a terminal, one per stage.

    Elsewhere a line at most `every` seconds, the first after as long, so that short work writes none. `clock` gives
    seconds.
    """
    if silent:
        yield _heed
    elif sys.stderr.isatty():
        with _shown(Pace(clock)) as progress:
            yield progress
    else:
        yield _lines(clock, every)


@contextmanager
def _shown(pace: Pace) -> Iterator[Progress]:
    """Bars on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    text, left = TextColumn("{task.description}"), TextColumn("{task.fields[left]}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), left)
    with Progress(*columns, console=console(err=True), transient=True) as shown:
        stages: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            _heed(stage, done, total)
            if stage not in stages:
                stages[stage] = shown.add_task(stage, total=total, left="")
            seconds = pace.left(stage, done, total)
            rest = "" if seconds is None else f"{duration(seconds)} left"
            shown.update(stages[stage], completed=done, total=total, left=rest)

        yield update


def _lines(clock: Callable[[], float], every: float) -> Progress:
    """A line now and then, for standard error in a file."""
    pace, last = Pace(clock), clock()

    def update(stage: str, done: int, total: int) -> None:
        nonlocal last
        _heed(stage, done, total)
        seconds, now = pace.left(stage, done, total), clock()
        if now - last < every:
            return
        last = now
        rest = "" if seconds is None else f", {duration(seconds)} left"
        typer.echo(f"byheart: {stage} {done}{f' of {total}' if done < total else ''}{rest}", err=True)

    return update
