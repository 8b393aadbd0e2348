"""Every study runs, measures what its criteria need, and the committed results are of the study as it is."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from byheart.app.cli import app
from byheart.core import catalogue, results
from byheart.core.errors import BadInput, ByheartError, Unknown
from byheart.study.base import fingerprint, history, record, replicate, study
from byheart.study.base.criterion import Criterion, seeds_needed
from byheart.study.base.study import Scales, Study, judge

SLUGS = study.slugs()
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
each = pytest.mark.parametrize("slug", SLUGS)


@each
def test_a_study_says_what_it_does(slug: str) -> None:
    made = study.find(slug)
    doc = inspect.getdoc(made) or ""
    assert "Here:" in doc, "say what is done here and where it departs from the paper"
    assert len(made.claim) > 30
    assert len(made.quote) > 30, "quote the sentence of the paper that is tested"
    assert made.source
    assert made.scope in ("mechanism", "miniature", "paper's setting")
    texts = [c.text for c in made.criteria()]
    assert len(set(texts)) == len(texts)
    assert not set(made.seeds) & (made.tuning | made.burnt)
    assert all(t.chosen in t.values for t in made.grid), "the value taken is among those tried"


@each
def test_a_smoke_run_measures_every_criterion_and_is_what_it_was(slug: str) -> None:
    """The figures are finite, whole, and those of `docs/results/today`: what moved makes the paper's result stale."""
    made = study.find(slug)
    figures = fingerprint.fingerprint(slug)
    assert all(math.isfinite(v) for v in figures.values())
    measures = {n for c in made.criteria() for n in (c.measure, c.over, c.of) if n}
    assert measures <= set(figures) | made.timed
    now, committed = fingerprint.today(slug, figures), results.today(slug)
    assert committed is not None, "run: make docs"
    assert fingerprint.differs(committed["fingerprint"], figures) == [], "behaviour changed; run: make docs"
    assert {**committed, "fingerprint": 0} == json.loads(json.dumps({**now, "fingerprint": 0})), "run: make docs"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_a_committed_record_follows_from_its_rows(path: Path) -> None:
    """What a stale record says is of the study as it was; what any other says is made again and compared."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["scale"] != "smoke"
    assert stored["n"] == len(stored["rows"]) >= 3
    assert {"quote", "scope", "reason", "grid", "power", "fingerprint", "commit", "criteria_since", "roles"} <= set(
        stored
    )
    assert stored["fingerprint"], "nothing binds the result to behaviour"
    if not any("thresholds" in r or "settings" in r for r in results.stale(path.stem)):
        again = json.loads(json.dumps(record.claimed(study.find(path.stem), stored["scale"], stored["rows"])))
        for name, value in again.items():
            assert stored[name] == value, f"{name} changed since the run; run byheart replicate {path.stem}"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_thresholds_stood_in_git_before_the_run(path: Path) -> None:
    stored = json.loads(path.read_text(encoding="utf-8"))
    since = stored["criteria_since"]
    try:
        text = history.study_at(ROOT, since, f"{path.stem.replace('-', '_')}.py")
    except subprocess.CalledProcessError:
        pytest.skip("a checkout without its history")
    criteria = [stored["primary"], *stored["secondary"], *stored["preconditions"]]
    limits = {
        (c["says"], f"at_least {c['at_least']:g}" if "at_least" in c else f"at_most {c['at_most']:g}") for c in criteria
    }
    assert limits <= set(history.stated_in(text)), f"the study did not state these thresholds at {since}"
    order = ["git", "-C", str(ROOT), "merge-base", "--is-ancestor", since, stored["commit"]]
    assert subprocess.run(order, check=False).returncode == 0, "the thresholds are younger than the code that ran"


@dataclass(frozen=True)
class Shift:
    """What is added to the cost."""

    cost: float = 0.0


class Coin(Study[Shift]):
    """Here: nothing but figures given."""

    claim, quote, source = "the figures given are large enough", "They are.", "nowhere"
    primary = Criterion("gain", says="gains", at_least=0.1)
    secondary = (Criterion("cost", says="costs", at_most=0.5),)
    scales = Scales(Shift(), Shift(), Shift())

    def run(self, size: Shift, *, seed: int, data: Path | None = None) -> dict[str, float]:
        return {"gain": 0.2 + 0.01 * seed, "cost": 0.2 + size.cost + 0.01 * seed}


def rows(*values: float, **more: float) -> list[dict[str, float]]:
    return [{"gain": v, "cost": 0.2, **more} for v in values]


def test_the_limits_are_students() -> None:
    c = Criterion("m", says="s", at_most=1.0)

    def judged(*values: float) -> dict[str, Any]:
        return c.judge([{"m": v} for v in values])

    low, high = 0.8 - 2.91999 * 0.1 / 3**0.5, 0.8 + 2.91999 * 0.1 / 3**0.5
    assert judged(0.7, 0.8, 0.9)["interval"] == pytest.approx([low, high], abs=1e-5)
    assert judged(0.7, 0.8, 0.9)["verdict"] == "holds"
    assert judged(0.9, 0.99, 1.05)["verdict"] == "inconclusive"
    assert judged(0.9, 1.1, 1.2)["verdict"] == "inconclusive", "the mean misses, but one limit meets"
    assert judged(1.1, 1.2, 1.3)["verdict"] == "fails"
    assert judged(*[float("nan")] * 3)["verdict"] == "fails"
    with pytest.raises(BadInput, match="at_least or at_most"):
        Criterion("m", says="s")
    with pytest.raises(BadInput, match="one of the two"):
        Criterion("m", says="s", over="a", of="b", at_least=0)


def test_differences_and_ratios_are_taken_within_a_row() -> None:
    pairs = [{"a": 0.5, "b": 0.2}, {"a": 0.9, "b": 0.6}]
    assert Criterion("a", over="b", says="s", at_least=0).judge(pairs)["mean"] == pytest.approx(0.3)
    assert Criterion("a", of="b", says="s", at_least=0).judge(pairs)["mean"] == pytest.approx(2.0)
    with pytest.raises(BadInput, match="no measure 'c' in a run"):
        Criterion("a", over="c", says="s", at_least=0).judge(pairs)


def test_the_primary_criterion_decides_alone() -> None:
    assert judge(Coin, rows(0.2, 0.21, 0.22, cost=0.9))["verdict"] == "holds"
    assert judge(Coin, rows(0.05, 0.04, 0.05))["verdict"] == "fails"
    with pytest.raises(BadInput, match="no measure 'cost'"):
        judge(Coin, [{"gain": 1.0}])


def test_without_its_precondition_nothing_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coin, "preconditions", (Criterion("lost", says="forgetting", at_least=0.3),))
    assert judge(Coin, rows(0.2, 0.21, 0.22, lost=0.5))["verdict"] == "holds"
    judged = judge(Coin, rows(0.2, 0.21, 0.22, lost=0.1))
    assert (judged["verdict"], "forgetting is 0.100, which should be >= 0.3" in judged["reason"]) == (
        "not testable here",
        True,
    )


def test_one_value_in_all_seeds_shows_nothing_but_a_mechanism(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge(Coin, rows(0.2, 0.2, 0.2))["verdict"] == "inconclusive"
    monkeypatch.setattr(Coin, "scope", "mechanism")
    assert judge(Coin, rows(0.2, 0.2, 0.2))["verdict"] == "holds"


def test_power_is_the_share_of_runs_that_hold() -> None:
    """The number of seeds by the noncentral t against a simulation of the verdict."""
    needed = seeds_needed(0.05, 0.05)
    assert needed is not None
    rng = np.random.default_rng(0)
    for count, enough in ((needed, True), (needed - 1, False)):
        draws = rng.normal(0.05, 0.05, (4000, count))
        judged = [
            Criterion("m", says="s", at_least=0.0).judge([{"m": v} for v in d])["verdict"] for d in draws.tolist()
        ]
        assert bool(np.mean([v == "holds" for v in judged]) > 0.785) is enough


@pytest.fixture
def coin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coin, "slug", classmethod(lambda cls: "ewc"))
    for module in (study, replicate, record, fingerprint):
        monkeypatch.setattr(module, "find", lambda slug: Coin)
    monkeypatch.setattr(study, "slugs", lambda: ["ewc"])


@pytest.mark.usefixtures("coin")
def test_the_command_line_prints_stores_and_ends_by_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = CliRunner().invoke(app, ["replicate", "ewc", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "ewc: holds" in done.output
    assert "primary, holds: gains: gain >= 0.1" in done.output
    stored = json.loads((tmp_path / "ewc.json").read_text())
    assert [r["gain"] for r in stored["rows"]] == [0.2, 0.21, 0.22]
    assert stored["fingerprint"] == json.loads((tmp_path / "today" / "ewc.json").read_text())["fingerprint"]
    monkeypatch.setattr(Coin, "primary", Criterion("gain", says="gains", at_least=0.5))
    done = CliRunner().invoke(app, ["replicate", "--all", "--json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)[0]["verdict"] == "fails"


@pytest.mark.usefixtures("coin")
def test_stale_results_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "stale", lambda slug: [])
    assert CliRunner().invoke(app, ["replicate", "--stale", "--json"]).stdout.strip() == "[]"
    monkeypatch.setattr(results, "stale", lambda slug: ["the settings are others now"])
    (again,) = json.loads(CliRunner().invoke(app, ["replicate", "--stale", "--json"]).stdout)
    assert again["paper"] == "ewc"


@pytest.mark.usefixtures("coin")
def test_power_is_computed_on_tuning_seeds_alone() -> None:
    need = replicate.power("ewc", range(100, 105))
    assert (need.seeds, need.margin, need.needed) == ((100, 101, 102, 103, 104), pytest.approx(1.12), 2)
    with pytest.raises(BadInput, match="tuning seeds"):
        replicate.power("ewc", range(5))
    done = CliRunner().invoke(app, ["replicate", "ewc", "--power"])
    assert (done.exit_code, "ewc: margin 1.1200, spread 0.0158: 2 seeds" in done.output) == (0, True)


@pytest.mark.usefixtures("coin")
def test_seeds_that_were_looked_at_are_refused_and_bad_calls_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="chose the settings"):
        replicate.replicate(["ewc"], seeds=[0, 101])
    monkeypatch.setattr(Coin, "burnt", frozenset({0, 1, 2}))
    with pytest.raises(BadInput, match=r"seeds \[1\] of ewc were looked at before its present form"):
        replicate.replicate(["ewc"], seeds=[1, 3])
    with pytest.raises(BadInput, match="at least one"):
        replicate.replicate(["ewc"], seeds=[])
    with pytest.raises(BadInput, match="no scale 'huge'"):
        replicate.replicate(["ewc"], scale="huge")  # type: ignore[arg-type]


@pytest.mark.usefixtures("coin")
def test_what_has_ended_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at its third seed, a study goes on from there; ended, it is shown as it is stored."""
    run, seen = Coin.run, []

    def killed(self: Coin, size: Shift, *, seed: int, data: Path | None = None) -> dict[str, float]:
        if seed:  # not the smoke run, whose seed is 0
            seen.append(seed)
            if len(seen) == 3:
                raise KeyboardInterrupt
        return run(self, size, seed=seed)

    monkeypatch.setattr(Coin, "run", killed)
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
    CliRunner().invoke(app, [*given, "--first", "7"])
    assert seen[4:] == [7, 8, 9]


