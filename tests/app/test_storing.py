"""`byheart store`: namespaces, making tables anew, and the bench's table."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from byheart.app import cli, docs
from byheart.memory import Memory

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def kept(text: str, namespace: str | None = None) -> None:
    with Memory.open("brain", model="tiny", embedder="hash", namespace=namespace) as memory:
        memory.remember(text)


def texts(namespace: str | None = None) -> list[str]:
    with Memory.open("brain", namespace=namespace) as memory:
        return [e.text for e in memory.store.all()]


def test_namespaces_are_listed(capsys) -> None:
    assert run(capsys, "store", "namespaces")[0] == 2
    kept("Bo sails.")
    assert "none" in run(capsys, "store", "namespaces")[1]
    kept("Ann sails.", "ann")
    kept("Cas sails.", "Cas/1")
    assert run(capsys, "store", "namespaces")[1].split() == ["Cas/1", "ann"]
    assert json.loads(run(capsys, "store", "namespaces", "--json")[1]) == ["Cas/1", "ann"]


def test_a_backup_says_which_namespaces_are_not_in_it(capsys) -> None:
    kept("Bo sails.")
    assert run(capsys, "store", "backup", "alone.db", "--json")[2] == ""
    kept("Ann sails.", "ann")
    kept("Cas sails.", "cas")
    code, out, err = run(capsys, "store", "backup", "b.db", "--json")
    assert (code, json.loads(out)["written"]) == (0, "b.db")
    assert "memories of their own, which are not in this backup" in err
    assert err.strip().endswith("ann, cas")


def test_a_namespace_is_backed_up_restored_imported_scrubbed(capsys) -> None:
    kept("Bo sails.")
    kept("Ann sails.", "ann")
    code, _, err = run(capsys, "store", "backup", "ann.db", "-n", "ann")
    assert (code, err) == (0, "")
    Path("more.jsonl").write_text('{"text": "Ann has a lute."}\n')
    assert json.loads(run(capsys, "store", "import", "more.jsonl", "-n", "ann", "--json")[1])["new"] == 1
    assert len(texts("ann")) == 2
    assert run(capsys, "store", "scrub", "--namespace", "ann")[0] == 0
    code, out, _ = run(capsys, "store", "restore", "ann.db", "-n", "ann", "--json")
    assert (code, json.loads(out)["restored"]) == (0, "brain/namespaces/ann")
    assert texts("ann") == ["Ann sails."]
    assert texts() == ["Bo sails."]
    assert run(capsys, "store", "restore", "ann.db", "-n", "new")[0] == 0
    assert texts("new") == ["Ann sails."]


def test_an_unknown_namespace_is_refused_and_not_made(capsys) -> None:
    kept("Ann sails.", "ann")
    for arguments in (["backup", "b.db"], ["scrub"], ["rebuild"], ["move", "folder"]):
        code, _, err = run(capsys, "store", *arguments, "-n", "an")
        assert code == 2
        assert "no namespace in ./brain 'an'; did you mean 'ann'? (list them: byheart store namespaces" in err
    code, _, err = run(capsys, "store", "backup", "b.db")
    assert (code, "name one with --namespace: ann" in err) == (2, True)
    assert not Path("b.db").exists()
    assert run(capsys, "store", "namespaces")[1].split() == ["ann"]


@pytest.mark.parametrize("namespace", [None, "ann"])
def test_what_check_finds_is_mended_by_the_command_it_names(capsys, namespace) -> None:
    kept("Bo sails.", namespace)
    where = ["-n", namespace] if namespace else []
    home = Path("brain/namespaces/ann" if namespace else "brain")
    with sqlite3.connect(home / "memory.db") as link:
        link.execute("UPDATE engrams SET text = 'Bo walks.'")
    link.close()
    code, out, _ = run(capsys, "check", *where)
    assert code == 1
    assert "run byheart store rebuild" in out
    code, out, _ = run(capsys, "store", "rebuild", *where, "--json")
    assert (code, json.loads(out)) == (0, {"rebuilt": str(home), "damaged": []})
    assert run(capsys, "check", *where)[1].strip() == "clean"
    assert texts(namespace) == ["Bo sails."]


def test_what_a_rebuild_cannot_mend_ends_with_1(capsys) -> None:
    kept("Bo sails.")
    with sqlite3.connect("brain/memory.db") as link:
        link.execute("DELETE FROM vectors")
    link.close()
    code, out, _ = run(capsys, "store", "rebuild")
    assert code == 1
    assert "missing or altered" in out


def test_the_bench_prints_a_table_and_writes_it_out(capsys) -> None:
    code, out, _ = run(capsys, "store", "bench", "--sizes", "20,30", "--out", "bench.json")
    assert code == 0
    assert "{" not in out
    assert out.split()[0] == "engrams"
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["20", "30"]
    found = json.loads(Path("bench.json").read_text())
    assert (found["bench"], found["store"], [r["size"] for r in found["runs"]]) == ("store", "sqlite", [20, 30])


def test_the_bench_says_how_far_it_is() -> None:
    from byheart.bench.storing import measure

    told: list[tuple[str, int, int]] = []
    measure(1500, progress=lambda *stage: told.append(stage))
    assert ("adding 1,500", 1500, 1500) in told
    assert told[-1] == ("searching 1,500", 2, 2)


def test_the_page_of_the_command_line_has_every_command() -> None:
    page = PAGE.read_text(encoding="utf-8")
    words = docs.commands()
    assert ("store", "backup") in words
    assert ("bench", "recall") in words
    for w in words:
        assert f"\n{'#' * (1 + len(w))} byheart {' '.join(w)}\n" in page
    assert "--batch" in page
