"""Answering: from the text that is remembered, or from weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engram.core.errors import BadInput
from engram.core.records import Answer, Hit

if TYPE_CHECKING:
    from engram.memory.front import Memory

CLOSE = 0.35


def find(memory: Memory, query: str, k: int, at: str | None = None, where: dict[str, Any] | None = None) -> list[Hit]:
    """See `Memory.recall`."""
    from engram.recall.retrieve.hybrid import Hybrid
    from engram.recall.retrieve.ranked import Ranked

    if k < 1:
        raise BadInput(f"k is {k}; ask for at least one hit")
    searched = Ranked() if memory.store.setting("speakers") else Hybrid()
    return searched.search(memory.store, memory.embedder, query, k, at=at, where=where)


def answer(memory: Memory, question: str, form: str, k: int) -> Answer:
    """See `Memory.ask`."""
    if form not in ("auto", "text", "weights"):
        raise BadInput(f"form is {form!r}; choose 'auto', 'text' or 'weights'")
    if not question.strip():
        raise BadInput("the question is empty; ask something")
    if form != "weights":
        from engram.recall.read.cite import Cite

        hits = find(memory, question, k)
        if hits and (form == "text" or _relevant(memory, question, hits)):
            said = Cite().answer(memory.subject, question, hits)
            memory.used(h.id for h in said.hits)
            return said
        if form == "text":
            return Answer(text="", form="none")
    from engram.exam.recall import ask

    told = memory.subject.generate([ask(question)], max_tokens=48)[0][0]
    sure = float(np.exp(np.mean(told.logprobs))) if told.logprobs else None
    return Answer(text=told.text, form="weights", confidence=sure)


def _relevant(memory: Memory, question: str, hits: Sequence[Hit]) -> bool:
    """Whether one of the best hits is close in meaning to the question."""
    vector = memory.embed([question])[0]
    close = memory.store.cosine(vector, [h.id for h in hits[:3]])
    return max(close.values(), default=0.0) >= CLOSE
