"""Progress on a terminal and in a file."""

from __future__ import annotations

import io

import pytest

from byheart.app import terminal


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(clock: Clock, *, silent: bool = False, pace: float = 2.0, steps: int = 80, start: int = 1) -> None:
    """Work of `steps` steps of `pace` seconds each; a resumed one begins later."""
    with terminal.bars(silent, clock=clock) as progress:
        for n in range(start, steps + 1):
            clock.now += pace
            progress("learning", n, steps)


def test_a_line_every_thirty_seconds_says_what_is_left(capsys) -> None:
    run(Clock())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "byheart: learning 15 of 80, 2 min 10 s left",
        "byheart: learning 30 of 80, 1 min 40 s left",
        "byheart: learning 45 of 80, 1 min 10 s left",
        "byheart: learning 60 of 80, 40 s left",
        "byheart: learning 75 of 80, 10 s left",
    ]


def test_short_and_silent_work_writes_nothing(capsys) -> None:
    run(Clock(), pace=0.3)
    run(Clock(), silent=True)
    assert capsys.readouterr() == ("", "")


def test_what_an_earlier_run_did_does_not_count_as_fast(capsys) -> None:
    run(Clock(), start=60, pace=10.0)
    assert capsys.readouterr().err.splitlines()[0] == "byheart: learning 62 of 80, 3 min 0 s left"


def test_work_of_unknown_length_says_how_far_it_is(capsys) -> None:
    clock = Clock()
    with terminal.bars(False, clock=clock) as progress:
        for n in (1000, 2000):
            clock.now += 40.0
            progress("lines", n, n)
    assert capsys.readouterr().err == "byheart: lines 1000\nbyheart: lines 2000\n"


def test_a_terminal_shows_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, clock = Screen(), Clock()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    with terminal.bars(False, clock=clock) as progress:
        for n in range(1, 16):
            clock.now += 2.0
            progress("learning", n, 80)
    assert "2 min 10 s left" in screen.getvalue()
