"""Memory aware synapses against gradients worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import Line, point, stage_of, step_of
from subjects import BENCHES, llama

from byheart.core.errors import Conflict
from byheart.kit.readout import Reader
from byheart.learn.lora import LoRA
from byheart.learn.mas import MAS
from byheart.train.loop import train
from byheart.train.stream import collate


def test_importance_is_the_mean_size_of_the_gradient_of_the_squared_length() -> None:
    # z = x w, |z|^2 = x^2 (w_0^2 + w_1^2), its gradient 2 x^2 w: for x = 1 and 3 at w = (1, -2)
    # (2, -4) and (18, -36), of size (10, 20) in the mean
    model, guard = Line(1.0, -2.0), MAS(strength=0.25)
    stage = stage_of(model, [point(1, 0), point(3, 1)])
    guard.end(stage)
    assert guard.importance["w"].tolist() == pytest.approx([10.0, 20.0])
    with torch.no_grad():
        model.w.copy_(torch.tensor([2.0, 0.0]))
    penalty = guard.terms(step_of(stage))["mas"]
    assert penalty.item() == pytest.approx(0.25 * (10 * 1 + 20 * 4))
    guard.end(stage)  # at (2, 0): sizes (4 + 36) / 2 and 0, added to what was; the anchor moves on
    assert guard.importance["w"].tolist() == pytest.approx([30.0, 20.0])
    assert guard.anchor["w"].tolist() == [2.0, 0.0]


def test_signs_do_not_cancel_between_examples() -> None:
    # the bias of a linear model is pulled by +1 and by -1: the mean gradient is 0, the mean size is not
    model = torch.nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.0)
    guard = MAS()
    guard.end(stage_of(model, [{"input": torch.tensor([v]), "labels": 0} for v in (1.0, -1.0)]))
    assert guard.importance["bias"].item() == pytest.approx(2.0)


def test_labels_have_no_say() -> None:
    found = []
    for label in (0, 1):
        guard = MAS()
        guard.end(stage_of(Line(0.5, 1.0), [point(2, label)]))
        found.append(guard.importance["w"])
    assert torch.equal(*found)


def test_a_language_model_is_summed_over_scored_positions() -> None:
    model, guard = llama(), MAS()
    example = {"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8]}
    guard.end(stage_of(model, [example]))
    read = Reader(model)(collate([example]))
    (grad,) = torch.autograd.grad(read.logits.square().sum(), [model.model.norm.weight])
    assert torch.allclose(guard.importance["model.norm.weight"], grad.abs(), rtol=1e-4)


def test_mas_refuses_an_adapter_before_the_first_step() -> None:
    with pytest.raises(Conflict, match="leave one of them out"):
        train(llama(), BENCHES["lm"].tasks[0], [LoRA(), MAS()])
