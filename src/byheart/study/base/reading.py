"""Questions about invented people, passages that hold the answers, and a language model that reads them."""

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
class Question:
    """A question, its answer and passages. The first passage holds the answer, the others are about other people."""

    question: str
    answer: str
    hits: tuple[Hit, ...]


def questions(count: int, *, passages: int, facts: int = 4, seed: int = 0) -> list[Question]:
    """`count` questions about different people, each with passages of `facts` facts, the right passage first.

    >>> question = questions(3, passages=4, seed=1)[0]
    >>> hits, answer = question.hits, question.answer
    >>> len(hits), answer in hits[0].text, any(answer in h.text for h in hits[1:])
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
        for i, person in texts:
            lines = [person[c].statement for c in rng.permutation(chosen)]
            if len(hits) < passages and (not hits or all(fact.answer not in line for line in lines)):
                hits.append(Hit(id=f"p{i}", text=" ".join(lines), score=1.0 - len(hits) / passages))
        out.append(Question(fact.question, fact.answer, tuple(hits)))
    return out


def right(subject: Subject, questions: Sequence[Question], order: Callable[[Question], Sequence[Hit]]) -> float:
    """Share of questions that the model answers right when it reads the passages in this order."""
    prompts = [
        [
            {"role": "system", "content": "Answer in a few words."},
            {"role": "user", "content": "".join(f"{h.text}\n\n" for h in order(q)) + q.question},
        ]
        for q in questions
    ]
    replies = subject.generate(prompts, max_tokens=16)
    return fmean(contains(t[0].text, q.answer) for t, q in zip(replies, questions, strict=True))
