"""Kang et al. 2025, "Do Your Best and Get Enough Rest for Continual Learning", arXiv:2503.18371."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from byheart.core.strategy import Batch, Stage, Strategy
from byheart.learn.derpp import DERpp
from byheart.learn.icarl import ICaRL
from byheart.learn.lwf import LwF
from byheart.learn.replay import Replay
from byheart.learn.view_batch import ViewBatch
from byheart.nets.perceptron import Perceptron
from byheart.study.base.criterion import Criterion
from byheart.study.base.sgd import SGD
from byheart.study.base.stream import by_means, run
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings
from byheart.world.stream.digits import split

BASES: dict[str, Callable[[], Strategy]] = {
    "lwf": LwF,
    "replay": lambda: Replay(capacity=100),
    "der++": lambda: DERpp(capacity=100),
    "icarl": lambda: ICaRL(memory=100),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    orders: int
    epochs: int
    train: int
    views: int = 4
    weight: float = 0.1
    lr: float = 0.1


class EnoughRest(Study[Size]):
    """Several methods on split digits, each with and without view-batch, at the same number of steps.

    The paper adds view-batch to many methods in class-incremental learning of images and finds higher accuracy and
    less forgetting with nearly all of them; with iCaRL both the longer rest between two visits of a sample and the
    agreement of its views contribute (63.6, then 67.2, then 69.3%; forgetting 28.1, 18.3, 13.8; table 6 of the
    authors' repository).

    Here: scikit-learn's 8 x 8 digits, two classes a task, a perceptron; views are shifts by up to one pixel, and the
    methods alone get the same shifts on every image. As in the authors' code SGD without momentum, batches of 32, 50
    epochs and four views; the rate is 0.1, the code's for replay and iCaRL (at 0.03, its rate for DER++, too little is
    learned in as few steps as here; its 0.01 for LwF was not tried). DER++ has alpha 0.1 and beta 0.5 as there, LwF
    weight 1; the memory is 100. The weight of agreement is 0.1: the code averages the divergence over the classes too,
    so its 1 is a tenth on ten classes. Replayed images come in one view, where the code gives all images of iCaRL's
    batches several. All figures are means over three orders of the digits.

    Tried: the claim shows for DER++ (0.05 to 0.14 on seeds 100 to 102) and iCaRL (0.03 to 0.04), hardly for replay
    (0.00 to 0.02) and not for LwF (-0.03 to 0.02), so that neither the smallest gain nor the fall of forgetting holds.
    With half the epochs replay and LwF lose; at a rate of 0.03 (seed 101) all four gain 0.005 or more but learn less;
    LwF with weights 2 and 3, which keeps its first task and learns little after, gains on one seed and loses on
    another. With Adam at 1e-3 and agreement at weight 1 (10, 20 and 40 epochs, two views or four, rest without
    agreement) replay and iCaRL gain 0.01 to 0.05 from 20 epochs on, DER++ 0.1 at 10 and 40 epochs but nothing at 20,
    and LwF loses 0.07 (at weight 0.1 it gains as much, on seed 100).
    """

    claim = "View-batch raises accuracy and lowers forgetting of several continual-learning methods at equal cost"
    quote = (
        "In our experiments, we also demonstrate that our method significantly improves many state-of-the-art "
        "continual learning methods in various protocols and scenarios."
    )
    source = "tables 1 and 6"
    primary = Criterion("gain", says="mean gain in average accuracy, over LwF, replay, DER++ and iCaRL", at_least=0.01)
    secondary = (
        Criterion("least", says="smallest gain of these methods", at_least=0.0),
        Criterion("kept", says="mean fall of forgetting", at_least=0.01),
        Criterion("agreement", says="iCaRL's gain by the views' agreement, over rest alone", at_least=0.0),
    )
    scales = Scales(
        smoke=Size(orders=1, epochs=1, train=20),
        small=Size(orders=3, epochs=50, train=125),
        full=Size(orders=10, epochs=50, train=250),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        values: dict[str, list[float]] = {}
        for order in range(size.orders):
            start = 1000 * seed + order
            tasks = split(seed=start, train=size.train)
            settings = Settings(epochs=size.epochs, batch_size=32, clip=0.0, seed=start)
            for name, made in BASES.items():
                arms: dict[str, Strategy] = {
                    name: Shifts(),
                    f"{name}_views": ViewBatch(views=size.views, weight=size.weight, view=shifted),
                }
                if name == "icarl":
                    arms["icarl_rested"] = ViewBatch(views=size.views, weight=0.0, view=shifted)
                for arm, first in arms.items():
                    guard = made()
                    measure = partial(by_means, guard) if isinstance(guard, ICaRL) else None
                    done = run(
                        Perceptron(seed=start), tasks, [first, guard, SGD(lr=size.lr)], settings, measure=measure
                    )
                    values.setdefault(arm, []).append(done.average)
                    values.setdefault(f"{arm}_forgotten", []).append(done.forgotten)
        out = {name: float(np.mean(figures)) for name, figures in values.items()}
        gains = [out[f"{name}_views"] - out[name] for name in BASES]
        falls = [out[f"{name}_forgotten"] - out[f"{name}_views_forgotten"] for name in BASES]
        return out | {
            "gain": float(np.mean(gains)),
            "least": min(gains),
            "kept": float(np.mean(falls)),
            "agreement": out["icarl_views"] - out["icarl_rested"],
        }


def shifted(inputs: dict[str, Tensor], changed: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The 8 x 8 images of the rows `changed`, each moved by up to one pixel in both directions."""
    x = F.pad(inputs["x"].view(-1, 8, 8), (1, 1, 1, 1))
    moves = torch.randint(3, (len(x), 2), generator=generator)
    moves[~changed] = 1
    rows = moves[:, :1, None] + torch.arange(8)[None, :, None]
    columns = moves[:, 1:, None] + torch.arange(8)[None, None, :]
    return {**inputs, "x": x[torch.arange(len(x))[:, None, None], rows, columns].flatten(1)}


class Shifts(Strategy):
    """The same shifts on every new image, in the ordinary order."""

    def begin(self, stage: Stage) -> None:
        stage.pools["new"] = []

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, (new, *others) in stream:
            inputs = shifted(
                new.inputs, torch.ones(len(new), dtype=torch.bool), self.generator(stage, "shifts", number)
            )
            yield number, [replace(new, inputs=inputs, keys=()), *others]
