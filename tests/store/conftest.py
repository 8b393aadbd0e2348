"""Ready-made engrams for the store's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engram.core.records import Engram
from engram.store.sqlite import Store

CREATED = "2026-11-20T06:00:00+00:00"


@pytest.fixture
def make() -> Callable[..., Engram]:
    """An engram with an id and a text; other fields by name."""

    def build(id: str, text: str = "", **fields: Any) -> Engram:
        return Engram(id=id, text=text or f"text of {id}", created=CREATED, **fields)

    return build


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "brain", dimension=4) as opened:
        yield opened
