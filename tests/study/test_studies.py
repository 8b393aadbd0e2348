"""Every study runs, measures what its criteria need, and the committed results are of the study as it is."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from byheart.app.cli import app
from byheart.core import catalogue
from byheart.core.errors import BadInput, ByheartError, Unknown
from byheart.study import replicate, trial
from byheart.study.trial import Criterion, Scale, Study, judge

SLUGS = trial.slugs()
RESULTS = Path(__file__).parents[2] / "docs" / "results"
each = pytest.mark.parametrize("slug", SLUGS)


@each
def test_a_study_says_what_it_does(slug: str) -> None:
    study = trial.find(slug)
    doc = inspect.getdoc(study) or ""
    assert "Here:" in doc, "say what is done here and where it departs from the paper"
    assert len(study.claim) > 30
    assert study.source
    assert study.criteria
    assert set(study.scales) == set(trial.SCALES)
    names = [c.measure for c in study.criteria]
    assert len(set(names)) == len(names)


@each
def test_a_smoke_run_measures_every_criterion(slug: str) -> None:
    (found,) = replicate.replicate([slug], scale="smoke", seeds=[0])
    study = trial.find(slug)
    assert {c.measure for c in study.criteria} <= set(found["rows"][0])
    assert all(math.isfinite(v) for v in found["rows"][0].values())
    assert found["verdict"] in ("fails", "inconclusive"), "one seed shows nothing"
    json.dumps(found)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_a_committed_result_is_of_the_study_as_it_is(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    study = trial.find(path.stem)
    again = replicate.result(study, found["scale"], found["rows"])
    for field in ("paper", "claim", "source", "threshold", "criteria", "verdict", "settings", "seeds"):
        assert again[field] == found[field], f"{field} changed since the run; run byheart replicate {path.stem}"
    assert found["scale"] != "smoke"
    assert found["n"] >= 3
    assert found["registered"], "the study was not committed before it ran"


class Coin(Study):
    """Here: nothing but figures given."""

    claim, source = "the figures given are large enough", "nowhere"
    criteria = (
        Criterion(measure="gain", says="gains", at_least=0.1),
        Criterion(measure="cost", says="costs", at_most=0.5),
    )
    scales: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {"small": {"shift": 0.0}, "smoke": {}, "full": {}}

    def run(self, *, seed: int, shift: float) -> dict[str, float]:  # type: ignore[override]
        return {"gain": 0.2 + 0.01 * seed, "cost": 0.2 + shift}


def test_the_limits_are_students() -> None:
    c = Criterion(measure="m", says="s", at_most=1.0)
    judged = c.judge([0.7, 0.8, 0.9])
    assert judged["interval"] == pytest.approx([0.8 - 2.92 * 0.1 / 3**0.5, 0.8 + 2.92 * 0.1 / 3**0.5], abs=1e-6)
    assert judged["verdict"] == "holds"
    assert c.judge([0.9, 0.99, 1.05])["verdict"] == "inconclusive"
    assert c.judge([1.1, 1.2, 1.3])["verdict"] == "fails"
    assert c.judge([float("nan")] * 3)["verdict"] == "fails"
    with pytest.raises(BadInput, match="at_least or at_most"):
        Criterion(measure="m", says="s")


def test_a_study_is_as_good_as_its_worst_criterion() -> None:
    good, bad = {"gain": 0.2, "cost": 0.2}, {"gain": 0.2, "cost": 0.9}
    assert judge(Coin.criteria, [good] * 3)[0] == "holds"
    assert judge(Coin.criteria, [bad] * 3)[0] == "fails"
    with pytest.raises(BadInput, match="no measure 'cost'"):
        judge(Coin.criteria, [{"gain": 1.0}])


@pytest.fixture
def coin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coin, "slug", classmethod(lambda cls: "ewc"))
    monkeypatch.setattr(replicate, "find", lambda slug: Coin)
    monkeypatch.setattr(trial, "slugs", lambda: ["ewc"])
    monkeypatch.setattr(trial, "find", lambda slug: Coin)


@pytest.mark.usefixtures("coin")
def test_the_command_line_prints_stores_and_ends_by_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = CliRunner().invoke(app, ["replicate", "ewc", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "ewc: holds" in done.output
    assert "gain >= 0.1" in done.output
    stored = json.loads((tmp_path / "ewc.json").read_text())
    assert [r["gain"] for r in stored["rows"]] == [0.2, 0.21, 0.22]
    monkeypatch.setattr(Coin, "scales", {**Coin.scales, "small": {"shift": 0.5}})
    done = CliRunner().invoke(app, ["replicate", "--all", "--json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)[0]["verdict"] == "fails"


@pytest.mark.usefixtures("coin")
def test_tuning_seeds_are_refused_and_bad_calls_say_what_to_do() -> None:
    with pytest.raises(BadInput, match="chose the settings"):
        replicate.replicate(["ewc"], seeds=[0, 101])
    with pytest.raises(BadInput, match="at least one"):
        replicate.replicate(["ewc"], seeds=[])
    with pytest.raises(BadInput, match="no scale 'huge'"):
        replicate.replicate(["ewc"], scale="huge")  # type: ignore[arg-type]


@pytest.mark.usefixtures("coin")
def test_what_has_ended_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at its third seed, a study goes on from there; ended, it is shown as it is stored."""
    run, seen = Coin.run, []

    def killed(self: Coin, *, seed: int, shift: float) -> dict[str, float]:
        seen.append(seed)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return run(self, seed=seed, shift=shift)

    monkeypatch.setattr(Coin, "run", killed)
    monkeypatch.setattr(replicate, "registered", lambda file: "abc1234")
    given = ["replicate", "ewc", "--first", "4", "--out", str(tmp_path)]
    assert CliRunner().invoke(app, given).exit_code == 130
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert seen == [4, 5, 6, 6]
    assert [r["seed"] for r in json.loads((tmp_path / "ewc.json").read_text())["rows"]] == [4, 5, 6]
    assert not list((tmp_path / "begun").iterdir())
    again = CliRunner().invoke(app, [*given, "--json"])
    assert again.exit_code == 0
    assert json.loads(again.stdout)["verdict"] == "holds"
    assert len(seen) == 4
    CliRunner().invoke(app, [*given, "--first", "0"])
    assert seen[4:] == [0, 1, 2]


