"""The few interfaces that packages meet through; each has at least two real implementations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Prompt = str | list[dict[str, str]]


@dataclass(frozen=True)
class Generation:
    """One continuation; `logprobs` are its tokens' log-probabilities in nats, when known."""

    text: str
    logprobs: list[float] | None = None


class Subject(Protocol):
    """What an exam examines: a bare model, a model with memory, a URL."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        copies: int = 1,
        seed: int = 0,
    ) -> list[list[Generation]]:
        """`copies` continuations of each prompt; temperature 0 is greedy."""
        ...

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[list[float]]:
        """Log-probability, in nats, of each token of each continuation given its prompt."""
        ...


class Embedder(Protocol):
    """Text to unit vectors."""

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (n, dimension)."""
        ...
