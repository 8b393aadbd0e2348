"""Learning without forgetting: distil the old model's answers to the new inputs."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.divergence import kl
from byheart.kit.teacher import Teacher


class LwF(Strategy):
    """Keeps the answers of the model before the stage on the stage's own inputs.

    New inputs still excite what the old model knew; its softened answers to them are a free sample
    of the old function, so no old data is needed.

    L = CE(new) + alpha T^2 KL(softmax(z_old / T) || softmax(z / T))

    Parameters
    ----------
    weight: alpha, 1 in the paper. temperature: T, 2 in the paper.
    after: guard from this stage on; 1 because an untrained model has nothing worth keeping. Use 0
        for a pretrained model.

    Departs from the paper: one output layer instead of a head per task, so there is no warm-up of a
    new head; the factor T^2 of Hinton et al. keeps gradients comparable over T (the paper's modified
    cross-entropy has none); KL instead of cross-entropy, which differs by a constant.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Linear(2, 2), tasks, [LwF()])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['lwf', 'new'])

    References: Li and Hoiem 2016, "Learning without Forgetting", arXiv:1606.09282;
    Hinton et al. 2015, arXiv:1503.02531, section 2 (T^2).
    """

    name = "lwf"
    arxiv = "1606.09282"

    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}

    def __init__(self, *, weight: float = 1.0, temperature: float = 2.0, after: int = 1) -> None:
        self.weight, self.temperature, self.after = weight, temperature, after
        self.teacher: Teacher | None = None

    def idle_first(self) -> bool:
        return self.after > 0

    def begin(self, stage: Stage) -> None:
        self.teacher = Teacher(stage, ("new",)) if self.weight and stage.index >= self.after else None

    def terms(self, step: Step) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        parts = [
            kl(self.teacher.logits(b, r), r.logits, self.temperature) * len(r.targets)
            for b, r in step.of("new")
            if len(r.targets)
        ]
        return {"lwf": self.weight * step.mean(torch.stack(parts).sum(), "new")} if parts else {}

    def end(self, stage: Stage) -> None:
        self.teacher = None
