"""A task: what every world of learning in stages is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """One task of a stream: examples to train on and others to test on."""

    name: str
    train: list[dict[str, Any]]
    test: list[dict[str, Any]]
