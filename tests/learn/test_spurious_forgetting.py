"""Freezing the bottom layers moves only what is above them."""

from __future__ import annotations

import copy

import pytest
import torch
from subjects import BENCHES, llama

from byheart.core.errors import BadInput
from byheart.learn.spurious_forgetting import FreezeBottom
from byheart.train.loop import train


def test_freeze_bottom_moves_only_what_is_above() -> None:
    model = llama()
    start = copy.deepcopy(model.state_dict())
    train(model, BENCHES["lm"].tasks[0], [FreezeBottom(layers=1, after=0)], BENCHES["lm"].settings)
    still = {n for n, _ in model.named_parameters() if torch.equal(model.state_dict()[n], start[n])}
    assert still == {n for n, _ in model.named_parameters() if "layers.0." in n or "embed" in n}
    with pytest.raises(BadInput, match="cannot freeze 2 of 2 layers; give layers=1"):
        train(model, BENCHES["lm"].tasks[0], [FreezeBottom(layers=2)], BENCHES["lm"].settings)