def test_a_study_that_raises_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Coin):
        def run(self, *, seed: int, **more: Any) -> dict[str, float]:  # type: ignore[override]
            raise ValueError("no coin")

    studies = {"ewc": Broken, "uer": Coin, "gere": Broken}
    monkeypatch.setattr(replicate, "find", studies.__getitem__)
    ended: list[dict[str, Any]] = []
    with pytest.raises(ValueError, match="no coin"):
        replicate.replicate(["ewc", "uer"], done=ended.append)
    assert [e["verdict"] for e in ended] == ["holds"]
    with pytest.raises(ByheartError, match=r"2 studies raised: ewc \(ValueError: no coin\), gere"):
        replicate.replicate(["ewc", "uer", "gere"])


@pytest.mark.usefixtures("coin")
def test_all_leaves_out_what_needs_data_that_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coin, "needs", "coins")
    done = CliRunner().invoke(app, ["replicate", "--all"])
    assert done.exit_code == 0
    assert "left out, for they need --data: ewc" in done.output


@pytest.mark.usefixtures("coin")
def test_a_study_that_needs_a_public_set_is_given_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def run(self: Coin, *, seed: int, data: Path | None = None, shift: float = 0.0) -> dict[str, float]:
        given.append(data)
        return {"gain": 0.2, "cost": 0.2}

    monkeypatch.setattr(Coin, "needs", "coins")
    monkeypatch.setattr(Coin, "run", run)
    with pytest.raises(BadInput, match=r"needs the set 'coins', which .* does not hold; give --data"):
        replicate.replicate(["ewc"], data=tmp_path)
    (tmp_path / "coins").mkdir()
    (found,) = replicate.replicate(["ewc"], seeds=[0], data=tmp_path)
    assert given == [tmp_path / "coins"]
    assert found["data"] == "coins"
    replicate.replicate(["ewc"], scale="smoke", seeds=[0])
    assert given[-1] is None


def test_an_unknown_study_is_named() -> None:
    with pytest.raises(Unknown, match="byheart replicate --list"):
        trial.find("ewcc")


def test_two_processes_find_what_one_finds() -> None:
    if not SLUGS:
        pytest.skip("no study yet")
    alone = replicate.replicate(["ewc"], scale="smoke", seeds=[0, 1])
    beside = replicate.replicate(["ewc"], scale="smoke", seeds=[0, 1], jobs=2)
    for a, b in zip(alone[0]["rows"], beside[0]["rows"], strict=True):
        assert {k: v for k, v in a.items() if "seconds" not in k} == pytest.approx(
            {k: v for k, v in b.items() if "seconds" not in k}, abs=0.02
        )


def test_a_study_is_registered_by_its_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path), *arguments],
            check=True,
            capture_output=True,
        )

    file = tmp_path / "claim.py"
    file.write_text("one")
    assert replicate.registered(file) is None
    git("init", "-q")
    assert replicate.registered(file) is None
    git("add", ".")
    git("commit", "-qm", "claim")
    first = replicate.registered(file)
    assert first
    file.write_text("two")
    assert replicate.registered(file) is None


def test_papers_read_their_status_from_results() -> None:
    for path in RESULTS.glob("*.json"):
        assert catalogue.status(path.stem) == json.loads(path.read_text(encoding="utf-8"))["verdict"]


@pytest.mark.parametrize("slug", SLUGS)
def test_a_page_tells_the_story_of_the_study_and_not_of_a_helper(slug: str) -> None:
    from byheart.app.docs import _story

    told = " ".join((trial.find(slug).__doc__ or "").split()[:6])
    assert told
    assert " ".join(_story(slug).split()).startswith(told)


@pytest.mark.parametrize(("said", "jobs", "threads"), [("1", 1, 1), ("4", 2, 2), ("6,2", 1, 6), ("1", 3, 1)])
def test_threads_are_shared_out_of_those_allowed(
    said: str, jobs: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Exception):
        pass

    def seen(pieces: Any, jobs: int, ray: bool) -> Any:
        raise Seen({p.threads for p in pieces})

    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr(replicate, "_run", seen)
    with pytest.raises(Seen) as raised:
        replicate.replicate(["ewc"], scale="smoke", seeds=[0, 1], jobs=jobs)
    assert raised.value.args == ({threads},)