@pytest.mark.usefixtures("coin")
def test_a_run_begun_by_other_code_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = replicate.Piece("ewc", "small", 3, 1)
    before = {"ewc": replicate.Run(Coin, [3], {"gain": 0.2}, None)}
    replicate._put(replicate._place(tmp_path, piece, before), {"seed": 3})
    assert replicate._ended(tmp_path, piece, before) == {"seed": 3}
    assert replicate._ended(tmp_path, piece, {"ewc": replicate.Run(Coin, [3], {"gain": 0.3}, None)}) is None


def test_a_study_that_raises_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Coin):
        def run(self, size: Shift, *, seed: int, data: Path | None = None) -> dict[str, float]:
            if seed:  # the smoke run does not raise
                raise ValueError("no coin")
            return super().run(size, seed=seed)

    studies = {"ewc": Broken, "uer": Coin, "gere": Broken}
    for module in (replicate, fingerprint):
        monkeypatch.setattr(module, "find", studies.__getitem__)
    for made in (Coin, Broken):
        monkeypatch.setattr(made, "slug", classmethod(lambda cls: "uer"))
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
    folders: list[Any] = []

    def run(self: Coin, size: Shift, *, seed: int, data: Path | None = None) -> dict[str, float]:
        folders.append(data)
        return {"gain": 0.2, "cost": 0.2}

    monkeypatch.setattr(Coin, "needs", "coins")
    monkeypatch.setattr(Coin, "run", run)
    with pytest.raises(BadInput, match=r"needs the set 'coins', which .* does not hold; give --data"):
        replicate.replicate(["ewc"], data=tmp_path)
    (tmp_path / "coins").mkdir()
    (tmp_path / "coins" / "heads.txt").write_text("heads")
    (result,) = replicate.replicate(["ewc"], seeds=[0], data=tmp_path)
    assert folders == [None, tmp_path / "coins"], "the smoke run, which the fingerprint is of, needs none"
    (tmp_path / "coins" / "heads.txt").write_text("tails")
    assert result["data"]["name"] == "coins"
    assert result["data"]["revision"] != record.revision(tmp_path / "coins")
    replicate.replicate(["ewc"], scale="smoke", seeds=[0])
    assert folders[-1] is None


