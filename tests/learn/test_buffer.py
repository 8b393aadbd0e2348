"""Reservoirs are uniform, and examples survive dumping and uncollating."""

from __future__ import annotations

import pytest
import torch
from subjects import BENCHES

from byheart.kit.buffer import Reservoir, dump, parse, rows
from byheart.train.stream import collate


def test_reservoir_is_uniform() -> None:
    counts = torch.zeros(10)
    for seed in range(2000):
        kept = Reservoir(3)
        for n in range(10):
            kept.add({"n": n}, lambda i, s=seed: torch.Generator().manual_seed(s * 100 + i))
        for item in kept.items:
            counts[item["n"]] += 1
    assert counts.tolist() == pytest.approx([600] * 10, abs=80)


def test_examples_survive_dumping_and_uncollating() -> None:
    nested = [
        {"example": {"input_ids": [1, 2]}, "values": torch.ones(2, 3)},
        {"example": {"input_ids": [3]}, "values": torch.zeros(1, 3)},
    ]
    back = parse(dump(nested))
    assert [b["example"] for b in back] == [{"input_ids": [1, 2]}, {"input_ids": [3]}]
    assert torch.equal(back[0]["values"], torch.ones(2, 3))
    for bench in BENCHES.values():
        again = rows(collate(bench.tasks[0]))
        for a, b in zip(again, bench.tasks[0], strict=True):
            assert list(a) == list(b)
            assert all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)
