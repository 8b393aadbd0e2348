"""EWC and online EWC against numbers worked by hand."""

from __future__ import annotations

import pytest
import torch
from line import LN3, Line, point, stage_of, step_of
from subjects import llama

from byheart.kit.readout import Reader
from byheart.learn.ewc import EWC
from byheart.train.stream import collate


def test_ewc_squares_the_gradient_of_each_example() -> None:
    # p = (1/2, 1/2): d log p_y / d w = x (1/2, -1/2) up to sign, squared x^2 / 4: 1 for x = 2, 4 for x = 4
    for labels in ("data", "model"):
        model, guard = Line(0.0, 0.0), EWC(importance=4.0, labels=labels)
        stage = stage_of(model, [point(2, 0), point(4, 1)])
        guard.end(stage)
        assert guard.anchors[0]["fisher"]["w"].tolist() == pytest.approx([2.5, 2.5])  # of the mean gradient: 0.25
        with torch.no_grad():
            model.w.copy_(torch.tensor([1.0, -2.0]))
        penalty = guard.terms(step_of(stage))["ewc"]
        assert penalty.item() == pytest.approx(4 / 2 * 2.5 * (1 + 4))
        assert torch.autograd.grad(penalty, model.w)[0].tolist() == pytest.approx([10.0, -20.0])


def test_ewc_draws_labels_from_the_model() -> None:
    # p(0) = 3/4: E_y (d log p_y / d w_0)^2 = 3/4 (1/4)^2 + 1/4 (3/4)^2 = 3/16; the label 0 alone gives 1/16
    found = {}
    for labels in ("data", "model"):
        guard = EWC(labels=labels, samples=None)
        guard.end(stage_of(Line(LN3, 0.0), [point(1, 0)] * 400))
        found[labels] = guard.anchors[0]["fisher"]["w"][0].item()
    assert found["data"] == pytest.approx(1 / 16)
    assert found["model"] == pytest.approx(3 / 16, abs=0.03)


def test_ewc_sums_log_likelihood_over_tokens() -> None:
    model = llama()
    example = {"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8]}
    guard = EWC(labels="data")
    guard.end(stage_of(model, [example]))
    read = Reader(model)(collate([example]))
    (grad,) = torch.autograd.grad(read.losses().sum(), [model.model.norm.weight])
    assert torch.allclose(guard.anchors[0]["fisher"]["model.norm.weight"], grad.square())


def test_online_ewc_decays_the_fisher_and_keeps_one_anchor() -> None:
    model, guard = Line(0.0, 0.0), EWC(online=True, gamma=0.5, labels="data")
    guard.end(stage_of(model, [point(2, 0)]))
    guard.end(stage_of(model, [point(4, 0)]))
    assert len(guard.anchors) == 1
    assert guard.anchors[0]["fisher"]["w"].tolist() == pytest.approx([0.5 * 1 + 4] * 2)
