"""Creatures of kinds: a table that can be learned, and single creatures that depart from it."""

from __future__ import annotations

from statistics import fmean

import pytest

from byheart.core.errors import BadInput
from byheart.world.facts.creatures import Creatures


def test_kinds_differ_and_a_seed_is_a_world() -> None:
    for seed in range(20):
        world = Creatures(seed=seed)
        assert all((a != b).sum() >= 4 for n, a in enumerate(world.table) for b in world.table[:n])
        assert world.draw(5, seed=1) == Creatures(seed=seed).draw(5, seed=1) != world.draw(5, seed=2)


def test_the_table_tells_kinds_apart_and_wholly_without_noise() -> None:
    for noise, least in ((0.0, 1.0), (0.1, 0.9)):
        world = Creatures(noise=noise, seed=5)
        drawn = world.draw(400, seed=0)
        assert fmean(world.nearest(c) == c.kind for c in drawn) >= least
        assert {c.kind for c in drawn} == set(world.kinds)
    with pytest.raises(BadInput, match="leaves nothing"):
        Creatures(noise=0.5)
    with pytest.raises(BadInput, match="kinds=7"):
        Creatures(kinds=7)