def test_an_unknown_study_is_named() -> None:
    with pytest.raises(Unknown, match="byheart replicate --list"):
        study.find("ewcc")


def test_two_processes_find_what_one_finds() -> None:
    if not SLUGS:
        pytest.skip("no study yet")
    alone = replicate.replicate(["ewc"], scale="smoke", seeds=[0, 1])
    beside = replicate.replicate(["ewc"], scale="smoke", seeds=[0, 1], jobs=2)
    for a, b in zip(alone[0]["rows"], beside[0]["rows"], strict=True):
        assert {k: v for k, v in a.items() if "seconds" not in k} == pytest.approx(
            {k: v for k, v in b.items() if "seconds" not in k}, abs=0.02
        )


def test_thresholds_are_followed_through_history(tmp_path: Path) -> None:
    """Over a rename and other wording of the code; not past a commit with another limit."""

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path), *arguments],
            check=True,
            capture_output=True,
        )

    def commit(file: Path, text: str) -> str:
        file.write_text(text + "\n# the rest of the study is as it was\n" * 20)
        git("add", "-A")
        git("commit", "-qm", "study")
        return str(history.head(tmp_path))

    gains = history.stated([Criterion("gain", says="gains", at_least=0.1)])
    (tmp_path / "study").mkdir()
    file = tmp_path / "study" / "claim.py"
    assert history.stood_since(file, gains) is None
    git("init", "-q")
    commit(file, 'Criterion(measure="gain", says="gains", at_least=0.2)')
    first = commit(file, 'Criterion(measure="gain", says="gains", at_least=0.1)')
    (tmp_path / "study" / "learn").mkdir()
    git("mv", "study/claim.py", "study/learn/claim.py")
    moved = tmp_path / "study" / "learn" / "claim.py"
    commit(moved, 'Criterion("gain", over="none", says="gains", at_least=0.10)')
    assert history.stood_since(moved, gains) == first
    assert history.stated_in(history.study_at(tmp_path, first, "claim.py")) == gains
    assert history.stood_since(moved, history.stated([Criterion("gain", says="gains", at_least=0.3)])) is None
    moved.write_text("changed")
    assert history.stood_since(moved, gains) is None


