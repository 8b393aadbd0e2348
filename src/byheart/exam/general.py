"""General ability: loss on general text, a quiz of common knowledge, and how far the model moved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from byheart.core.protocols import Subject
from byheart.core.records import Item, Result
from byheart.exam.recall import recall


@cache
def passages() -> tuple[str, ...]:
    """The built-in general text: short passages on unrelated subjects, written for this exam."""
    text = files("byheart.exam").joinpath("general.txt").read_text(encoding="utf-8")
    return tuple(p.strip() for p in text.split("\n\n") if p.strip())


@cache
def quiz() -> tuple[Item, ...]:
    """The built-in quiz of common knowledge: 300 questions, several forms of an answer with | between them."""
    lines = files("byheart.exam").joinpath("quiz.tsv").read_text(encoding="utf-8").splitlines()
    items = []
    for n, line in enumerate(lines):
        question, golds = line.split("\t")
        answer, *others = golds.split("|")
        items.append(Item(id=f"quiz-{n}", question=question, answer=answer, accept=tuple(others), probe="quiz"))
    return tuple(items)


def loss(subject: Subject, texts: Sequence[str] | None = None, *, version: str | None = None) -> list[Result]:
    """Loss of each text in nats per token; `detail["tokens"]` weighs them into a corpus figure."""
    texts = passages() if texts is None else texts
    results = []
    for n, scores in enumerate(subject.score([("", t) for t in texts])):
        if scores:
            value = -sum(scores) / len(scores)
            detail = {"tokens": len(scores)}
            results.append(Result(exam="general/loss", item=f"text-{n}", value=value, version=version, detail=detail))
    return results


def mean_loss(results: Sequence[Result]) -> float:
    """Nats per token over all texts, each weighed by its tokens."""
    tokens = sum(r.detail["tokens"] for r in results)
    return sum(r.value * r.detail["tokens"] for r in results) / max(tokens, 1)


def common(subject: Subject, questions: Sequence[Item] | None = None, *, version: str | None = None) -> list[Result]:
    """The quiz, or some of its questions, closed-book and greedy; exam `recall/quiz`."""
    return recall(subject, quiz() if questions is None else questions, max_tokens=20, version=version)


def drift(base: Any, model: Any, texts: Sequence[str] | None = None, *, version: str | None = None) -> list[Result]:
    """KL(base || model) of each text in nats per token; both are `models.LanguageModel`s.

    Forgetting on old tasks grows with this divergence (Shenfeld et al. 2025, arXiv:2509.04259).
    """
    texts = passages() if texts is None else texts
    values = model.divergence(base, texts)
    return [
        Result(exam="general/kl", item=f"text-{n}", value=v, version=version, chance=None) for n, v in enumerate(values)
    ]
