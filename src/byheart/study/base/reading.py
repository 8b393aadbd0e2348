"""Questions about people who do not exist, passages to answer them from, and a language model that reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from byheart.core.protocols import Subject
from byheart.core.records import Hit
from byheart.exam.match import contains
from byheart.world.facts.people import people


@dataclass(frozen=True)
class Asked:
    """A question, its answer, and passages of which the first holds it; the others tell the like of other people."""

    question: str
    answer: str
    hits: tuple[Hit, ...]


def asked(count: int, *, passages: int, facts: int = 4, seed: int = 0) -> list[Asked]:
    """So many questions about different people, each with passages of so many facts, the right one first.

    >>> one = asked(3, passages=4, seed=1)[0]
    >>> len(one.hits), one.answer in one.hits[0].text, any(one.answer in h.text for h in one.hits[1:])
    (4, True, False)
    """
    rng = np.random.default_rng(seed)
    world = people(max(count, passages) + passages, seed=seed)
    out = []
    for n in range(count):
        chosen = rng.permutation(len(world[n]))[:facts]
        fact = world[n][chosen[0]]
        others = [i for i in rng.permutation(len(world)) if i != n]
        texts = [(n, world[n])] + [(i, world[i]) for i in others]
        hits: list[Hit] = []
        for i, told in texts:
            lines = [told[c].statement for c in rng.permutation(chosen)]
            if len(hits) < passages and (not hits or all(fact.answer not in line for line in lines)):
                hits.append(Hit(id=f"p{i}", text=" ".join(lines), score=1.0 - len(hits) / passages))
        out.append(Asked(fact.question, fact.answer, tuple(hits)))
    return out


def right(subject: Subject, questions: Sequence[Asked], order: Callable[[Asked], Sequence[Hit]]) -> float:
    """Share of questions answered right when the passages are read in this order."""
    prompts = [
        [
            {"role": "system", "content": "Answer in a few words."},
            {"role": "user", "content": "".join(f"{h.text}\n\n" for h in order(q)) + q.question},
        ]
        for q in questions
    ]
    told = subject.generate(prompts, max_tokens=16)
    return fmean(contains(t[0].text, q.answer) for t, q in zip(told, questions, strict=True))
