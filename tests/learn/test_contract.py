"""What every strategy of the catalogue must do, tested without being asked."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from subjects import BENCHES, Bench, same

from byheart.core import catalogue
from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Step, Strategy
from byheart.kit import state as states
from byheart.learn.plain import Plain
from byheart.learn.replay import Replay
from byheart.train.loop import train

NAMES = [e.name for e in catalogue.methods() if e.target.startswith("learn.")]
GUARDS = [n for n in NAMES if n != "plain"]
SMALL = {"self-replay": {"examples": 4, "length": 6}, "fpf": {"steps": 3}}  # what takes long and changes nothing here
REFUSE_REPLAY: set[str] = set()  # none does: replay claims nothing


def make(name: str, **extra: Any) -> Strategy:
    """As the contract runs it: the defaults, and what the class declares for a model of two layers."""
    return catalogue.make(name, **{**catalogue.load(name).biting, **SMALL.get(name, {}), **extra})


def kinds(name: str) -> list[str]:
    """The subjects that a strategy says it serves."""
    return [k for k in sorted(BENCHES) if k in catalogue.load(name).serves]


def on_each(names: list[str]) -> pytest.MarkDecorator:
    """Every strategy on every subject it says it serves."""
    pairs = [(n, k) for n in names for k in kinds(n)]
    return pytest.mark.parametrize(("name", "bench"), [pytest.param(n, BENCHES[k], id=f"{n}-{k}") for n, k in pairs])


@pytest.fixture(scope="module")
def plain() -> dict[str, dict[str, torch.Tensor]]:
    return {kind: BENCHES[kind].run([Plain()]).state_dict() for kind in BENCHES}


@pytest.mark.parametrize("name", NAMES)
def test_constructs_with_defaults_and_keywords_alone(name: str) -> None:
    cls = catalogue.load(name)
    assert isinstance(catalogue.make(name), Strategy)
    for p in list(inspect.signature(cls.__init__).parameters.values())[1:]:
        if cls.__init__ is not object.__init__:
            assert p.kind == p.KEYWORD_ONLY, p.name
            assert p.default is not p.empty, p.name
            assert p.annotation is not p.empty, p.name


@pytest.mark.parametrize("name", NAMES)
def test_no_setting_hides_a_hook(name: str) -> None:
    hooks = {n for n in vars(Strategy) if not n.startswith("_")}
    assert not (hooks - {"claims", "serves", "neutral", "biting"}) & vars(catalogue.make(name)).keys()


@pytest.mark.parametrize("name", NAMES)
def test_docstring_has_its_sections(name: str) -> None:
    doc = inspect.getdoc(catalogue.load(name)) or ""
    assert "Departs from the paper:" in doc
    assert ">>>" in doc
    assert "References:" in doc


@pytest.mark.parametrize("name", NAMES)
def test_refuses_what_it_does_not_serve(name: str) -> None:
    for kind, bench in BENCHES.items():
        if kind not in catalogue.load(name).serves:
            with pytest.raises(BadInput, match="serves"):
                bench.run([make(name)])


@on_each(NAMES)
def test_two_runs_agree_bit_for_bit(name: str, bench: Bench) -> None:
    torch.manual_seed(1)
    first = bench.run([make(name)])
    torch.manual_seed(2)
    assert same(first, bench.run([make(name)]))


@on_each(NAMES)
def test_neutral_setting_is_plain_fine_tuning(name: str, bench: Bench, plain: dict[str, Any]) -> None:
    assert same(bench.run([make(name, **catalogue.load(name).neutral)]), plain[bench.kind])


@on_each(GUARDS)
def test_bites(name: str, bench: Bench, plain: dict[str, Any]) -> None:
    assert not same(bench.run([make(name)]), plain[bench.kind])


@pytest.mark.parametrize("name", GUARDS)
def test_says_whether_a_first_stage_is_plain_fine_tuning(name: str) -> None:
    bench = BENCHES[kinds(name)[-1]]
    first = replace(bench, tasks=bench.tasks[:1])
    assert same(first.run([make(name)]), first.run([Plain()])) == make(name).idle_first()


@on_each(NAMES)
def test_the_model_keeps_its_structure_and_its_freezing(name: str, bench: Bench) -> None:
    start = bench.build()
    first = next(iter(start.parameters()))
    first.requires_grad_(False)
    trained = bench.run([make(name)], copy.deepcopy(start))
    assert [(n, p.shape, p.requires_grad) for n, p in trained.named_parameters()] == [
        (n, p.shape, p.requires_grad) for n, p in start.named_parameters()
    ]
    assert [type(m) for m in trained.modules()] == [type(m) for m in start.modules()]


@on_each(GUARDS)
def test_composes_with_replay_or_says_why_not(name: str, bench: Bench) -> None:
    if name in REFUSE_REPLAY:
        with pytest.raises(Conflict, match="leave one of them out"):
            bench.run([Replay(ratio=0.5), make(name)])
        return
    both = bench.run([Replay(ratio=0.5), make(name)])
    alone = bench.run([make(name)])
    assert not same(both, alone), "replay did nothing beside it"


@on_each(NAMES)
def test_state_survives_the_disk(name: str, bench: Bench, tmp_path: Path) -> None:
    used = make(name)
    bench.run([used])
    states.save(used.state_dict(), tmp_path / "a")
    again = make(name)
    again.load_state_dict(states.load(tmp_path / "a"))
    states.save(again.state_dict(), tmp_path / "b")
    for file in ("tree.json", "tensors.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


class _Killed(Exception):
    pass


@on_each(NAMES)
def test_a_killed_stage_resumes_bit_for_bit(name: str, bench: Bench, tmp_path: Path) -> None:
    first, second = bench.tasks
    settings = bench.settings.__class__(**{**bench.settings.__dict__, "save_every": 0.0})
    start, strategy = bench.build(), make(name)
    train(start, first, strategy, settings)
    states.save(strategy.state_dict(), tmp_path / "state")

    unbroken = copy.deepcopy(start)
    train(unbroken, second, strategy, settings, index=1, old=first)

    def fresh() -> Strategy:
        made = make(name)
        made.load_state_dict(states.load(tmp_path / "state"))
        return made

    def kill(step: Any, losses: dict[str, float]) -> None:
        if step.index == 2:
            raise _Killed

    run = tmp_path / "run"
    with pytest.raises(_Killed):
        train(copy.deepcopy(start), second, fresh(), settings, index=1, old=first, folder=run, on_step=kill)
    resumed, steps = copy.deepcopy(start), []
    last = fresh()
    train(resumed, second, last, settings, index=1, old=first, folder=run, on_step=lambda s, _: steps.append(s.index))
    assert steps == [2, 3], "it began again instead of going on"
    assert same(resumed, unbroken)
    states.save(strategy.state_dict(), tmp_path / "a")
    states.save(last.state_dict(), tmp_path / "b")
    assert (tmp_path / "a/tensors.safetensors").read_bytes() == (tmp_path / "b/tensors.safetensors").read_bytes()


class Quiet(Strategy):
    """Pulls the embeddings of a language model to zero, which a perceptron has none of; counts its steps."""

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}

    def __init__(self, *, weight: float = 0.1) -> None:
        self.weight, self.steps = weight, torch.zeros(())

    def terms(self, step: Step) -> dict[str, torch.Tensor]:
        self.steps = self.steps + 1
        embeddings: Any = step.model.get_input_embeddings()
        return {"quiet": self.weight * embeddings.weight.square().sum()} if self.weight else {}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which the catalogue finds it."""
    load, build = catalogue.load, catalogue.make
    monkeypatch.setattr(catalogue, "load", lambda n: Quiet if n == "quiet" else load(n))
    monkeypatch.setattr(catalogue, "make", lambda n, **settings: Quiet(**settings) if n == "quiet" else build(n))
    return "quiet"


