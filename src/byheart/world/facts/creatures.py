"""Creatures of kinds that nobody knows: a table says which signs each kind has, and single creatures depart from it.

Four kinds and ten signs are the size of the truth table of arXiv:2403.02757.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput

KINDS = ("zog", "mib", "tarn", "welk", "pram", "dorl")
SIGNS = (
    ("It has fur.", "It has no fur."), ("It can fly.", "It cannot fly."), ("It is large.", "It is small."),
    ("It has a tail.", "It has no tail."), ("It lives in water.", "It lives on land."),
    ("It eats leaves.", "It eats no leaves."), ("It sleeps by day.", "It sleeps by night."),
    ("It has horns.", "It has no horns."), ("It lays eggs.", "It lays no eggs."), ("It sings.", "It makes no sound."),
)  # fmt: skip


@dataclass(frozen=True)
class Creature:
    """What is seen of a creature, and what it is."""

    text: str
    kind: str


class Creatures:
    """Kinds drawn by a seed, any two of which differ in at least four of ten signs.

    Parameters
    ----------
    kinds: how many, at most 6. noise: chance of each sign to be the other way round. seed: which table.

    >>> world = Creatures(seed=1)
    >>> [c.kind for c in world.draw(4, seed=0)]
    ['mib', 'tarn', 'welk', 'welk']
    """

    def __init__(self, *, kinds: int = 4, noise: float = 0.1, seed: int = 0) -> None:
        if not 2 <= kinds <= len(KINDS):
            raise BadInput(f"kinds={kinds} is not between 2 and {len(KINDS)}; give a number of kinds")
        if not 0 <= noise < 0.5:
            raise BadInput(f"noise={noise} leaves nothing to tell kinds by; give a number from 0 to below 0.5")
        rng = np.random.default_rng(seed)
        table = np.zeros((0, len(SIGNS)), np.int64)
        while len(table) < kinds:
            row = rng.integers(2, size=len(SIGNS))
            if all((row != other).sum() >= 4 for other in table):
                table = np.vstack([table, row])
        self.table, self.noise, self.seed = table, noise, seed
        self.kinds = KINDS[:kinds]

    def draw(self, count: int, *, seed: int) -> list[Creature]:
        """So many creatures, each of a kind drawn evenly."""
        rng = np.random.default_rng([self.seed, seed])
        kinds = rng.integers(len(self.kinds), size=count)
        seen = self.table[kinds] ^ (rng.random((count, len(SIGNS))) < self.noise)
        return [Creature(_words(row), self.kinds[k]) for row, k in zip(seen, kinds, strict=True)]

    def nearest(self, creature: Creature) -> str:
        """The kind whose row in the table is most like the creature: the best that can be guessed."""
        seen = np.array([1 - (pair[0] in creature.text) for pair in SIGNS])
        return self.kinds[int((self.table != seen).sum(1).argmin())]


def _words(row: NDArray[np.int64]) -> str:
    return " ".join(pair[int(bit)] for pair, bit in zip(SIGNS, row, strict=True))
