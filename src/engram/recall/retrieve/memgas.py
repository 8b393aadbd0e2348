"""MemGAS: memories in four granularities, tied by likeness, searched by the granularities that are sure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engram.core.errors import BadInput
from engram.core.protocols import Embedder, Subject
from engram.core.records import Engram, Hit
from engram.kit.mixture import higher
from engram.recall.retrieve.hybrid import Where, hit
from engram.recall.write.gist import keywords, summaries

Floats = NDArray[np.float64]
EVERY = 1 << 30
KINDS = 4


class Shelf(Protocol):
    """What the search needs of a store: everything in the order added, and what of it may be seen, with cosines."""

    def dense(
        self, vector: ArrayLike, k: int, at: str | None = None, where: Where = None
    ) -> list[tuple[str, float]]: ...

    def all(self, state: Any = "active") -> list[Engram]: ...


@dataclass(frozen=True)
class Bank:
    """The memories of one view in the order they came; unit `4 i + g` is memory i as session, turns, summary, keywords.

    `vectors` (4 M, d) of the units, `ties` (4 M, 4 M) 1 where two are associated.
    """

    memories: tuple[tuple[Engram, ...], ...]
    vectors: Floats
    ties: Floats


class MemGAS:
    """Ranks whole memories (all that came from one source), each seen as session, turns, summary and keywords.

    A question may be about a word or about a whole evening. Each granularity g gives a distribution over memories,
    and one that is undecided says little: its scores count by the inverse of its entropy H_g. The best units then
    lend their score to those that they are associated with, so that sessions about one matter are found together.

        p_g = softmax(s_g / temperature),  H_g = - sum p_g log p_g,  w_g = (1 / H_g) / sum_h (1 / H_h)
        r = w_g s_g of the `seeds` best units, 0 elsewhere;  x = (1 - damping) r + damping A x;  score = sum of 4 units

    A is the graph of associations, columns summing to 1: a new unit is tied to those of its `candidates` most similar
    earlier units that fall to the upper of two Gaussians fitted to their similarities.

    Parameters
    ----------
    temperature: lambda of the router; the larger, the more equal the four weights.
    candidates: earlier units that the mixture is fitted to. seeds: units that score. damping: share passed on;
        0 leaves the associations out.
    first: memories at the beginning that tie no others. each: engrams given of a memory before the next one's; 0
        gives it whole.

    Departs from the paper: summaries and keywords are made by rule (`recall.write.gist`), not by a language model. Of
    a memory the three engrams most like the question are given, where the paper gives the session. The model's filter
    is a call of its own, `filter`, and picks engrams instead of copying words. The authors' code weighs by 1 - H, which
    turns the order of granularities round where H is above 1; here it is 1/H, as the paper has it.

    >>> MemGAS().weights(np.array([[0.9, 0.1, 0.1], [0.5, 0.4, 0.5]])).round(2).tolist()
    [0.99, 0.01]

    References: Xu et al. 2025, arXiv:2505.19549; the authors' construct_asso.py and run_retrieval.py.
    """

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
            raise BadInput(f"temperature={temperature}: give one above 0; the default is 0.1")
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
        self._last: tuple[Any, frozenset[str], Bank] | None = None
        self._known: dict[str, Floats] = {}

    def search(
        self,
        store: Shelf,
        embedder: Embedder | None,
        query: str,
        k: int = 10,
        at: str | None = None,
        where: Where = None,
    ) -> list[Hit]:
        """The k best engrams, memory by memory; only engrams with a vector are seen. See `Hybrid.search`."""
        if k < 1:
            return []
        found: list[Hit] = []
        for engrams, score in self.memories(store, embedder, query, at, where):
            found += [hit(e, score) for e in engrams[: self.each or None]]
            if len(found) >= k:
                break
        return found[:k]

    def memories(
        self, store: Shelf, embedder: Embedder | None, query: str, at: str | None = None, where: Where = None
    ) -> list[tuple[list[Engram], float]]:
        """All memories with their scores, best first; in each its engrams, the most like the query first."""
        if embedder is None:
            raise BadInput("memgas compares by meaning; give an embedder, or use hybrid search")
        query = query.encode("utf-8", "ignore").decode()
        if not query.strip():
            return []
        vector = np.asarray(embedder.encode([query])[0], np.float64)
        like = dict(store.dense(vector, EVERY, at, where))
        if not like:
            return []
        bank = self._bank(store, embedder, like)
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
        asked = (
            f"{listed}\n\nQuestion: {query}\nWhich of these memories help to answer the question? "
            "Reply with their numbers only, parted by commas."
        )
        told = subject.generate([[{"role": "user", "content": asked}]], max_tokens=4 * len(hits))[0][0].text
        named = {int(n) for n in re.findall(r"\d{1,6}", told)}
        return [h for n, h in enumerate(hits, 1) if n in named] or list(hits)

    def _bank(self, store: Shelf, embedder: Embedder, seen: dict[str, float]) -> Bank:
        """The memories of what may be seen; kept until that changes."""
        view = frozenset(seen)
        if self._last is None or self._last[0] is not store or self._last[1] != view:
            grouped: dict[tuple[str | None, str], list[Engram]] = {}
            for engram in store.all(state=None):
                if engram.id in view:
                    key = (engram.owner, f"source {engram.source}" if engram.source else f"id {engram.id}")
                    grouped.setdefault(key, []).append(engram)
            memories = tuple(tuple(sorted(es, key=lambda e: e.position)) for es in grouped.values())
            vectors = self._units(memories, embedder.encode)
            self._last = store, view, Bank(memories, vectors, self._ties(vectors))
        return self._last[2]

    def _units(self, memories: Sequence[Sequence[Engram]], encode: Callable[[Sequence[str]], Any]) -> Floats:
        """The vectors (4 M, d) of all units; what was encoded for the last view is not encoded again."""
        turns = [[f"{e.speaker}: {e.text}" if e.speaker else e.text for e in m] for m in memories]
        whole = ["\n".join(t) for t in turns]
        bare = ["\n".join(e.text for e in m) for m in memories]
        short, words = summaries(bare), keywords(bare)
        texts = list(dict.fromkeys([*whole, *short, *words, *(t for m in turns for t in m)]))
        new = [t for t in texts if t not in self._known]
        fresh = dict(zip(new, np.asarray(encode(new), np.float64), strict=True)) if new else {}
        self._known = {t: fresh[t] if t in fresh else self._known[t] for t in texts}
        rows = []
        for n, said in enumerate(turns):
            mean = np.mean([self._known[t] for t in said], 0)
            rows += [self._known[whole[n]], mean, self._known[short[n]], self._known[words[n]]]
        return np.stack(rows)

    def _ties(self, vectors: Floats) -> Floats:
        """The symmetric matrix (4 M, 4 M) of associations."""
        like = vectors @ vectors.T
        n, start = len(vectors), self.first * KINDS
        ties = np.zeros((n, n))
        if n <= start:
            return ties
        rows = np.arange(start, n)
        earlier = np.arange(n) < (rows // KINDS * KINDS)[:, None]
        order = np.argsort(np.where(earlier, -like[start:], np.inf), 1, kind="stable")[:, : self.candidates]
        found = higher(np.take_along_axis(like[start:], order, 1), np.take_along_axis(earlier, order, 1))
        at, column = np.nonzero(found)
        ties[rows[at], order[at, column]] = 1.0
        return np.maximum(ties, ties.T)


def pagerank(ties: Floats, start: Floats, damping: float) -> Floats:
    """Personalised PageRank (n,) of an undirected graph: where a walk is found that restarts by `start`.

    x = (1 - damping) r + damping (A x + r * what stands on units without ties)

    >>> pagerank(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), np.array([0.5, 0.0, 0.5]), 0.5).round(4).tolist()
    [0.4444, 0.2222, 0.3333]
    """
    degree = ties.sum(0)
    passed = ties / np.where(degree > 0, degree, 1.0)
    x = start
    while True:
        after = (1 - damping) * start + damping * (passed @ x + start * x[degree == 0].sum())
        if np.abs(after - x).max() < 1e-12:
            return after
        x = after
