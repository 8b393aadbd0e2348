"""iCaRL: rehearse the examples nearest to each class's mean, distil the old classes, classify by the nearest mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit.buffer import dump, parse, pick
from byheart.kit.modes import evaluating
from byheart.kit.readout import Reader
from byheart.kit.teacher import Teacher


class ICaRL(Strategy):
    """Learns new classes by one sigmoid per class, keeps old ones by distilling them, and keeps exemplars of all.

    Outputs that compete (softmax) are what favours the classes seen last; here each class has its own
    yes or no, and the prediction is the class whose exemplars' mean feature is nearest, which
    follows the features wherever training takes them.

    L = -sum_{y in the stage} [y = y_i] log g_y + [y /= y_i] log(1 - g_y)
        -sum_{y of earlier stages} q_y log g_y + (1 - q_y) log(1 - g_y),  g = sigmoid(z), q the old model's
    over the stage's examples and the exemplars, each counting the same; then, class by class,
    p_k = argmin_x |mu - (phi(x) + sum_{j<k} phi(p_j)) / k|, phi the normalised features

    Parameters
    ----------
    memory: K, exemplars in all, an equal share for each class; 2000 in the paper. 0 turns the method off.

    Departs from the paper: classes of neither this nor an earlier stage have no say in the loss (the paper's
    network has no output for them yet); a class that comes again is learned from its labels; a
    model that shows no features is herded by its logits.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> guard, model = ICaRL(), torch.nn.Linear(2, 2)
    >>> [sorted(t.history[0]) for t in stages(model, tasks, [guard])]
    [['new'], ['new', 'replay']]
    >>> guard.classify(model, {"input": torch.eye(2)}).tolist()
    [0, 1]

    References: Rebuffi et al. 2017, "iCaRL: Incremental Classifier and Representation Learning",
    arXiv:1611.07725, algorithms 1 to 5.
    """

    name = "icarl"
    arxiv = "1611.07725"

    claims = frozenset({"objective:new", "objective:replay"})
    serves = frozenset({"classifier"})
    neutral: ClassVar[dict[str, Any]] = {"memory": 0}

    def __init__(self, *, memory: int = 2000) -> None:
        self.memory = memory
        self.exemplars: dict[int, list[dict[str, Any]]] = {}
        self.means: dict[int, Tensor] = {}
        self.teacher: Teacher | None = None
        self.current: list[int] = []
        self.pool: list[dict[str, Any]] = []
        self.first = 0

    def begin(self, stage: Stage) -> None:
        if not self.memory:
            return
        self.current = sorted({int(e["labels"]) for e in stage.examples})
        self.pool = [e for examples in self.exemplars.values() for e in examples]
        self.first = stage.offer("replay", self.pool) if self.pool else 0
        self.teacher = Teacher(stage, ("new", "replay")) if self._old() else None

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, batches in stream:
            generator = self.generator(stage, "batch", number)
            wanted = sum(len(b) for b in batches if b.role == "new") * len(self.pool) / len(stage.examples)
            keys = pick(len(self.pool), int(wanted + float(torch.rand((), generator=generator))), generator)
            if keys:
                chosen = [self.pool[k] for k in keys]
                batches = [*batches, stage.batch(chosen, "replay", [self.first + k for k in keys])]
            yield number, batches

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        if not self.memory:
            return read.loss()
        old = self._old()
        wanted = torch.zeros_like(read.logits, dtype=torch.float32).scatter_(1, read.targets[:, None], 1.0)
        if self.teacher is not None:
            wanted[:, old] = self.teacher.logits(batch, read).float().sigmoid()[:, old]
        seen = sorted([*self.current, *old])
        loss = F.binary_cross_entropy_with_logits(read.logits.float()[:, seen], wanted[:, seen], reduction="none")
        total = len(self.pool) + len(step.stage.examples)
        share = (total - len(self.pool) if batch.role == "new" else len(self.pool) or total) / total
        return share * loss.sum(1).mean()

    def end(self, stage: Stage) -> None:
        self.teacher = None
        if not self.memory:
            return
        by_class: dict[int, list[dict[str, Any]]] = {y: [] for y in self.current}
        for example in stage.examples:
            by_class[int(example["labels"])].append(dict(example))
        share = max(1, self.memory // len(self.exemplars | by_class))
        self.exemplars = {y: examples[:share] for y, examples in self.exemplars.items()}
        for y, examples in by_class.items():
            chosen = herd(features(stage.model, stage.collate(examples)), share)
            self.exemplars[y] = [examples[k] for k in chosen]
        self.means = {
            y: F.normalize(features(stage.model, stage.collate(examples)).mean(0), dim=0)
            for y, examples in self.exemplars.items()
        }

    def classify(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """The class whose mean is nearest, for each of B inputs (`mask` (B, classes) leaves out classes): (B,)."""
        if not self.means:
            raise BadInput("no class means yet; train at least one stage first")
        return nearest_mean(features(model, inputs), self.means, inputs.get("mask"))

    def _old(self) -> list[int]:
        """Classes of earlier stages that this one does not bring again."""
        return [y for y in self.exemplars if y not in self.current]

    def state_dict(self) -> dict[str, Any]:
        return {"exemplars": {y: dump(examples) for y, examples in self.exemplars.items()}, "means": self.means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.exemplars = {y: parse(examples) for y, examples in state["exemplars"].items()}
        self.means = dict(state["means"])


@torch.no_grad()
def features(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the output layer sees of each input, of length one: (B, D)."""
    size = len(next(iter(inputs.values())))
    with evaluating(model):
        read = Reader(model)({"labels": torch.zeros(size, dtype=torch.long), **inputs})
    return F.normalize((read.logits if read.hidden is None else read.hidden).float(), dim=1)


def herd(points: Tensor, count: int) -> list[int]:
    """Rows (N, D) in the order in which each brings the mean of those chosen nearest to the mean of all.

    >>> herd(torch.tensor([[0.0], [1.0], [3.0], [5.0]]), 2)  # the mean is 2.25: 3, then (3 + 1) / 2
    [2, 1]
    """
    mean, total = points.mean(0), torch.zeros_like(points[0])
    chosen: list[int] = []
    for k in range(1, min(count, len(points)) + 1):
        distance = (mean - (points + total) / k).norm(dim=1)
        distance[chosen] = torch.inf
        chosen.append(int(distance.argmin()))
        total = total + points[chosen[-1]]
    return chosen


def nearest_mean(points: Tensor, means: Mapping[int, Tensor], mask: Tensor | None = None) -> Tensor:
    """The class whose mean (D,) is nearest to each point (B, D), of those that `mask` (B, classes) allows: (B,).

    >>> nearest_mean(torch.tensor([[1.0], [4.0]]), {7: torch.tensor([0.0]), 2: torch.tensor([3.0])}).tolist()
    [7, 2]
    """
    classes: Sequence[int] = list(means)
    distance = torch.cdist(points, torch.stack([means[y].to(points.device) for y in classes]))
    if mask is not None:
        distance = distance.masked_fill(~mask[:, classes], torch.inf)
    return torch.tensor(classes, device=points.device)[distance.argmin(1)]
