"""Answering from hits: a short open-book prompt, and which hits the answer rests on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Protocol

from engram.core.records import Answer, Hit
from engram.recall.sentences import sentences


class Subject(Protocol):
    """What writes the answer; `[0][0]` of the result has `.text` and `.logprobs`."""

    def generate(
        self, prompts: Sequence[Any], *, max_tokens: int = 64, temperature: float = 0.0, copies: int = 1, seed: int = 0
    ) -> list[list[Any]]: ...


class Cite:
    pass
