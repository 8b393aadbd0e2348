"""No two strategies of a composition draw the same numbers, nor does the loop draw theirs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from subjects import BENCHES
from test_contract import NAMES, make

from byheart.core import catalogue
from byheart.core.strategy import Stage, Strategy
from byheart.kit.buffer import Reservoir
from byheart.learn.replay import Replay
from byheart.train.loop import train
from byheart.train.stream import collate

Draws = dict[tuple[Any, ...], tuple[float, ...]]
"""By what a generator was made for: the first numbers that it gives."""


def recorded(strategies: list[Strategy], monkeypatch: pytest.MonkeyPatch) -> Draws:
    """What two stages of a step each draw from under these strategies, the loop's own streams too."""
    draws: Draws = {}
    bench = BENCHES["classifier" if all("classifier" in s.serves for s in strategies) else "lm"]
    made = Stage.generator

    def record(stage: Stage, *salts: str | int) -> torch.Generator:
        draws[(stage.seed, *salts)] = first_of(made(stage, *salts))
        return made(stage, *salts)

    with monkeypatch.context() as patched:
        patched.setattr(Stage, "generator", record)
        replace(bench, settings=replace(bench.settings, steps=1)).run(strategies)
    return draws


def first_of(generator: torch.Generator) -> tuple[float, ...]:
    return tuple(torch.rand(4, generator=generator).tolist())


def own(draws: Draws, place: int) -> Draws:
    """The streams of the strategy at this place."""
    return {k: v for k, v in draws.items() if len(k) > 3 and k[2] == place}


def moved(draws: Draws, place: int) -> Draws:
    """The same streams when the strategy stands at another place."""
    keys = [(seed, label, place, *rest) for seed, label, _, *rest in draws]
    return {k: first_of(Stage(torch.nn.Linear(1, 1), [], None, None, seed=k[0]).generator(*k[1:])) for k in keys}


def test_any_two_strategies_draw_from_different_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    first: dict[str, Draws] = {}
    for name in NAMES:
        draws = recorded([make(name)], monkeypatch)
        first[name] = own(draws, 0)
        rest = {k: v for k, v in draws.items() if k not in first[name]}
        assert {k[1] for k in rest} == {"stream"}, f"{name} draws from a stream that is not its own"
        assert not set(rest.values()) & set(first[name].values()), f"{name} draws what the loop draws"
        assert len(set(first[name].values())) == len(first[name]), f"{name} draws the same for two purposes"
    assert sum(map(bool, first.values())) > 20, "this test cannot fail"
    second = {name: moved(draws, 1) for name, draws in first.items()}
    for a, b in product(NAMES, NAMES):
        assert not set(first[a].values()) & set(second[b].values()), f"{a} and {b} draw the same numbers"


@pytest.mark.parametrize("names", [("replay", "replay"), ("a-gem", "uer"), ("ewc", "mas"), ("gere", "self-replay")])
def test_what_a_composition_draws_is_what_its_parts_draw_at_their_places(
    names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = recorded([make(n) for n in names], monkeypatch)
    parts = [own(draws, place) for place in (0, 1)]
    assert all(parts)
    assert not set(parts[0].values()) & set(parts[1].values())
    assert parts[1] == moved(parts[1], 1)


def test_two_replays_draw_different_examples() -> None:
    shown: list[dict[int, tuple[int, ...]]] = [{}, {}]

    class Noted(Replay):
        def batches(self, stream: Any, stage: Stage) -> Any:
            for number, batches in super().batches(stream, stage):
                shown[self.position][number] = batches[-1].keys
                yield number, batches

    first, second = BENCHES["classifier"].tasks
    train(BENCHES["classifier"].build(), second, [Noted(), Noted()], BENCHES["classifier"].settings, index=1, old=first)
    offset = len(first)  # the second's examples come behind the first's in the pool
    assert shown[0] != {n: tuple(k - offset for k in keys) for n, keys in shown[1].items()}


def test_a_stream_depends_on_seed_label_position_purpose_and_numbers() -> None:
    def numbers(strategy: Strategy, position: int, seed: int, *salts: Any) -> tuple[float, ...]:
        strategy.position = position
        stage = Stage(torch.nn.Linear(1, 1), [], collate, None, seed=seed)
        return first_of(strategy.generator(stage, *salts))

    class Other(Replay):
        """Not in the catalogue."""

    assert (Replay.label(), Other.label(), catalogue.load("online-ewc").label()) == ("replay", "Other", "ewc")
    base = numbers(Replay(), 0, 0, "batch", 3)
    assert numbers(Replay(), 0, 0, "batch", 3) == base
    others = {
        numbers(Other(), 0, 0, "batch", 3),
        numbers(Replay(), 1, 0, "batch", 3),
        numbers(Replay(), 0, 1, "batch", 3),
        numbers(Replay(), 0, 0, "memory", 3),
        numbers(Replay(), 0, 0, "batch", 4),
        numbers(Replay(), 0, 0, "batch", 3, 0),
    }
    assert len(others - {base}) == 6


def test_two_buffers_keep_different_examples() -> None:
    stage = Stage(torch.nn.Linear(1, 1), [], collate, None)
    memories = []
    for position in (0, 1):
        replay, memory = Replay(), Reservoir(5)
        replay.position = position
        for n in range(100):
            memory.add({"n": n}, lambda at, r=replay: r.generator(stage, "memory", at))
        memories.append([item["n"] for item in memory.items])
    assert memories[0] != memories[1]
