"""Refresh learning: before each step unlearn the current batch a little, then learn it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.errors import BadInput
from byheart.core.strategy import Batch, Stage, Strategy
from byheart.kit.buffer import pick
from byheart.kit.fisher import fisher


class RefreshLearning(Strategy):
    """Steps up the loss of the batch at hand, along weights that matter little, and then learns as usual.

    What is memorised too closely is shed and learned again in a flatter place, which other knowledge
    shares more easily; in the paper the pair amounts to a penalty on the gradient's norm. It adds to
    any other method.

    theta <- theta + gamma (u + s e) / (1 + c F), u = ||theta|| grad CE / ||grad CE|| for each tensor, e normal,
    F the Fisher at the end of the stage before; then the step that follows anyway

    Parameters
    ----------
    gamma: 1e-5 in the authors' code. noise: s, 1e-3. weight: c, 1e-3.
    samples: examples per stage that the Fisher is estimated from.

    Departs from the paper: follows the authors' code where it differs (one unlearning step, scaled to
    each tensor's norm); the Fisher is that of labels drawn from the model on a sample of the stage. With
    accumulation, unlearning precedes every micro-step.

    >>> import torch
    >>> from byheart.train.loop import Settings, train
    >>> data = [{"input": torch.ones(2), "labels": 0}]
    >>> losses = []
    >>> for gamma in (0.0, 0.1):
    ...     model = torch.nn.Linear(2, 2)
    ...     _ = model.weight.data.fill_(1.0), model.bias.data.zero_()
    ...     done = train(model, data, [RefreshLearning(gamma=gamma, noise=0.0)], Settings(steps=1))
    ...     losses.append(round(done.history[0]["new"], 3))
    >>> losses  # ln 2, and after 0.2 went each way along the first
    [0.693, 0.913]

    Every step takes a gradient more and draws a normal number for each weight: about three times a plain step.

    References: Wang et al. 2024, "A Unified and General Framework for Continual Learning",
    arXiv:2403.13249, algorithm 1.
    """

    name = "refresh-learning"
    paper = "refresh-learning"
    arxiv = "2403.13249"

    neutral: ClassVar[dict[str, Any]] = {"gamma": 0.0}

    def __init__(self, *, gamma: float = 1e-5, noise: float = 1e-3, weight: float = 1e-3, samples: int = 200) -> None:
        if gamma < 0:
            raise BadInput(f"gamma={gamma} would learn twice instead of unlearning; give 0 or more")
        self.gamma, self.noise, self.weight, self.samples = gamma, noise, weight, samples
        self.fisher: dict[str, Tensor] = {}

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, batches in stream:
            if self.gamma:
                self._unlearn(stage, number, [b for b in batches if b.role == "new"])
            yield number, batches

    def _unlearn(self, stage: Stage, number: int, batches: list[Batch]) -> None:
        """Climb the batches' loss by a step as long as `gamma` times each tensor's norm."""
        live = {n: p for n, p in stage.model.named_parameters() if p.requires_grad}
        with torch.enable_grad():
            reads = [stage.read(stage.model, b.inputs) for b in batches]
            scored = sum(len(r.targets) for r in reads)
            if not scored:
                return
            loss = torch.stack([r.loss() * len(r.targets) for r in reads]).sum() / scored
            gradients = torch.autograd.grad(loss, list(live.values()), allow_unused=True)
        draw = self.generator(stage, "noise", number)
        with torch.no_grad():
            for (name, p), g in zip(live.items(), gradients, strict=True):
                change = torch.randn(p.shape, generator=draw).to(p.device).mul_(self.noise)
                if g is not None and (size := _norm(g)) > 0:
                    change.add_(g, alpha=_norm(p) / size)
                    if name in self.fisher:
                        change.div_(1 + self.weight * self.fisher[name].to(p.device))
                    p.add_(change, alpha=self.gamma)

    def end(self, stage: Stage) -> None:
        if self.gamma and self.weight:
            keys = pick(len(stage.examples), self.samples, self.generator(stage, "examples"))
            examples = ((stage.collate([stage.examples[k]]), self.generator(stage, "labels", k)) for k in keys)
            self.fisher = fisher(stage.model, stage.read, examples)

    def state_dict(self) -> dict[str, Any]:
        return {"fisher": self.fisher}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fisher = dict(state["fisher"])


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float32))
