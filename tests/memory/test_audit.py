"""The audit of the folder: it looks at everything that is stored, and is no use of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from byheart import Memory
from byheart.memory import audit, forgetting

SEARCH = "search returns none of it"


@pytest.fixture(autouse=True)
def _first_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`forget` takes the first of the engrams that it should take."""
    select = forgetting.select
    monkeypatch.setattr(forgetting, "select", lambda m, what: (select(m, what)[0][:1], what))


def measured(memory: Memory, what: str) -> float | None:
    return next(c.measured for c in memory.forget(what).checks if c.name == SEARCH)


def test_more_than_ten_hits_are_seen(memory: Memory) -> None:
    memory.remember([f"Marta Kask rows boat {n}." for n in range(12)])
    assert measured(memory, "Marta Kask") == 11


def test_archived_engrams_and_history_are_seen(memory: Memory) -> None:
    told = [{"text": f"Marta Kask lives in {town}.", "key": "home", "at": at} for town, at in
            (("Velm", "2025-01-01"), ("Orm", "2025-02-01"))]  # fmt: skip
    memory.remember(["Marta Kask rows.", *told, "Marta Kask sails."])
    memory.archive([e.id for e in memory.engrams() if "sails" in e.text])
    assert memory.recall("Marta Kask rows", k=9)[0].text == "Marta Kask rows."
    assert measured(memory, "Marta Kask") == 3


def test_what_another_owner_still_has_is_seen_by_id(tmp_path: Path) -> None:
    place = tmp_path / "brain"
    with Memory.open(place, model="tiny", embedder="hash", owner="bo") as bo:
        (his,) = bo.remember("Bo's boat sails.")
    with Memory.open(place, owner="ann") as ann:
        (check,) = (c for c in audit.files(ann, [his], None, []) if c.name == SEARCH)
        assert (check.passed, check.measured) == (False, 1)
        assert ann.recall("boat") == []


def test_an_audit_is_no_use(memory: Memory) -> None:
    memory.remember(["Marta Kask rows.", "Marta Kask sails.", "The ferry leaves at seven."])
    memory.recall("ferry", k=1)
    memory.note_uses()
    before = memory.store.uses()
    memory.forget("Marta Kask")
    assert memory.uses.total() == 0
    assert memory.store.uses() == before
    assert len(before) == 1
