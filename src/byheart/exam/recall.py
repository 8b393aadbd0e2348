"""Closed-book recall and recognition of question/answer items."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from byheart.core.protocols import Prompt, Subject
from byheart.core.records import Item, Result
from byheart.exam.match import right

LEAST_TOKENS, MOST_TOKENS = 24, 160
"""Of a reply, where the caller does not say: a token is at least a byte of the answer."""


def ask(question: str) -> Prompt:
    """How every exam, and `Memory.ask`, puts a question to a chat model."""
    return [{"role": "user", "content": question}]


def recall(
    subject: Subject,
    items: Sequence[Item],
    *,
    max_tokens: int | None = None,
    version: str | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Ask each item closed-book, greedily, with room for the longest gold answer; value 1 when the reply is right.

    It is where the gold answer, or a form in `Item.accept`, stands in it.

    The exam is named by the item's probe: `recall/direct`, `recall/paraphrase`, `recall/reversed`.
    Chance is 0: a subject that never met the fact does not guess a name.
    """
    if not items:
        return []
    replies: list[str] = []
    size = 64
    for at in range(0, len(items), size):
        part = items[at : at + size]
        room = max_tokens or max(LEAST_TOKENS, *(len(i.answer.encode()) + 4 for i in part))
        out = subject.generate([ask(i.question) for i in part], max_tokens=min(room, MOST_TOKENS), seed=seed)
        replies.extend(o[0].text for o in out)
        if progress:
            progress(len(replies), len(items))
    return [
        Result(
            exam=f"recall/{item.probe}",
            item=item.id,
            value=float(right(text, item)),
            chance=0.0,
            engram=item.engram,
            version=version,
            seed=seed,
            detail={"said": text},
        )
        for item, text in zip(items, replies, strict=True)
    ]


def recognition(
    subject: Subject, items: Sequence[Item], *, foils: int = 3, version: str | None = None, seed: int = 0
) -> list[Result]:
    """Is the gold answer likelier, per token, than answers to other questions of the same kind?

    Foils are drawn from the other items' answers but those that `Item.accept` holds, those whose question shares
    most words first (names aside), so that a year is told from years. Value 1 when gold beats them all; chance is
    1 / (1 + foils drawn).
    After Orhan 2023 (arXiv:2303.17557), who compares seen with unseen sentences.
    """
    rng = random.Random(seed)
    answers = sorted({i.answer for i in items})
    pairs: list[tuple[Prompt, str]] = []
    counts = []
    for item in items:
        words = _frame(item.question)
        near = {o.answer: len(words & _frame(o.question)) for o in items if o.answer != item.answer}
        others = sorted(
            (a for a in answers if a not in (item.answer, *item.accept)), key=lambda a: (-near.get(a, 0), rng.random())
        )
        chosen = [item.answer, *others[:foils]]
        pairs.extend((ask(item.question), a) for a in chosen)
        counts.append(len(chosen))
    scores = iter(subject.score(pairs))
    results = []
    for item, n in zip(items, counts, strict=True):
        means = [sum(s) / max(len(s), 1) for s in (next(scores) for _ in range(n))]
        results.append(
            Result(
                exam="recognition",
                item=item.id,
                value=float(n > 1 and means[0] > max(means[1:])),
                chance=1.0 / n,
                engram=item.engram,
                version=version,
                seed=seed,
                detail={"gold": means[0], "foils": means[1:]},
            )
        )
    return results


def _frame(question: str) -> set[str]:
    """The words of a question but its names: two questions about the same person are not of the same kind.

    >>> sorted(_frame("Where was Marta Kask born?"))
    ['born?', 'was', 'where']
    """
    return {w.casefold() for n, w in enumerate(question.split()) if n == 0 or not w[0].isupper()}


def lost(before: Sequence[Result], after: Sequence[Result]) -> list[str]:
    """Items that were right before and are wrong after."""
    right = {r.item for r in before if r.value == 1.0}
    return [r.item for r in after if r.item in right and r.value == 0.0]
