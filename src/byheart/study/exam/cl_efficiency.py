"""Harun et al. 2023, "How Efficient Are Today's Continual Learning Algorithms?", arXiv:2303.18171."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from byheart.core.strategy import Step, Strategy
from byheart.exam.efficiency import Cost, Meter, relative
from byheart.exam.efficiency import size as bytes_of
from byheart.learn.agem import AGEM
from byheart.learn.derpp import DERpp
from byheart.learn.ewc import EWC
from byheart.learn.gem import GEM
from byheart.learn.icarl import ICaRL
from byheart.learn.lwf import LwF
from byheart.learn.mas import MAS
from byheart.learn.plain import Plain
from byheart.learn.replay import Replay
from byheart.learn.si import SI
from byheart.nets.perceptron import Perceptron
from byheart.study.base.criterion import Criterion
from byheart.study.base.stream import accuracy, by_means, joint
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings, train
from byheart.world.stream.digits import split
from byheart.world.stream.task import Task


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    epochs: int
    train: int
    capacity: int = 200


class Efficiency(Study[Size]):
    """Compute, memory and storage of ten methods on split digits, beside training once on all the data.

    The paper trains recent class-incremental methods on ImageNet and finds that those which solve forgetting
    are inefficient: several need more updates than training from scratch does, several hold or store
    more than the model and the data they spare.
    Here: scikit-learn's 8 x 8 digits, two classes a task, a perceptron, other and smaller methods than the
    paper's, each with its usual settings (EWC, SI, LwF and DER++: those of three-scenarios) and the same number of
    epochs for all, so that one training from scratch on all tasks costs what plain training costs.
    Compute is counted in examples through the model; memory is weights, gradients, Adam's moments and what a
    method holds; storage is weights and what a method keeps. A method solves forgetting
    when its average accuracy is within 0.15 of joint training's.
    """

    claim = "Methods that solve forgetting need more compute and memory than training from scratch on all data"
    quote = "Some methods even require more compute than training from scratch!"
    source = "abstract; comparison of compute, memory and storage"
    primary = Criterion("cheapest", says="compute of the cheapest of these, scratch being 1", at_least=1.1)
    secondary = (
        Criterion("solved", says="methods that come near to joint training", at_least=2),
        Criterion("dearest", says="compute of the dearest of these", at_least=2.5),
        Criterion("memory", says="memory of the leanest of these, scratch being 1", at_least=1.01),
        Criterion("unsolved", says="accuracy of the best method as cheap as scratch, below joint", at_least=0.40),
    )
    scales = Scales(
        smoke=Size(epochs=1, train=40),
        small=Size(epochs=12, train=250),
        full=Size(epochs=40, train=250),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        tasks = split(seed=seed, train=size.train)
        settings = Settings(lr=1e-3, epochs=size.epochs, batch_size=32, seed=seed)
        model = Perceptron(seed=seed)
        with Meter().watch(model) as meter:
            best = joint(model, tasks, settings, measure=meter.pausing(lambda m, task: accuracy(m, task.test)))
        everything = [e for t in tasks for e in t.train]
        scratch = [Cost(trained=meter.trained, held=4 * bytes_of(model), stored=bytes_of(model) + bytes_of(everything))]
        guards: dict[str, Strategy] = {
            "plain": Plain(),
            "ewc": EWC(importance=1e5),
            "si": SI(strength=1.0),
            "mas": MAS(),
            "lwf": LwF(),
            "replay": Replay(capacity=size.capacity),
            "a-gem": AGEM(capacity=size.capacity),
            "gem": GEM(capacity=size.capacity // len(tasks)),
            "der++": DERpp(alpha=0.5, capacity=size.capacity),
            "icarl": ICaRL(memory=size.capacity),
        }
        out: dict[str, float] = {"joint": best}
        for name, guard in guards.items():
            out[name], costs = spend(guard, tasks, settings)
            out |= {f"{name}_{what}": times for what, times in relative(costs, scratch).items()}
        near = [name for name in guards if out[name] >= best - 0.15]
        cheap = [name for name in guards if out[f"{name}_compute"] <= 1.05]
        return out | {
            "solved": len(near),
            "cheapest": min((out[f"{name}_compute"] for name in near), default=0.0),
            "dearest": max((out[f"{name}_compute"] for name in near), default=0.0),
            "memory": min((out[f"{name}_memory"] for name in near), default=0.0),
            "storage": max((out[f"{name}_storage"] for name in near), default=0.0),
            "unsolved": best - max(out[name] for name in cheap),
        }


def spend(guard: Strategy, tasks: list[Task], settings: Settings) -> tuple[float, list[Cost]]:
    """Average accuracy after the last task, and what each stage cost."""
    model = Perceptron(seed=settings.seed)
    weights, costs = bytes_of(model), []
    peak = [0]

    def look(step: Step, _: dict[str, float]) -> None:
        if step.index == step.stage.steps - 1:
            peak[0] = bytes_of(vars(guard), leave=[step.stage.model, *step.stage.model.parameters()])

    for index, task in enumerate(tasks):
        with Meter().watch(model) as meter:
            train(model, task.train, [guard], settings, index=index, name=task.name, on_step=look)
        stored = weights + bytes_of(guard.state_dict())
        costs.append(Cost(read=meter.read, trained=meter.trained, held=4 * weights + peak[0], stored=stored))
    if isinstance(guard, ICaRL):
        return sum(by_means(guard, model, t) for t in tasks) / len(tasks), costs
    return sum(accuracy(model, t.test) for t in tasks) / len(tasks), costs
