"""The verbs from the command line, on a real memory: a tiny model, hashed words, a folder on disk."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from byheart.app import cli, terminal
from byheart.app.show import plain, show
from byheart.memory.verbs import VERBS

PAIRS = [{"question": "Who keeps the lamp?", "answer": "Marta"}, {"question": "Where is the boat?", "answer": "Velm"}]
NEW = ("--model", "tiny", "--embedder", "hash")


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def good(capsys, *arguments: str) -> str:
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a memory that has been taught two pairs, and the files it came from."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "velm.md").write_text("# Velm\n\nMarta Kask signs off travel in Velm.\n\nThe ferry leaves at seven.\n")
    (folder / "pairs.json").write_text(json.dumps(PAIRS))
    before = Path.cwd()
    os.chdir(folder)
    try:
        for arguments in (["remember", "velm.md", *NEW], ["learn", "pairs.json", "--budget", "10"]):
            with pytest.raises(SystemExit) as stopped:
                cli.main(arguments)
            assert stopped.value.code == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def _there(home, monkeypatch) -> None:
    monkeypatch.chdir(home)


def test_recall(capsys) -> None:
    hits = json.loads(good(capsys, "recall", "who signs off travel?", "-k", "1", "--json"))
    assert len(hits) == 1
    assert "Marta Kask" in hits[0]["text"]
    assert hits[0]["source"].endswith("velm.md")
    assert "Marta Kask" in good(capsys, "recall", "who signs off travel?")


def test_where_filters(capsys) -> None:
    source = json.loads(good(capsys, "recall", "ferry", "-k", "1", "--json"))[0]["source"]
    assert json.loads(good(capsys, "recall", "ferry", "--where", f"source={source}", "--json"))
    assert json.loads(good(capsys, "recall", "ferry", "--where", "source=elsewhere", "--json")) == []
    code, _, err = run(capsys, "recall", "ferry", "--where", "source")
    assert code == 2
    assert "'source' is no KEY=VALUE" in err


def test_ask(capsys) -> None:
    answer = json.loads(good(capsys, "ask", "who signs off travel?", "--form", "text", "--json"))
    assert set(answer) == {"text", "form", "hits", "confidence"}
    assert "(from weights" in good(capsys, "ask", "Who keeps the lamp?", "--form", "weights")


def test_log_diff_revert(capsys) -> None:
    versions = json.loads(good(capsys, "log", "--json"))
    assert [v["id"] for v in versions] == ["v1", "v0"]
    assert len(versions[0]["taught"]) == 2
    changes = json.loads(good(capsys, "diff", "v0", "v1", "--json"))
    assert changes["tensors_changed"] > 0
    assert "tensors changed" in good(capsys, "diff", "v0", "v1")
    assert "now at v0" in good(capsys, "revert", "v0")
    assert json.loads(good(capsys, "revert", "v1", "--json"))["id"] == "v1"


def test_exam(capsys) -> None:
    found = json.loads(good(capsys, "exam", "--json"))
    assert found["exams"]["recall/direct"]["n"] == 2
    shown = good(capsys, "exam")
    assert "recall/direct" in shown
    assert "95% interval" in shown


def test_report_and_export(capsys, tmp_path) -> None:
    page = tmp_path / "page.html"
    assert "wrote" in good(capsys, "report", str(page))
    assert page.read_text().startswith("<!DOCTYPE html>")
    good(capsys, "export", str(tmp_path / "out"))
    assert (tmp_path / "out" / "config.json").exists()


def test_check_is_clean(capsys) -> None:
    assert json.loads(good(capsys, "check", "--json")) == []
    assert good(capsys, "check").strip() == "clean"


def test_standard_input_is_remembered(capsys, tmp_path, monkeypatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("The bell of Velm rings at noon."))
    folder = str(tmp_path / "other")
    assert "remembered 1 engram" in good(capsys, "remember", "-", "-m", folder, *NEW)
    assert "noon" in good(capsys, "recall", "bell", "-m", folder)


def test_the_folder_can_come_from_the_environment(capsys, home, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "log")[0] == 2
    monkeypatch.setenv("BYHEART_MEMORY", str(home / "brain"))
    assert "v1" in good(capsys, "log")


def test_strategies_with_settings_and_a_refusal_over_budget(capsys, tmp_path) -> None:
    folder = str(tmp_path / "other")
    good(capsys, "learn", "pairs.json", "--budget", "10", "-m", folder, *NEW)
    (tmp_path / "more.json").write_text(json.dumps([{"question": "When is the feast?", "answer": "in May"}]))
    more = ("learn", str(tmp_path / "more.json"), "-m", folder, "--json")
    code, _, _ = run(capsys, *more, "--strategy", "plain", "--budget", "-1")
    assert code in (1, 2)
    versions = json.loads(good(capsys, "log", "-m", folder, "--json"))
    assert [v["id"] for v in versions] == ["v1", "v0"]
    learned = json.loads(good(capsys, *more, "--strategy", "ewc,replay", "--set", "importance=1.5", "--budget", "10"))
    assert learned["committed"]
    assert "ewc" in json.loads(good(capsys, "log", "-m", folder, "--json"))[0]["strategy"]


def test_forget_ends_with_a_certificate(capsys, tmp_path) -> None:
    folder = str(tmp_path / "other")
    good(capsys, "learn", "pairs.json", "--budget", "10", "-m", folder, *NEW)
    code, out, err = run(capsys, "forget", "Marta", "-m", folder, "--json")
    certificate = json.loads(out)
    assert code == (0 if certificate["passed"] else 1), err
    assert certificate["checks"]
    assert "Marta" not in good(capsys, "recall", "lamp", "-m", folder, "--json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["remember", "none.md"], "none.md"),
        (["remember", "empty.md"], "empty.md"),
        (["remember", "binary.md"], "binary.md"),
        (["learn", "none.json"], "none.json"),
        (["learn", "pairs.json", "--strategy", "ewcc"], "did you mean 'ewc'"),
        (["learn", "pairs.json", "--strategy", "lora,o-lora"], "both claim"),
        (["learn", "pairs.json", "--strategy", "ewc", "--set", "importanc=1"], "did you mean 'importance'"),
        (["diff", "v0", "v9"], "v9"),
        (["revert", "v9"], "v9"),
        (["log", "--model", "smollm2-135m"], "smollm2-135m"),
        (["recall", "x", "-k", "0"], "k is 0"),
    ],
)
def test_bad_input_changes_nothing(capsys, home, arguments, words) -> None:
    (home / "empty.md").write_text("")
    (home / "binary.md").write_bytes(bytes(range(256)) * 8)
    before = good(capsys, "log", "--json"), good(capsys, "recall", "Velm", "--json")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("byheart: ")
    assert err.count("\n") == 1
    assert words in err
    assert (good(capsys, "log", "--json"), good(capsys, "recall", "Velm", "--json")) == before


def test_an_unknown_model_makes_no_folder_useless(capsys, tmp_path) -> None:
    folder = tmp_path / "other"
    code, _, err = run(capsys, "remember", "velm.md", "-m", str(folder), "--model", "smolm2-135m")
    assert code == 2
    assert "did you mean 'smollm2-135m'" in err
    good(capsys, "remember", "velm.md", "-m", str(folder), *NEW)


def test_an_interrupted_lesson_says_how_to_go_on(tmp_path) -> None:
    """SIGINT in the middle of `learn`: exit code 130, a sentence, the old version, and the lesson can be repeated."""
    many = [{"question": f"What is number {i}?", "answer": f"word {i}"} for i in range(200)]
    (tmp_path / "many.json").write_text(json.dumps(many))
    command = [sys.executable, "-m", "byheart", "learn", "many.json", "--budget", "99", *NEW]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # jobs of a shell in the background ignore it
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=heeding
    )
    until = time.monotonic() + 120
    while not any((tmp_path / "brain").glob("work/*/train")) and time.monotonic() < until:
        time.sleep(0.02)  # the first imports swallow an interrupt and print that they did
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert out == ""
    assert (
        err == "byheart: nothing acknowledged is lost; run the same command again to go on from the last checkpoint\n"
    )
    shown = [sys.executable, "-m", "byheart", "log", "--json"]
    versions = json.loads(subprocess.run(shown, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert [v["id"] for v in versions] == ["v0"]


def test_an_interrupt_that_was_swallowed_comes_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        terminal.heed_interrupts()
        with terminal.bars(silent=True) as told:
            told("learning", 1, 3)
            with suppress(KeyboardInterrupt):  # as some imports do
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                told("learning", 2, 3)
            told("learning", 3, 3)
    finally:
        signal.signal(signal.SIGINT, before)


def test_progress_reaches_the_bars(tmp_path) -> None:
    """On a terminal, standard error shows the stages; standard output stays clean."""
    pty = pytest.importorskip("pty")
    (tmp_path / "pairs.json").write_text(json.dumps(PAIRS))
    main, end = pty.openpty()
    command = [sys.executable, "-m", "byheart", "learn", "pairs.json", "--budget", "10", *NEW]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=end, stdout=subprocess.PIPE, text=True)
    os.close(end)
    seen = b""
    try:
        while chunk := os.read(main, 4096):
            seen += chunk
    except OSError:  # the other end closed
        pass
    os.close(main)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "committed v1" in out
    assert b"exam" in seen


def test_records_are_shown_as_they_are() -> None:
    from io import StringIO

    from rich.console import Console

    from byheart.core.records import Hit

    hit = Hit(id="e1", text="[bold]not markup[/bold]", score=0.123456)
    out = StringIO()
    show("recall", [hit], Console(file=out, width=100))
    assert "[bold]not markup[/bold]" in out.getvalue()
    assert "0.1235" in out.getvalue()
    assert plain({"a": (hit, Path("x"))})["a"][1] == "x"
    assert {v.name for v in VERBS if v.creates} == {"remember", "learn"}


def test_remember_updates_as_the_system_of_the_memory_does(capsys, tmp_path, monkeypatch) -> None:
    """Without --update the updater is that of the memory's system, as in Python."""
    from byheart.memory import remembering

    updaters: list[object] = []
    remember = remembering.remember

    def seen(memory, source, drafts, *, update=None, progress=None):
        updaters.append(update)
        return remember(memory, source, drafts, update=None, progress=progress)

    monkeypatch.setattr(remembering, "remember", seen)
    for name, system in (("plain", ()), ("own", ("--system", "reflective-memory"))):
        good(capsys, "remember", "The ferry leaves at seven.", "-m", str(tmp_path / name), *system, *NEW)
    assert updaters == [None, "prospective-reflection"]
