"""O-LoRA's overlap of new and old against numbers worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import point, stage_of
from subjects import BENCHES, llama
from torch import nn

from byheart.core.strategy import Step
from byheart.learn.olora import OLoRA
from byheart.train.loop import Settings, stages


def test_olora_measures_the_overlap_of_new_and_old() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    guard = OLoRA(rank=1, orthogonal=0.5, decay=0.1)
    stage = stage_of(model, [point(1, 0)], index=1)
    guard.begin(stage)
    guard.past = {"0": torch.tensor([[1.0, 2.0]])}
    a, b = model[0].lora_A["default"].weight, model[0].lora_B["default"].weight
    with torch.no_grad():
        a.copy_(torch.tensor([[3.0, -4.0]]))
        b.copy_(torch.tensor([[6.0], [8.0]]))
    terms = guard.terms(Step(stage, 0, 0.0))
    assert terms["olora"].item() == pytest.approx(0.5 * 5)  # |3 - 8|
    assert terms["olora_decay"].item() == pytest.approx(0.1 * (5 + 10))
    assert torch.autograd.grad(terms["olora"], a)[0].tolist() == [[-0.5, -1.0]]


def test_olora_penalty_is_not_always_zero_and_falls() -> None:
    bench = BENCHES["lm"]
    first, second = stages(llama(), bench.tasks, [OLoRA(rank=2)], Settings(lr=1e-2, steps=30, batch_size=4))
    assert "olora" not in first.history[0]
    overlap = [h["olora"] for h in second.history]
    assert overlap[0] > 1.0
    assert overlap[-1] < overlap[0] / 2


def test_olora_drops_a_tenth_of_what_the_new_pair_is_fed() -> None:
    fed = []
    for dropout in (None, 0.0):
        model = nn.Sequential(nn.Linear(1000, 1))
        guard = OLoRA(rank=1) if dropout is None else OLoRA(rank=1, dropout=dropout)
        guard.begin(stage_of(model, []))
        kept = model[0].lora_dropout["default"].train()(torch.ones(10_000))
        fed.append((kept == 0).float().mean().item())
    assert fed == [pytest.approx(0.1, abs=0.02), 0.0]


def test_olora_keeps_the_rows_of_every_earlier_stage() -> None:
    guard = OLoRA(rank=2)
    BENCHES["lm"].run([guard])
    assert guard.past["model.layers.0.self_attn.q_proj"].shape == (4, 32)
