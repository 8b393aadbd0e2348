"""Retrospective reflection: a reranker that learns from what an answer cited."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Hit

Floats = NDArray[np.float64]


class RetrospectiveReflection:
    """Picks `query.k` of the `pool` hits retrieved by adapted embeddings, and learns from which of them were cited.

    What helps to answer is not what an embedder rates alike. The reader states which memories the answer rests
    on, and that is reward enough for two small matrices, zero at first, that turn the embedder's space a little. The
    noise lets memories be tried that would not have been picked.

        q' = q + W_q q,  m' = m + W_m m
        s_i = q'. m'_i + noise * g_i with g from Gumbel(0, 1),  p = softmax(s / temperature)
        W <- W + rate * sum over picked i of (R_i - baseline) grad log p_i,  R_i = 1 if cited, -1 if not

    `order` picks; `learn` takes the citations. A step is taken after every `batch` answers. Noise is drawn from the
    seed, the number of answers so far and the query, so that the same query gives the same order.

    Behind a `Memory` it learns from use: each `ask` that reads text rewards the passages that the reader read and
    cited. The memory stores the matrices (`byheart.memory.methods`) until something is forgotten: they hold traces of
    questions, and start from zero then. `recall` alone teaches nothing. Untaught, it is the embedder's cosine with a
    little noise.

    Parameters
    ----------
    pool: K, hits that are compared. temperature: tau. baseline: b. M, the number of hits that are given, is `query.k`.
    rate: eta. batch: answers to a step. noise: scale of the Gumbel noise; 0 picks the best. seed: of the noise.

    Departs from the paper: the noise is scaled by 0.02, because scores of unit vectors span a few tenths and
    Gumbel(0, 1) would make the choice among 20 nearly random. Steps sum over the batch. Any reader cites:
    passages that were picked and not read do not count as refused.

    >>> hits = [Hit(id="a", text="The ferry is late.", score=1.0), Hit(id="b", text="The boat is red.", score=0.5)]
    >>> from byheart.models.embedder import HashEmbedder
    >>> query = Query("a red boat", embedder=HashEmbedder(), k=1)
    >>> [h.id for h in RetrospectiveReflection().order(query, hits)]
    ['b']

    References: Tan et al. 2025, arXiv:2503.08026, section on retrospective reflection (equations 1 to 3).
    """

    name: ClassVar[str] = "reflective-memory"
    paper: ClassVar[str] = "reflective-memory"
    arxiv: ClassVar[str] = "2503.08026"

    def __init__(
        self,
        *,
        pool: int = 20,
        temperature: float = 0.5,
        baseline: float = 0.5,
        rate: float = 1e-3,
        batch: int = 4,
        noise: float = 0.02,
        seed: int = 0,
    ) -> None:
        if min(pool, batch) < 1:
            raise BadInput(f"pool={pool}, batch={batch}: give 1 or more of each")
        if not (temperature > 0 and rate > 0 and noise >= 0):
            raise BadInput(
                f"temperature={temperature}, rate={rate}, noise={noise}: give numbers above 0, of noise 0 or more"
            )
        if not -1 < baseline < 1:
            raise BadInput(f"baseline={baseline}: give a number between the rewards -1 and 1; the default is 0.5")
        self.pool, self.batch = pool, batch
        self.temperature, self.baseline = temperature, baseline
        self.rate, self.noise, self.seed = rate, noise, seed
        self._weights: Floats = np.zeros((2, 0, 0))
        self._steps: Floats = np.zeros((2, 0, 0))
        self._answers = 0

    def order(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        """The `query.k` best of the first `pool` hits (of `query.k`, if more), best first, with adapted scores."""
        hits = list(hits[: max(self.pool, query.k)])
        if not hits:
            return []
        scores = self._read(query, hits)[2]
        best = np.argsort(-scores, kind="stable")[: query.k]
        return [hits[i].model_copy(update={"score": float(scores[i])}) for i in best]

    def learn(self, query: Query, hits: Sequence[Hit], cited: Collection[str]) -> None:
        """Learn from the ids that an answer cited, of the hits that `order` picked from.

        `query.k` is how many of the picked hits were read for the answer.
        """
        hits = list(hits[: max(self.pool, query.k)])
        if not hits:
            return
        q, m, scores = self._read(query, hits)
        picked = np.argsort(-scores, kind="stable")[: query.k]
        chances = np.exp((scores - scores.max()) / self.temperature)
        chances /= chances.sum()
        gain = np.array([(1.0 if hits[i].id in cited else -1.0) - self.baseline for i in picked])
        slope = -gain.sum() * chances
        slope[picked] += gain
        slope /= self.temperature
        turned = self._weights + np.eye(len(q))
        self._steps[0] += np.outer(slope @ m @ turned[1].T, q)
        self._steps[1] += np.outer(turned[0] @ q, slope @ m)
        self._answers += 1
        if self._answers % self.batch == 0:
            self._weights = self._weights + self.rate * self._steps
            self._steps = np.zeros_like(self._steps)

    def state_dict(self) -> dict[str, Any]:
        """What was learned: `weights` (2, d, d) of query and memory, the open step and the number of answers."""
        return {"weights": self._weights.copy(), "steps": self._steps.copy(), "answers": self._answers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._weights = np.array(state["weights"], np.float64)
        self._steps = np.array(state["steps"], np.float64)
        self._answers = int(state["answers"])

    def _read(self, query: Query, hits: Sequence[Hit]) -> tuple[Floats, Floats, Floats]:
        """The vectors of query (d,) and hits (n, d), and the hits' scores (n,) with noise."""
        clean = query.clean
        texts = [clean, *(h.text for h in hits)]
        vectors = np.asarray(query.encoder("reflective-memory").encode(texts), np.float64)
        q, m = vectors[0], vectors[1:]
        if self._weights.shape[1] == 0:
            self._weights, self._steps = np.zeros((2, len(q), len(q))), np.zeros((2, len(q), len(q)))
        turned = self._weights
        if turned.shape[1] != len(q):
            raise BadInput(
                f"this reranker learned in {turned.shape[1]} dimensions, the embedder gives {len(q)}; "
                "use the embedder it learned with"
            )
        scores = (m + m @ turned[1].T) @ (q + turned[0] @ q)
        if self.noise:
            rng = np.random.default_rng([self.seed, self._answers, zlib.crc32(clean.encode())])
            scores = scores + self.noise * rng.gumbel(size=len(hits))
        return q, m, scores
