"""Center loss: new tasks' features are pulled to the class centres that earlier tasks left behind."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.head import features, head_names


class CenterLoss(Strategy):
    """Keeps each class where it was in feature space, and the decision boundaries with it.

    When a digit comes in a new guise, its features can still land where that digit's features used to
    be. An output layer that then stays as it is classifies old and new alike, and the layers below have
    less reason to change what they do for old inputs.

    L = CE + lambda / 2 mean ||h(x) - c_y||^2, while a class is first learned c_j <- c_j - alpha Delta_j with
    Delta_j = sum_(y = j) (c_j - h(x)) / (1 + #(y = j)); afterwards c_j and the output layer are frozen

    With `Replay` beside it the replayed examples are pulled to their centres too.

    Parameters
    ----------
    weight: lambda, 0.01 here. alpha: rate of the centres, 0.5 as in Wen et al.
    boundaries: freeze the output layer from the second stage on. Leave it trained where new classes
        arrive; a class never seen before gets its own centre either way.

    Departs from the paper: centres start at zero; a class that first appears in a later stage still gets
    a centre; the weight of the penalty is chosen here.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": 0}] for i in (0, 1)]
    >>> model, guard = torch.nn.Linear(2, 2), CenterLoss(boundaries=False)
    >>> for _ in stages(model, tasks, [guard]):
    ...     print(guard.centers[0].tolist())  # one example of class 0: half of half of the way from 0 to it
    [0.25, 0.0]
    [0.25, 0.0]

    References: Olpadkar and Gavas 2021, "Center Loss Regularization for Continual Learning", arXiv:2110.11314;
    Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", equations 2 to 4.
    """

    name = "center-loss"
    paper = "center-loss"
    arxiv = "2110.11314"

    serves = frozenset({"classifier"})
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0, "boundaries": False}

    def __init__(self, *, weight: float = 0.01, alpha: float = 0.5, boundaries: bool = True) -> None:
        if not 0 <= alpha <= 1:
            raise BadInput(f"alpha={alpha} is no rate of the centres; give 0 to 1")
        self.weight, self.alpha, self.boundaries = weight, alpha, boundaries
        self.centers = torch.zeros(0, 0)
        self.seen = torch.zeros(0, dtype=torch.bool)
        self.fixed = torch.zeros(0, dtype=torch.bool)
        self.index = 0

    def begin(self, stage: Stage) -> None:
        self.index = stage.index
        self.fixed = self.seen.clone()

    def groups(self, model: nn.Module) -> dict[str, float]:
        return dict.fromkeys(head_names(model), 0.0) if self.boundaries and self.index else {}

    def terms(self, step: Step) -> dict[str, Tensor]:
        if not self.weight:
            return {}
        distances = []
        for batch, read in step.of("new", "replay"):
            hidden = features(step.model, step.stage.read, batch.inputs, read).float()
            self._make_room(hidden, read.logits.shape[-1])
            distances.append((hidden - self.centers[read.targets]).square().sum())
            self._follow(hidden.detach(), read.targets)
        if not distances:
            return {}
        return {"center": self.weight / 2 * step.mean(torch.stack(distances).sum(), "new", "replay")}

    def _make_room(self, hidden: Tensor, classes: int) -> None:
        if not len(self.centers):
            self.centers = hidden.new_zeros(classes, hidden.shape[-1])
            self.seen = self.fixed = torch.zeros(classes, dtype=torch.bool, device=hidden.device)
        self.centers, self.seen, self.fixed = (x.to(hidden.device) for x in (self.centers, self.seen, self.fixed))

    def _follow(self, hidden: Tensor, targets: Tensor) -> None:
        """Move the centres of the classes that are new in this stage towards their features."""
        counts = torch.bincount(targets, minlength=len(self.centers))[:, None]
        sums = torch.zeros_like(self.centers).index_add_(0, targets, hidden)
        change = (counts * self.centers - sums) / (1 + counts)
        self.centers = self.centers - self.alpha * change * ~self.fixed[:, None]
        self.seen = self.seen | (counts[:, 0] > 0)

    def state_dict(self) -> dict[str, Any]:
        return {"centers": self.centers, "seen": self.seen, "fixed": self.fixed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.centers, self.seen, self.fixed = state["centers"], state["seen"], state["fixed"]
