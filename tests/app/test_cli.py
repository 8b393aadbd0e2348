"""The command line without a memory: help, catalogue, and errors of one line."""

import json
import resource
import subprocess
import sys

import pytest

from byheart.app import cli
from byheart.core import catalogue, results
from byheart.core.errors import BadInput, Unknown
from byheart.memory import given as read
from byheart.memory.verbs import VERBS


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


@pytest.mark.parametrize("arguments", [["--help"], ["papers", "--json"], ["find", "ewc"], ["methods"], ["models"]])
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom byheart.app.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'sqlite3'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stderr.strip() == "[]"


def test_help_takes_less_than_200_ms_or_little_more_than_typer_alone() -> None:
    """Of the processor, so that other work does not lengthen it; on a slow machine typer alone takes longer."""

    def seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(seconds("-m", "byheart", "--help"), seconds("-c", "import typer, typer.rich_utils")) for _ in range(8)]
    ours, typer = (min(times) for times in zip(*pairs, strict=True))
    assert ours < max(0.2, 1.5 * typer)


def test_every_verb_is_there_with_the_shared_options(capsys) -> None:
    assert [v.name for v in VERBS] == [
        *("remember", "list", "history", "archive", "restore", "compose", "merge", "split", "plan", "grant", "recite"),
        *("recall", "ask", "study", "learn", "exam", "forget"),
        *("log", "diff", "revert", "report", "export", "check"),
    ]
    for verb in VERBS:
        code, out, _ = run(capsys, verb.name, "--help")
        assert code == 0
        assert all(flag in out for flag in ("--memory", "--namespace", "--json", "--quiet"))


def test_papers_and_methods_as_json(capsys) -> None:
    code, out, _ = run(capsys, "papers", "--json")
    rows = json.loads(out)
    assert (code, len(rows)) == (0, 248)
    assert {r["slug"]: r for r in rows}["ewc"]["methods"] == ["ewc", "online-ewc"]
    assert all(r["status"] == results.status(r["slug"]) for r in rows)
    code, out, _ = run(capsys, "methods", "--json")
    assert [r["name"] for r in json.loads(out)] == [e.name for e in catalogue.methods()]


def test_methods_show_settings(capsys) -> None:
    code, out, _ = run(capsys, "methods", "online-ewc", "--json")
    settings = {s["setting"]: s for s in json.loads(out)["settings"]}
    assert code == 0
    assert settings["online"] == {"setting": "online", "type": "bool", "default": True, "required": False}
    assert settings["importance"]["type"] == "float"
    code, out, _ = run(capsys, "methods", "ewc")
    assert "importance" in out


@pytest.mark.parametrize("text", ["ewc", "1612.00796", "elastic weight", "Overcoming catastrophic forgetting"])
def test_find_says_where_it_lives(capsys, text) -> None:
    code, out, _ = run(capsys, "find", text)
    assert code == 0
    assert "paper ewc" in out
    assert "(learn;" in out


def test_tables_are_whole_when_piped(capsys) -> None:
    _, out, _ = run(capsys, "papers")
    assert all(p.slug in out for p in catalogue.papers())
    code, out, _ = run(capsys, "methods")
    assert code == 0
    assert all(e.name in out for e in catalogue.methods())


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["find", "ewcc"], "Unknown", "no method or paper 'ewcc'; did you mean 'ewc'"),
        (["methods", "lorra"], "Unknown", "no method 'lorra'; did you mean 'lora'"),
        (["recall", "x", "-m", "nowhere"], "BadInput", "no memory at 'nowhere'; make one with byheart remember"),
        (["recall"], "Usage", "see byheart recall --help"),
        (["recall", "x", "-k", "many"], "Usage", "many"),
        (["ask", "x", "--form", "dream"], "Usage", "dream"),
        (["frobnicate"], "Usage", "frobnicate"),
        (["serve", "--port", "99999"], "Usage", "99999"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, kind, words) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("byheart: ")
    assert err.count("\n") == 1
    assert words in err
    if arguments[0] != "serve":
        code, out, err = run(capsys, *arguments, "--json")
        assert code == 2
        assert json.loads(out)["error"]["message"] == err.removeprefix("byheart: ").strip()
        assert json.loads(out)["error"]["type"] == kind
    assert list(tmp_path.iterdir()) == []


def test_interrupts_end_with_130_and_a_sentence(capsys, monkeypatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, "papers", stop)
    code, out, err = run(capsys, "papers")
    assert (code, out) == (130, "")
    assert "nothing acknowledged is lost" in err
    assert "run the same command again" in err


def test_no_arguments_means_help_and_version_is_printed(capsys) -> None:
    assert run(capsys) == run(capsys, "--help")
    code, out, _ = run(capsys, "--version")
    assert (code, out.split()[0]) == (0, "byheart")


def test_settings_are_read_as_the_constructor_types_them() -> None:
    given = {"online": "true", "importance": "3", "samples": "null", "labels": "data"}
    want = {"online": True, "importance": 3.0, "samples": None, "labels": "data"}
    assert read.strategies("ewc", given) == [{"name": "ewc", "settings": want}]
    found = read.strategies("online-ewc, replay", {"ratio": "0.5", "online-ewc.gamma": "0.9"})
    assert found == [{"name": "online-ewc", "settings": {"gamma": 0.9}}, {"name": "replay", "settings": {"ratio": 0.5}}]
    for one in found:
        catalogue.make(one["name"], **one["settings"])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(Unknown, match="no setting of ewc 'onlin'; did you mean 'online'"):
        read.strategies("ewc", {"onlin": "true"})
    with pytest.raises(BadInput, match=r"ewc\.importance=much: .*byheart methods ewc"):
        read.strategies("ewc", {"importance": "much"})
    with pytest.raises(BadInput, match=r"ewc\.labels=guesses"):
        read.strategies("ewc", {"labels": "guesses"})
    with pytest.raises(Unknown, match="no strategy in this run 'lwf'"):
        read.strategies("ewc", {"lwf.online": "1"})
    with pytest.raises(Unknown, match="no method 'ewcc'"):
        read.strategies("ewcc,replay", {})
