"""Half fine-tuning: freeze a random half of every layer, another half each stage."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from byheart.core.strategy import Stage, Strategy
from byheart.kit.anatomy import ATTENTION, FEEDFORWARD, layers, unit


class HFT(Strategy):
    """Trains a random half of each layer's matrices and freezes the other half, redrawn every stage.

    What stays frozen anchors the old function while the rest learns; over stages every part gets its
    turn to move and to rest.

    theta <- theta + M * delta, M in {0, 1} constant on each matrix and drawn anew for every stage

    Of each layer's attention matrices (query, key, value, output) half are frozen; of the three
    feed-forward matrices two in a random half of the layers and one in the others; of two norms one.
    Embeddings, final norm and output layer are trained. A model without such parts (a perceptron)
    has a random half of its layers frozen.

    Parameters
    ----------
    share: share of each category that is frozen, 0.5 in the paper; 0 freezes nothing.

    Departs from the paper: nowhere known; the choice of norms is taken from a third party's code.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    >>> half = HFT()
    >>> half.begin(Stage(model, [], None, None))
    >>> sorted(half.groups(model).values())  # weight and bias of one of the two layers
    [0.0, 0.0]

    References: Hui et al. 2024, "HFT: Half Fine-Tuning for Large Language Models",
    arXiv:2404.18466.
    """

    name = "hft"
    paper = "hft"
    arxiv = "2404.18466"

    neutral: ClassVar[dict[str, Any]] = {"share": 0.0}

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = share
        self.drawing = torch.Generator()

    def begin(self, stage: Stage) -> None:
        self.drawing = self.generator(stage, "halves")

    def groups(self, model: nn.Module) -> dict[str, float]:
        frozen: dict[str, float] = {}
        names_of_layers = layers(model)
        for kinds in (ATTENTION, FEEDFORWARD, ("norm",), ("other",)):
            units = [_units(names, kinds) for names in names_of_layers]
            units = [u for u in units if u]
            quotas = [self.share * len(u) for u in units]
            extra = round(sum(q - int(q) for q in quotas))
            order = torch.randperm(len(units), generator=self.drawing).tolist()
            lucky = set([i for i in order if quotas[i] > int(quotas[i])][:extra])
            for i, layer in enumerate(units):
                names = list(layer)
                for j in torch.randperm(len(names), generator=self.drawing).tolist()[: int(quotas[i]) + (i in lucky)]:
                    frozen.update(dict.fromkeys(layer[names[j]], 0.0))
        return frozen


def _units(names: list[str], kinds: tuple[str, ...]) -> dict[str, list[str]]:
    """Parameter names by module, for the modules of these kinds."""
    grouped: dict[str, list[str]] = {}
    for name in names:
        path, kind = unit(name)
        if kind in kinds:
            grouped.setdefault(path, []).append(name)
    return grouped