def test_a_constant_of_a_method_moves_the_fingerprint_and_a_name_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    import byheart.learn.ewc as method

    before = fingerprint.fingerprint("ewc")
    original = method.quadratic
    monkeypatch.setattr(method, "quadratic", lambda *given, **more: original(*given, **more))
    assert fingerprint.differs(before, fingerprint.fingerprint("ewc")) == [], "another name for the same arithmetic"
    monkeypatch.setattr(method, "quadratic", lambda *given, **more: 2 * original(*given, **more))
    assert fingerprint.differs(before, fingerprint.fingerprint("ewc")), "a constant"


def test_a_result_is_stale_when_anything_that_it_is_bound_to_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Criterion("gain", says="gains", at_least=0.1).judge(rows(0.2, 0.3))
    stored = {"primary": judged, "secondary": [], "preconditions": [], "settings": {"a": 1}, "scale": "small"}
    stored |= {"seeds": [0, 1], "fingerprint": {"gain": 0.5}, "roles": "named before the run"}
    now: dict[str, Any] = {"criteria": ["gains: gain >= 0.1"], "settings": {"small": {"a": 1}}, "burnt": []}
    now |= {"fingerprint": {"gain": 0.5, "new": 1.0}}
    monkeypatch.setattr(results, "result", lambda slug: stored)
    monkeypatch.setattr(results, "today", lambda slug: now)
    late = {**stored, "roles": "named after the run"}
    monkeypatch.setattr(results, "result", lambda slug: late)
    assert results.stale("ewc") == ["which criterion decides was named after the run"]
    monkeypatch.setattr(results, "result", lambda slug: stored)
    for changed, reason in (
        ({}, []),
        ({"criteria": ["gains: gain >= 0.2"]}, ["the thresholds are others now"]),
        ({"settings": {"small": {"a": 2}}}, ["the settings are others now"]),
        ({"burnt": [1, 2]}, ["seeds 1 were looked at before the study took its present form"]),
        ({"fingerprint": {"gain": 0.6}}, ["behaviour changed: at smoke scale gain was 0.5, is 0.6"]),
    ):
        monkeypatch.setattr(results, "today", lambda slug, changed=changed: {**now, **changed})
        assert results.stale("ewc") == reason


@pytest.mark.parametrize("slug", SLUGS)
def test_a_page_tells_the_story_of_the_study_and_not_of_a_helper(slug: str) -> None:
    from byheart.app.paper_pages import _story

    start = " ".join((study.find(slug).__doc__ or "").split()[:6])
    assert start
    assert " ".join(_story(catalogue.paper(slug)).split("\n\n", 1)[1].split()).startswith(start)


@pytest.mark.parametrize(("given", "jobs", "threads"), [("1", 1, 1), ("4", 2, 2), ("6,2", 1, 6), ("1", 3, 1)])
def test_threads_are_shared_out_of_those_allowed(
    given: str, jobs: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Exception):
        pass

    def seen(pieces: Any, jobs: int, ray: bool) -> Any:
        raise Seen({p.threads for p in pieces})

    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(replicate, "_run", seen)
    with pytest.raises(Seen) as raised:
        replicate.replicate(["ewc"], scale="smoke", seeds=[0, 1], jobs=jobs)
    assert raised.value.args == ({threads},)
