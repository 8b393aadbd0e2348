"""GeRe's margin loss against numbers worked by hand."""

from __future__ import annotations

import pytest
import torch
from subjects import llama

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.kit.readout import Reader
from byheart.learn.gere import GeRe, margins
from byheart.train.loop import train
from byheart.train.stream import collate

TEXTS = [[5, 6, 7, 8], [9, 10, 11, 12, 13], [14, 15, 16]]


def stage(model: torch.nn.Module) -> Stage:
    return Stage(model, [{"input_ids": [5, 6, 7]}], collate, lambda m, x: Reader(m)(x), steps=3, batch_size=2)


def test_each_third_has_its_own_margin() -> None:
    low, high = torch.tensor([-1.0]), torch.tensor([1.0])
    for third, h, off in [
        (0, -2.0, 0.0), (0, 0.0, 1.0), (0, 3.0, 4.0),
        (1, 0.5, 0.0), (1, 1.5, 0.5), (1, -3.0, 2.0),
        (2, 2.0, 0.0), (2, 0.0, 1.0), (2, -2.0, 3.0),
    ]:  # fmt: skip
        assert margins(torch.tensor([[h]]), torch.tensor([[third]]), low, high).item() == off, (third, h)


def test_zero_entries_do_not_thin_the_mean() -> None:
    h = torch.tensor([[0.0, 1.5, 2.0, 0.5]])
    assert margins(h, torch.ones(1, 4), torch.tensor(-1.0), torch.tensor(1.0)).item() == (0.5 + 1.0) / 2


def test_thresholds_are_a_deviation_from_the_mean_of_the_first_models_features() -> None:
    model, guard = llama(), GeRe(texts=TEXTS)
    at = stage(model)
    guard.begin(at)
    features = torch.cat([model.model(torch.tensor([t])).last_hidden_state[0, :-1] for t in TEXTS]).detach()
    assert torch.allclose(guard.low, features.mean(0) - features.std(0), atol=1e-5)
    assert torch.allclose(guard.high, features.mean(0) + features.std(0), atol=1e-5)
    thirds = torch.cat(guard.thirds)
    assert torch.equal(thirds == 2, features >= guard.high)
    assert torch.equal(thirds == 0, features <= guard.low)
    batch = at.batch([at.pools["replay"][k] for k in (2, 0)], "replay", (2, 0))
    step = Step(at, 0, 0.0, [batch], [at.read(model, batch.inputs)])
    assert guard.terms(step)["gere"].item() == pytest.approx(0.0, abs=1e-4)
    with torch.no_grad():
        model.model.norm.weight.mul_(3.0)
    moved = torch.cat([3 * features[6 + 1 :], 3 * features[:3]])
    side = torch.cat([thirds[6 + 1 :], thirds[:3]])
    total, count = 0.0, 0
    for h, t in zip(moved.flatten().tolist(), side.flatten().tolist(), strict=True):
        d = count % 32
        lo, hi = guard.low[d].item(), guard.high[d].item()
        off = max(h - lo, 0) if t == 0 else max(hi - h, 0) if t == 2 else max(h - hi, 0) + max(lo - h, 0)
        total, count = total + off, count + 1
    some = guard.terms(Step(at, 0, 0.0, [batch], [at.read(model, batch.inputs)]))["gere"].item()
    entries = sum(
        1
        for n, (h, t) in enumerate(zip(moved.flatten().tolist(), side.flatten().tolist(), strict=True))
        if (t == 0 and h > guard.low[n % 32]) or (t == 2 and h < guard.high[n % 32])
        or (t == 1 and not guard.low[n % 32] <= h <= guard.high[n % 32])
    )  # fmt: skip
    assert some == pytest.approx(2 * 100 * total / entries, rel=1e-3)


def test_a_dynamic_weight_makes_the_term_as_large_as_the_entropies() -> None:
    model, guard = llama(), GeRe(texts=TEXTS, weight="dynamic")
    at = stage(model)
    guard.begin(at)
    with torch.no_grad():
        model.model.norm.weight.mul_(3.0)
    new, old = at.batch(at.examples, "new", (0,)), at.batch(at.pools["replay"], "replay", (0, 1, 2))
    step = Step(at, 0, 0.0, [new, old], [at.read(model, b.inputs) for b in (new, old)])
    want = sum(r.loss().item() for r in step.reads)
    assert guard.terms(step)["gere"].item() == pytest.approx(want, rel=1e-4)
    with pytest.raises(BadInput, match="neither a number nor 'dynamic'"):
        GeRe(weight="much")  # type: ignore[arg-type]


def test_general_texts_come_in_every_step_and_the_margins_stay_the_first_models() -> None:
    model, guard = llama(), GeRe(texts=TEXTS)
    first = train(model, [{"input_ids": [5, 6, 7]}], [guard])
    low = guard.low.clone()
    again = train(model, [{"input_ids": [8, 9, 7]}], [guard], index=1)
    assert {"new", "replay", "gere"} == set(first.history[0]) == set(again.history[0])
    assert torch.equal(low, guard.low)
    assert again.history[0]["gere"] > 0
