"""`byheart bench learn`: rows from real runs, resumed tables, and what is recommended."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from byheart.app.cli import app
from byheart.bench import teaching as bench
from byheart.core.errors import BadInput, Unknown
from byheart.world.facts.people import people

JOB = ["--model", "tiny", "--facts", "20", "--stages", "2"]


def row(recall: float, rise: float, **more: object) -> dict[str, object]:
    return {"recall": recall, "general_rise": rise, "paraphrased": 0.5, "earlier_kept": 0.9, "quiz": 0.6,
            "quiz_untaught": 0.7, "seconds": [1.0, 2.0], "peak_rss_bytes": 2**30, **more}  # fmt: skip


def test_an_arm_is_run_stored_and_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "table.json"
    done = CliRunner().invoke(app, ["bench", "learn", "hft", *JOB, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    stored = json.loads(out.read_text())
    found = stored["arms"]["hft"]
    assert [len(r) for r in found["matrix"]] == [2, 2]
    assert len(found["seconds"]) == 2
    assert found["peak_rss_bytes"] > 2**26
    assert found["general_rise"] != 0
    assert found["tokens"] > 1000
    monkeypatch.setattr(bench, "apart", lambda name, job: pytest.fail("ran again"))
    again = CliRunner().invoke(app, ["bench", "learn", "hft", *JOB, "--out", str(out)])
    assert again.exit_code == 0, again.output
    assert "hft" in again.output
    with pytest.raises(BadInput, match="give another --out"):
        bench.stored(out, {"model": "tiny", "facts": 40, "stages": 2, "seed": 1})


def test_an_arm_that_fails_is_a_row_that_says_why_and_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bench.apart("lora", {"model": "no/such/model", "facts": 20, "stages": 2, "seed": 1})
    assert "no/such/model" in found["error"]
    assert bench.cells("lora", found)[1] == found["error"]
    given = ["bench", "learn", "lora", *JOB, "--out", str(tmp_path / "table.json"), "--json"]
    monkeypatch.setattr(bench, "apart", lambda name, job: found)
    assert CliRunner().invoke(app, given).exit_code == 1
    monkeypatch.setattr(bench, "apart", lambda name, job: row(1.0, 0.005))
    again = CliRunner().invoke(app, given)
    assert again.exit_code == 0
    assert json.loads(again.stdout)["recommended"] == "lora"


def test_trl_with_replay_reads_an_earlier_fact_before_every_new_one() -> None:
    first, second = people(2, seed=1)
    rows = bench._mixed(second, first, 3, seed=1)
    said = [r["completion"][0]["content"] for r in rows]
    assert said[1::2] == 3 * [f.answer for f in second]
    assert set(said[::2]) <= {f.answer for f in first}
    assert len({r["prompt"][-1]["content"] for r in rows[1::2]}) > len(second)
    assert len(bench._mixed(second, [], 3, seed=1)) == 3 * len(second)


def test_bad_arms_and_sizes_are_refused_before_anything_runs() -> None:
    with pytest.raises(Unknown, match="did you mean 'ewc'"):
        bench.check("replay,ewcc")
    done = CliRunner().invoke(app, ["bench", "learn", "plain", "--facts", "45"])
    assert "multiple of 40" in str(done.exception)


@pytest.mark.parametrize("place", ["none/table.json", "."])
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(bench, "apart", lambda name, job: pytest.fail("ran"))
    monkeypatch.setattr("byheart.world.dialogue.dialogues.read", lambda path: pytest.fail("read"))
    there = str(tmp_path / place)
    for given in (
        ["learn", "hft", *JOB, "--out"],
        ["learn", "hft", *JOB, "--picture"],
        ["recall", "--data", "x", "--out"],
    ):
        done = CliRunner().invoke(app, ["bench", *given, there])
        assert f"{given[-1]} {there} cannot be written; give a file" in str(done.exception)


def test_the_recommended_arm_recalls_enough_and_costs_least() -> None:
    arms = {"a": row(1.0, 0.02), "b": row(0.97, 0.005), "c": row(0.96, 0.002), "d": row(0.94, 0.0), "e": {"error": "x"}}
    assert bench.recommended(arms) == "c"
    assert bench.recommended({"a": arms["a"], "e": arms["e"]}) is None
    assert bench.ranked(arms) == ["a", "b", "c", "d", "e"]
    assert bench.cells("b", arms["b"]) == ("b", "97%", "50%", "90%", "+0.50%", "60% of 70%", "", "3", "1.0 GiB")
    assert bench.cells("b", row(0.97, 0.005, tokens=81_234))[6] == "81k"


def test_the_picture_stands_by_itself() -> None:
    svg = bench.drawn({"a": row(1.0, 0.02), "b": row(0.5, 0.3), "e": {"error": "x"}})
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    said = "".join(root.itertext())
    assert "a: 100%" in said
    assert "b: 50%" in said


def test_the_page_tells_the_committed_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from byheart.app import docs

    monkeypatch.setattr(docs, "ROOT", tmp_path / "src" / "byheart")
    assert docs._strategies() == {}
    results = tmp_path / "bench" / "results"
    results.mkdir(parents=True)
    job = {"model": "tiny", "facts": 20, "stages": 2, "seed": 1}
    table = {**job, "arms": {"a": row(0.5, 0.02), "b": row(0.97, 0.005), "e": {"error": "x | y"}}, "recommended": "b"}
    (results / "learn.json").write_text(json.dumps(table))
    steps = {"model": "tiny", "steps": 6, "batch": 8, "threads": 1, "strategies": {
        "slow": {"ratio": 3.0, "seconds_around": 1.0, "state_bytes": 2**20, "peak_rss_bytes": 2**30},
        "fast": {"ratio": 0.9, "seconds_around": 0.5, "state_bytes": 0, "peak_rss_bytes": 2**30},
    }}  # fmt: skip
    (results / "strategies.json").write_text(json.dumps(steps))
    page = docs._strategies()["strategies.md"]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == ["b", "a", "e", "fast", "slow"]
    assert "Recommended: `b`." in page
    assert r"x \| y" in page
    assert "| `slow` | 3.00 | 1.0 s | 1 MiB | 1,024 MiB |" in rows
    ElementTree.fromstring(docs._strategies()["strategies.svg"])
