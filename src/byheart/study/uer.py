"""Lin et al. 2023, "UER: A Heuristic Bias Addressing Approach for Online Continual Learning", arXiv:2309.04081."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from byheart.core.strategy import Strategy
from byheart.learn.derpp import DERpp
from byheart.learn.uer import UER
from byheart.nets.perceptron import Perceptron
from byheart.study.requests import Requests
from byheart.study.sgd import SGD
from byheart.study.stream import run
from byheart.study.trial import Criterion, Scale, Study
from byheart.train.loop import Settings
from byheart.train.stream import collate
from byheart.world.digits import Task


class Unbiased(Study):
    """UER against experience replay, DER++ and a cosine classifier on an online class-incremental stream.

    The paper trains on streams that are seen once, classes arriving in tasks (split CIFAR-10, CIFAR-100 and
    MiniImageNet), with a memory. Plain replay answers the newest classes too often; UER, which trains new
    examples by the angle factor alone, does so less and beats replay and the state of the art; giving up the
    norm factor altogether, as cosine classifiers do, forgets more.
    Here: the 150 intents of CLINC150 in fifteen tasks, forty requests of each, read by MiniLM; a perceptron with one
    hidden layer of 256 units in the place of the ResNet; batches of ten and plain SGD at 0.1, as in the authors' code
    for a method of the same year (PCR); a memory of 450 requests. For each new request two are replayed in every
    arm, those of DER++ in its two draws. Figures are means over orders of the classes. The bias is the share of test
    requests of the earlier tasks that are taken for a class of the last one. Chosen on seeds 100, 101 and 103: for
    every arm the best of the learning rates 0.05, 0.1 and 0.2 (0.1 for all), for UER and for angle-only training
    the best gamma of 10, 15 and 20 (15 and 10), for DER++ the best alpha of 0.5, 1 and 2, the memory of 300, 450
    and 600.

    Tried on seeds 100 to 104: with one replayed request for a new one and DER++'s two draws besides, UER and DER++ are
    within 0.015 of each other on 150 intents and memories of 300 and 600; on a hundred, with 500, UER is 0.02 ahead
    on two seeds and level on three. With one stored request a class or fewer DER++ leads by up to 0.1. A
    second hidden layer makes UER level with DER++. On split digits with a memory of twenty images the bias
    falls as claimed, but DER++ stays ahead.
    """

    claim = (
        "UER is less biased to the newest classes than replay, and more accurate than replay, DER++ and cosine logits"
    )
    source = "abstract, section 4"
    needs = "clinc150"
    criteria = (
        Criterion(measure="over_replay", says="UER's average accuracy above replay's", at_least=0.02),
        Criterion(measure="bias_left", says="share of replay's bias that UER leaves", at_most=0.5),
        Criterion(measure="over_angle", says="UER above angle-only training and answering", at_least=0.02),
        Criterion(measure="over_derpp", says="UER above DER++", at_least=0.0),
    )
    scales: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {
        "smoke": {"orders": 1, "classes": 10, "tasks": 2, "train": 10, "test": 5, "memory": 20},
        "small": {"orders": 5, "classes": 150, "tasks": 15, "train": 40, "test": 10, "memory": 450},
        "full": {"orders": 20, "classes": 150, "tasks": 15, "train": 100, "test": 30, "memory": 1000},
    }

    def run(  # type: ignore[override]
        self,
        *,
        seed: int,
        orders: int,
        classes: int,
        tasks: int,
        train: int,
        test: int,
        memory: int,
        data: Path | None = None,
        gamma: float = 15.0,
        angle: float = 10.0,
        alpha: float = 1.0,
        lr: float = 0.1,
    ) -> dict[str, float]:
        arms: dict[str, Callable[[], Strategy]] = {
            "replay": lambda: DERpp(alpha=0.0, beta=1.0, capacity=memory, ratio=2.0),
            "derpp": lambda: DERpp(alpha=alpha, beta=1.0, capacity=memory, top=classes),
            "angle": lambda: UER(capacity=memory, scale=angle, ratio=2.0, norm=False),
            "uer": lambda: UER(capacity=memory, scale=gamma, ratio=2.0),
        }
        requests = Requests(data, classes=classes, train=train, test=test, seed=seed)
        found: dict[str, list[float]] = {}
        for order in range(orders):
            start = 1000 * seed + order
            stream = requests.stream(tasks=tasks, seed=start)
            settings = Settings(epochs=1, batch_size=10, clip=0.0, seed=start)
            for name, made in arms.items():
                measure = _by_angle if name == "angle" else None
                model = Perceptron(inputs=requests.inputs, widths=(256,), classes=classes, seed=start)
                done = run(model, stream, [made(), SGD(lr=lr)], settings, measure=measure)
                found.setdefault(name, []).append(done.average)
                found.setdefault(f"{name}_bias", []).append(_bias(done.model, stream))
        out = {name: float(np.mean(values)) for name, values in found.items()}
        return out | {
            "over_replay": out["uer"] - out["replay"],
            "bias_left": out["uer_bias"] / max(out["replay_bias"], 1e-9),
            "over_angle": out["uer"] - out["angle"],
            "over_derpp": out["uer"] - out["derpp"],
        }


@torch.no_grad()
def _by_angle(model: nn.Module, task: Task) -> float:
    """Accuracy of the class whose weights point most nearly where the features do."""
    inputs = collate(task.test)
    weight: Any = model.head
    cosines = F.normalize(model(inputs["x"]).hidden_states[-1], dim=-1) @ F.normalize(weight.weight, dim=-1).T
    return float((cosines.argmax(-1) == inputs["labels"]).float().mean())


@torch.no_grad()
def _bias(model: nn.Module, stream: list[Task]) -> float:
    """Share of the earlier tasks' test requests that are taken for a class of the last task."""
    newest = torch.tensor(sorted({e["labels"] for e in stream[-1].test}))
    inputs = collate([e for t in stream[:-1] for e in t.test])
    return float(torch.isin(model(inputs["x"]).logits.argmax(-1), newest).float().mean())
