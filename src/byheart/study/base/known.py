"""A tiny language model that knows a world of people: what studies of forgetting start from."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from byheart.core.strategy import Strategy
from byheart.models import tiny
from byheart.nets import product_keys
from byheart.study.base.answers import exact
from byheart.train.loop import Settings, train
from byheart.world.facts.biographies import Biographies
from byheart.world.stream.skills import WORDS
from byheart.world.stream.task import Task
from byheart.world.words import Vocabulary

ATTRIBUTES = ("town", "job", "dish", "colour")


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How much the model of a study learns before the study starts: see `known`."""

    people: int
    strangers: int
    steps: int
    answers: int


@dataclass
class Known:
    """A world, its words (those of all skills among them) and a model that was trained on biographies.

    Of `people` everybody has been read about; `strangers` more are in the world and in no biography.
    """

    world: Biographies
    words: Vocabulary
    model: nn.Module
    people: int
    strangers: int

    def asked(
        self, people: Iterable[int], wordings: int = 4, attributes: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Questions and answers about these people, every attribute in this many wordings; `"about"` names it."""
        return [
            {**self.words.pair(self.world.question(i, a, n), self.world.value(i, a)), "about": a}
            for i in people
            for a in attributes or self.world.attributes
            for n in range(wordings)
        ]

    def told(self, people: Iterable[int], copies: int = 1, first: int = 0) -> list[dict[str, Any]]:
        """Biographies of these people, in so many copies of different order and wording."""
        return [self.words.text(self.world.biography(i, c)) for i in people for c in range(first, first + copies)]

    @property
    def half(self) -> int:
        """Half of the known people: questions about the first half are trained on, about the others held out."""
        return self.people // 2

    @property
    def trained(self) -> list[dict[str, Any]]:
        """Questions about the first half of the people, in all wordings."""
        return self.asked(range(self.half))

    @property
    def held_out(self) -> list[dict[str, Any]]:
        """Questions about the second half of the people, in two wordings."""
        return self.asked(range(self.half, self.people), 2)

    @property
    def new(self) -> list[dict[str, Any]]:
        """Questions about all strangers, in all wordings."""
        return self.asked(range(self.people, self.people + self.strangers))

    def groups(self, count: int) -> list[Task]:
        """The strangers in so many equal groups, as tasks: questions about them, all wordings, to learn and to hold."""
        each = self.strangers // count
        rows = [self.asked(range(self.people + t * each, self.people + (t + 1) * each)) for t in range(count)]
        return [Task(f"strangers {t}", r, r) for t, r in enumerate(rows)]

    def knowledge(self, model: nn.Module) -> float:
        """Share of the held-out questions that a model answers exactly."""
        return exact(model, self.held_out)

    def taught(
        self, rows: Sequence[dict[str, Any]], settings: Settings, *guards: Strategy, old: Sequence[dict[str, Any]] = ()
    ) -> nn.Module:
        """A copy of the model, trained on rows as the second stage after `old`."""
        model = copy.deepcopy(self.model)
        train(model, rows, guards, settings, index=1, old=old)
        return model


def known(
    people: int,
    *,
    seed: int,
    strangers: int = 0,
    steps: int = 1000,
    answers: int = 200,
    width: int = 96,
    layers: int = 4,
    copies: int = 20,
    attributes: Sequence[str] = ATTRIBUTES,
    extra: Sequence[str] = (),
    memory: int = 0,
) -> Known:
    """Train a model on biographies of all people (`steps`), then to answer about half of them (`answers`).

    With `memory`, the feed-forward block of the middle layer is a memory of that many half keys a side.
    """
    world = Biographies(people + strangers, seed=seed, attributes=attributes)
    words = world.vocabulary(tuple(dict.fromkeys((*WORDS, *extra))))
    model = tiny.model(seed, width=width, layers=layers, vocabulary=len(words))
    if memory:
        product_keys.install(model, layers // 2, side=memory, seed=seed)
    out = Known(world, words, model, people, strangers)
    reading = Settings(lr=3e-3, steps=steps, batch_size=16, schedule="cosine", warmup=0.05, seed=seed)
    train(model, out.told(range(people), copies), (), reading)
    if answers:
        train(model, out.trained, (), Settings(lr=3e-4, steps=answers, batch_size=32, seed=seed))
    return out


def prepared(size: Preparation, *, seed: int, **more: Any) -> Known:
    """`known` of a study's size; `more` are other settings of it, or the same ones changed."""
    amounts = {f.name: getattr(size, f.name) for f in fields(Preparation)}
    return known(**{**amounts, "seed": seed, **more})
