"""UER: new examples by the angle alone, replayed ones by norm and angle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit.buffer import Reservoir, pick, rows
from byheart.kit.head import features, head


class UER(Strategy):
    """Replays from a reservoir, and lets new examples train only the angle factor of the logits.

    A logit w . h is a product of norms and a cosine. Plain replay lets the flood of new examples turn and
    lengthen everything towards the new classes. With cosine logits for them, the norms are set by
    the replayed examples alone, old and new classes mixed, and these weigh old against new.

    L = CE(gamma cos(w, h(x))) over new x + CE(w . h(x') + b) over replayed x'; predictions by w . h + b

    The reservoir takes in what each optimizer step saw, as an online stream needs it.

    Parameters
    ----------
    scale: gamma, 10 here; 0 trains new examples by the plain logits too, which is experience replay.
    capacity: examples stored. ratio: replayed examples per new example, 1 in the paper.
    norm: replay by norm and angle; without it by the angle alone, as cosine classifiers do.

    Departs from the paper: the output layer keeps its bias, which only replayed examples train; what an
    optimizer step saw enters the memory when its gradients are complete.

    >>> import torch
    >>> from byheart.train.loop import Settings, train
    >>> data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    >>> done = train(torch.nn.Linear(2, 2), data, [UER()], Settings(steps=2))
    >>> [sorted(h) for h in done.history]
    [['new'], ['new', 'replay']]

    References: Lin et al. 2023, "UER: A Heuristic Bias Addressing Approach for Online Continual Learning",
    arXiv:2309.04081.
    """

    name = "uer"
    paper = "uer"
    arxiv = "2309.04081"

    claims = frozenset({"objective:new", "objective:replay"})
    serves = frozenset({"classifier"})
    neutral: ClassVar[dict[str, Any]] = {"scale": 0.0, "capacity": 0}

    def __init__(self, *, scale: float = 10.0, capacity: int = 200, ratio: float = 1.0, norm: bool = True) -> None:
        self.scale, self.ratio, self.norm = scale, ratio, norm
        self.memory = Reservoir(capacity)
        self.fresh: list[dict[str, Any]] = []

    def begin(self, stage: Stage) -> None:
        self.fresh = []
        if self.memory.capacity:
            stage.pools.setdefault("replay", [])

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, batches in stream:
            count = round(self.ratio * sum(len(b) for b in batches if b.role == "new"))
            keys = pick(len(self.memory), count, self.generator(stage, "batch", number))
            if keys:
                batches = [*batches, stage.batch([self.memory.items[k] for k in keys], "replay")]
            yield number, batches

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        if not self.scale or (batch.role == "replay" and self.norm):
            return read.loss()
        return F.cross_entropy(self.angle(step, batch, read), read.targets)

    def angle(self, step: Step, batch: Batch, read: Any) -> Tensor:
        """The angle factor of the logits times gamma, (N, classes)."""
        hidden = features(step.model, step.stage.read, batch.inputs, read).float()
        return self.scale * F.normalize(hidden, dim=-1) @ F.normalize(head(step.model).weight.float(), dim=-1).T

    def terms(self, step: Step) -> dict[str, Tensor]:
        if self.memory.capacity:
            self.fresh += [example for batch, _ in step.of("new") for example in rows(batch.inputs)]
        return {}

    def gradients(self, step: Step) -> None:
        for example in self.fresh:
            self.memory.add(example, lambda n: self.generator(step.stage, "memory", n))
        self.fresh = []

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory.load_state_dict(state["memory"])
