"""How named losses become one: the arithmetic that our loop and the trainers' mixin share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from byheart.core.strategy import IGNORE, Batch, Step
from byheart.train.compose import Strategies


def targets(batch: Batch) -> Tensor:
    """The number of scored positions of a batch, as a float scalar."""
    labels = batch.inputs["labels"]
    if labels.dim() == 2:
        return (labels[:, 1:] != IGNORE).sum().float()
    return torch.tensor(float(len(labels)), device=labels.device)


def counts(group: Sequence[Sequence[Batch]]) -> dict[tuple[str, str], Tensor]:
    """Scored positions of one optimizer step, by role and draw, on this process."""
    totals: dict[tuple[str, str], Tensor] = {}
    for batches in group:
        for b in batches:
            key, count = (b.role, b.draw), targets(b)
            totals[key] = totals[key] + count if key in totals else count
    return totals


def parts(
    step: Step, strategy: Strategies, totals: dict[tuple[str, str], Tensor], micro: int, processes: int = 1
) -> dict[str, Tensor]:
    """The named losses of one micro-step, scaled so that their sum over the optimizer step is the loss.

    A role's objective is averaged over its scored positions in all `micro` micro-steps and all
    processes (whose gradients are averaged afterwards); a strategy's term over micro-steps.
    """
    step.totals, step.micro, step.processes = totals, micro, processes
    named: dict[str, Tensor] = {}
    for b, read in zip(step.batches, step.reads, strict=True):
        weight = targets(b) * processes / totals[b.role, b.draw].clamp(min=1)
        part = strategy.objective(step, b, read) * weight
        name = b.draw or b.role
        named[name] = named[name] + part if name in named else part
    for name, term in strategy.terms(step).items():
        named[name] = term / micro
    return named


def total(named: dict[str, Tensor]) -> Tensor:
    """The scalar to go backward from."""
    return torch.stack([p.float() for p in named.values()]).sum()
