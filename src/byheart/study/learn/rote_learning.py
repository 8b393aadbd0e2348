"""Wu et al. 2025, "Rote Learning Considered Useful: Generalizing over Memorized Data in LLMs", arXiv:2507.21914."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from byheart.core.strategy import Stage, Strategy
from byheart.learn.rote_learning import RoteLearning
from byheart.study.base.answers import exact
from byheart.study.base.criterion import Criterion
from byheart.study.base.known import Known, Preparation, prepared
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings, train
from byheart.world.words import START

KEYS = ("copy", "reverse", "sort", "swap")
"""Words that no biography or question holds: meaningless keys, one for each attribute."""
FEW = 0.25


@dataclass(frozen=True, kw_only=True)
class Size(Preparation):
    """How big a run is, and the settings of its arms."""

    rote: int
    tie: int
    lr: float = 3e-4
    gentle: float = 0.1


class Rote(Study[Size]):
    """Facts memorised behind meaningless keys, tested by questions that were trained for few of them.

    The paper has eight models memorise subject, key and object, and then learns one to ten prompts on a few of the
    facts: the others, never seen in any prompt, are answered under these prompts and under unseen wordings,
    the better the deeper they were memorised, and with fewer training tokens than learning from prompts directly.
    Here: a Llama of 4 layers that knows 100 people by biographies and questions; the facts of 20 strangers are
    memorised by key; questions in two wordings are learned about a quarter of them; the other fifteen are
    tested in these two wordings and in two more, which the model knows from other people. Learning the questions
    of the quarter alone is the chance level. The learning rate, and a tenth of it for the second phase (the whole of
    it undoes what was memorised), were chosen on seed 100. Unlike in the paper, half of the facts are
    known from questions before any is tied to the key: four attributes have values of four kinds.

    Tried: eight seeds instead of three, for what a deeper memorising adds lay at 0.05, 0.16 and 0.13. It is 0.05 to
    0.17 on seeds 0 to 4 and -0.03 to 0.02 on seeds 5 to 7, on which questions are tied to few keys at all (0.16 to
    0.34 of the held-out facts, 0.48 to 0.64 on the others): there is nothing that depth could add to. The second phase
    undoes part of the first, and not evenly: 0.42 to 0.62 of the facts are still recalled by key after it.
    """

    claim = "facts memorised by a meaningless key are answered in real questions once a few are tied to the key"
    quote = "In this work, we demonstrate that LLMs can be trained to generalize from rote memorized data."
    source = "sections 4.1 and 4.2, figures 3 and 4"
    primary = Criterion("gain", says="held-out facts answered, beyond never memorising them", at_least=0.25)
    secondary = (
        Criterion("tied", says="held-out facts answered, beyond memorising alone", at_least=0.05),
        Criterion("paraphrased", says="the same in wordings not tied to the key", at_least=0.20),
        Criterion("deeper", says="held-out facts answered, beyond a third of the memorising", at_least=0.05),
    )
    preconditions = (Criterion("memorised", says="facts that are told by key after the first phase", at_least=0.95),)
    seeds = range(8)
    scales = Scales(
        smoke=Size(people=6, strangers=4, steps=4, answers=2, rote=2, tie=2),
        small=Size(people=100, strangers=20, steps=1000, answers=200, rote=200, tie=60),
        full=Size(people=400, strangers=80, steps=6000, answers=800, rote=1000, tie=300),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        base = prepared(size, seed=seed)
        everybody = range(base.people, base.people + base.strangers)
        rows = facts(base, everybody)

        def teach(count: int, *guards: Strategy, data: Sequence[dict[str, Any]] = rows) -> nn.Module:
            model = copy.deepcopy(base.model)
            train(model, data, guards, Settings(lr=size.lr, steps=count, batch_size=32, seed=seed))
            return model

        def two(first: int) -> nn.Module:
            return teach(first + size.tie, RoteLearning(share=first / (first + size.tie), few=FEW, gentle=size.gentle))

        memorised, ours, shallow = (
            teach(size.rote, RoteLearning(share=1.0)),
            two(size.rote),
            two(max(size.rote // 3, 1)),
        )
        picked = _picked(base, rows, seed)
        others = [i for i in everybody if i not in picked]
        never = teach(size.tie, data=[r for r in rows if r["fact"] in picked])

        def answered(model: nn.Module, wordings: range) -> float:
            return exact(
                model,
                [
                    base.words.pair(base.world.question(i, a, n), base.world.value(i, a))
                    for i in others
                    for a in base.world.attributes
                    for n in wordings
                ],
            )

        by_key = [RoteLearning().rote(r) for r in rows]
        tied_, unseen = range(2), range(2, 4)
        return {
            "memorised": exact(memorised, by_key),
            "by_rote": answered(memorised, tied_),
            "by_rote_unseen": answered(memorised, unseen),
            "held_out": answered(ours, tied_),
            "held_out_unseen": answered(ours, unseen),
            "never": answered(never, tied_),
            "never_unseen": answered(never, unseen),
            "shallow": answered(shallow, tied_),
            "kept": base.knowledge(ours),
            "tied": answered(ours, tied_) - answered(memorised, tied_),
            "gain": answered(ours, tied_) - answered(never, tied_),
            "paraphrased": answered(ours, unseen) - answered(never, unseen),
            "deeper": answered(ours, tied_) - answered(shallow, tied_),
        }


def facts(base: Known, people: range) -> list[dict[str, Any]]:
    """Questions about people in two wordings, with subject and key as `rote` and the person as `fact`."""
    out = []
    for i in people:
        for a, key in zip(base.world.attributes, KEYS, strict=True):
            rote = base.words.encode(f"{base.world.name(i)} {key}")
            out += [
                {
                    **base.words.pair(base.world.question(i, a, n), base.world.value(i, a)),
                    "rote": [START, *rote],
                    "fact": i,
                }
                for n in range(2)
            ]
    return out


def _picked(base: Known, rows: Sequence[dict[str, Any]], seed: int) -> set[int]:
    """The people whose questions the second phase is about, as `train` with this seed draws them."""
    return {rows[k]["fact"] for k in RoteLearning(few=FEW).chosen(Stage(base.model, rows, None, None, seed=seed))}
