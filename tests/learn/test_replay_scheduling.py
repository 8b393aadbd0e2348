"""Replay scheduling: the memory's composition counted, the search against an exhaustive one."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from line import Line, point, stage_of
from subjects import BENCHES

from byheart.core.errors import BadInput
from byheart.learn.replay_scheduling import Node, ReplayScheduling, Schedule, choices, search, split


def test_the_memory_is_composed_by_the_row_of_the_stage() -> None:
    guard = ReplayScheduling(memory=8, schedule=((1.0,), (0.25, 0.75)))
    sources = []
    for index in range(4):
        stage = stage_of(Line(0.0, 0.0), [point(float(index), 0)] * 20, index=index)
        guard.begin(stage)
        sources.append([sum(float(e["x"]) == k for e in guard.pool) for k in range(index)])
        guard.end(stage)
    assert sources == [[], [8], [2, 6], [3, 3, 2]], "equal shares after the last row"


def test_a_batch_never_holds_more_than_the_memory() -> None:
    guard = ReplayScheduling(memory=3)
    guard.end(stage_of(Line(0.0, 0.0), [point(float(i), 0) for i in range(9)]))
    stage = stage_of(Line(0.0, 0.0), [point(9.0, 1)] * 8, batch_size=8)
    guard.begin(stage)
    stream = ((n, [stage.batch(stage.examples, "new", range(8))]) for n in range(3))
    for _, (_, replayed) in guard.batches(stream, stage):
        assert len(replayed) == 3
        assert [float(stage.pools["replay"][k]["x"]) for k in replayed.keys] == replayed.inputs["x"][:, 0].tolist()


def test_there_are_as_many_compositions_as_multisets() -> None:
    for n in range(1, 6):
        found = choices(n)
        assert len(found) == math.comb(2 * n - 1, n)
        assert len(set(found)) == len(found)
        assert all(sum(row) == pytest.approx(1) for row in found)


def test_shares_become_whole_numbers() -> None:
    assert split((1 / 3, 1 / 3, 1 / 3), 10) == [4, 3, 3]
    assert split((), 10) == []
    assert split((0.1, 0.9), 0) == [0, 0]


def test_the_bound_adds_what_few_visits_leave_open() -> None:
    node = Node((), [], visits=10)
    node.children = [Node(((1.0,),), [], best=0.9, visits=8), Node(((1.0,),), [], best=0.8, visits=2)]
    # 0.9 + c sqrt(2 ln 10 / 8) = 0.9 + 0.759 c against 0.8 + 1.517 c: they meet at c = 0.132
    assert node.descend(0.13) is node.children[0]
    assert node.descend(0.14) is node.children[1]


def test_the_search_finds_what_trying_everything_finds_and_asks_no_more_than_allowed() -> None:
    options = list(product(*(choices(t) for t in (1, 2, 3))))
    values = dict(
        zip(options, torch.rand(len(options), generator=torch.Generator().manual_seed(1)).tolist(), strict=True)
    )
    asked: list[Schedule] = []

    def reward(schedule: Schedule) -> float:
        asked.append(schedule)
        return values[schedule]

    found, value = search(reward, 4, torch.Generator().manual_seed(2), iterations=200)
    assert (found, value) == max(values.items(), key=lambda pair: pair[1])
    assert len(asked) == 200
    few = search(lambda s: values[s], 4, torch.Generator().manual_seed(2), iterations=1)
    assert few[1] == values[few[0]]


def test_an_impossible_schedule_is_refused() -> None:
    with pytest.raises(BadInput, match=r"row 2 is \(1\.0,\); give 2 shares"):
        ReplayScheduling(schedule=((1.0,), (1.0,)))
    with pytest.raises(BadInput, match="at least 2 tasks"):
        search(lambda s: 0.0, 1, torch.Generator())
    assert not ReplayScheduling(memory=0).kept
    guard = ReplayScheduling(memory=0)
    BENCHES["classifier"].run([guard])
    assert guard.kept == []
