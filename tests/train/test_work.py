"""The fingerprint of a piece of training: the same for the same work in every process, another for any other."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from byheart.core import catalogue
from byheart.core.errors import BadInput
from byheart.core.strategy import Strategy
from byheart.learn.ewc import EWC
from byheart.learn.kl import KL
from byheart.learn.self_replay import SelfReplay
from byheart.models import tiny
from byheart.train.loop import Settings, train
from byheart.train.work import fingerprint

SETTINGS = Settings(lr=1e-3, steps=6, batch_size=2, save_every=0.0)


def examples(n: int = 4) -> list[dict[str, Any]]:
    return [{"input_ids": [1, 2 + i, 3], "labels": [1, 2 + i, 3]} for i in range(n)]


def code(**changed: Any) -> str:
    work: dict[str, Any] = {"model": tiny.model(0), "examples": examples(), "strategies": (), "settings": SETTINGS}
    return fingerprint(**{**work, **changed})


def test_another_work_has_another_fingerprint() -> None:
    weights = tiny.model(0)
    with torch.no_grad():
        next(weights.parameters()).view(-1)[7] += 1e-3
    codes = [
        code(),
        code(model=tiny.model(1)),
        code(model=weights),
        code(model=tiny.model(0).double()),
        code(examples=examples(5)),
        code(examples=examples()[::-1]),
        code(settings=Settings(lr=2e-3, steps=6, batch_size=2)),
        code(strategies=[KL()]),
        code(strategies=[KL(weight=2.0)]),
        code(strategies=[KL(), EWC()]),
        code(strategies=[EWC(), KL()]),
        code(index=1),
    ]
    assert len(set(codes)) == len(codes)
    assert code() == code(settings=Settings(lr=1e-3, steps=6, batch_size=2, save_every=9.0))


MADE = [e for e in catalogue.methods() if e.kind == "strategy" and e.target.startswith("learn.")]


@pytest.mark.parametrize("name", [e.name for e in MADE])
def test_a_strategy_counts_by_its_settings(name: str) -> None:
    try:
        first, second = catalogue.make(name), catalogue.make(name)
    except TypeError:
        pytest.skip("needs settings")
    model = nn.Linear(1, 1)
    of = [fingerprint(model, examples(), [s], SETTINGS) for s in (first, second, copy.deepcopy(first))]
    assert len(set(of)) == 1


def test_another_process_has_the_same_fingerprint() -> None:
    work = "fingerprint(tiny.model(0), [{'input_ids': [1], 'labels': [1]}], [EWC(importance=2.0), KL()], Settings())"
    lines = (
        "from byheart.models import tiny", "from byheart.learn.ewc import EWC", "from byheart.learn.kl import KL",
        "from byheart.train.work import fingerprint", "from byheart.train.loop import Settings", f"print({work})",
    )  # fmt: skip
    out = [
        subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert out[0] == out[1] != ""
    assert out[0].strip() == eval(work)


class Killed(Exception):
    pass


def kill(step: Any, _: Any) -> None:
    if step.index == 2:
        raise Killed


def run(model: nn.Module, folder: Path, strategies: list[Strategy], on_step: Any = None, **changed: Any) -> nn.Module:
    work = {"examples": examples(), "settings": SETTINGS, **changed}
    train(model, work["examples"], strategies, work["settings"], folder=folder, on_step=on_step)
    return model


def replaying() -> list[Strategy]:
    return [SelfReplay(examples=4, length=6, batch=2), KL(replace=True)]


def test_a_killed_run_with_strategy_objects_goes_on(tmp_path: Path) -> None:
    whole = run(tiny.model(0), tmp_path / "whole", replaying())
    with pytest.raises(Killed):
        run(tiny.model(0), tmp_path / "cut", replaying(), kill)
    steps: list[int] = []
    resumed = run(tiny.model(0), tmp_path / "cut", replaying(), lambda step, _: steps.append(step.index))
    assert steps == [2, 3, 4, 5]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


@pytest.mark.parametrize(
    "changed",
    [{"examples": examples(5)}, {"settings": Settings(lr=2e-3, steps=6, batch_size=2)}, {"strategies": [KL()]}, {}],
    ids=["examples", "settings", "strategies", "weights"],
)
def test_the_folder_of_other_work_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(Killed):
        run(tiny.model(0), tmp_path, replaying(), kill)
    model = tiny.model(0 if changed else 1)
    before = copy.deepcopy(model)
    strategies = changed.pop("strategies", None) or replaying()
    with pytest.raises(BadInput, match="holds a checkpoint of other work"):
        run(model, tmp_path, strategies, **changed)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), model.parameters(), strict=True))
    (tmp_path / "checkpoint" / "work.txt").unlink()
    with pytest.raises(BadInput, match="fingerprint not given"):
        run(tiny.model(0), tmp_path, replaying())
