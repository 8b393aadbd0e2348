"""Chen et al. 2025, "SEFE: Superficial and Essential Forgetting Eliminator ...", arXiv:2505.02486."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from byheart.core.strategy import Strategy
from byheart.learn.lora import LoRA
from byheart.learn.olora import OLoRA
from byheart.learn.sefe import SEFE
from byheart.study.base.answers import given
from byheart.study.base.criterion import Criterion
from byheart.study.base.known import Known, Preparation, prepared
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings, train
from byheart.world.stream.task import Task

STYLES = ("pair", "check", "full", "word")
EXTRA = (*STYLES, "yes", "no", ":")


@dataclass
class _End:
    """Shares of the answers to earlier tasks' questions after the last task: of all in the wrong form, of those in
    the right form wrong, of all right; and what was right just after each task."""

    superficial: float
    essential: float
    right: float
    learned: float


@dataclass(frozen=True, kw_only=True)
class Size(Preparation):
    """How big a run is, and the settings of its arms."""

    before: int
    each: int
    orders: int
    lr: float = 1e-3
    strength: float = 25.0
    vary: float = 0.2


class Forms(Study[Size]):
    """Two kinds of forgetting, and what styles of answers and protected entries do against each.

    The paper tunes LLaVA-1.5 with LoRA on eight benchmarks in a row, each with its own form of answers. After a task
    the answers to earlier ones take its form (superficial forgetting); among those in the right form some are wrong
    (essential forgetting). Putting a fifth of every task's examples in other styles (ASD) removes most of the first
    and improves every method; protecting the largest entries of earlier updates (RegLoRA) beside it lessens the
    second. Both together exceed full fine-tuning, LoRA and O-LoRA (tables 1 to 4).
    Here: a Llama of 4 layers that knows 100 people has been shown four forms of answers briefly: one word,
    `pair : Fennholm`, the name and the value as a sentence, yes or no to a value that is offered; a word at the
    question's end names the form. It then answers four kinds of questions in a row, each about another attribute and in
    another form. Tasks are trained on one half of the people and tested on the other. The form of an answer is
    judged by its first word. Full fine-tuning is left out. The strength of protection (of 25 and 250) was chosen on
    seed 100; the steps before the stream and of a task, the rate of 1e-3 for all and the share of other styles (of
    0.2 and 0.5) were set there too, with forms that named the attribute.
    All figures are means over streams, each with the forms and the attributes in another order.
    Tried: on seed 100, with forms that named the attribute, after 400 steps of all forms LoRA forgets none. With
    one stream a seed and no other order, on seeds 0 to 2, the claim failed: LoRA answered in the wrong form 0.01, 0.92
    and 0.02 of the time, for whether a form is forgotten depends on how well it was known and which came last; SEFE was
    0.034 above styles alone (-0.007 to 0.076) and level with O-LoRA. With three streams and fewer steps of all forms
    before: after 50, all shows on seed 101 and on seed 102 all but O-LoRA, which is level; after 75, on seed 102
    protection adds 0.09 and O-LoRA is 0.26 ahead, with two fifths in other styles as with one.
    """

    claim = (
        "mixed styles undo superficial forgetting, protected entries lessen the essential one, both together do best"
    )
    quote = "Experimental results demonstrate that our overall method, SEFE, achieves state-of-the-art performance."
    source = "abstract; sections 3 to 5; tables 1 to 4"
    primary = Criterion("over_olora", says="right answers to earlier tasks, less O-LoRA's", at_least=0.05)
    secondary = (
        Criterion("form_left", says="share of these that mixed styles leave", at_most=0.5),
        Criterion("styles_over_lora", says="right answers to earlier tasks, LoRA with styles", at_least=0.1),
        Criterion("essential_less", says="wrong answers in the right form, less by protection", at_least=0.02),
        Criterion("over_styles", says="right answers to earlier tasks, less styles alone", at_least=0.02),
    )
    preconditions = (Criterion("superficial", says="answers in the wrong form after LoRA", at_least=0.2),)
    seeds = range(20, 25)
    burnt = frozenset(range(3))
    scales = Scales(
        smoke=Size(people=6, strangers=0, steps=4, answers=2, before=1, each=1, orders=1),
        small=Size(people=100, strangers=0, steps=1000, answers=200, before=100, each=100, orders=3),
        full=Size(people=400, strangers=0, steps=6000, answers=800, before=400, each=400, orders=5),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        base = prepared(size, seed=seed, extra=EXTRA)
        rng = np.random.default_rng([seed, 5])
        streams = [_stream(base, rng, seed) for _ in range(size.orders)]
        styles = [partial(restyled, base, form) for form in STYLES]

        settings = Settings(lr=size.lr, steps=size.each, batch_size=16, seed=seed)
        forms = [
            question(base, i, a, form, n, seed)
            for i in range(base.half)
            for a in base.world.attributes
            for form in STYLES
            for n in range(4)
        ]
        train(base.model, forms, (), replace(settings, steps=size.before))

        def walk(made: Callable[[], Strategy]) -> _End:
            """The mean over the streams."""
            ends = [vars(_walk(copy.deepcopy(base.model), base, s, [made()], settings)) for s in streams]
            return _End(**{k: float(np.mean([end[k] for end in ends])) for k in ends[0]})

        ways = {
            "lora": walk(lambda: LoRA(rank=8, alpha=16.0)),
            "olora": walk(lambda: OLoRA(rank=8, alpha=16.0)),
            "styles": walk(lambda: SEFE(rank=8, alpha=16.0, strength=0.0, styles=styles, vary=size.vary)),
            "sefe": walk(lambda: SEFE(rank=8, alpha=16.0, strength=size.strength, styles=styles, vary=size.vary)),
        }
        return {
            **{f"{name}_{k}": v for name, end in ways.items() for k, v in vars(end).items()},
            "superficial": ways["lora"].superficial,
            "form_left": ways["styles"].superficial / max(ways["lora"].superficial, 1e-9),
            "styles_over_lora": ways["styles"].right - ways["lora"].right,
            "essential_less": ways["styles"].essential - ways["sefe"].essential,
            "over_styles": ways["sefe"].right - ways["styles"].right,
            "over_olora": ways["sefe"].right - ways["olora"].right,
        }


def _stream(base: Known, rng: np.random.Generator, salt: int) -> list[Task]:
    """The forms in an order drawn at random, each about an attribute drawn at random, no two about the same."""
    forms = [STYLES[i] for i in rng.permutation(len(STYLES))]
    attributes = [list(base.world.attributes)[i] for i in rng.permutation(len(forms))]
    return [
        Task(
            form,
            [question(base, i, a, form, n, salt) for i in range(base.half) for n in range(4)],
            [question(base, i, a, form, n, salt) for i in range(base.half, base.people) for n in range(2)],
        )
        for a, form in zip(attributes, forms, strict=True)
    ]


def question(base: Known, person: int, attribute: str, form: str, wording: int, salt: int) -> dict[str, Any]:
    """A question about a person with its answer in this form; the person and the attribute go with it."""
    world = base.world
    question, value = world.question(person, attribute, wording), world.value(person, attribute)
    if form == "check":
        rng = np.random.default_rng([salt, person, wording])
        others = [v for v in world.attributes[attribute].values if v != value]
        offered = value if rng.random() < 0.5 else others[int(rng.integers(len(others)))]
        question, answer = f"{question} {offered}", "yes" if offered == value else "no"
    else:
        answer = {"word": value, "pair": f"pair : {value}", "full": f"{world.name(person)} : {value} ."}[form]
    made = base.words.pair(f"{question} {form} :", answer)
    return {**made, "person": person, "attribute": attribute, "form": form, "wording": wording}


def restyled(base: Known, form: str, example: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
    """The same question, to be answered in another form."""
    salt = int(torch.randint(1 << 30, (), generator=generator))
    return question(base, example["person"], example["attribute"], form, example["wording"], salt)


def openings(base: Known, example: dict[str, Any]) -> set[int]:
    """The tokens that an answer in the example's form may begin with."""
    firsts = {
        "check": ("yes", "no"),
        "word": base.world.attributes[example["attribute"]].values,
        "pair": ("pair",),
        "full": (base.world.name(example["person"]),),
    }[example["form"]]
    return {base.words.encode(w)[0] for w in firsts}


def _walk(
    model: nn.Module, base: Known, stream: Sequence[Task], guards: Sequence[Strategy], settings: Settings
) -> _End:
    learned = []
    for index, task in enumerate(stream):
        train(model, task.train, guards, settings, index=index)
        learned.append(np.mean([predicted == right for predicted, right in given(model, task.test)]))
    earlier = [e for task in stream[:-1] for e in task.test]
    predictions = given(model, earlier)
    formed = [predicted[0] in openings(base, e) for (predicted, _), e in zip(predictions, earlier, strict=True)]
    right = [predicted == answer for predicted, answer in predictions]
    correct = sum(r and f for r, f in zip(right, formed, strict=True))
    return _End(
        superficial=1 - float(np.mean(formed)),
        essential=1 - correct / max(sum(formed), 1),
        right=float(np.mean(right)),
        learned=float(np.mean(learned)),
    )
