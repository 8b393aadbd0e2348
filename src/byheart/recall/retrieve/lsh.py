"""Locality-sensitive hashing: thoughts in buckets, and a search that opens only some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byheart.core.errors import BadInput
from byheart.core.protocols import Index
from byheart.core.query import Query
from byheart.core.records import Hit
from byheart.recall.retrieve.hybrid import hits

Floats = NDArray[np.float64]
EVERY = 1 << 30


class Buckets:
    """A cross-polytope hash: the bucket of a vector is the axis of a random projection that it is nearest to.

        F(x) = argmax [x R; -x R],  R (d, b/2) of columns drawn from N(0, 1), scaled to length 1

    >>> hashed = Buckets(4, 8)
    >>> hashed.order(np.eye(4))[:, 0].tolist() == hashed.order(3 * np.eye(4))[:, 0].tolist()
    True
    """

    def __init__(self, dimension: int, buckets: int, *, seed: int = 0) -> None:
        if buckets < 2 or buckets % 2:
            raise BadInput(f"buckets={buckets}: give an even number of 2 or more; the default is 16")
        axes = np.random.default_rng(seed).normal(size=(dimension, buckets // 2))
        self.axes: Floats = axes / np.linalg.norm(axes, axis=0)

    def order(self, vectors: ArrayLike) -> NDArray[np.int64]:
        """For each of the vectors (n, d) all buckets (n, b), its own first, then the next likeliest ones."""
        return self.ranked(np.asarray(vectors, np.float64) @ self.axes)

    @staticmethod
    def ranked(projected: Floats) -> NDArray[np.int64]:
        """The same from the projections (n, b/2)."""
        return np.argsort(-np.concatenate([projected, -projected], 1), axis=1, kind="stable")


class LSH:
    """Finds the k most similar engrams in the query's bucket, and in the next buckets where `probes` or `fill` say so.

    Similar vectors lie near the same axis of a random projection, so that most of what is like a query shares its
    bucket, and only that has to be compared. A query near the border of two buckets misses what lies across; opening
    the bucket of the second largest projection too finds most of it (multi-probe).

        F(x) = argmax [x R; -x R];  hits = the k largest x . m over all m with F(m) among the first `probes` of x

    Parameters
    ----------
    buckets: b, an even number. probes: buckets that are opened. fill: whether more are opened until there are k
        hits. seed: of the projection.

    Departs from the paper: it opens a single bucket; here others follow until there are k hits, unless `fill` is
    off. It does not say how many buckets it has. The store's exact scan says what may be seen, so the
    buckets here narrow the answer and save no time; `Buckets` is a part for an index of your own. Nothing is
    learned; the object caches the buckets of the engrams that it has seen, and a `Memory` holds the object.

    >>> LSH(buckets=7)
    Traceback (most recent call last):
    byheart.core.errors.BadInput: buckets=7: give an even number of 2 or more; the default is 16

    References: Liu et al. 2023 (Think-in-Memory), arXiv:2311.08719; Andoni et al. 2015, arXiv:1509.02897.
    """

    name: ClassVar[str] = "lsh"
    paper: ClassVar[str] = "think-in-memory"
    arxiv: ClassVar[str] = "2311.08719"

    def __init__(self, *, buckets: int = 16, probes: int = 1, fill: bool = True, seed: int = 0) -> None:
        Buckets(1, buckets)
        if probes < 1:
            raise BadInput(f"probes={probes}: at least 1 bucket must be opened; the default is 1")
        self.buckets, self.probes, self.fill, self.seed = buckets, probes, fill, seed
        self._hashed: tuple[Index, Buckets, dict[str, int]] | None = None

    def search(self, query: Query) -> list[Hit]:
        """The `query.k` best by cosine of the opened buckets, best first; only engrams with a vector are seen."""
        embedder, store, k = query.encoder("lsh"), query.index, query.k
        if query.empty:
            return []
        vector = np.asarray(embedder.encode([query.clean])[0], np.float64)
        like = dict(store.dense(vector, EVERY, query.at, query.where))
        if not like:
            return []
        table, hashed = self._hash(store, list(like), len(vector))
        opened: list[str] = []
        for n, bucket in enumerate(hashed.order(vector[None])[0].tolist()):
            if n >= self.probes and (not self.fill or len(opened) >= k):
                break
            opened += [i for i in like if table[i] == bucket]
        best = sorted(opened, key=lambda i: -like[i])[:k]
        return hits(store, {i: like[i] for i in best})

    def _hash(self, store: Index, ids: Sequence[str], dimension: int) -> tuple[dict[str, int], Buckets]:
        """The bucket of each of these engrams; only new ones are hashed, by their cosines with the axes."""
        hashes = self._hashed
        if hashes is None or hashes[0] is not store or len(hashes[1].axes) != dimension:
            hashes = self._hashed = store, Buckets(dimension, self.buckets, seed=self.seed), {}
        _, hashed, table = hashes
        new = [i for i in ids if i not in table]
        if new:
            columns: list[dict[str, Any]] = [store.cosine(axis, new) for axis in hashed.axes.T]
            projected = np.array([[c[i] for c in columns] for i in new])
            table |= dict(zip(new, hashed.ranked(projected)[:, 0].tolist(), strict=True))
        return table, hashed
