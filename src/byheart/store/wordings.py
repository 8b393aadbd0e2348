"""Searching a fact by any of its wordings: earlier and later statements under its key count for what holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T", int, str)


def best(
    search: Callable[[int], Sequence[tuple[T, float]]], holding: Callable[[Sequence[T]], Mapping[T, T]], k: int
) -> list[tuple[T, float]]:
    """The k best that hold, each with the score of its best wording, best first.

    search: the n best of all wordings, best first. holding: for each of some wordings the statement of the same key
    that holds and may be seen, which may be itself; wordings without such a statement are left out.

    >>> ranked = [("lived in Oslo", 3.0), ("lives in Bergen", 2.0), ("likes tea", 1.0)]
    >>> now = {"lived in Oslo": "lives in Bergen", "lives in Bergen": "lives in Bergen", "likes tea": "likes tea"}
    >>> best(lambda n: ranked[:n], lambda some: {s: now[s] for s in some}, 2)
    [('lives in Bergen', 3.0), ('likes tea', 1.0)]
    """
    wanted = k
    while k > 0:
        ranked = search(wanted)
        known = holding([wording for wording, _ in ranked])
        scores: dict[T, float] = {}
        for wording, score in ranked:
            if wording in known:
                scores.setdefault(known[wording], score)
        if len(scores) >= k or len(ranked) < wanted:
            return list(scores.items())[:k]
        wanted *= 4
    return []
