"""Memory aware synapses: hold each weight as firmly as the outputs depend on it, right or wrong."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.buffer import pick
from byheart.kit.modes import evaluating
from byheart.kit.pull import quadratic


class MAS(Strategy):
    """Penalises moving the weights to which the size of the model's output is sensitive.

    What matters is the function that was learned, not the loss: the gradient of the squared length of
    the output needs no labels and does not vanish where the loss is at its minimum.

    L = CE + lambda sum_i Omega_i (theta_i - theta_i*)^2, theta* the end of the last stage
    Omega_i <- Omega_i + mean over x of |d ||z(x)||^2 / d theta_i|, z the logits

    Parameters
    ----------
    strength: lambda, 1 in the paper.
    samples: examples per stage that the importance is estimated from; None (the paper's) for all.

    Departs from the paper: nowhere for classifiers; for a language model the squared length is summed
    over an example's scored positions.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Linear(2, 2), tasks, [MAS()])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['mas', 'new'])

    References: Aljundi et al. 2018, "Memory Aware Synapses: Learning what (not) to forget",
    arXiv:1711.09601, equations 2 to 4 and section 4.1 (the squared length).
    """

    name = "mas"
    arxiv = "1711.09601"

    neutral: ClassVar[dict[str, Any]] = {"strength": 0.0}

    def __init__(self, *, strength: float = 1.0, samples: int | None = None) -> None:
        self.strength, self.samples = strength, samples
        self.importance: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def idle_first(self) -> bool:
        return True

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.strength:
            refuse(model, "MAS")
        return {}

    def terms(self, step: Step) -> dict[str, Tensor]:
        live = {n: p for n, p in step.model.named_parameters() if p.requires_grad and n in self.importance}
        parts = [quadratic(p, self.anchor[n], self.importance[n]) for n, p in live.items()]
        return {"mas": self.strength * torch.stack(parts).sum()} if parts else {}

    def end(self, stage: Stage) -> None:
        if not self.strength:
            return
        live = {n: p for n, p in stage.model.named_parameters() if p.requires_grad}
        total = len(stage.examples)
        keys = pick(total, total if self.samples is None else self.samples, self.generator(stage, "examples"))
        for n, p in live.items():
            self.importance.setdefault(n, torch.zeros_like(p, dtype=torch.float32))
            self.importance[n] = self.importance[n].to(p.device)
            self.anchor[n] = p.detach().float().clone()
        with evaluating(stage.model) as model:
            for key in keys:
                read = stage.read(model, stage.collate([stage.examples[key]]))
                length = read.logits.float().square().sum()
                for n, g in zip(live, torch.autograd.grad(length, list(live.values()), allow_unused=True), strict=True):
                    if g is not None:
                        self.importance[n] += g.float().abs() / len(keys)

    def state_dict(self) -> dict[str, Any]:
        return {"importance": self.importance, "anchor": self.anchor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.importance, self.anchor = dict(state["importance"]), dict(state["anchor"])
