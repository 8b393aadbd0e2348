"""Weights to text: what the model says from its weights alone, kept as engrams that can be looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.exam.recall import ask
from byheart.memory.remembering import keep
from byheart.memory.sources import identity

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

BATCH = 32


def recite(memory: Parts, questions: Sequence[str], sure: float, progress: Progress | None) -> list[Engram]:
    """Ask closed-book, keep each answer that is sure enough as a pair; see `Memory.recite`."""
    wanted = [questions] if isinstance(questions, str) else list(dict.fromkeys(questions))
    if not wanted or not all(isinstance(q, str) and q.strip() for q in wanted):
        raise BadInput("a question is empty; give questions that the weights may know the answers to")
    if not 0 <= sure <= 1:
        raise BadInput(f"sure={sure}: give a probability, such as 0.5")
    lm, version, replies = memory.at_head().lm, memory.head.id, []
    for at in range(0, len(wanted), BATCH):
        replies += lm.generate([ask(q) for q in wanted[at : at + BATCH]], max_tokens=48)
        if progress:
            progress("reciting", min(at + BATCH, len(wanted)), len(wanted))
    drafts: list[Engram] = []
    for question, (reply, *_) in zip(wanted, replies, strict=True):
        confidence = float(np.exp(np.mean(reply.logprobs))) if reply.logprobs else 0.0
        if not reply.text.strip() or confidence < sure:
            continue
        question, answer = question.strip(), reply.text.strip()
        text, source = f"{question} {answer}", f"weights:{version}"
        drafts.append(
            Engram(
                id=identity(text, source, question, answer),
                text=text,
                source=source,
                position=len(drafts),
                created=memory.now(),
                question=question,
                answer=answer,
                forms=("text", "weights"),
                version=version if version != "v0" else None,
                metadata={"confidence": round(confidence, 4)},
            )
        )
    if not drafts:
        return []
    with memory.store.transaction():
        return keep(memory, drafts, memory.embed([d.indexed for d in drafts]))
