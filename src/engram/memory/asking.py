"""Answering: from the text that is remembered, or from weights."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engram.core import catalogue
from engram.core.errors import BadInput
from engram.core.records import Answer, Hit
from engram.memory import access

if TYPE_CHECKING:
    from engram.memory.front import Memory

CLOSE = 0.35


def find(
    memory: Memory,
    query: str,
    k: int,
    at: str | None = None,
    where: dict[str, Any] | None = None,
    method: str | None = None,
) -> list[Hit]:
    """See `Memory.recall`."""
    if k < 1:
        raise BadInput(f"k is {k}; ask for at least one hit")
    named = [n.partition("=") for n in (method or "").split(",") if n.strip()]
    entries = [catalogue.entry(n.strip()) for n, _, _ in named]
    retrievers = [e.name for e in entries if e.kind == "retriever"]
    wrong = [e.name for e in entries if e.kind not in ("retriever", "reranker")]
    if wrong or len(retrievers) > 1:
        raise BadInput(f"method={method!r}: name one retriever and any rerankers, with commas between (engram methods)")
    usual = "ranked" if memory.store.setting("speakers") else "hybrid"
    found = catalogue.make(retrievers[0] if retrievers else usual).search(
        memory.store, memory.embedder, query, k, at=at, where=access.seen(memory, where)
    )
    for entry, (_, _, model) in zip(entries, named, strict=True):
        if entry.kind == "reranker" and found:
            found = _ordered(memory, catalogue.make(entry.name), query, found, model.strip() or None)
    return list(found)


def _ordered(memory: Memory, reranker: Any, query: str, hits: Sequence[Hit], model: str | None) -> Sequence[Hit]:
    """Hits in a reranker's order, given what it asks to read with: of a cross-encoder the model that was named."""
    with_what: dict[str, Any] = {}
    for name in inspect.signature(reranker.order).parameters:
        if name == "embedder":
            with_what[name] = memory.embedder
        elif name == "model":
            with_what[name] = memory.weighing.lm
        elif name == "scorer":
            with_what[name] = None if model is None else memory.scorer(model)
    found: Sequence[Hit] = reranker.order(query, hits, **with_what)
    return found


def answer(memory: Memory, question: str, form: str, k: int, reader: str | None = None) -> Answer:
    """See `Memory.ask`."""
    if form not in ("auto", "text", "weights"):
        raise BadInput(f"form is {form!r}; choose 'auto', 'text' or 'weights'")
    if not question.strip():
        raise BadInput("the question is empty; ask something")
    if memory.owner is not None:
        if form == "weights":
            access.refuse_weights(memory, "ask(form='weights')")
        form = "text"
    if form != "weights":
        reads = _reader(reader)
        hits = find(memory, question, k)
        if hits and (form == "text" or _relevant(memory, question, hits)):
            said: Answer = reads.answer(memory.subject, question, hits)
            memory.used(h.id for h in said.hits)
            return said
        if form == "text":
            return Answer(text="", form="none")
    from engram.exam.recall import ask

    told = memory.subject.generate([ask(question)], max_tokens=48)[0][0]
    sure = float(np.exp(np.mean(told.logprobs))) if told.logprobs else None
    return Answer(text=told.text, form="weights", confidence=sure)


def _reader(name: str | None) -> Any:
    from engram.recall.read.cite import Cite

    if name is None:
        return Cite()
    if catalogue.entry(name).kind != "reader":
        known = ", ".join(e.name for e in catalogue.METHODS if e.kind == "reader")
        raise BadInput(f"{name} is no reader; choose one of {known}")
    return catalogue.make(name)


def _relevant(memory: Memory, question: str, hits: Sequence[Hit]) -> bool:
    """Whether one of the best hits is close in meaning to the question."""
    vector = memory.embed([question])[0]
    close = memory.store.cosine(vector, [h.id for h in hits[:3]])
    return max(close.values(), default=0.0) >= CLOSE