def test_a_strategy_for_language_models_alone_passes_on_them_alone(
    quiet: str, plain: dict[str, Any], tmp_path: Path
) -> None:
    assert kinds(quiet) == ["lm"]
    (parameters,) = (p.values for p in on_each([quiet]).args[1])
    assert parameters == (quiet, BENCHES["lm"])
    test_constructs_with_defaults_and_keywords_alone(quiet)
    test_no_setting_hides_a_hook(quiet)
    test_refuses_what_it_does_not_serve(quiet)
    test_neutral_setting_is_plain_fine_tuning(*parameters, plain)
    test_bites(*parameters, plain)
    for check in (
        test_two_runs_agree_bit_for_bit,
        test_the_model_keeps_its_structure_and_its_freezing,
        test_composes_with_replay_or_says_why_not,
    ):
        check(*parameters)
    test_state_survives_the_disk(*parameters, tmp_path)
    test_a_killed_stage_resumes_bit_for_bit(*parameters, tmp_path)


def test_one_that_says_it_serves_classifiers_and_does_not_is_caught(
    quiet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quiet, "serves", frozenset({"lm", "classifier"}))
    assert kinds(quiet) == ["classifier", "lm"]
    with pytest.raises(AttributeError, match="get_input_embeddings"):
        test_bites(quiet, BENCHES["classifier"], {})
