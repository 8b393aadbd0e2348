"""The environment in which tasks come back, counted."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.world.stream.power_law_environment import Law, environment, shares
from byheart.world.stream.task import Task


def tasks(count: int, each: int) -> list[Task]:
    return [Task(str(t), [{"x": (t, i), "labels": 0} for i in range(each)], []) for t in range(count)]


def test_shares_follow_their_law() -> None:
    power = shares(4, "power", 2.0)
    assert [power[-1] / p for p in power] == pytest.approx([16, 9, 4, 1])
    exponential = shares(4, "exponential", 0.5)
    assert exponential[3] / exponential[1] == pytest.approx(2.718281828)
    for law in ("power", "exponential", "uniform"):
        assert sum(shares(7, law)) == pytest.approx(1.0)  # type: ignore[arg-type]
        assert shares(0, law) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("law", "back"), [("power", [17, 26, 52]), ("uniform", [32, 32, 31]), ("none", [0, 0, 0])])
def test_a_phase_brings_its_task_whole_and_the_earlier_ones_in_part(law: Law, back: list[int]) -> None:
    for phase in environment(tasks(4, 190), law=law, fraction=0.5)[3:]:
        counts = [sum(e["x"][0] == t for e in phase.train) for t in range(4)]
        assert counts[3] == 190
        assert sorted(counts[:3]) == sorted(back)
        assert counts[:3] == sorted(counts[:3]) or law == "uniform"
        assert len({e["x"] for e in phase.train}) == len(phase.train), "an example came back twice in a phase"


def test_what_comes_back_is_drawn_anew_and_follows_the_seed() -> None:
    first, again, other = (environment(tasks(3, 50), seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other
    back = [{e["x"] for e in p.train if e["x"][0] == 0} for p in first[1:]]
    assert not back[1] <= back[0]


def test_an_impossible_environment_says_so() -> None:
    with pytest.raises(BadInput, match="give a number from 0 to 1"):
        environment(tasks(2, 5), fraction=1.5)
    with pytest.raises(BadInput, match="law='uniform'"):
        shares(2, "power", 0.0)
