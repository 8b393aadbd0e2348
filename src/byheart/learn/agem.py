"""A-GEM: never step against the average gradient of the past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit import gradient
from byheart.kit.buffer import Reservoir, pick
from byheart.kit.projection import remove_conflict


class AGEM(Strategy):
    """Projects the gradient so that, to first order, the loss on old examples does not rise.

    One inner product with the gradient of a sample of old examples tells whether the step would hurt
    them; if so the part along that gradient is removed. The sample is read and differentiated at every
    step: at 64 beside a batch of 8 a step takes four times plain fine-tuning's; fewer take less
    (bench/results/strategies.json).

    g <- g - (g . r / r . r) r when g . r < 0, with r the gradient of CE on sampled old examples.

    Parameters
    ----------
    examples: old examples behind each reference gradient (64 in common
        reimplementations); 0 projects nothing.
    capacity: None samples from what the stage offers as `old`; a number keeps a uniform sample of
        that many examples of the stages seen, in the state, and samples from it alone.

    Departs from the paper: reservoir sampling over stages instead of an equal share for each task.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[0], "labels": i}] for i in (0, 1)]  # the second contradicts the first
    >>> guard = AGEM()
    >>> [len(t.history) for t in stages(torch.nn.Linear(2, 2), tasks, [guard])], guard.projected
    ([1, 1], 1)

    References: Chaudhry et al. 2019, "Efficient Lifelong Learning with A-GEM", arXiv:1812.00420,
    equation 11.
    """

    name = "a-gem"
    arxiv = "1812.00420"

    neutral: ClassVar[dict[str, Any]] = {"examples": 0}

    def __init__(self, *, examples: int = 64, capacity: int | None = None) -> None:
        self.examples, self.capacity = examples, capacity
        self.memory = Reservoir(capacity or 0)
        self.pool: Sequence[dict[str, Any]] = ()
        self.projected = 0

    def idle_first(self) -> bool:
        return True

    def begin(self, stage: Stage) -> None:
        self.pool = stage.old if self.capacity is None else list(self.memory.items)

    def gradients(self, step: Step) -> None:
        if not self.examples or not self.pool:
            return
        keys = pick(len(self.pool), self.examples, self.generator(step.stage, "reference", step.index))
        live = [p for p in step.model.parameters() if p.requires_grad and p.grad is not None]
        reference = gradient.mean(step.stage, [self.pool[k] for k in keys], live)
        gradients: list[Tensor] = [p.grad for p in live if p.grad is not None]
        self.projected += remove_conflict(gradients, reference)

    def end(self, stage: Stage) -> None:
        if self.capacity is not None:
            for example in stage.examples:
                self.memory.add(dict(example), lambda n: self.generator(stage, "memory", n))

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.state_dict(), "projected": self.projected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory.load_state_dict(state["memory"])
        self.projected = state["projected"]
