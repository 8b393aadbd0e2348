"""RECALL: merge each layer of the models of all stages by how alike they represent the new stage's typical examples."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Stage, Strategy
from byheart.kit.anatomy import layers
from byheart.kit.buffer import pick
from byheart.kit.modes import evaluating

ROUNDS = 20


class RecallMerging(Strategy):
    """Merges, after every stage, the model with those of the earlier stages, layer by layer.

    What a layer makes of an input stands for what it knows. Where an earlier model makes nearly the same of
    the new examples, in lower layers mostly, averaging costs nothing and keeps what is general; where the new model
    went its own way it gets the larger share. No old example is needed.

    theta^l = sum_i w_i^l theta_i^l;  w^l = softmax_i S_i^l;
    S_i^l = mean_x exp(-||r_i^l(x) - r_N^l(x)||^2 / (2 sigma^2)),  r the mean of a layer's output over tokens

    N is the model just trained, i runs over it, those of the stages before, and the one before the first; x over
    the stage's typical examples: those nearest to the centres of k-means in the last layer of N.

    Parameters
    ----------
    typical: how many typical examples, at most; 0 merges nothing. sample: examples that are clustered, at most.
    width: sigma, in units of the root mean square length of r_N^l. `inf` averages the models.
    first: whether the model before the first stage is merged too: yes for a pretrained one.
    apart: train every stage from the model before the first, not from the merged one.

    Departs from the paper: the width goes by the layer's own scale, so that one number fits all layers; embeddings
    merge as the lowest layer does, what is above the layers as the highest.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> guard = RecallMerging()
    >>> _ = list(stages(torch.nn.Sequential(torch.nn.Linear(2, 2)), tasks, [guard]))
    >>> len(guard.models), [round(sum(w), 4) for w in guard.weights]
    (3, [1.0])

    References: Wang et al. 2025, "RECALL: REpresentation-aligned Catastrophic-forgetting ALLeviation via Hierarchical
    Model Merging", arXiv:2510.20479, section 3.
    """

    name = "recall-merging"
    paper = "recall-merging"
    arxiv = "2510.20479"

    neutral: ClassVar[dict[str, Any]] = {"typical": 0}

    def __init__(
        self,
        *,
        typical: int = 20,
        sample: int = 1000,
        width: float = 1.0,
        first: bool = True,
        apart: bool = False,
    ) -> None:
        if width <= 0:
            raise BadInput(f"width={width} is no width of a kernel; give more than 0")
        self.typical, self.sample, self.width, self.first, self.apart = typical, sample, width, first, apart
        self.models: list[dict[str, Tensor]] = []
        self.weights: list[list[float]] = []
        self.likeness: list[list[float]] = []

    def begin(self, stage: Stage) -> None:
        if not self.typical:
            return
        if any("lora_A" in n for n, _ in stage.model.named_parameters()):
            raise Conflict("RecallMerging merges whole models; list it before the strategy that puts adapters in")
        own = dict(stage.model.named_parameters())
        if stage.index == 0 or not self.models:
            self.models = [_copy(own)]
        elif set(own) != set(self.models[0]):
            raise Conflict("the model of this stage has other parameters than those before; use one model throughout")
        elif self.apart:
            _put(own, self.models[0])

    @torch.no_grad()
    def end(self, stage: Stage) -> None:
        if not self.typical:
            return
        model = stage.model
        own = dict(model.named_parameters())
        self.models.append(_copy(own))
        groups, tops = _layers(model)
        examples = self._typical(stage, tops)
        newest = _representations(stage, model, tops, examples)
        other = copy.deepcopy(model)
        self.likeness = []
        for merged in self._merged():
            _put(dict(other.named_parameters()), merged)
            features = _representations(stage, other, tops, examples)
            self.likeness.append([alike(r, n, self.width) for r, n in zip(features, newest, strict=True)])
        table = torch.tensor(self.likeness).softmax(0)  # (models, layers)
        self.weights = table.T.tolist()
        for names, weights in zip(groups, self.weights, strict=True):
            for name in names:
                total = sum(w * m[name].float() for w, m in zip(weights, self._merged(), strict=True))
                own[name].copy_(torch.as_tensor(total))

    def _merged(self) -> list[dict[str, Tensor]]:
        """The models that are merged, the newest last."""
        return self.models if self.first else self.models[1:]

    def _typical(self, stage: Stage, tops: Sequence[str]) -> list[dict[str, Any]]:
        """The examples nearest to the centres of clusters, by the last layer of the newest model."""
        generator = self.generator(stage, "typical")
        chosen = pick(len(stage.examples), self.sample, generator)
        if len(chosen) <= self.typical:
            return [stage.examples[k] for k in chosen]
        points = _representations(stage, stage.model, tops[-1:], [stage.examples[k] for k in chosen])[0]
        nearest = torch.cdist(centres(points, self.typical, generator), points).argmin(1)
        return [stage.examples[chosen[int(i)]] for i in nearest.unique()]

    def state_dict(self) -> dict[str, Any]:
        return {"models": self.models, "weights": self.weights, "likeness": self.likeness}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.models = list(state["models"])
        self.weights, self.likeness = state["weights"], state["likeness"]


def alike(left: Tensor, right: Tensor, width: float) -> float:
    """Mean Gaussian kernel of representations (N, D), its width in units of the length of the right ones.

    >>> round(alike(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), 1.0), 4)  # exp(-1 / 2)
    0.6065
    """
    scale = right.square().sum(1).mean().clamp(min=1e-12)
    return float((-(left - right).square().sum(1) / (2 * width**2 * scale)).exp().mean())


def centres(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Centres of `count` clusters of points (N, D): k-means from random points on."""
    means = points[pick(len(points), count, generator)]
    for _ in range(ROUNDS):
        nearest = torch.cdist(points, means).argmin(1)
        moved = torch.stack(
            [points[nearest == c].mean(0) if (nearest == c).any() else means[c] for c in range(len(means))]
        )
        if torch.equal(moved, means):
            break
        means = moved
    return means


