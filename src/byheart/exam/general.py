"""General ability: loss on general text, a quiz of common knowledge, open-book reading, how far the model moved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from byheart.core.protocols import Prompt, Subject
from byheart.core.records import Item, Result
from byheart.exam.match import right
from byheart.exam.recall import recall


class Passage(NamedTuple):
    """A text of one or two sentences, and a question that it answers."""

    text: str
    item: Item


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


@cache
def reading() -> tuple[Passage, ...]:
    """The built-in open-book exam: 80 texts of invented facts, which no model can know, each with a question.

    The span of the text that answers is `item.answer`; other forms of it are `item.accept`.
    """
    lines = files("byheart.exam").joinpath("reading.tsv").read_text(encoding="utf-8").splitlines()
    rows = []
    for n, line in enumerate(lines):
        text, question, golds = line.split("\t")
        answer, *others = golds.split("|")
        item = Item(id=f"reading-{n}", question=question, answer=answer, accept=tuple(others), probe="reading")
        rows.append(Passage(text, item))
    return tuple(rows)


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


def shown(text: str, question: str) -> Prompt:
    """The prompt of a question with the text that answers it: that of the reader `recall.read.cite`, with `focus`.

    >>> shown("Weight: 3.4 kg", "How heavy is it?")[1]["content"]
    'Weight: 3.4 kg How heavy is it?'
    """
    return [
        {"role": "system", "content": "Answer in a few words."},
        {"role": "user", "content": f"{text} {question}"},
    ]


def open_book(
    subject: Subject, passages: Sequence[Passage] | None = None, *, version: str | None = None
) -> list[Result]:
    """Put each question after its text, greedily; value 1 when the gold answer, or a form in `Item.accept`, is given.

    The exam is `reading`, the built-in one when `passages` is None. A reply has 24 tokens at most. Chance is 0.
    A reply that copies the answering part of the text is right, as `exam.match` judges all replies.
    """
    passages = reading() if passages is None else passages
    replies: list[str] = []
    size = 64
    for at in range(0, len(passages), size):
        prompts = [shown(text, item.question) for text, item in passages[at : at + size]]
        replies.extend(r[0].text for r in subject.generate(prompts, max_tokens=24))
    return [
        Result(
            exam="reading",
            item=item.id,
            value=float(right(reply, item)),
            chance=0.0,
            engram=item.engram,
            version=version,
            detail={"said": reply},
        )
        for (_, item), reply in zip(passages, replies, strict=True)
    ]


def drift(base: Any, model: Any, texts: Sequence[str] | None = None, *, version: str | None = None) -> list[Result]:
    """KL(base || model) of each text in nats per token; both are `models.LanguageModel`s.

    Forgetting on old tasks grows with this divergence (Shenfeld et al. 2025, arXiv:2509.04259).
    """
    texts = passages() if texts is None else texts
    values = model.divergence(base, texts)
    return [
        Result(exam="general/kl", item=f"text-{n}", value=v, version=version, chance=None) for n, v in enumerate(values)
    ]
