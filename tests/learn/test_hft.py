"""Half fine-tuning: what is frozen, counted by hand."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from line import stage_of
from subjects import BENCHES, llama

from byheart.kit.anatomy import layers, unit
from byheart.learn.hft import HFT
from byheart.models import tiny
from byheart.train.loop import train


def test_hft_freezes_half_of_every_category() -> None:
    model, guard = tiny.model(0, width=32, layers=4), HFT()
    drawn = []
    for seed in range(3):
        guard.begin(stage_of(model, [], seed=seed))
        frozen = guard.groups(model)
        drawn.append(set(frozen))
        feedforward = []
        for names in layers(model):
            kinds = Counter(unit(n)[1] for n in names if n in frozen)
            assert sum(kinds[k] for k in ("q", "k", "v", "o")) == 2
            assert kinds["norm"] == 1
            feedforward.append(sum(kinds[k] for k in ("gate", "up", "down")))
        assert sorted(feedforward) == [1, 1, 2, 2]
        assert "model.embed_tokens.weight" not in frozen
        sizes = {n: p.numel() for n, p in model.named_parameters() if n.startswith("model.layers")}
        assert sum(sizes[n] for n in frozen) / sum(sizes.values()) == pytest.approx(0.5, abs=0.06)
    assert len(set(map(frozenset, drawn))) == 3, "the same half every time"


def test_hft_leaves_the_frozen_half_bit_for_bit() -> None:
    model = llama()
    start, guard = copy.deepcopy(model.state_dict()), HFT()
    train(model, BENCHES["lm"].tasks[0], [guard], BENCHES["lm"].settings)
    still = {n for n, _ in model.named_parameters() if torch.equal(model.state_dict()[n], start[n])}
    guard.begin(stage_of(model, [], seed=BENCHES["lm"].settings.seed))
    assert still == set(guard.groups(model))
