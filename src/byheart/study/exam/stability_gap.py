"""De Lange et al. 2022, "Continual evaluation for lifelong learning: Identifying the stability gap".

arXiv:2205.13452
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from byheart.core.strategy import Strategy
from byheart.exam import continual
from byheart.learn.ewc import EWC
from byheart.learn.gem import GEM
from byheart.learn.lwf import LwF
from byheart.learn.replay import Replay
from byheart.nets.perceptron import Perceptron
from byheart.study.base.criterion import Criterion
from byheart.study.base.sgd import SGD
from byheart.study.base.stream import Run, run
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings
from byheart.world.stream.digits import rotated, split
from byheart.world.stream.task import Task


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    steps: int
    train: int
    most: int
    ewc: float = 30.0
    lwf: float = 1.0


class StabilityGap(Study[Size]):
    """Accuracy on old tasks after every single step while a new one is learned with ER, GEM, EWC and LwF.

    Evaluated after every step, methods that look stable between tasks lose much of an old task right after a
    switch and get it back later (figures 2 and 3); for replay of rotated digits the loss grows with the
    angle between the tasks (figure 4). The gap of a switch is the accuracy on an old task before the switch or at the
    end of the new task, whichever is lower, less the lowest in between, so that what is lost for good counts
    for nothing.
    Here: scikit-learn's 8 x 8 digits, a perceptron, SGD with momentum 0.9 as in the paper; five tasks of two
    classes for ER and GEM, digits turned by 40 degrees for all four, and two tasks at each angle for ER,
    where 0 degrees (the same task with other examples) tells what noise makes of the measure. EWC's strength (30
    of 10, 30 and 100) and the rate (0.05 of 0.02 and 0.05) have the best average accuracy on seeds 100 and 101;
    LwF's weight is the paper's, 1. Tried: half of it gives a higher average (0.75 for 0.70 over seeds 100 to
    103) and a gap of 0.03, that of noise, instead of 0.10; three tasks of 30 degrees give LwF 0.06.
    """

    claim = "ER, GEM, EWC and LwF lose old tasks on a switch and recover; the gap grows with the tasks' dissimilarity"
    quote = (
        "Empirically we show that experience replay, constraint-based replay, knowledge-distillation, and "
        "parameter regularization methods are all prone to the stability gap; and that the stability gap can "
        "be observed in class-, task-, and domain-incremental learning benchmarks."
    )
    source = "figures 2 to 4"
    primary = Criterion("er_class_gap", says="gap of replay, classes", at_least=0.30)
    secondary = (
        Criterion("gem_class_gap", says="gap of GEM, classes", at_least=0.20),
        Criterion("ewc_gap", says="gap of EWC, rotations", at_least=0.10),
        Criterion("lwf_gap", says="gap of LwF, rotations", at_least=0.05),
        Criterion("hidden", says="replay's accuracy between tasks above its worst case, classes", at_least=0.30),
        Criterion("steeper", says="gap at 60 and 80 degrees above that at 0 and 20", at_least=0.05),
    )
    preconditions = (Criterion("noise", says="gap at 0 degrees, where nothing changes", at_most=0.05),)
    scales = Scales(
        smoke=Size(steps=3, train=60, most=20),
        small=Size(steps=80, train=600, most=300),
        full=Size(steps=300, train=1200, most=500),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        def learn(tasks: Sequence[Task], guard: Strategy) -> Run:
            settings = Settings(steps=size.steps, batch_size=64, seed=seed, clip=0.0)
            rule = SGD(lr=0.05, momentum=0.9)
            return run(Perceptron(seed=seed), tasks, [rule, guard], settings, every=1, most=size.most)

        out: dict[str, float] = {}
        classes, turned = split(seed=seed), rotated(angles=(0, 40), seed=seed, train=size.train)
        guards: dict[str, tuple[Sequence[Task], Strategy]] = {
            "er_class": (classes, Replay(capacity=500)),
            "gem_class": (classes, GEM(capacity=64)),
            "er": (turned, Replay(capacity=500)),
            "gem": (turned, GEM(capacity=64)),
            "ewc": (turned, EWC(importance=size.ewc)),
            "lwf": (turned, LwF(weight=size.lwf)),
        }
        for name, (tasks, guard) in guards.items():
            result = learn(tasks, guard)
            out[f"{name}_average"] = result.average
            out[f"{name}_worst"] = continual.worst_case_accuracy(result.curve, result.ends)
            out[f"{name}_wf10"] = continual.windowed_forgetting(result.curve, 10, result.ends)
            out[f"{name}_gap"] = gap(result.curve, result.ends)
        for angle in (0, 20, 40, 60, 80):
            result = learn(rotated(angles=(0, angle), seed=seed, train=size.train), Replay(capacity=500))
            out[f"gap_{angle}"] = gap(result.curve, result.ends)
        return out | {
            "hidden": out["er_class_average"] - out["er_class_worst"],
            "steeper": (out["gap_60"] + out["gap_80"] - out["gap_0"] - out["gap_20"]) / 2,
            "noise": out["gap_0"],
        }


def gap(curve: Sequence[Sequence[float]], ends: Sequence[int], settled: int = 5) -> float:
    """Accuracy that is lost after a switch and regained, mean over switches and the tasks before them.

    For an old task: the lower of its accuracy before the switch and at the end of the new task (mean of the
    last `settled` rows), less the lowest in between, or 0.

    >>> gap([[0.9, 0.0], [0.2, 0.5], [0.7, 0.9]], ends=[0, 2], settled=1)
    0.5
    """
    c = np.asarray(curve, dtype=float)
    lost = []
    for k in range(len(ends) - 1):
        during = c[ends[k] + 1 : ends[k + 1] + 1]
        for j in range(k + 1):
            held = min(c[ends[k], j], during[-settled:, j].mean())
            lost.append(max(0.0, held - during[:, j].min()))
    return float(np.round(np.mean(lost), 12))
