"""DER++'s two losses against numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from line import Line, point, stage_of, step_of
from subjects import BENCHES, llama
from torch import Tensor

from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.learn.derpp import DERpp
from byheart.train.loop import Settings, train


def test_derpp_terms() -> None:
    model, guard = Line(0.0, 0.0), DERpp(alpha=0.1, beta=0.5)
    stage = stage_of(model, [point(1, 0)])
    step = step_of(stage, stage.batch(stage.examples, "new", [0]))
    guard.terms(step)
    guard.gradients(step)
    with torch.no_grad():
        model.w.copy_(torch.tensor([1.0, 3.0]))  # logits were (0, 0): squared errors 1 and 9
    ((_, batches),) = guard.batches(iter([(0, [step.batches[0]])]), stage)
    later = step_of(stage, *batches)
    got = {b.draw: guard.objective(later, b, r).item() for b, r in later.of("replay")}
    assert got["logits"] == pytest.approx(0.1 * (1 + 9) / 2)
    assert got["labels"] == pytest.approx(0.5 * math.log(1 + math.e**2))


def test_derpp_keeps_the_largest_logits_of_a_language_model() -> None:
    model, guard, bench = llama(), DERpp(top=5), BENCHES["lm"]
    stage = stage_of(model, bench.tasks[0])
    step = step_of(stage, stage.batch(stage.examples[:3], "new", (0, 1, 2)))
    guard.terms(step)
    guard.gradients(step)
    assert [i["example"] for i in guard.memory.items] == [dict(e) for e in stage.examples[:3]]
    read = step.reads[0]
    assert torch.equal(torch.cat([i["values"] for i in guard.memory.items]), read.logits.topk(5).values.detach())
    batch = stage.batch(stage.examples[:3], "replay", (0, 1, 2), "logits")
    assert guard.objective(step, batch, read).item() == pytest.approx(0.0, abs=1e-10)


def test_derpp_averages_each_draw_apart() -> None:
    class Fixed(Strategy):
        """Two draws of role replay whose losses are 1 and 10, with one and three examples."""

        claims = frozenset({"objective:replay"})

        def batches(self, stream: Any, stage: Stage) -> Any:
            for number, batches in stream:
                more = [stage.batch([point(1, 0)] * n, "replay", (), d) for n, d in ((1, "a"), (3, "b"))]
                yield number, [*batches, *more]

        def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
            return read.logits.sum() * 0 + (1.0 if batch.draw == "a" else 10.0)

    done = train(Line(0.0, 0.0), [point(1, 0)] * 4, [Fixed()], Settings(batch_size=2, accumulation=2))
    assert done.history[0] == pytest.approx({"new": math.log(2), "a": 1.0, "b": 10.0})
