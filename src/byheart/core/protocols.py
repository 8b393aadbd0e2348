"""The few interfaces that packages meet through; each has at least two real implementations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from byheart.core.records import Brief, Engram

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


Prompt = str | list[dict[str, str]]
Where = dict[str, Any] | None


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


class Index(Protocol):
    """What searches read of a store. `store.base.AnyStore` documents each call; `at` and `where` filter in each."""

    def lexical(self, query: str, k: int, at: str | None = None, where: Where = None) -> list[tuple[str, float]]: ...

    def dense(
        self, vector: ArrayLike, k: int, at: str | None = None, where: Where = None
    ) -> list[tuple[str, float]]: ...

    def cosine(self, vector: ArrayLike, ids: Sequence[str]) -> dict[str, float]: ...

    def neighbours(
        self, ids: Sequence[str], at: str | None = None, where: Where = None
    ) -> dict[str, tuple[str, ...]]: ...

    def saying(self, ids: Sequence[str], phrase: str) -> set[str]: ...

    def keys(self, ids: Sequence[str]) -> dict[str, str]: ...

    def brief(self, ids: Sequence[str]) -> dict[str, Brief]: ...

    def get(self, ids: Sequence[str]) -> list[Engram]: ...

    def all(self, state: Any = "active") -> list[Engram]: ...

    def changed(self) -> Any: ...
