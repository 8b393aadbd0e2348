"""What a composition keeps, under which names, and what it refuses to take back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from byheart.core.errors import Conflict
from byheart.core.strategy import Strategy
from byheart.kit import state as states
from byheart.learn.kl import KL
from byheart.learn.replay import Replay
from byheart.train.compose import Strategies


class Counts(Strategy):
    """Keeps a number; not in the catalogue."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def test_state_goes_by_position_and_label(tmp_path: Path) -> None:
    composed = Strategies([Counts(5), KL(), Strategies([Replay(capacity=2), Counts(7)])])
    assert list(composed.state_dict()) == ["0 Counts", "1 kl", "2 replay", "3 Counts"]
    states.save(composed.state_dict(), tmp_path)
    first, second = Counts(), Counts()
    Strategies([first, KL(), Replay(capacity=2), second]).load_state_dict(states.load(tmp_path))
    assert (first.count, second.count) == (5, 7)


@pytest.mark.parametrize("name", ["a", "0 some-longer-name"])
def test_what_is_loaded_is_aligned_as_what_was_saved(name: str, tmp_path: Path) -> None:
    states.save({name: torch.ones(3), "b": torch.ones(5, 7)}, tmp_path)
    assert [t.data_ptr() % 64 for t in states.load(tmp_path).values()] == [0, 0]


def test_the_earlier_form_is_still_read() -> None:
    counts, replay = Counts(), Replay(capacity=2)
    memory = {"memory": {"seen": 9, "items": {"count": 0, "columns": {}}}}
    parts = [
        {"name": "Replay", "state": memory},
        {"name": "KL", "state": {}},
        {"name": "Counts", "state": {"count": 3}},
    ]
    Strategies([replay, KL(), counts]).load_state_dict({"parts": parts})
    assert (replay.memory.seen, counts.count) == (9, 3)
    with pytest.raises(Conflict, match="it holds 0 KL and lacks 0 replay"):
        Strategies([Replay()]).load_state_dict({"parts": parts[1:2]})


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        ({"0 Counts": {"count": 1}, "1 kl": {}, "2 ewc": {"anchors": []}}, "it holds 2 ewc and lacks nothing"),
        ({"0 Counts": {"count": 1}}, "it holds nothing more and lacks 1 kl"),
        ({"0 kl": {}, "1 Counts": {"count": 1}}, "it holds 0 kl, 1 Counts and lacks 0 Counts, 1 kl"),
        ({"0 Counts": {"count": 1}, "1 kl": {"teacher": 2}}, "it holds teacher of 1 kl, which keeps no state"),
        ({"parts": [{"name": "Counts", "state": {"count": 1}}, {"name": "EWC", "state": {}}]}, "it holds 1 EWC and"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_taken(state: dict[str, Any], refusal: str) -> None:
    counts = Counts(8)
    with pytest.raises(Conflict, match=refusal):
        Strategies([counts, KL()]).load_state_dict(state)
    assert counts.count == 8


@pytest.mark.parametrize("earlier", [False, True])
def test_parts_carry_what_those_of_their_name_kept_elsewhere(earlier: bool) -> None:
    kept = [("Counts", {"count": 1}), ("KL" if earlier else "kl", {}), ("Counts", {"count": 2})]
    state = (
        {"parts": [{"name": n, "state": s} for n, s in kept]}
        if earlier
        else {f"{at} {n}": s for at, (n, s) in enumerate(kept)}
    )
    parts = [Counts(), Counts(), Replay(), Counts(9)]
    Strategies(parts).carry(state)
    assert [p.count for p in parts if isinstance(p, Counts)] == [1, 2, 9]
    parts = [Counts(), Replay()]
    Strategies(parts).carry(state, only="replay")
    assert parts[0].count == 0
