"""Gandhi et al. 2024, "Catastrophic Interference is Mitigated in Naturalistic Power-Law Learning Environments".

arXiv:2401.10393
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from byheart.core.strategy import Strategy
from byheart.learn.ewc import EWC
from byheart.learn.lwf import LwF
from byheart.learn.si import SI
from byheart.nets.perceptron import Perceptron
from byheart.study.base.criterion import Criterion
from byheart.study.base.stream import Run, joint, run
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings
from byheart.world.stream.digits import permuted
from byheart.world.stream.power_law_environment import Law, environment
from byheart.world.stream.task import Task

LAWS: tuple[Law, ...] = ("none", "power", "exponential", "uniform")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    sets: int
    tasks: int
    train: int
    epochs: int
    decay: float = 0.5
    ewc: float = 3.0
    si: float = 10.0
    lwf: float = 0.25
    few: int = 50


class PowerLaw(Study[Size]):
    """Permuted digits whose earlier permutations come back with a likelihood that falls as a power of time.

    The paper trains a perceptron on ten permutations of MNIST, one new one a phase; in each phase a
    fraction of earlier data comes back, split over the tasks by a power law of the phases since. Plain
    training there keeps the old tasks as well as popular regularisers do without it, or better, and as well as
    where the same amount comes back by other laws, or better; later tasks are learned faster.
    Here: scikit-learn's 8 x 8 digits, a perceptron, Adam; half as much comes back as is new, in all three laws,
    with decays of 0.5 (the exponent reported for human memory). The strengths of EWC, SI and LwF were
    chosen on seeds 100 and 101 for their best average accuracy. Faster means: accuracy on the new task after its
    first 50 steps, less the same without return, grows from the early tasks to the late ones. Figures are means
    over two sets of permutations.
    Tried: a decay of 1, with one set of permutations, on seeds 0 to 2: 0.054 (0.030 to 0.078) below uniform return
    and so beyond the limit, faster by 0.039 (-0.009 to 0.088), all else as claimed; on seed 100 a decay of 2 stays
    further below (0.63 against 0.76): the flatter law is the better one. After 10 steps instead of 50, and
    without taking off what happens without return, the rise was -0.02 and 0.05.
    """

    claim = (
        "In a power-law environment plain training keeps old tasks as well as regularisers or other rehearsal do, "
        "or better, and learns later tasks faster"
    )
    quote = (
        "Notably, our results show that the performance is comparable or superior to that of models trained "
        "using popular regularization methods and also to rehearsals in non-power-law environments."
    )
    source = "abstract; comparison of environments and forward facilitation"
    primary = Criterion("over_regularisers", says="above the best of EWC, SI and LwF without return", at_least=0.0)
    secondary = (
        Criterion("over_none", says="average accuracy above that without return", at_least=0.20),
        Criterion("over_exponential", says="above exponential return", at_least=0.0),
        Criterion("over_uniform", says="beside uniform return", at_least=-0.05),
        Criterion(
            "faster", says="what return adds to early accuracy, last four tasks above second to fifth", at_least=0.02
        ),
    )
    seeds = range(20, 30)
    burnt = frozenset(range(10))
    scales = Scales(
        smoke=Size(sets=1, tasks=6, train=40, epochs=2, few=2),
        small=Size(sets=2, tasks=10, train=400, epochs=10),
        full=Size(sets=5, tasks=10, train=1200, epochs=30),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        sets = [self.measured(size, 1000 * seed + n) for n in range(size.sets)]
        return {name: float(np.mean([f[name] for f in sets])) for name in sets[0]}

    def measured(self, size: Size, seed: int) -> dict[str, float]:
        """Everything measured on one set of permutations."""
        stream = permuted(tasks=size.tasks, seed=seed, train=size.train)
        settings = Settings(lr=1e-3, epochs=size.epochs, batch_size=32, seed=seed)

        def learn(phases: Sequence[Task], guards: Sequence[Strategy] = (), every: int = 0) -> Run:
            return run(Perceptron(seed=seed), phases, guards, settings, every=every, most=100)

        out: dict[str, float] = {}
        early: dict[str, np.ndarray] = {}
        for law in LAWS:
            phases = environment(stream, law=law, decay=size.decay, seed=seed)
            result = learn(phases, every=size.few if law in ("none", "power") else 0)
            out[law] = result.average
            if result.curve:
                early[law] = np.array(speed(result))
        guards: dict[str, Strategy] = {
            "ewc": EWC(importance=size.ewc),
            "si": SI(strength=size.si),
            "lwf": LwF(weight=size.lwf),
        }
        for name, guard in guards.items():
            out[name] = learn(stream, [guard]).average
        eased = early["power"] - early["none"]  # of the same permutation, so that its difficulty drops out
        return out | {
            "joint": joint(Perceptron(seed=seed), stream, settings),
            "over_none": out["power"] - out["none"],
            "over_regularisers": out["power"] - max(out[name] for name in guards),
            "over_exponential": out["power"] - out["exponential"],
            "over_uniform": out["power"] - out["uniform"],
            "faster": float(eased[-4:].mean() - eased[1:5].mean()),
        }


def speed(result: Run) -> list[float]:
    """Accuracy on each phase's new task at the first evaluation of the phase."""
    starts = [0, *(end + 1 for end in result.ends[:-1])]
    return [result.curve[start][phase] for phase, start in enumerate(starts)]