def _layers(model: nn.Module) -> tuple[list[list[str]], list[str]]:
    """Parameter names to merge alike, and the module whose output stands for each, from the bottom up."""
    groups = layers(model)
    if not groups:
        raise BadInput(f"{type(model).__name__} has no layers; use a model with more than one module")
    order = [n for n, _ in model.named_parameters()]
    within = {n: i for i, names in enumerate(groups) for n in names}
    tops = [_top(names) for names in groups]
    out: list[list[str]] = [[] for _ in groups]
    seen = False
    for name in order:
        seen = seen or name in within
        out[within.get(name, len(groups) - 1 if seen else 0)].append(name)
    return out, tops


def _top(names: Sequence[str]) -> str:
    """The module that holds all these parameters.

    >>> _top(["layers.0.mlp.up.weight", "layers.0.norm.weight"]), _top(["0.weight", "0.bias"])
    ('layers.0', '0')
    """
    paths = [n.split(".")[:-1] for n in names]
    shared = 0
    while all(len(p) > shared for p in paths) and len({p[shared] for p in paths}) == 1:
        shared += 1
    return ".".join(paths[0][:shared])


def _representations(
    stage: Stage, model: nn.Module, tops: Sequence[str], examples: Sequence[dict[str, Any]]
) -> list[Tensor]:
    """What each of these modules makes of the examples, averaged over tokens: (N, D) each."""
    latest: dict[str, Tensor] = {}
    out: list[list[Tensor]] = [[] for _ in tops]
    hooks = [
        model.get_submodule(t).register_forward_hook(
            lambda m, x, y, t=t: latest.update({t: y[0] if isinstance(y, tuple) else y})
        )
        for t in tops
    ]
    try:
        with evaluating(model):
            for start in range(0, len(examples), stage.batch_size):
                inputs = stage.collate(examples[start : start + stage.batch_size])
                stage.read(model, inputs)
                for rows, t in zip(out, tops, strict=True):
                    rows.append(_pooled(latest[t].float(), inputs.get("attention_mask")))
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(rows) for rows in out]


def _pooled(states: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over all axes between the first and the last; over tokens, of those that are not padding."""
    if states.dim() == 3 and mask is not None:
        weights = mask[..., None].to(states)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
    return states.flatten(1, -2).mean(1) if states.dim() > 2 else states


def _copy(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in parameters.items()}


@torch.no_grad()
def _put(parameters: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    for name, p in parameters.items():
        p.copy_(values[name])
