"""Self-replay: whose text it is, and that it is visited and kept."""

from __future__ import annotations

import copy
from typing import Any

import torch
from line import stage_of
from subjects import BENCHES, llama

from byheart.learn.kl import KL
from byheart.learn.self_replay import SelfReplay
from byheart.models import tiny
from byheart.train.loop import Settings, train


def test_self_replay_is_the_models_own_text_and_the_same_each_time() -> None:
    def written(seed: int) -> list[dict[str, Any]]:
        guard = SelfReplay(examples=40, length=6)
        guard.begin(stage_of(llama(), [{"input_ids": [5, 6]}], seed=seed))
        return guard.examples

    texts = written(1)
    assert texts == written(1)
    assert texts != written(2)
    assert {tuple(e["input_ids"][:1]) for e in texts} == {(1,)}
    assert {len(e["input_ids"]) for e in texts} == {7}
    assert len({tuple(e["input_ids"]) for e in texts}) > 30, "not drawn independently"


def test_self_replay_keeps_its_text_over_stages_and_visits_all_of_it() -> None:
    guard = SelfReplay(examples=5, length=4, batch=2)
    stage = stage_of(llama(), BENCHES["lm"].tasks[0])
    guard.begin(stage)
    before = list(guard.examples)
    keys = [k for _, (b,) in guard.batches(((n, []) for n in range(3)), stage) for k in b.keys]
    assert sorted(keys) == [0, 1, 2, 3, 4]
    guard.begin(stage_of(tiny.model(9, width=32, vocabulary=64), BENCHES["lm"].tasks[1], index=1))
    assert guard.examples == before


def test_self_replay_takes_text_from_outside() -> None:
    guard = SelfReplay(texts=[[1, 2, 3], {"input_ids": [4, 5], "labels": [-100, 5]}])
    stage = stage_of(llama(), [{"input_ids": [5, 6]}])
    guard.begin(stage)
    assert stage.pools["replay"] == [
        {"input_ids": [1, 2, 3], "labels": [1, 2, 3]},
        {"input_ids": [4, 5], "labels": [-100, 5]},
    ]


def test_self_replay_with_distillation_keeps_the_model_closer() -> None:
    bench = BENCHES["lm"]
    settings = Settings(lr=3e-3, steps=30, batch_size=4)
    start = llama()
    held_out = {"input_ids": torch.randint(3, 64, (8, 16), generator=torch.Generator().manual_seed(4))}
    moved = {}
    for name, guards in {"plain": [], "kept": [SelfReplay(examples=32, length=16), KL(replace=True)]}.items():
        model = copy.deepcopy(start)
        train(model, bench.tasks[0], guards, settings)
        p, q = (m(**held_out).logits.log_softmax(-1) for m in (start, model))
        moved[name] = (p.exp() * (p - q)).sum(-1).mean().item()
    assert moved["kept"] < moved["plain"]
