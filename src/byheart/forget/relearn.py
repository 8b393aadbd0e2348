"""Relearning: repeat history without the forgotten."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Generic, NamedTuple, TypeVar

from byheart.core.errors import BadInput
from byheart.core.records import Version

L = TypeVar("L")


class Stage(NamedTuple, Generic[L]):
    """A version to repeat and the lessons that are left of it."""

    version: Version
    lessons: list[L]


class Relearn:
    """Exact unlearning: train again from the last version that never saw what is forgotten.

    What was never trained on needs no removing. Versions make it affordable: only the stages since
    the first that saw the forgotten are repeated, as slices are in SISA.

    theta' = A(theta_k, D_(k+1) \\ F, ..., D_n \\ F), k the last version before F

    Parameters
    ----------
    forgotten: ids of the engrams to forget.

    Departs from the paper: no shards, for one model of one user holds one history; the checkpoints
    are the versions that `learn` committed.

    >>> v = [Version(id=f"v{n}", created="", taught=t) for n, t in enumerate([(), ("a", "b"), ("c",)])]
    >>> start, stages = Relearn(forgotten={"b"}).plan(v, [[], [("a", 1), ("b", 2)], [("c", 3)]])
    >>> start.id, [(s.version.id, s.lessons) for s in stages]
    ('v0', [('v1', [('a', 1)]), ('v2', [('c', 3)])])

    References: Bourtoule et al. 2021, "Machine Unlearning", arXiv:1912.03817, section IV.
    """

    name = "relearn"
    arxiv = "1912.03817"

    def __init__(self, *, forgotten: Set[str]) -> None:
        self.forgotten = frozenset(forgotten)

    def plan(self, chain: Sequence[Version], lessons: Sequence[Sequence[Any]]) -> tuple[Version, list[Stage[Any]]]:
        """Where to start and what to repeat; `chain` runs from the untaught model to the current version.

        A lesson is an (engram id, ...) tuple. A stage of which nothing is left is dropped.
        """
        first = next((n for n, v in enumerate(chain) if self.forgotten & set(v.taught)), len(chain))
        if first == 0:
            raise BadInput(f"{chain[0].id} was itself taught what is to go; give a chain that starts before it")
        left = [
            Stage(v, [x for x in taught if x[0] not in self.forgotten])
            for v, taught in zip(chain[first:], lessons[first:], strict=True)
        ]
        return chain[first - 1], [s for s in left if s.lessons]
