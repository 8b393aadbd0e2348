"""A pretrained model and facts that it cannot know, from which studies of the damage of tuning start."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from torch import nn

from byheart.core.records import Item
from byheart.core.strategy import Strategy
from byheart.exam import general
from byheart.exam.recall import ask
from byheart.models.lm import LanguageModel, load
from byheart.study.base.answers import exact
from byheart.train.loop import Settings, train
from byheart.world.facts.people import people
from byheart.world.stream.task import Task


def first_sixty() -> tuple[Item, ...]:
    """The first 60 questions of the quiz: it had no others when the results of the studies were recorded."""
    return general.quiz()[:60]


@dataclass
class Pretrained:
    """An untuned language model. The exam's general texts and 60 questions of its quiz measure what it knows."""

    lm: LanguageModel

    def copy(self) -> nn.Module:
        """A copy of the untuned model, to tune."""
        return copy.deepcopy(self.lm.model)

    def facts(self, groups: int, each: int, seed: int) -> list[Task]:
        """`groups` tasks of `each` new people, ten facts a person. A task trains and tests on the same questions."""
        made = people(groups * each, seed=seed)
        out = []
        for n in range(groups):
            facts = [f for person in made[n * each : (n + 1) * each] for f in person]
            rows = [self.lm.example(ask(f.question), f.answer) for f in facts]
            out.append(Task(f"people {n}", rows, rows))
        return out

    def loss(self, model: nn.Module) -> float:
        """Nats per token of the exam's general texts."""
        return general.mean_loss(general.loss(self._as(model)))

    def quiz(self, model: nn.Module) -> float:
        """Share of `first_sixty()` that the model answers right."""
        return fmean(r.value for r in general.common(self._as(model), first_sixty()))

    def _as(self, model: nn.Module) -> LanguageModel:
        return LanguageModel(model, self.lm.tokenizer, self.lm.name)


@dataclass
class Tuned:
    """Results of tuning on tasks in a row.

    `learned` is the accuracy on a task right after its training, `held` that at the end, both means over tasks. `loss`
    is in nats per token of general texts, `quiz` the share of the quiz answered right.
    """

    model: nn.Module
    learned: float
    held: float
    loss: float
    quiz: float


def pretrained(name: str) -> Pretrained:
    """A model by its name, such as `smollm2-135m`."""
    return Pretrained(load(name))


def tune(base: Pretrained, tasks: Sequence[Task], settings: Settings, *guards: Strategy) -> Tuned:
    """Train a copy of the model on the tasks in order and examine it."""
    from byheart.train.compose import Strategies

    model, composed = base.copy(), Strategies(guards)
    learned: list[float] = []
    old: list[dict[str, Any]] = []
    for index, task in enumerate(tasks):
        train(model, task.train, composed, settings, index=index, name=task.name, old=old)
        learned.append(exact(model, task.test))
        old += task.train
    held = fmean(exact(model, t.test) for t in tasks)
    return Tuned(model, fmean(learned), held, base.loss(model), base.quiz(model))
