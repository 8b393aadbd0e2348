"""Answering: from the text that is remembered, or from weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from byheart.core import catalogue
from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Answer, Hit
from byheart.memory import access
from byheart.recall.read.strangers import strangers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from byheart.core.protocols import Embedder
    from byheart.core.query import Reranker, Retriever
    from byheart.memory.parts import Parts

CLOSE = 0.35
RELEVANT = 0.55  # of a statement to the question, see read.evidence; chosen on bench/documents/dev
TAUGHT = 0.6  # cosine of a question and a lesson's wording


class Retrieved(NamedTuple):
    """Hits of a query, and for each reranker that learns from use its name and the pool that it picked from."""

    query: Query
    hits: list[Hit]
    pools: list[tuple[str, list[Hit]]]


def find(
    memory: Parts,
    text: str,
    k: int,
    at: str | None = None,
    where: dict[str, Any] | None = None,
    method: str | None = None,
) -> Retrieved:
    """The hits of `Memory.recall`, by a retriever and rerankers that live as long as the memory.

    The retriever gives as many hits as the largest `pool` of a reranker.
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
    rerankers: list[tuple[str, Reranker]] = [
        (e.name, _reranker(memory, e.name, model.strip()))
        for e, (_, _, model) in zip(entries, named, strict=True)
        if e.kind == "reranker"
    ]
    usual = "ranked" if memory.store.setting("speakers") else "hybrid"
    retriever: Retriever = memory.methods.get(retrievers[0] if retrievers else usual)
    query = Query(text, memory.store, memory.embedder, memory.subject_at_head, k, at, access.seen(memory, where))
    pool = max([k, *(getattr(reranker, "pool", k) for _, reranker in rerankers)])
    hits: Sequence[Hit] = retriever.search(replace(query, k=pool))
    pools: list[tuple[str, list[Hit]]] = []
    for name, reranker in rerankers:
        if not hits:
            break
        if hasattr(reranker, "learn"):
            pools.append((name, list(hits)))
        hits = reranker.order(query, hits)
    return Retrieved(query, list(hits[:k]), pools)


def _reranker(memory: Parts, name: str, model: str) -> Reranker:
    """The memory's reranker of a name; "cross-encoder=MODEL" reads with that model."""
    if not model:
        reranker: Reranker = memory.methods.get(name)
        return reranker
    if name != "cross-encoder":
        raise BadInput(f"{name}={model}: only a cross-encoder is named with its model; give {name} alone")
    from byheart.recall.rerank.cross_encoder import CrossEncoder

    return CrossEncoder(scorer=memory.scorer(model))


def answer(
    memory: Parts, question: str, form: str, k: int, reader: str | None = None, method: str | None = None
) -> Answer:
    """See `Memory.ask`; rerankers that learn from use learn which passages were cited."""
    if form not in ("auto", "text", "weights"):
        raise BadInput(f"form is {form!r}; choose 'auto', 'text' or 'weights'")
    if not question.strip():
        raise BadInput("the question is empty; ask something")
    if memory.owner is not None:
        if form == "weights":
            access.refuse_weights(memory, "ask(form='weights')")
        form = "text"
    nearest: tuple[Hit, ...] = ()
    if form != "weights":
        reads = _reader(memory, reader)
        draft = {"draft": reads.draft(memory.subject_at_head(), question)} if hasattr(reads, "draft") else {}
        # rerankers give hits in the order in which they are read, so no more are wanted than the reader reads
        wanted = min(k, getattr(reads, "passages", k)) if method else k
        query, hits, pools = find(memory, draft.get("draft") or question, wanted, method=method)
        reply = Answer(text="", form="none")
        if hits and (form == "text" or reader is None or _relevant(memory, question, hits)):
            reply = reads.answer(memory.subject_at_head(), question, hits, **draft)
        if reply.form != "none":
            memory.used(h.id for h in reply.hits)
            for name, pool in pools:
                vectors = _Vectors(memory.embedder, [query.clean, *(h.text for h in pool)])
                lesson = replace(query, embedder=vectors, k=len(hits))
                memory.methods.learn(name, lesson, pool, {h.id for h in reply.hits})
            return reply
        nearest = reply.hits
        if form == "text" or not taught(memory, question):
            return Answer(text="", form="none", hits=nearest)
    from byheart.exam.recall import ask

    written = memory.subject_at_head().generate([ask(question)], max_tokens=48)[0][0]
    sure = float(np.exp(np.mean(written.logprobs))) if written.logprobs else None
    return Answer(text=written.text, form="weights", confidence=sure)


def taught(memory: Parts, question: str) -> bool:
    """Whether the weights were taught what a question asks, as far as their lessons tell.

    They were where a wording of a lesson is as close in meaning as `TAUGHT`, the lesson's engram holds now (it is
    neither history nor archived), and the question names nobody of whom that lesson does not speak.
    """
    if memory.endpoint is not None:
        return False
    lessons = memory.lessons_of(memory.head)
    if not lessons:
        return False
    wordings = [(w, x) for x in lessons for w in (x.question, *x.wordings, *x.held)]
    vectors = memory.remembered.encode([w for w, _ in wordings])
    close = vectors @ memory.embed([question])[0]
    best = wordings[int(np.argmax(close))][1]
    engram = next(iter(memory.store.get([best.engram])), None)
    if close.max() < TAUGHT or engram is None or engram.state != "active":
        return False
    return not strangers(question, [" ".join((best.question, *best.wordings, *best.held, best.answer))])


def _reader(memory: Parts, name: str | None) -> Any:
    from byheart.recall.read.cite import Cite

    if name is None:
        return Cite(embedder=memory.remembered, relevant=RELEVANT)
    if catalogue.entry(name).kind != "reader":
        known = ", ".join(e.name for e in catalogue.methods() if e.kind == "reader")
        raise BadInput(f"{name} is no reader; choose one of {known}")
    return memory.methods.get(name)


def _relevant(memory: Parts, question: str, hits: Sequence[Hit]) -> bool:
    """Whether one of the best hits is close in meaning to the question."""
    vector = memory.embed([question])[0]
    close = memory.store.cosine(vector, [h.id for h in hits[:3]])
    return max(close.values(), default=0.0) >= CLOSE


class _Vectors:
    """An embedder of a few texts, encoded beforehand so that nobody waits for it while the database is locked."""

    def __init__(self, embedder: Embedder, texts: list[str]) -> None:
        self.dimension = embedder.dimension
        self._known = dict(zip(texts, embedder.encode(texts), strict=True))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._known[t] for t in texts])
