"""A tiny language model trained on a world of people, from which studies of forgetting start."""

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
    """People and training steps of a study's model before the study starts. See `known`."""

    people: int
    strangers: int
    steps: int
    answers: int


@dataclass
class Known:
    """A world, its vocabulary (which includes the words of all skills) and a model trained on biographies.

    The model has read biographies of the first `people` people. It has read nothing about the last `strangers`.
    """

    world: Biographies
    words: Vocabulary
    model: nn.Module
    people: int
    strangers: int

    def questions(
        self, people: Iterable[int], wordings: int = 4, attributes: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Questions with answers about these people, each attribute in `wordings` wordings; `"about"` names it."""
        return [
            {**self.words.pair(self.world.question(i, a, n), self.world.value(i, a)), "about": a}
            for i in people
            for a in attributes or self.world.attributes
            for n in range(wordings)
        ]

    def biographies(self, people: Iterable[int], copies: int = 1, first: int = 0) -> list[dict[str, Any]]:
        """Biographies of these people, `copies` for each, which differ in order and wording."""
        return [self.words.text(self.world.biography(i, c)) for i in people for c in range(first, first + copies)]

    @property
    def half(self) -> int:
        """Half the number of known people. Questions about the first half are trained, about the second held out."""
        return self.people // 2

    @property
    def trained(self) -> list[dict[str, Any]]:
        """Questions about the first half of the people, in all wordings."""
        return self.questions(range(self.half))

    @property
    def held_out(self) -> list[dict[str, Any]]:
        """Questions about the second half of the people, in two wordings."""
        return self.questions(range(self.half, self.people), 2)

    @property
    def new(self) -> list[dict[str, Any]]:
        """Questions about all strangers, in all wordings."""
        return self.questions(range(self.people, self.people + self.strangers))

    def groups(self, count: int) -> list[Task]:
        """The strangers in `count` equal groups, as tasks. A task trains and tests on the same questions."""
        each = self.strangers // count
        rows = [self.questions(range(self.people + t * each, self.people + (t + 1) * each)) for t in range(count)]
        return [Task(f"strangers {t}", r, r) for t, r in enumerate(rows)]

    def knowledge(self, model: nn.Module) -> float:
        """Share of the held-out questions that a model answers exactly."""
        return exact(model, self.held_out)

    def taught(
        self, rows: Sequence[dict[str, Any]], settings: Settings, *guards: Strategy, old: Sequence[dict[str, Any]] = ()
    ) -> nn.Module:
        """A copy of the model, trained on `rows` as the second stage after `old`."""
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
    """Train a model on biographies of all people for `steps`, then on questions about half of them for `answers` steps.

    With `memory`, a product-key memory with that many half keys on each side replaces the feed-forward block of the
    middle layer.
    """
    world = Biographies(people + strangers, seed=seed, attributes=attributes)
    words = world.vocabulary(tuple(dict.fromkeys((*WORDS, *extra))))
    model = tiny.model(seed, width=width, layers=layers, vocabulary=len(words))
    if memory:
        product_keys.install(model, layers // 2, side=memory, seed=seed)
    out = Known(world, words, model, people, strangers)
    reading = Settings(lr=3e-3, steps=steps, batch_size=16, schedule="cosine", warmup=0.05, seed=seed)
    train(model, out.biographies(range(people), copies), (), reading)
    if answers:
        train(model, out.trained, (), Settings(lr=3e-4, steps=answers, batch_size=32, seed=seed))
    return out


def prepared(size: Preparation, *, seed: int, **more: Any) -> Known:
    """`known` with the amounts of a study's size. `more` adds settings or overrides these."""
    amounts = {f.name: getattr(size, f.name) for f in fields(Preparation)}
    return known(**{**amounts, "seed": seed, **more})
