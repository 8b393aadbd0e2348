"""Selective tuning trains one part."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from subjects import BENCHES, llama

from byheart.learn.teach_lmm_skills import Selective
from byheart.train.loop import train


@pytest.mark.parametrize(("part", "moving"), [("attention", "self_attn"), ("gate_up", "gate_proj|up_proj")])
def test_selective_trains_one_part(part: Any, moving: str) -> None:
    model = llama()
    start = copy.deepcopy(model.state_dict())
    train(model, BENCHES["lm"].tasks[0], [Selective(part=part)], BENCHES["lm"].settings)
    moved = {n for n, _ in model.named_parameters() if not torch.equal(model.state_dict()[n], start[n])}
    assert moved == {n for n, _ in model.named_parameters() if any(m in n for m in moving.split("|"))}
