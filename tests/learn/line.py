"""A model of two weights, and a stage and a step of training it, for numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from byheart.core.strategy import Batch, Stage, Step
from byheart.kit.readout import Reader
from byheart.train.stream import collate

LN3 = math.log(3)
KL_QUARTERS = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)  # KL((1/2, 1/2) || (3/4, 1/4)) = 0.1438


class Line(nn.Module):
    """Two logits, each a weight times the one input: a model of two parameters."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(weights))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w


def point(x: float, label: int) -> dict[str, Any]:
    return {"x": torch.tensor([x]), "labels": label}


def stage_of(model: nn.Module, examples: list[dict[str, Any]], **more: Any) -> Stage:
    reader = Reader(model)
    settings = {"steps": 10, **more}
    return Stage(model, examples, collate, lambda m, x: reader(x) if m is model else Reader(m)(x), **settings)


def step_of(stage: Stage, *batches: Batch) -> Step:
    return Step(stage, 0, 0.5, list(batches), [stage.read(stage.model, b.inputs) for b in batches])
