"""Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks", arXiv:1612.00796."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from byheart.learn.ewc import EWC
from byheart.learn.l2_start import L2ToStart
from byheart.nets.perceptron import Perceptron
from byheart.study.stream import run
from byheart.study.trial import Criterion, Scale, Study
from byheart.train.loop import Settings
from byheart.world.digits import permuted


class Consolidation(Study):
    """EWC against plain SGD and a uniform quadratic penalty on permuted digits.

    The paper trains a perceptron on permuted MNIST (figure 2): plain SGD forgets the earlier
    permutations, an L2 penalty of equal strength on all weights keeps the first and cannot learn the
    others, EWC does both, and stays near single-task accuracy over ten permutations where SGD falls.
    Here: scikit-learn's 8 x 8 digits, five permutations, Adam as everywhere in this package; both
    strengths were chosen on seeds 100 and 101, each for its own method's average accuracy.
    """

    claim = "EWC learns new permutations while keeping old ones; SGD forgets them and uniform L2 cannot learn new ones"
    source = "figures 2A and 2B"
    criteria = (
        Criterion(measure="ewc_over_plain", says="EWC's average accuracy above plain training's", at_least=0.10),
        Criterion(measure="ewc_over_l2", says="EWC's average accuracy above uniform L2's", at_least=0.05),
        Criterion(measure="kept", says="share of plain training's forgetting that EWC leaves", at_most=0.55),
        Criterion(measure="learned", says="accuracy on a task just learned, EWC beside plain", at_least=-0.20),
    )
    scales: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {
        "smoke": {"tasks": 2, "train": 100, "epochs": 2},
        "small": {"tasks": 5, "train": 1000, "epochs": 15},
        "full": {"tasks": 10, "train": 1200, "epochs": 40},
    }

    def run(  # type: ignore[override]
        self, *, seed: int, tasks: int, train: int, epochs: int, importance: float = 60.0, l2: float = 0.1
    ) -> dict[str, float]:
        stream = permuted(tasks=tasks, seed=seed, train=train)
        settings = Settings(lr=1e-3, epochs=epochs, batch_size=32, seed=seed)
        plain = run(Perceptron(seed=seed), stream, [], settings)
        uniform = run(Perceptron(seed=seed), stream, [L2ToStart(strength=l2)], settings)
        ours = run(Perceptron(seed=seed), stream, [EWC(importance=importance)], settings)
        return {
            "plain": plain.average,
            "l2": uniform.average,
            "ewc": ours.average,
            "ewc_over_plain": ours.average - plain.average,
            "ewc_over_l2": ours.average - uniform.average,
            "kept": ours.forgotten / max(plain.forgotten, 1e-9),
            "learned": ours.learned - plain.learned,
        }
