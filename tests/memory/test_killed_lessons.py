"""A killed lesson is found again by what it is, whether strategies were named or given as objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from byheart import Memory, Strategy
from byheart.learn.ewc import EWC
from byheart.learn.replay import Replay

PAIRS = [{"question": f"Who keeps boat {n}?", "answer": f"Keeper {n}"} for n in range(3)]
STOP = 5


class Killed(Exception):
    pass


def stop(what: str, done: int, of: int) -> None:
    if what == "learning" and done == STOP:
        raise Killed


def opened(path: Path) -> Memory:
    memory = Memory.open(path, model="tiny", embedder="hash")
    memory.save_every = 0.0
    return memory


def strategies(importance: float = 1.0) -> list[Strategy]:
    return [EWC(importance=importance), Replay(ratio=0.5)]


def killed(path: Path, given: Any, **more: Any) -> None:
    with opened(path) as memory, pytest.raises(Killed):
        memory.learn(PAIRS, strategy=given, budget=99.0, progress=stop, **more)


def first_step(memory: Memory, given: Any, **more: Any) -> int:
    steps: list[int] = []

    def note(what: str, done: int, of: int) -> None:
        if what == "learning":
            steps.append(done)

    assert memory.learn(more.pop("source", PAIRS), strategy=given, budget=99.0, progress=note, **more).committed
    return steps[0]


def test_a_killed_lesson_with_strategy_objects_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path / "whole") as whole:
        assert first_step(whole, strategies()) == 1
        wanted = {n: p.detach().clone() for n, p in whole.model.named_parameters()}
    killed(tmp_path / "cut", strategies())
    with opened(tmp_path / "cut") as cut:
        assert first_step(cut, strategies()) == STOP
        assert all(torch.equal(p, wanted[n]) for n, p in cut.model.named_parameters())


def test_the_same_objects_may_be_given_again(tmp_path: Path) -> None:
    given = strategies()
    killed(tmp_path, given)
    with opened(tmp_path) as memory:
        assert first_step(memory, given) == STOP


@pytest.mark.parametrize(
    ("given", "more"),
    [
        (strategies(2.0), {}),
        (strategies()[:1], {}),
        ("ewc,replay", {"seed": 1}),
        (strategies(), {"seed": 1}),
        (strategies(), {"source": PAIRS[:2]}),
        (strategies(), {"general": ["The tide is high."]}),
    ],
)
def test_other_work_starts_anew(tmp_path: Path, given: Any, more: dict[str, Any]) -> None:
    killed(tmp_path, strategies())
    with opened(tmp_path) as memory:
        assert first_step(memory, given, **more) == 1


def test_a_lesson_begun_from_another_version_starts_anew(tmp_path: Path) -> None:
    killed(tmp_path, strategies())
    with opened(tmp_path) as memory:
        work = list(memory.folder.work.iterdir())
        memory.store.put_version(memory.head.model_copy(update={"id": "v1", "parent": "v0"}))
        memory.store.set_head("v1")
        assert first_step(memory, strategies()) == 1
        assert not work[0].exists()
