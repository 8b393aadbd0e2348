"""Studies that train one model on one stream of tasks once for each arm: the arms are all that differs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from torch import nn

from byheart.core.strategy import Strategy
from byheart.learn.icarl import ICaRL
from byheart.nets.perceptron import Perceptron
from byheart.study.base.sgd import SGD
from byheart.study.base.stream import Run, by_means, run
from byheart.study.base.study import S, Study
from byheart.train.loop import Settings
from byheart.world.stream.task import Task

Measure = Callable[[nn.Module, Any], float]


@dataclass(frozen=True)
class Arm:
    """One way to train: its strategies (made anew for each stream), its learning rate, and how accuracy is measured.

    The rate is that of `Comparison.training`, if None. `measure(model, task)` is the share of test examples that are
    right unless given; with iCaRL among the strategies, by its class means.
    """

    strategies: Callable[[], Sequence[Strategy]]
    lr: float | None = None
    measure: Measure | None = None


def sgd(lr: float, *guards: Callable[[], Strategy], measure: Measure | None = None) -> Arm:
    """An arm that trains by plain gradient descent at this rate, guarded by strategies."""
    return Arm(lambda: [*(made() for made in guards), SGD(lr=lr)], lr, measure)


class Comparison(Study[S]):
    """A study whose arms differ in strategies alone; a subclass gives its arms and its stream.

    Measured for each arm: NAME (average accuracy at the end), NAME_learned (on each task just learned),
    NAME_forgotten (average forgetting), and what `more` adds; means over as many orders of the stream as the size's
    `orders` says (one, if it has none). Criteria compare these: `Criterion("ewc", over="plain", at_least=0.1)`.

    training: how every arm is trained, but for its seed, an arm's own rate, and the size's `epochs`. widths: of the
    perceptron's hidden layers.
    """

    training: ClassVar[Settings] = Settings()
    widths: ClassVar[tuple[int, ...]] = (100, 100)

    @abstractmethod
    def arms(self, size: S) -> Mapping[str, Arm]:
        """The arms by name."""

    @abstractmethod
    def stream(self, size: S, seed: int, world: Any) -> Sequence[Task]:
        """The tasks, in the order of this seed."""

    def world(self, size: S, seed: int, data: Path | None) -> Any:
        """What all orders of a seed share, made once and given to `stream`."""

    def model(self, size: S, seed: int, stream: Sequence[Task]) -> nn.Module:
        """The model that every arm starts from: a perceptron as wide as the stream's inputs and classes."""
        classes = 1 + max(e["labels"] for task in stream for e in task.train)
        return Perceptron(inputs=len(stream[0].train[0]["x"]), widths=self.widths, classes=classes, seed=seed)

    def more(self, done: Run, stream: Sequence[Task]) -> dict[str, float]:
        """Further measures of an arm, by the word after its name."""
        return {}

    def run(self, size: S, *, seed: int, data: Path | None = None) -> dict[str, float]:
        """Every measure of every arm, as a mean over orders."""
        world = self.world(size, seed, data)
        values: dict[str, list[float]] = {}
        for order in range(getattr(size, "orders", 1)):
            start = 1000 * seed + order
            stream = self.stream(size, start, world)
            for name, arm in self.arms(size).items():
                done = self._train(size, start, stream, arm)
                measures = {"learned": done.learned, "forgotten": done.forgotten, **self.more(done, stream)}
                values.setdefault(name, []).append(done.average)
                for word, value in measures.items():
                    values.setdefault(f"{name}_{word}", []).append(value)
        return {name: fmean(v) for name, v in values.items()}

    def _train(self, size: S, seed: int, stream: Sequence[Task], arm: Arm) -> Run:
        strategies = arm.strategies()
        lr = self.training.lr if arm.lr is None else arm.lr
        epochs = getattr(size, "epochs", self.training.epochs)
        measure = arm.measure
        for strategy in strategies:
            if isinstance(strategy, ICaRL) and measure is None:
                measure = _Means(strategy)
        settings = replace(self.training, lr=lr, epochs=epochs, seed=seed)
        return run(self.model(size, seed, stream), stream, strategies, settings, measure=measure)


@dataclass(frozen=True)
class _Means:
    """Accuracy by iCaRL's class means."""

    guard: ICaRL

    def __call__(self, model: nn.Module, task: Any) -> float:
        return by_means(self.guard, model, task)
