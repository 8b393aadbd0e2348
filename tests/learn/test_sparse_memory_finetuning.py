"""Sparse memory finetuning's scores and steps against numbers worked by hand, and the memory layer itself."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from subjects import BENCHES, llama
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage
from byheart.kit.readout import Reader
from byheart.learn.sparse_memory_finetuning import SparseMemory
from byheart.nets.product_keys import ProductKeyMemory, install
from byheart.train.loop import Settings, train
from byheart.train.stream import collate


def test_the_memory_reads_the_best_of_all_pairs_of_half_keys() -> None:
    memory = ProductKeyMemory(6, side=5, top=3, heads=2, seed=3)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    q = memory.norm(memory.query(x).view(4, 2, 2, 3))
    out = torch.zeros(4, 6)
    for t in range(4):
        for h in range(2):
            every = {
                i * 5 + j: (q[t, 0, h] @ memory.keys[0, h, i] + q[t, 1, h] @ memory.keys[1, h, j]).item()
                for i in range(5)
                for j in range(5)
            }
            best = sorted(every, key=lambda s: -every[s])[:3]
            assert memory(x) is not None
            assert set(memory.slots[t, h].tolist()) == set(best)
            weights = torch.tensor([every[s] for s in best]).softmax(0)
            out[t] += (weights[:, None] * memory.values[best]).sum(0).detach()
    assert torch.allclose(memory(x), memory.out(out * F.silu(memory.gate(x))), atol=1e-5)
    with pytest.raises(BadInput, match="top=5 or less"):
        ProductKeyMemory(6, side=5, top=6)


def test_scores_are_term_frequency_times_inverse_background_frequency() -> None:
    guard = SparseMemory(slots=1)
    guard.reads = {"m": torch.tensor([6, 2, 0, 2])}
    guard.common, guard.seen = {"m": torch.tensor([9.0, 0.0, 0.0, 4.0])}, 9
    want = [0.6 * math.log(10 / 10), 0.2 * math.log(10), 0.0, 0.2 * math.log(10 / 5)]
    assert guard.scores("m").tolist() == pytest.approx(want)


def test_the_background_counts_batches_not_reads() -> None:
    model = install(llama(), 1, side=4, top=2, heads=1)
    text = [{"input_ids": [5, 5, 5, 5]}]
    guard = SparseMemory(slots=2, background=text, batches=7)
    at = Stage(model, text, collate, lambda m, x: Reader(m)(x), batch_size=1)
    guard.begin(at)
    (name,) = guard.memories
    assert name == "model.layers.1.mlp"
    assert guard.seen == 7
    assert set(guard.common[name].tolist()) <= {0.0, 7.0}
    assert 2 <= int((guard.common[name] > 0).sum()) <= 8
    guard.end(at)
    assert not model.model.layers[1].mlp._forward_hooks


def test_a_step_is_plain_descent_on_the_chosen_slots() -> None:
    model = install(llama(), 1, side=8, top=2, heads=1)
    start = copy.deepcopy(model)
    rows = BENCHES["lm"].tasks[0]
    chosen: list[int] = []

    class Spy(SparseMemory):
        def scores(self, name: str) -> Any:
            found = super().scores(name)
            chosen[:] = found.topk(3).indices.tolist()
            return found

    train(model, rows, [Spy(slots=3, background=BENCHES["lm"].tasks[1][:1], batches=5)],
          Settings(lr=2.0, steps=1, batch_size=10, clip=0.0, share=False))  # fmt: skip
    loss = Reader(start)(collate(rows)).loss()
    (grad,) = torch.autograd.grad(loss, [start.model.layers[1].mlp.values])
    old, new = start.model.layers[1].mlp.values, model.model.layers[1].mlp.values
    moved = (old != new).any(1).nonzero()[:, 0].tolist()
    assert moved  # a chosen slot that only unscored last tokens read has no gradient
    assert set(moved) <= set(chosen)
    assert torch.allclose(new[chosen], old[chosen] - 2.0 * grad[chosen], atol=1e-5)
    others = {n: v for n, v in model.state_dict().items() if not n.endswith("values")}
    assert all(torch.equal(v, start.state_dict()[n]) for n, v in others.items())


def test_a_model_without_memories_is_refused() -> None:
    at = Stage(torch.nn.Sequential(torch.nn.Linear(2, 2)), [], collate, None)
    with pytest.raises(BadInput, match="install nets"):
        SparseMemory().begin(at)
