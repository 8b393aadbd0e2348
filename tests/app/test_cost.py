"""What an endpoint was asked is told, whatever else is: with --json, with -q, and when the verb fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from byheart.app import cli
from byheart.core.errors import BadInput
from byheart.memory import Memory
from byheart.models.endpoint import Usage


@pytest.fixture
def url(endpoint) -> str:
    return endpoint("Bo | is a dog.")


def told(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["remember", "Bo is a dog.", "--write", "atomic-facts", "--embedder", "hash", *arguments])
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_the_cost_is_told_with_json_and_quiet_too(capsys, tmp_path, monkeypatch, url) -> None:
    monkeypatch.chdir(tmp_path)
    for n, flags in enumerate(([], ["-q"])):
        code, _, err = told(capsys, "--model", url, "-m", f"brain{n}", *flags)
        assert code == 0, err
        assert err == f"asked {url}: 1 requests, 100 tokens read, 12 written\n"
    code, out, err = told(capsys, "--model", url, "-m", "brain2", "--json")
    assert code == 0
    assert [e["text"] for e in json.loads(out)] == ["Bo: is a dog."]
    assert json.loads(err) == {"usage": {"model": url, "requests": 1, "read": 100, "written": 12}}


def test_the_cost_is_told_of_a_verb_that_fails(capsys, tmp_path, monkeypatch, url) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(self, *_: Any) -> None:
        raise BadInput("no room; make some")

    monkeypatch.setattr(Memory, "embed", fail)
    code, _, err = told(capsys, "--model", url)
    assert code == 2
    assert err.splitlines() == [f"asked {url}: 1 requests, 100 tokens read, 12 written", "byheart: no room; make some"]


def test_a_memory_has_its_usage(tmp_path, url) -> None:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash") as memory:
        assert memory.usage == Usage()
    with Memory.open(tmp_path / "far", model=url, embedder="hash") as memory:
        memory.remember("Bo is a dog.", write="atomic-facts")
        assert memory.usage == Usage(requests=1, read=100, written=12)
