"""The gradient of the loss on examples that are not in the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from byheart.core.strategy import Stage

TOKENS = 1024


def mean(stage: Stage, examples: Sequence[dict[str, Any]], live: Sequence[Tensor]) -> list[Tensor]:
    """Gradient of the mean cross-entropy over all scored positions of the examples, for the tensors `live`."""
    total = [torch.zeros_like(p) for p in live]
    scored = 0
    for portion in portions(examples, stage.batch_size):
        read = stage.read(stage.model, stage.collate(portion))
        scored += len(read.targets)
        loss = read.loss() * len(read.targets)
        for t, g in zip(total, torch.autograd.grad(loss, live, allow_unused=True), strict=True):
            if g is not None:
                t += g
    return [t / max(scored, 1) for t in total]


def portions(examples: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    """Examples in their order, as many at a time as hold 1,024 tokens, and `size` at least.

    A portion costs a gradient of every weight, whatever it holds; short questions are read sixty at a time.

    >>> [len(p) for p in portions([{"input_ids": [0] * 100}] * 25, 4)], [len(p) for p in portions([{}] * 9, 4)]
    ([10, 10, 5], [4, 4, 1])
    """
    portion: list[dict[str, Any]] = []
    tokens = 0
    for example in examples:
        long = len(example.get("input_ids", range(TOKENS)))
        if len(portion) >= size and tokens + long > TOKENS:
            yield portion
            portion, tokens = [], 0
        portion.append(example)
        tokens += long
    if portion:
        yield portion
