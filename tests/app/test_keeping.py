"""What is kept, from the command line: statements with a key and times, lists, grants, and what a plan came to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byheart.app import cli
from byheart.core.records import Engram, Learned, Proposal
from byheart.memory import Memory

NEW = ("--model", "tiny", "--embedder", "hash")


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def good(capsys, *arguments: str):
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_statement_has_a_key_times_and_a_source(capsys) -> None:
    first = ("--key", "Marta/home", "--at", "2024-01-02", "--source", "letter")
    (old,) = good(capsys, "remember", "Marta lives in Velm.", *first, *NEW)
    assert (old["key"], old["at"], old["source"]) == ("Marta/home", "2024-01-02", "letter")
    good(capsys, "remember", "Marta lives in Oss.", "--key", "Marta/home", "--valid-from", "2025-03-01")
    assert [e["text"][-4:-1] for e in good(capsys, "history", "Marta/home")] == ["elm", "Oss"]
    assert [h["text"] for h in good(capsys, "recall", "where does Marta live?")] == ["Marta lives in Oss."]
    assert good(capsys, "recall", "where does Marta live?", "--at", "2024-06-01")[0]["text"] == "Marta lives in Velm."
    (lent,) = good(capsys, "remember", "The boat is lent.", "--valid-from", "2024-01-01", "--valid-to", "2024-02-01")
    assert (lent["valid_from"], lent["valid_to"]) == ("2024-01-01", "2024-02-01")


def test_standard_input_may_have_a_key(capsys, monkeypatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("Marta lives in Velm.\n"))
    assert good(capsys, "remember", "-", "--key", "Marta/home", *NEW)[0]["key"] == "Marta/home"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["notes.txt", "--key", "Marta/home"], "every line of the file 'notes.txt'"),
        (["notes.txt", "--source", "letter", "--at", "2024-01-01"], "--at and --source would be said of every line"),
        (["# One\n\nBo sails.\n\n# Two\n\nAnn sails.", "--key", "k"], "this text makes 2"),
        (["Bo sails.", "--key", "k", "--write", "atomic-facts"], "the writer atomic-facts may make several"),
        (["Bo sails.", "--key", " "], "--key is ' '; give some words"),
        (["Bo sails.", "--at", "yesterday"], "at='yesterday', not a time"),
        (["Bo sails.", "--valid-from", "2024-02-01", "--valid-to", "2024-01-01"], "is not after --valid-from"),
    ],
)
def test_what_makes_no_sense_is_refused_with_no_memory_made(capsys, tmp_path, arguments, words) -> None:
    (tmp_path / "notes.txt").write_text("Bo sails.\nAnn sails.\n")
    code, out, err = run(capsys, "remember", *arguments, *NEW)
    assert (code, out) == (2, "")
    assert words in err
    assert not (tmp_path / "brain").exists()


def test_engrams_are_listed_newest_first(capsys, tmp_path) -> None:
    with Memory.open("brain", model="tiny", embedder="hash") as memory:
        made = memory.remember(["Bo sails.", "Ann sails.", {"text": "Cas " + "sails on " * 40, "source": "log"}])
        memory.archive([made[0].id])
    assert [e["id"] for e in good(capsys, "list")] == [made[2].id, made[1].id]
    assert [e["id"] for e in good(capsys, "list", "--state", "archived")] == [made[0].id]
    assert [e["id"] for e in good(capsys, "list", "--state", "any", "-k", "2")] == [made[2].id, made[1].id]
    assert [e["id"] for e in good(capsys, "list", "--source", "log")] == [made[2].id]
    code, out, err = run(capsys, "list", "--limit", "1")
    assert code == 0
    assert made[2].id in out
    assert "active" in out
    assert made[1].id not in out
    assert "for more, raise --limit" in err
    assert run(capsys, "list", "--state", "superseded")[1].strip() == "none"
    code, _, err = run(capsys, "list", "-k", "0")
    assert (code, "limit is 0" in err) == (2, True)


def test_an_owner_lists_what_it_may_see(capsys) -> None:
    good(capsys, "remember", "Bo sails.", "--owner", "bo", *NEW)
    good(capsys, "remember", "Ann sails.", "--owner", "ann")
    assert [e["text"] for e in good(capsys, "list", "--owner", "ann", "-k", "1")] == ["Ann sails."]
    assert [e["text"] for e in good(capsys, "list", "--owner", "bo", "-k", "1")] == ["Bo sails."]


def test_an_unknown_engram_is_looked_for_by_a_command_that_lists_engrams(capsys) -> None:
    good(capsys, "remember", "Bo sails.", *NEW)
    for verb in ("archive", "split", "forget"):
        code, _, err = run(capsys, verb, "0123456789abcdef")
        assert code in (1, 2)
        assert "byheart log" not in err
    assert "list them: byheart list" in run(capsys, "archive", "0123456789abcdef")[2]


def test_grants_are_made_and_taken_back(capsys) -> None:
    (his,) = good(capsys, "remember", "Bo sails.", "--owner", "bo", *NEW)
    assert good(capsys, "recall", "sails", "--owner", "ann") == []
    assert good(capsys, "grant", "ann", "--owner", "bo") == {"ann": "read"}
    assert [h["id"] for h in good(capsys, "recall", "sails", "--owner", "ann")] == [his["id"]]
    assert run(capsys, "archive", his["id"], "--owner", "ann")[0] == 2
    assert good(capsys, "grant", "ann", "--right", "write", "--owner", "bo") == {"ann": "write"}
    good(capsys, "archive", his["id"], "--owner", "ann")
    assert "ann" in run(capsys, "grant", "cas", "--owner", "bo")[1]
    assert good(capsys, "grant", "ann", "--right", "none", "--owner", "bo") == {"cas": "read"}
    assert "nothing is granted" in run(capsys, "grant", "cas", "--right", "none", "--owner", "bo")[1]
    code, _, err = run(capsys, "grant", "ann")
    assert (code, "open it with owner=" in err) == (2, True)
    code, _, err = run(capsys, "grant", "ann", "-m", "nowhere", "--owner", "bo")
    assert (code, "no memory at 'nowhere'" in err) == (2, True)


def due(kind: str, *engrams: str) -> Proposal:
    return Proposal(kind=kind, engrams=engrams, reason="for the test")


def test_a_plan_that_is_carried_out_says_what_came_of_it(capsys, monkeypatch) -> None:
    with Memory.open("brain", model="tiny", embedder="hash") as memory:
        a, b, c = (e.id for e in memory.remember(["Bo sails.", "Bo does sail.", "Ann has a lute."]))
    monkeypatch.setattr(Memory, "plan", lambda self, at, progress: [due("merge", a, b), due("archive", c)])
    assert [p["kind"] for p in good(capsys, "plan")] == ["merge", "archive"]
    told = good(capsys, "plan", "--carry-out")
    assert [p["kind"] for p in told["proposals"]] == ["merge", "archive"]
    assert [(e["text"], e["state"]) for e in told["done"]] == [
        ("Bo does sail.", "active"),
        ("Ann has a lute.", "archived"),
    ]
    with Memory.open("brain") as memory:
        memory.restore([c])
    monkeypatch.setattr(Memory, "plan", lambda self, at, progress: [due("archive", c)])
    code, out, _ = run(capsys, "plan", "--carry-out")
    assert code == 0
    assert f"archived {c}: Ann has a lute." in out


@pytest.mark.parametrize("committed", [True, False])
def test_a_plan_whose_lesson_is_rolled_back_ends_with_1(capsys, monkeypatch, committed) -> None:
    with Memory.open("brain", model="tiny", embedder="hash") as memory:
        (a,) = (e.id for e in memory.remember([{"question": "Who sails?", "answer": "Bo"}]))
    stages: list[tuple[str, int, int]] = []

    def learn(self, given: list[Engram], *, seed: int, progress) -> Learned:
        progress("training", 1, 1)
        why = "" if committed else "general loss rose"
        return Learned(version="v1" if committed else None, committed=committed, taught=(a,), reason=why)

    monkeypatch.setattr(Memory, "plan", lambda self, at, progress: [due("consolidate", a)])
    monkeypatch.setattr(Memory, "learn", learn)
    code, out, _ = run(capsys, "plan", "--carry-out")
    assert code == (0 if committed else 1)
    assert ("committed v1" if committed else "rolled back, nothing changed") in out
    assert committed or "general loss rose" in out
    code, out, _ = run(capsys, "plan", "--carry-out", "--json")
    assert code == (0 if committed else 1)
    assert json.loads(out)["done"][0]["committed"] is committed
    with Memory.open("brain") as memory:
        memory.carry_out(memory.plan(None, progress=None), progress=lambda *told: stages.append(told))
    assert ("training", 1, 1) in stages
    assert ("carrying out", 1, 1) in stages


@pytest.mark.parametrize("name", ["bm25", "dense", "hybrid", "ranked"])
def test_plain_retrievers_are_named(capsys, tmp_path: Path, name: str) -> None:
    with Memory.open("brain", model="tiny", embedder="hash") as memory:
        memory.remember(["The red boat needs varnish.", "Rye bread wants caraway."])
    assert "boat" in good(capsys, "recall", "the red boat", "-k", "1", "--method", name)[0]["text"]


def test_bm25_reads_words_alone_and_dense_vectors_alone(monkeypatch) -> None:
    with Memory.open("brain", model="tiny", embedder="hash") as memory:
        memory.remember(["The red boat needs varnish.", "Rye bread wants caraway."])
        monkeypatch.setattr(memory.store, "dense", lambda *a, **k: pytest.fail("looked at vectors"))
        assert memory.recall("boat", method="bm25")
        monkeypatch.undo()
        monkeypatch.setattr(memory.store, "lexical", lambda *a, **k: pytest.fail("looked at words"))
        assert memory.recall("boat", method="dense")
