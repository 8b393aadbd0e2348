"""Rehearsal-free: distil predictions or features of the model before the stage, or hold its weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.anatomy import kind
from byheart.kit.buffer import pick
from byheart.kit.fisher import fisher
from byheart.kit.head import features, head_names


class RehearsalFree(Strategy):
    """Adds classes without old examples: each class its own yes-or-no question, below it a held backbone.

    With one sigmoid per class a new class does not push old ones down, and the old model's answers are
    the labels of old classes. What is below the output layer drifts all the same; it is held by its features,
    by its weights, or by its weights as far as they matter.

    L = mean over classes seen BCE(sigmoid(z_c), t_c), t_c = sigmoid(z_old,c) of old classes and [c = y] of new,
        + phi mean (h - h_old)^2 + epsilon ||theta - theta_old||^2 + mu sum_i F_i (theta_i - theta_old,i)^2
    with theta the weights below the output layer

    Parameters
    ----------
    prediction: learn by these sigmoids; without it by plain cross-entropy.
    features: phi. l2: epsilon. ewc: mu. The paper tunes each for each benchmark.
    kinds: what L2 holds, as `kit.anatomy` names it (`("q", "k", "v", "o")` are the self-attention
        blocks); empty holds everything below the output layer.
    after: guard from this stage on; 0 for a pretrained model, which is then held from the start.
    samples: examples per stage that the Fisher is estimated from.

    Departs from the paper: the Fisher is that of the softmax with labels drawn from the model.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    >>> [sorted(done.history[0]) for done in stages(model, tasks, [RehearsalFree(l2=0.1)])]
    [['new'], ['held', 'new']]

    References: Smith et al. 2022, "A Closer Look at Rehearsal-Free Continual Learning", arXiv:2203.17269,
    section 4; Rebuffi et al. 2016, arXiv:1611.07725, algorithm 3 (the sigmoids).
    """

    name = "rehearsal-free"
    paper = "rehearsal-free"
    arxiv = "2203.17269"

    claims = frozenset({"objective:new"})
    serves = frozenset({"classifier"})
    neutral: ClassVar[dict[str, Any]] = {"prediction": False}

    def __init__(
        self,
        *,
        prediction: bool = True,
        features: float = 0.0,
        l2: float = 0.0,
        ewc: float = 0.0,
        kinds: Sequence[str] = (),
        after: int = 1,
        samples: int = 200,
    ) -> None:
        self.prediction, self.features, self.l2, self.ewc = prediction, features, l2, ewc
        self.kinds, self.after, self.samples = tuple(kinds), after, samples
        self.old: list[int] = []
        self.new: list[int] = []
        self.fisher: dict[str, Tensor] = {}
        self.teacher: nn.Module | None = None
        self.start: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        self.new = sorted({int(e["labels"]) for e in stage.examples} - set(self.old))
        self.teacher, self.start = None, {}
        if stage.index >= self.after:
            self.teacher = copy.deepcopy(stage.model).eval().requires_grad_(False)
            self.start = self._below(self.teacher)

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.l2 or self.ewc:
            refuse(model, "RehearsalFree")
        return {}

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        if not self.prediction:
            return read.loss()
        wanted = F.one_hot(read.targets, read.logits.shape[-1]).to(read.logits.dtype)
        if self.teacher is not None and self.old:
            with torch.no_grad():
                answers = step.stage.read(self.teacher, batch.inputs).logits.sigmoid()
            wanted[:, self.old] = answers[:, self.old]
        classes = self.old + self.new
        return F.binary_cross_entropy_with_logits(read.logits[:, classes], wanted[:, classes])

    def terms(self, step: Step) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        terms: dict[str, Tensor] = {}
        if self.features:
            parts = []
            for batch, read in step.of("new"):
                with torch.no_grad():
                    then = step.stage.read(self.teacher, batch.inputs)
                    before = features(self.teacher, step.stage.read, batch.inputs, then)
                now = features(step.model, step.stage.read, batch.inputs, read)
                parts.append((now - before).square().mean(-1).sum())
            terms["features"] = self.features * step.mean(torch.stack(parts).sum(), "new")
        held = []
        for name, p in self._below(step.model).items():
            off = (p - self.start[name]).square()
            if self.l2 and (not self.kinds or kind(name) in self.kinds):
                held.append(self.l2 * off.sum())
            if name in self.fisher:
                held.append(self.ewc * (self.fisher[name].to(p.device) * off).sum())
        return terms | ({"held": torch.stack(held).sum()} if held else {})

    def _below(self, model: nn.Module) -> dict[str, Tensor]:
        above = head_names(model) if self.l2 or self.ewc else []
        return {n: p for n, p in model.named_parameters() if n not in above}

    def end(self, stage: Stage) -> None:
        self.old, self.new = self.old + self.new, []
        if self.ewc:
            keys = pick(len(stage.examples), self.samples, self.generator(stage, "examples"))
            examples = ((stage.collate([stage.examples[k]]), self.generator(stage, "labels", k)) for k in keys)
            below = self._below(stage.model)
            for name, value in fisher(stage.model, stage.read, examples).items():
                if name in below:
                    self.fisher[name] = self.fisher[name].to(value.device) + value if name in self.fisher else value
        self.teacher, self.start = None, {}

    def state_dict(self) -> dict[str, Any]:
        return {"old": self.old, "fisher": self.fisher}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.old, self.fisher = list(state["old"]), dict(state["fisher"])
