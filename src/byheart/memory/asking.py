"""Answering: from the text that is remembered, or from weights."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from byheart.core import catalogue
from byheart.core.errors import BadInput
from byheart.core.records import Answer, Hit
from byheart.memory import access

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from byheart.core.protocols import Embedder
    from byheart.memory.parts import Parts

CLOSE = 0.35


class Found(NamedTuple):
    """Hits, and what each reranker that learns from use was given to pick them from."""

    hits: list[Hit]
    given: list[tuple[str, list[Hit]]]


def find(
    memory: Parts,
    query: str,
    k: int,
    at: str | None = None,
    where: dict[str, Any] | None = None,
    method: str | None = None,
) -> Found:
    """The hits of `Memory.recall`, by a retriever and rerankers that are kept with the memory.

    A reranker that picks from a pool is given as many hits as it looks at.
    """
    if k < 1:
        raise BadInput(f"k is {k}; ask for at least one hit")
    named = [n.partition("=") for n in (method or "").split(",") if n.strip()]
    entries = [catalogue.entry(n.strip()) for n, _, _ in named]
    retrievers = [e.name for e in entries if e.kind == "retriever"]
    wrong = [e.name for e in entries if e.kind not in ("retriever", "reranker")]
    if wrong or len(retrievers) > 1:
        raise BadInput(
            f"method={method!r}: name one retriever and any rerankers, with commas between (byheart methods)"
        )
    rerankers = [
        (e.name, memory.methods.get(e.name), model.strip() or None)
        for e, (_, _, model) in zip(entries, named, strict=True)
        if e.kind == "reranker"
    ]
    usual = "ranked" if memory.store.setting("speakers") else "hybrid"
    hits: Sequence[Hit] = memory.methods.get(retrievers[0] if retrievers else usual).search(
        memory.store,
        memory.embedder,
        query,
        max(k, *(getattr(r, "pool", k) for _, r, _ in rerankers)) if rerankers else k,
        at=at,
        where=access.seen(memory, where),
    )
    given: list[tuple[str, list[Hit]]] = []
    for name, reranker, model in rerankers:
        if not hits:
            break
        if hasattr(reranker, "learn"):
            given.append((name, list(hits)))
        hits = _ordered(memory, reranker, query, hits, k, model)
    return Found(list(hits[:k]), given)


def _ordered(memory: Parts, reranker: Any, query: str, hits: Sequence[Hit], k: int, model: str | None) -> Sequence[Hit]:
    """Hits in a reranker's order, given what it asks to read with: of a cross-encoder the model that was named."""
    with_what: dict[str, Any] = {}
    for name in inspect.signature(reranker.order).parameters:
        if name == "embedder":
            with_what[name] = memory.embedder
        elif name == "top":
            with_what[name] = k
        elif name == "model":
            with_what[name] = memory.at_head().lm
        elif name == "scorer":
            with_what[name] = None if model is None else memory.scorer(model)
    ordered: Sequence[Hit] = reranker.order(query, hits, **with_what)
    return ordered


def answer(
    memory: Parts, question: str, form: str, k: int, reader: str | None = None, method: str | None = None
) -> Answer:
    """See `Memory.ask`; what found the passages learns which of them were cited."""
    if form not in ("auto", "text", "weights"):
        raise BadInput(f"form is {form!r}; choose 'auto', 'text' or 'weights'")
    if not question.strip():
        raise BadInput("the question is empty; ask something")
    if memory.owner is not None:
        if form == "weights":
            access.refuse_weights(memory, "ask(form='weights')")
        form = "text"
    if form != "weights":
        reads = _reader(memory, reader)
        draft = {"draft": reads.draft(memory.subject_at_head(), question)} if hasattr(reads, "draft") else {}
        wording = draft.get("draft") or question
        # rerankers put hits as they are to be read, so no more are asked for than the reader reads
        hits, given = find(memory, wording, min(k, getattr(reads, "passages", k)) if method else k, method=method)
        if hits and (form == "text" or _relevant(memory, question, hits)):
            reply: Answer = reads.answer(memory.subject_at_head(), question, hits, **draft)
            memory.used(h.id for h in reply.hits)
            for name, pool in given:
                vectors = _Vectors(
                    memory.embedder, [wording.encode("utf-8", "ignore").decode(), *(h.text for h in pool)]
                )
                memory.methods.learn(name, wording, pool, {h.id for h in reply.hits}, vectors, len(hits))
            return reply
        if form == "text":
            return Answer(text="", form="none")
    from byheart.exam.recall import ask

    generated = memory.subject_at_head().generate([ask(question)], max_tokens=48)[0][0]
    sure = float(np.exp(np.mean(generated.logprobs))) if generated.logprobs else None
    return Answer(text=generated.text, form="weights", confidence=sure)


def _reader(memory: Parts, name: str | None) -> Any:
    from byheart.recall.read.cite import Cite

    if name is None:
        return Cite()
    if catalogue.entry(name).kind != "reader":
        known = ", ".join(e.name for e in catalogue.METHODS if e.kind == "reader")
        raise BadInput(f"{name} is no reader; choose one of {known}")
    return memory.methods.get(name)


def _relevant(memory: Parts, question: str, hits: Sequence[Hit]) -> bool:
    """Whether one of the best hits is close in meaning to the question."""
    vector = memory.embed([question])[0]
    close = memory.store.cosine(vector, [h.id for h in hits[:3]])
    return max(close.values(), default=0.0) >= CLOSE


class _Vectors:
    """An embedder of a few texts, asked beforehand so that nobody waits for it while the database is held."""

    def __init__(self, embedder: Embedder, texts: list[str]) -> None:
        self.dimension = embedder.dimension
        self._known = dict(zip(texts, embedder.encode(texts), strict=True))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._known[t] for t in texts])
