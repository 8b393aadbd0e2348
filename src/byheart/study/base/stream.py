"""Training on a stream of tasks while measuring every task: what most studies do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from byheart.core.strategy import Step, Strategy
from byheart.exam import continual
from byheart.kit.modes import evaluating
from byheart.learn.icarl import ICaRL
from byheart.train.compose import Strategies
from byheart.train.loop import Settings, train
from byheart.train.stream import collate


@dataclass
class Run:
    """Results of training on a stream.

    `matrix[i][j]` is the accuracy on task j after stage i. `untaught` are the accuracies before training. `curve` are
    the accuracies at every evaluation in between, `ends` the row of `curve` after each stage; both are empty unless
    `run` is called with `every`.
    """

    matrix: list[list[float]]
    untaught: list[float]
    model: nn.Module
    seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @property
    def average(self) -> float:
        """Average accuracy after the last stage."""
        return continual.average_accuracy(self.matrix)

    @property
    def learned(self) -> float:
        """Average accuracy on each task just after it was learned."""
        return continual.learning_accuracy(self.matrix)

    @property
    def forgotten(self) -> float:
        """Average forgetting at the end."""
        return continual.forgetting(self.matrix)


def run(
    model: nn.Module,
    tasks: Sequence[Any],
    strategies: Sequence[Strategy] | Strategies = (),
    settings: Settings | None = None,
    *,
    measure: Callable[[nn.Module, Any], float] | None = None,
    every: int = 0,
    most: int = 200,
) -> Run:
    """Train `model` on the tasks in order (each with `train` and `test` examples), examining all after each.

    `measure(model, task)` is the accuracy on a task, by default the share of test examples that are
    right. With `every`, also after that many optimizer steps, on at most `most` test examples each.
    Evaluation draws no randomness and leaves training as it was.
    """
    composed = strategies if isinstance(strategies, Strategies) else Strategies(strategies)
    settings = settings or Settings()
    score = measure or (lambda m, task: accuracy(m, task.test))
    out = Run([], [score(model, t) for t in tasks], model)
    old: list[dict[str, Any]] = []

    def look(step: Step, _: dict[str, float]) -> None:
        if every and (step.index + 1) % every == 0:
            out.curve.append([accuracy(model, t.test[:most]) for t in tasks])

    for index, task in enumerate(tasks):
        started = time.perf_counter()
        train(
            model, task.train, composed, settings, index=index, name=task.name, old=old, on_step=look if every else None
        )
        out.seconds += time.perf_counter() - started
        old = [*old, *task.train]
        out.matrix.append([score(model, t) for t in tasks])
        out.ends.append(len(out.curve) - 1)
    return out


def joint(model: nn.Module, tasks: Sequence[Any], settings: Settings | None = None, **more: Any) -> float:
    """Average accuracy after training on all tasks at once with as many steps in all: the upper bound."""
    from dataclasses import replace

    settings = settings or Settings()
    everything = [e for t in tasks for e in t.train]
    if settings.steps:
        settings = replace(settings, steps=settings.steps * len(tasks))
    train(model, everything, (), settings)
    score = more.get("measure") or (lambda m, task: accuracy(m, task.test))
    return float(np.mean([score(model, t) for t in tasks]))


@torch.no_grad()
def accuracy(model: nn.Module, examples: Sequence[dict[str, Any]], batch: int = 1024) -> float:
    """Share of examples that a classifier gets right."""
    right = 0
    device = next(model.parameters()).device
    with evaluating(model):
        for at in range(0, len(examples), batch):
            inputs = collate(examples[at : at + batch], device)
            labels = inputs.pop("labels")
            output = model(**inputs)
            logits = output.logits if hasattr(output, "logits") else output
            right += int((logits.argmax(-1) == labels).sum())
    return right / max(len(examples), 1)


@torch.no_grad()
def by_means(guard: ICaRL, model: nn.Module, task: Any) -> float:
    """Accuracy on a task's test images by iCaRL's rule; 0 before there are class means."""
    inputs = collate(task.test)
    if not guard.means:
        return 0.0
    return float((guard.classify(model, inputs) == inputs["labels"]).float().mean())


@torch.no_grad()
def by_angle(model: Any, task: Any) -> float:
    """Accuracy of the class whose weights point most nearly where the features do (cosine logits)."""
    inputs = collate(task.test)
    features = F.normalize(model(inputs["x"]).hidden_states[-1], dim=-1)
    classes = (features @ F.normalize(model.head.weight, dim=-1).T).argmax(-1)
    return float((classes == inputs["labels"]).float().mean())
