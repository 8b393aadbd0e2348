"""Finding a fact by any of its wordings: what was said under its key before or after counts for what holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T", int, str)


def found(
    search: Callable[[int], Sequence[tuple[T, float]]], holding: Callable[[Sequence[T]], Mapping[T, T]], k: int
) -> list[tuple[T, float]]:
    """The k best that hold, each with the score of its best wording, best first.

    search: the n best of all wordings, best first. holding: for each of some wordings the one of the same key that
    holds and may be seen, which may be itself; those without one are left out.

    >>> said = [("lived in Oslo", 3.0), ("lives in Bergen", 2.0), ("likes tea", 1.0)]
    >>> now = {"lived in Oslo": "lives in Bergen", "lives in Bergen": "lives in Bergen", "likes tea": "likes tea"}
    >>> found(lambda n: said[:n], lambda some: {s: now[s] for s in some}, 2)
    [('lives in Bergen', 3.0), ('likes tea', 1.0)]
    """
    wanted = k
    while k > 0:
        told = search(wanted)
        known = holding([one for one, _ in told])
        best: dict[T, float] = {}
        for one, score in told:
            if one in known:
                best.setdefault(known[one], score)
        if len(best) >= k or len(told) < wanted:
            return list(best.items())[:k]
        wanted *= 4
    return []
