"""Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks", arXiv:1612.00796."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byheart.learn.ewc import EWC
from byheart.learn.l2_start import L2ToStart
from byheart.study.base import Arm, Comparison, Criterion, Power, Scales, Tuned
from byheart.train.loop import Settings
from byheart.world.stream.digits import permuted
from byheart.world.stream.task import Task

TUNING = (100, 101, 102)


@dataclass(frozen=True)
class Size:
    """How many permutations, digits of each, and passes."""

    tasks: int
    train: int
    epochs: int


class Consolidation(Comparison[Size]):
    """EWC against plain training and a uniform quadratic penalty on permuted digits.

    The paper trains a perceptron on permuted MNIST (figure 2): plain SGD forgets the earlier permutations, an L2
    penalty of equal strength on all weights keeps the first and cannot learn the others, EWC does both, and stays near
    single-task accuracy over ten permutations where SGD falls.
    Here: scikit-learn's 8 x 8 digits, five permutations, Adam, gradients clipped at 1 as everywhere in this package.
    Rate and strength of every arm have the best average accuracy on the tuning seeds. At the rate of the others, 1e-3,
    plain training is 0.15 worse than at its own (seeds 100 and 101), which learns less and so forgets less.
    """

    claim = "EWC learns new permutations while keeping old ones; SGD forgets them and uniform L2 cannot learn new ones"
    quote = (
        "We show that it is possible to overcome this limitation and train networks that can maintain "
        "expertise on tasks which they have not experienced for a long time."
    )
    source = "figures 2A and 2B"
    primary = Criterion("ewc", over="plain", says="EWC's average accuracy above plain training's", at_least=0.10)
    secondary = (
        Criterion("ewc", over="l2", says="EWC's average accuracy above uniform L2's", at_least=0.05),
        Criterion("ewc_forgotten", of="plain_forgotten", says="share of plain training's forgetting that EWC leaves",
                  at_most=0.55),
        Criterion("ewc_learned", over="plain_learned", says="accuracy on a task just learned, EWC beside plain",
                  at_least=-0.20),
    )  # fmt: skip
    preconditions = (Criterion("plain_forgotten", says="forgetting of plain training", at_least=0.10),)
    seeds, burnt = range(20, 28), frozenset(range(10))
    power = Power((100, 101, 102, 103, 104), spread=0.0234, margin=0.0322, needed=5)
    grid = (
        Tuned("rate of plain training", (3e-5, 1e-4, 3e-4, 1e-3, 3e-3), 1e-4, TUNING),
        Tuned("rate of uniform L2", (1e-4, 3e-4, 1e-3, 3e-3), 1e-3, TUNING),
        Tuned("strength of uniform L2", (0.01, 0.03, 0.1, 0.3, 1.0), 0.1, TUNING),
        Tuned("rate of EWC", (3e-4, 1e-3, 3e-3, 1e-2), 1e-3, TUNING),
        Tuned("strength of EWC", (6.0, 20.0, 60.0, 200.0, 600.0), 60.0, TUNING),
    )
    training = Settings(lr=1e-3, batch_size=32)
    scales = Scales(Size(2, 100, 2), Size(5, 1000, 15), Size(10, 1200, 40))

    def arms(self, size: Size) -> Mapping[str, Arm]:
        return {
            "plain": Arm(lambda: (), 1e-4),
            "l2": Arm(lambda: [L2ToStart(strength=0.1)]),
            "ewc": Arm(lambda: [EWC(importance=60.0)]),
        }

    def stream(self, size: Size, seed: int, world: Any) -> Sequence[Task]:
        return permuted(tasks=size.tasks, seed=seed, train=size.train)
