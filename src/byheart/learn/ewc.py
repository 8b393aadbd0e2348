"""Elastic weight consolidation: hold each weight as firmly as earlier stages depend on it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.methods import Variants
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.buffer import pick
from byheart.kit.fisher import Labels, fisher
from byheart.kit.pull import quadratic


class EWC(Strategy):
    """Penalises moving the weights that the earlier stages' predictions are sensitive to.

    Near its optimum the log-likelihood of an earlier stage falls off as a parabola whose curvature
    is the Fisher information; its diagonal says how much each weight matters.

    per-task: L = CE + lambda / 2 sum_t sum_i F_ti (theta_i - theta_ti)^2
    online:   L = CE + lambda / 2 sum_i F_i (theta_i - theta_i*)^2, F <- gamma F + F_new, theta* the latest

    The Fisher of a stage is taken at its end from squared gradients of single examples' log-likelihood
    (summed over an example's scored tokens), with labels drawn from the model: on memorised examples
    the data's own labels give gradients near zero, and so a Fisher near zero.

    Parameters
    ----------
    importance: lambda; 400 in the paper's Atari runs.
    online: one running penalty instead of one for each stage. gamma: its decay.
    samples: examples per stage that the Fisher is estimated from; None for all.
    labels: draw them from the model (true Fisher) or take the data's (empirical Fisher).

    Departs from the paper: nowhere with one penalty for each stage; the running one is Schwarz et al.'s without
    normalising the Fisher.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> first, second = stages(torch.nn.Linear(2, 2), tasks, [EWC()])
    >>> sorted(first.history[0]), sorted(second.history[0])
    (['new'], ['ewc', 'new'])

    References: Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks",
    arXiv:1612.00796, equation 3; Schwarz et al. 2018, "Progress & Compress", arXiv:1805.06370
    (online); Kunstner et al. 2019, arXiv:1905.12558 (empirical and true Fisher).
    """

    name = "ewc"
    paper = "ewc"
    arxiv = "1612.00796"
    variants: ClassVar[Variants] = {"online-ewc": {"online": True}}

    neutral: ClassVar[dict[str, Any]] = {"importance": 0.0}

    def __init__(
        self,
        *,
        importance: float = 400.0,
        online: bool = False,
        gamma: float = 1.0,
        samples: int | None = 200,
        labels: Labels = "model",
    ) -> None:
        self.importance, self.online, self.gamma = importance, online, gamma
        self.samples, self.labels = samples, labels
        self.anchors: list[dict[str, dict[str, Tensor]]] = []

    def idle_first(self) -> bool:
        return True

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.importance:
            refuse(model, "EWC")
        return {}

    def terms(self, step: Step) -> dict[str, Tensor]:
        if not self.importance or not self.anchors:
            return {}
        parts = []
        live = {n: p for n, p in step.model.named_parameters() if p.requires_grad}
        for anchor in self.anchors:
            for name, weight in anchor["fisher"].items():
                if name in live:
                    parts.append(quadratic(live[name], anchor["weights"][name], weight))
        return {} if not parts else {"ewc": self.importance / 2 * torch.stack(parts).sum()}

    def end(self, stage: Stage) -> None:
        if not self.importance:
            return
        total = len(stage.examples)
        keys = pick(total, total if self.samples is None else self.samples, self.generator(stage, "examples"))
        examples = ((stage.collate([stage.examples[k]]), self.generator(stage, "labels", k)) for k in keys)
        importance = fisher(stage.model, stage.read, examples, labels=self.labels)
        weights = {n: p.detach().clone() for n, p in stage.model.named_parameters() if n in importance}
        if self.online and self.anchors:
            before = self.anchors[-1]["fisher"]
            importance = {
                n: f + self.gamma * before[n].to(f.device) if n in before else f for n, f in importance.items()
            }
            self.anchors = []
        self.anchors.append({"fisher": importance, "weights": weights})

    def state_dict(self) -> dict[str, Any]:
        return {"anchors": self.anchors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.anchors = state["anchors"]
