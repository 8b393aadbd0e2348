"""TAG: an adaptive optimizer whose step shrinks where an earlier, unrelated task had large gradients."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.adapter import refuse

OPTIMIZERS = ("rmsprop", "adagrad", "adam", "adamw")


class TAG(Strategy):
    """Divides each step by the squared gradients of earlier stages too, of those most that are unlike this one.

    Squared gradients are large where a stage's loss is sensitive. A stage that pulled the other way has its
    squared gradients count for much, so weights that it needs move little; one that pulled the same way
    counts for little, so what it shares with the new one is learned fast. No example is stored.

    theta <- theta - eta g / (sqrt(sum_{s <= t} alpha_s V_s) + eps), alpha_s = exp(-b cos(M_t, M_s)), alpha_t = exp(-b)
    M_t <- beta_1 M_t + (1 - beta_1) g, V_t <- beta_2 V_t + (1 - beta_2) g^2, both from zero in stage t

    There is one alpha for each stage and each tensor of the model, and M_s and V_s stay as stage s left them. In the
    first stage alpha is 1: that is the optimizer named. Adagrad sums (V_t <- V_t + g^2); Adam steps by M_t for g,
    with both moments corrected for their start.

    Parameters
    ----------
    b: how much an unlike stage outweighs a like one, 5 in the authors' scripts (7 for the stream of five data sets).
    optimizer: the second moment, "rmsprop", "adagrad" or "adam"; "adamw" leaves the step to the package's
        own optimizer, without what is described here.
    betas: beta_1 and beta_2; None takes the authors', (0.9, 0.99), and (0.9, 0.999) for "adam".
    epsilon: eps.

    Step by step it is twice to two and a half times as slow as AdamW here (SmolLM2-135M): its moments and those of
    earlier stages are read tensor by tensor, where AdamW has one fused pass.

    The rate is that of the training settings; their `betas` and `weight_decay` have no effect. The authors' rates
    for TAG-RMSProp are a half to a twentieth of those for RMSProp.

    Departs from the paper: follows the authors' code, in which alpha_t is exp(-b) from the second stage on and 1 in
    the first; steps for Adam's correction are counted over the whole stage, there over each epoch; where a
    moment is zero its cosine is 0, not undefined.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[0], "labels": i}] for i in (0, 1)]  # the second contradicts the first
    >>> rule = TAG()
    >>> for _ in stages(torch.nn.Linear(2, 2), tasks, [rule]):
    ...     print([round(a, 1) for a in rule.alphas["bias"]])
    [1.0]
    [148.4, 0.0]

    References: Malviya, Ravindran and Chandar 2022, "TAG: Task-based Accumulated Gradients for Lifelong
    learning", arXiv:2105.05155, and the authors' code, tag_update.py.
    """

    name = "tag"
    paper = "tag"
    arxiv = "2105.05155"

    claims = frozenset({"step"})
    neutral: ClassVar[dict[str, Any]] = {"optimizer": "adamw"}

    def __init__(
        self,
        *,
        b: float = 5.0,
        optimizer: str = "rmsprop",
        betas: tuple[float, float] | None = None,
        epsilon: float = 1e-8,
    ) -> None:
        if optimizer not in OPTIMIZERS:
            raise BadInput(f"optimizer={optimizer!r} has no TAG version; give one of {', '.join(OPTIMIZERS)}")
        if b < 0:
            raise BadInput(f"b={b} would slow related stages and not unrelated ones; give 0 or more")
        self.betas = betas or (0.9, 0.999 if optimizer == "adam" else 0.99)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise BadInput(f"betas={self.betas} are no decay rates; give two numbers from 0 to below 1")
        self.b, self.optimizer, self.epsilon = b, optimizer, epsilon
        self.first: dict[str, Tensor] = {}
        self.second: dict[str, Tensor] = {}
        self.past: list[dict[str, dict[str, Tensor]]] = []
        self.alphas: dict[str, list[float]] = {}

    def begin(self, stage: Stage) -> None:
        self.first, self.second, self.alphas = {}, {}, {}

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.optimizer != "adamw":
            refuse(model, "TAG")
        return {}

    @torch.no_grad()
    def own_step(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        if self.optimizer == "adamw":
            optimizer.step()
            return
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        for name, p in step.model.named_parameters():
            if p.requires_grad and p.grad is not None:
                master = step.master(p)
                master.sub_(rates[id(master)] * self._direction(name, p.grad.float(), step.index + 1))

    def _direction(self, name: str, g: Tensor, count: int) -> Tensor:
        """Take a gradient into a tensor's moments; what its step of this number is at a rate of 1."""
        beta1, beta2 = self.betas
        first = self.first.setdefault(name, torch.zeros_like(g))
        second = self.second.setdefault(name, torch.zeros_like(g))
        first.mul_(beta1).add_(g, alpha=1 - beta1)
        if self.optimizer == "adagrad":
            second.add_(g.square())
        else:
            second.mul_(beta2).add_(g.square(), alpha=1 - beta2)
        past = [s for s in self.past if name in s["first"]]
        unit = _unit(first)
        likeness = [float((unit * s["first"][name].to(g.device)).sum()) for s in past]
        weights = torch.exp(-self.b * torch.tensor([*likeness, 1.0])).tolist() if past else [1.0]
        self.alphas[name] = weights
        whole = weights[-1] * second
        for weight, s in zip(weights, past, strict=False):
            whole.add_(s["second"][name].to(g.device), alpha=weight)
        if self.optimizer != "adam":
            return g / (whole.sqrt() + self.epsilon)
        return first / (1 - beta1**count) / ((whole / (1 - beta2**count)).sqrt() + self.epsilon)

    def end(self, stage: Stage) -> None:
        if self.first:
            self.past.append({"first": {n: _unit(m) for n, m in self.first.items()}, "second": self.second})
        self.first, self.second = {}, {}

    def state_dict(self) -> dict[str, Any]:
        return {"past": self.past, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.past = list(state["past"])
        self.first, self.second = dict(state["first"]), dict(state["second"])


def _unit(moment: Tensor) -> Tensor:
    """A direction of length 1, or zero."""
    length = float(moment.norm())
    return moment / length if length else torch.zeros_like(moment)
