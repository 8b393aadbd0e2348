"""A memory in each kind of store, for tests that must come out the same in both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from byheart import Memory
from byheart.exam import general

OPEN = {"model": "tiny", "embedder": "hash"}


@pytest.fixture(autouse=True)
def short_quiz(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model, which knows nothing, answers 60 questions: 300 would add a second to each `learn`."""
    whole = general.common
    monkeypatch.setattr(general, "common", lambda lm, **more: whole(lm, general.quiz()[:60], **more))


@pytest.fixture(params=["sqlite", "postgres"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    """A new memory in each kind of store."""
    if request.param == "sqlite":
        with Memory.open(tmp_path / "brain", **OPEN) as opened:
            yield opened
        return
    address = request.getfixturevalue("postgres").address(f"i{uuid.uuid4().hex[:12]}")
    with Memory.open(tmp_path / "brain", store=address, **OPEN) as opened:
        yield opened
    from byheart.store.postgres.address import Address
    from byheart.store.postgres.replace import drop

    drop(Address.read(address), opened.folder)
