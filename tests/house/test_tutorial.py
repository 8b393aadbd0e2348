"""The tutorial does what it says: its blocks are run, in order, in an empty folder."""

import re
import shlex
from pathlib import Path

import pytest

from byheart.app import cli

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def blocks(text: str) -> list[tuple[int, str, str]]:
    """(line, language, code) of every fenced block."""
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.S | re.M)
    return [(text[: m.start()].count("\n") + 2, m[1], m[2]) for m in found]


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for line, language, code in blocks(PAGE.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile("\n" * (line - 1) + code, str(PAGE), "exec"), names)
        else:
            for command in code.splitlines():
                with pytest.raises(SystemExit) as stopped:
                    cli.main(shlex.split(command)[1:])
                assert stopped.value.code == 0, f"line {line}: {command}: {capsys.readouterr().err}"
    assert (tmp_path / "report.html").exists()
    assert "The bell of Velm" in capsys.readouterr().out
