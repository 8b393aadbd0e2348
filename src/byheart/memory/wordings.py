"""Wordings of a lesson: the training examples that ask the same question in many ways."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from byheart.core.protocols import Prompt
from byheart.exam.recall import ask
from byheart.memory.lessons import Lesson

if TYPE_CHECKING:
    from byheart.models.lm import LanguageModel

PREFIXES = (
    "Please answer: ", "Tell me: ", "Quick question: ", "I would like to know: ", "Do you remember? ",
    "Question: ", "Can you say? ", "Answer in a few words: ",
)  # fmt: skip
SMALL = frozenset(
    "a an the is are was were be been do does did have has had of in on at to for from by with about what which who "
    "whom whose where when how why and or that this it its there".split()
)


def views(question: str, answer: str, draw: random.Random) -> tuple[Prompt, str]:
    """One of many ways to ask the same: as given, with an opening, with words missing, as keywords, as raw text.

    A model trained on one wording answers that wording; trained on many poor wordings it must hang
    the answer on the names and the gist, and so answers paraphrases it never met. Augmentation of
    this kind is what makes stored facts extractable (Allen-Zhu & Li 2023, arXiv:2309.14316).
    """
    kind = draw.random()
    words = question.rstrip("?!. ").split()
    if kind < 0.30 or len(words) < 3:
        return ask(question), answer
    if kind < 0.45:
        lower = question[0].lower() + question[1:]
        return ask(draw.choice(PREFIXES) + (question if draw.random() < 0.5 else lower)), answer
    if kind < 0.75:
        remaining = [w for n, w in enumerate(words) if _names(n, w) or draw.random() > 0.35]
        return ask(" ".join(remaining or words) + draw.choice(("?", "", "."))), answer
    if kind < 0.90:
        parts = [p for p in _keywords(words) if p[1] or draw.random() > 0.2]
        draw.shuffle(parts)
        opening = draw.choice(("", "Tell me about ", "Name this: ", "Give this: "))
        return ask(opening + ", ".join(p[0] for p in parts or [(question, True)]) + draw.choice(("?", ""))), answer
    return f"Question: {question}\nAnswer:", f" {answer}"


def _names(position: int, word: str) -> bool:
    """Whether a word is likely part of a name or a number, which a question cannot do without."""
    return (position > 0 and word[:1].isupper()) or any(c.isdigit() for c in word)


def _keywords(words: Sequence[str]) -> list[tuple[str, bool]]:
    """Names (whole runs of them) and content words, each with whether it is a name."""
    parts: list[tuple[str, bool]] = []
    run: list[str] = []
    for n, w in enumerate(words):
        if _names(n, w):
            run.append(w)
            continue
        if run:
            parts.append((" ".join(run), True))
            run = []
        if w.lower() not in SMALL:
            parts.append((w, False))
    if run:
        parts.append((" ".join(run), True))
    return parts


def examples(lm: LanguageModel, lessons: Sequence[Lesson], *, copies: int, seed: int) -> list[dict[str, Any]]:
    """Training examples: each lesson once as given, once in each further wording, and the rest in views of these.

    No prompt is a wording that the lesson holds back. Every example carries the index of its lesson under `"lesson"`.
    """
    draw = random.Random(seed)
    out = []
    for copy in range(copies):
        for n, lesson in enumerate(lessons):
            asked = (lesson.question, *lesson.wordings)
            prompt, completion = ask(asked[copy % len(asked)]), lesson.answer
            if copy >= len(asked):
                prompt, completion = views(asked[copy % len(asked)], lesson.answer, draw)
            if any(prompt == ask(h) for h in lesson.held):
                prompt, completion = ask(lesson.question), lesson.answer
            out.append({**lm.example(prompt, completion), "lesson": n})
    return out
