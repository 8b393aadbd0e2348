"""MemGAS: memories in four granularities, tied by likeness, searched by the granularities that are sure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Index, Subject
from byheart.core.query import Query
from byheart.core.records import Engram, Hit
from byheart.kit.mixture import higher
from byheart.recall.retrieve.hybrid import hit
from byheart.recall.write.gist import keywords, summaries

Floats = NDArray[np.float64]
EVERY = 1 << 30
KINDS = 4
VIEWS = 4


@dataclass(frozen=True)
class Bank:
    """The memories of one view in the order they came; unit `4 i + g` is memory i as session, turns, summary, keywords.

    `vectors` (4 M, d) of the units, `ties` (4 M, 4 M) true where two are associated, `least` (4 M,) how alike the last
    of its candidates is to each.
    """

    memories: tuple[tuple[Engram, ...], ...]
    vectors: Floats
    ties: NDArray[Any]
    least: Floats | None = None


@dataclass(frozen=True)
class View:
    """The state of a view: when it was built, of which engrams, and which engrams each encoded text is from."""

    changed: Any
    seen: frozenset[str]
    bank: Bank | None
    texts: dict[str, frozenset[str]]

    def left(self, there: set[str]) -> View:
        """The view without anything that was made of engrams that are gone."""
        texts = {t: ids for t, ids in self.texts.items() if ids <= there}
        return View(self.changed, self.seen, self.bank if self.seen <= there else None, texts)


class MemGAS:
    """Ranks whole memories (all that came from one source), each seen as session, turns, summary and keywords.

    A question may be about a word or about a whole evening. Each granularity g gives a distribution over memories,
    and an undecided distribution tells little: its scores count by the inverse of its entropy H_g. The best units then
    lend their score to those that they are associated with, so that sessions on the same matter rank together.

        p_g = softmax(s_g / temperature),  H_g = - sum p_g log p_g,  w_g = (1 / H_g) / sum_h (1 / H_h)
        r = w_g s_g of the `seeds` best units, 0 elsewhere;  x = (1 - damping) r + damping A x;  score = sum of 4 units

    A is the graph of associations, columns summing to 1: a new unit is tied to those of its `candidates` most similar
    earlier units that fall to the upper of two Gaussians fitted to their similarities.

    Nothing is learned. The first search encodes everything and caches the vectors. When the store changes, only new
    texts are encoded, and only units near them are tied anew. A `Memory` keeps the object (`Methods`).

    Parameters
    ----------
    temperature: lambda of the router; the larger, the more equal the four weights.
    candidates: earlier units that the mixture is fitted to. seeds: units that score. damping: share passed on;
        0 leaves the associations out.
    first: memories at the beginning that tie no others. each: engrams given of a memory before those of the next; 0
        gives it whole.

    Departs from the paper: summaries and keywords are made by rule (`recall.write.gist`), not by a language model. Of
    a memory the three engrams most like the question are given, where the paper gives the session. The model's filter
    is a call of its own, `filter`, and picks engrams instead of copying words. The authors' code weighs by 1 - H, which
    turns the order of granularities round where H is above 1; here it is 1/H, as the paper has it.

    >>> MemGAS().weights(np.array([[0.9, 0.1, 0.1], [0.5, 0.4, 0.5]])).round(2).tolist()
    [0.99, 0.01]

    References: Xu et al. 2025, arXiv:2505.19549; the authors' construct_asso.py and run_retrieval.py.
    """

    name: ClassVar[str] = "memgas"
    paper: ClassVar[str] = "memgas"
    arxiv: ClassVar[str] = "2505.19549"

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        candidates: int = 30,
        seeds: int = 15,
        damping: float = 0.1,
        first: int = 5,
        each: int = 3,
    ) -> None:
        if not temperature > 0:
            raise BadInput(f"temperature={temperature}: give a number above 0; the default is 0.1")
        if min(candidates, seeds, first) < 1 or each < 0:
            raise BadInput(
                f"candidates={candidates}, seeds={seeds}, first={first}, each={each}: give 1 or more, of each 0 or more"
            )
        if not 0 <= damping < 1:
            raise BadInput(f"damping={damping}: give a share from 0 to below 1; the default is 0.1")
        self.temperature = temperature
        self.candidates = candidates
        self.seeds = seeds
        self.damping = damping
        self.first = first
        self.each = each
        self._store: Index | None = None
        self._views: dict[str, View] = {}
        self._known: dict[str, Floats] = {}

    def search(self, query: Query) -> list[Hit]:
        """The `query.k` best engrams, memory by memory; only engrams with a vector are seen."""
        hits: list[Hit] = []
        for engrams, score in self.memories(query):
            hits += [hit(e, score) for e in engrams[: self.each or None]]
            if len(hits) >= query.k:
                break
        return hits[: query.k]

    def memories(self, query: Query) -> list[tuple[list[Engram], float]]:
        """All memories with their scores, best first; in each its engrams, the most like the query first."""
        embedder, store = query.encoder("memgas"), query.index
        if query.empty:
            return []
        vector = np.asarray(embedder.encode([query.clean])[0], np.float64)
        like = dict(store.dense(vector, EVERY, query.at, query.where))
        if not like:
            return []
        bank = self._bank(store, embedder, like, repr((query.at, sorted((query.where or {}).items(), key=str))))
        scores = self.scores(bank, vector)
        order = np.argsort(-scores, kind="stable").tolist()
        return [(sorted(bank.memories[i], key=lambda e: -like[e.id]), float(scores[i])) for i in order]

    def scores(self, bank: Bank, vector: Floats) -> Floats:
        """The score (M,) of each memory for a query's vector; memories that no unit reaches come last, by likeness."""
        each = (bank.vectors @ vector).reshape(-1, KINDS).T
        units = (self.weights(each)[:, None] * each).T.reshape(-1)
        least = np.sort(units)[-min(self.seeds, len(units))]
        start = np.where(units >= least, np.maximum(units, 0.0), 0.0)
        if start.sum() == 0:
            return units.reshape(-1, KINDS).sum(1)
        reached = pagerank(bank.ties, start / start.sum(), self.damping).reshape(-1, KINDS).sum(1)
        plain = units.reshape(-1, KINDS).sum(1)
        return np.where(reached > 0, reached, np.minimum(plain - np.abs(plain).max() - 1e-9, 0.0))

    def weights(self, likeness: Floats) -> Floats:
        """What each granularity counts (G,), from the similarities (G, M) of a query with all memories."""
        logits = likeness / self.temperature
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        entropy = np.maximum(-(p * np.log(p + 1e-12)).sum(1), 1e-12)
        return (1 / entropy) / (1 / entropy).sum()

    def filter(self, subject: Subject, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """The hits that a language model finds of use for a question, in their order; all where it names none."""
        if not hits:
            return []
        listed = "\n".join(f"[{n}] {h.text}" for n, h in enumerate(hits, 1))
        prompt = (
            f"{listed}\n\nQuestion: {query}\nWhich of these memories help to answer the question? "
            "Reply with their numbers only, parted by commas."
        )
        reply = subject.generate([[{"role": "user", "content": prompt}]], max_tokens=4 * len(hits))[0][0].text
        named = {int(n) for n in re.findall(r"\d{1,6}", reply)}
        return [h for n, h in enumerate(hits, 1) if n in named] or list(hits)

    def _bank(self, store: Index, embedder: Embedder, seen: dict[str, float], name: str = "") -> Bank:
        """The memories of what may be seen; cached until the store changes, and then built from the cached vectors."""
        changed, ids = store.changed(), frozenset(seen)
        views, known = (self._views, self._known) if self._store is store else ({}, {})
        old = views.get(name)
        if old is not None and old.bank is not None and (old.changed, old.seen) == (changed, ids):
            return old.bank
        grouped: dict[tuple[str | None, str], list[Engram]] = {}
        there: set[str] = set()
        for engram in store.all(state=None):
            if engram.state in ("active", "superseded"):
                there.add(engram.id)
            if engram.id in ids:
                key = (engram.owner, f"source {engram.source}" if engram.source else f"id {engram.id}")
                grouped.setdefault(key, []).append(engram)
        memories = tuple(tuple(sorted(es, key=lambda e: e.position)) for es in grouped.values())
        vectors, known, texts = self._units(memories, embedder.encode, known)
        before = old.bank if old is not None and old.bank is not None and _goes_on(old.bank, memories) else None
        ties, least = self._ties(vectors, before)
        bank = Bank(memories, vectors, ties, least)
        left = {n: v.left(there) for n, v in views.items() if n != name}
        left = {**dict(list(left.items())[1 - VIEWS :]), name: View(changed, ids, bank, texts)}
        known_texts = {t for v in left.values() for t in v.texts}
        self._store, self._views, self._known = store, left, {t: v for t, v in known.items() if t in known_texts}
        return bank

    def _units(
        self, memories: Sequence[Sequence[Engram]], encode: Callable[[Sequence[str]], Any], known: dict[str, Floats]
    ) -> tuple[Floats, dict[str, Floats], dict[str, frozenset[str]]]:
        """Vectors (4 M, d) of all units, those of all texts, and each text's engrams; only new texts are encoded."""
        turns = [[f"{e.speaker}: {e.text}" if e.speaker else e.text for e in m] for m in memories]
        whole = ["\n".join(t) for t in turns]
        bare = ["\n".join(e.text for e in m) for m in memories]
        short, words = summaries(bare), keywords(bare)
        texts: dict[str, frozenset[str]] = {}
        for m, spoken, *made in zip(memories, turns, whole, short, words, strict=True):
            texts |= dict.fromkeys(made, frozenset(e.id for e in m))
            texts |= {t: frozenset((e.id,)) for t, e in zip(spoken, m, strict=True)}
        new = [t for t in texts if t not in known]
        if new:
            known = {**known, **dict(zip(new, np.asarray(encode(new), np.float64), strict=True))}
        rows = []
        for n, spoken in enumerate(turns):
            mean = np.mean([known[t] for t in spoken], 0)
            rows += [known[whole[n]], mean, known[short[n]], known[words[n]]]
        return np.stack(rows), known, texts

    def _ties(self, vectors: Floats, before: Bank | None = None) -> tuple[NDArray[np.bool_], Floats]:
        """The symmetric matrix (4 M, 4 M) of associations, and how alike the last candidate of each unit is.

        Of a bank whose memories come first in these, units near which nothing changed keep their ties.
        """
        n, start = len(vectors), self.first * KINDS
        ties: NDArray[np.bool_] = np.zeros((n, n), bool)
        least = np.full(n, -np.inf)
        rows = np.arange(start, n)
        if before is not None and before.least is not None:
            m = len(before.vectors)
            ties[:m, :m], least[:m] = np.tril(before.ties), before.least
            moved = np.flatnonzero((vectors[:m] != before.vectors).any(1))
            near = np.maximum(before.vectors @ before.vectors[moved].T, vectors[:m] @ vectors[moved].T)
            touched = np.isin(np.arange(m), moved)
            touched |= ((near >= least[:m, None] - 1e-9) & (moved < np.arange(m)[:, None] // KINDS * KINDS)).any(1)
            rows = np.concatenate([np.flatnonzero(touched), np.arange(m, n)])
            rows = rows[rows >= start]
            ties[rows] = False
        if len(rows):
            like = vectors[rows] @ vectors.T
            earlier = np.arange(n) < (rows // KINDS * KINDS)[:, None]
            order = np.argsort(np.where(earlier, -like, np.inf), 1, kind="stable")[:, : self.candidates]
            chosen, given = np.take_along_axis(like, order, 1), np.take_along_axis(earlier, order, 1)
            least[rows] = np.where(given.all(1) & (given.shape[1] == self.candidates), chosen[:, -1], -np.inf)
            at, column = np.nonzero(higher(chosen, given))
            ties[rows[at], order[at, column]] = True
        return np.logical_or(ties, ties.T), least


def _goes_on(bank: Bank, memories: Sequence[Sequence[Engram]]) -> bool:
    """Whether these memories are those of a bank and further ones; of a memory the first engram says which it is."""
    firsts = [m[0].id for m in bank.memories]
    return firsts == [m[0].id for m in memories[: len(firsts)]]


def pagerank(ties: NDArray[Any], start: Floats, damping: float) -> Floats:
    """Personalised PageRank (n,) of an undirected graph: the place of a walk that restarts by `start`.

    x = (1 - damping) r + damping (A x + r * what stands on units without ties)

    >>> pagerank(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), np.array([0.5, 0.0, 0.5]), 0.5).round(4).tolist()
    [0.4444, 0.2222, 0.3333]
    """
    degree = ties.sum(0)
    to, of = np.nonzero(ties)
    x = start
    while True:
        passed = np.bincount(to, ties[to, of] * x[of] / degree[of], len(x))
        after = (1 - damping) * start + damping * (passed + start * x[degree == 0].sum())
        if np.abs(after - x).max() < 1e-12:
            return after
        x = after
