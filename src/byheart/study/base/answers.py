"""Shares of answers that a language model gets right, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from byheart.kit.modes import evaluating
from byheart.kit.readout import Reader
from byheart.train.stream import collate


@torch.no_grad()
def given(model: nn.Module, examples: Sequence[dict[str, Any]], batch: int = 256) -> list[tuple[list[int], list[int]]]:
    """For each example, the likeliest tokens and the right tokens at its scored positions."""
    device = next(model.parameters()).device
    reader = Reader(model)
    order = sorted(range(len(examples)), key=lambda i: len(examples[i]["input_ids"]))
    out: list[tuple[list[int], list[int]]] = [([], [])] * len(examples)
    with evaluating(model):
        for at in range(0, len(order), batch):
            keys = order[at : at + batch]
            read = reader(collate([examples[k] for k in keys], device))
            best = read.logits.argmax(-1)
            for row, key in enumerate(keys):
                of = read.rows == row
                out[key] = best[of].tolist(), read.targets[of].tolist()
    return out


def exact(model: nn.Module, examples: Sequence[dict[str, Any]]) -> float:
    """Share of examples whose scored positions are all right, which are those that greedy decoding answers exactly."""
    answers = given(model, examples)
    return sum(predicted == right for predicted, right in answers) / max(len(answers), 1)


def first(model: nn.Module, examples: Sequence[dict[str, Any]]) -> float:
    """Share of examples whose first scored position is right."""
    answers = given(model, examples)
    return sum(predicted[:1] == right[:1] for predicted, right in answers) / max(len(answers), 1)
