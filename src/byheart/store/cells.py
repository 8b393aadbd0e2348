"""Vectors in cells of alike ones: the nearest cells are scanned exactly, the others not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from byheart.store import arrays

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Blocks = Callable[[], Iterable[tuple[Rows, Floats]]]
FLAT = 16_384
_DEPTH = 6_144
_SAMPLE = 32
_ROUNDS = 8
_PROBES = 100
_NOISE = 0.75
_WANTED = 0.99
_FEW = 4_096


class Cells:
    """An inverted file (Sivic and Zisserman 2003; IVF-Flat in Faiss, arXiv:2401.08281, section 5.1).

    Vectors lie in float32 beside those of the same cell, so that a scan reads memory in order and every score
    is the exact cosine. How many to scan (`depth`) was measured when the file was made: enough to find
    99% of the true ten nearest of queries at a cosine of 0.8 from a stored vector.

    Parameters
    ----------
    arrays: centres (C, d) of length 1, starts (C + 1,), rows (n,) by cell, matrix (n, d), sorted (n,) rows in order,
    places (n,) of these in `rows`, depth (1,).
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.centres: Floats = arrays["centres"]
        self.starts: Rows = np.array(arrays["starts"])
        self.rows: NDArray[np.uint32] = arrays["rows"]
        self.matrix: Floats = arrays["matrix"]
        self.sorted: NDArray[np.uint32] = arrays["sorted"]
        self.places: NDArray[np.uint32] = arrays["places"]
        self.depth = int(arrays["depth"][0])
        self._open: dict[int, tuple[Any, NDArray[np.bool_], Rows]] = {}

    def search(self, vector: Floats, k: int, mask: NDArray[np.bool_] | None) -> tuple[Rows, Floats]:
        """Rows and cosines of what was scanned for a unit vector (d,), of those that a mask (by row) lets through."""
        if not len(self.rows):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if mask is None:
            sizes, share = np.diff(self.starts), 1.0
        elif np.count_nonzero(mask) <= _FEW:
            rows = np.flatnonzero(mask)
            places = self.find(rows)
            return rows[places >= 0], self.matrix[places[places >= 0]] @ vector
        else:
            let, sizes = self._let_through(mask)
            share = float(sizes.sum()) / len(self.rows)
        depth = max(self.depth * share, 8 * k, min(_FEW, self.depth))
        near = self._nearest(vector, sizes, depth)
        if mask is None or share > 0.25:
            spans = [(int(self.starts[c]), int(self.starts[c + 1])) for c in near.tolist()]
            scores = np.concatenate([self.matrix[a:b] @ vector for a, b in spans])
            rows = np.concatenate([self.rows[a:b] for a, b in spans]).astype(np.int64)
            if mask is not None:
                seen = mask[rows]
                rows, scores = rows[seen], scores[seen]
            return rows, scores
        near = near[sizes[near] > 0]
        places = _ranges(self.starts[near], self.starts[near + 1])
        places = places[let[places]]
        return self.rows[places].astype(np.int64), self.matrix[places] @ vector

    def _nearest(self, vector: Floats, sizes: Rows, depth: float) -> Rows:
        """The cells nearest to a vector that hold so many together, the nearest first."""
        far = -(self.centres @ vector)
        few = 64 + int(4 * depth * len(far) / max(sizes.sum(), 1))
        order = np.argpartition(far, few)[:few] if few < len(far) else np.arange(len(far))
        order = order[np.lexsort((order, far[order]))]
        total = np.cumsum(sizes[order])
        if total[-1] < depth and few < len(far):
            order = np.argsort(far, kind="stable")
            total = np.cumsum(sizes[order])
        return order[: int(np.searchsorted(total, depth)) + 1]

    def find(self, rows: Rows) -> Rows:
        """The places of rows in `matrix`, -1 for those that are not here."""
        at = arrays.places(self.sorted, rows)
        return np.where(at >= 0, self.places[at], np.int64(-1)) if len(self.sorted) else at

    def without(self, gone: Rows) -> tuple[Layout, Rows]:
        """How the cells lie without some rows, and the places of those that stay.

        The centres of cells that lose rows are made anew of what stays, so that they tell nothing of what went.
        """
        stays = ~np.isin(self.rows, gone)
        starts = np.concatenate([[0], np.cumsum(stays)])[self.starts]
        centres = np.array(self.centres)
        for c in np.flatnonzero(np.diff(starts) < np.diff(self.starts)) if len(centres) > 1 else ():
            a, b = self.starts[c], self.starts[c + 1]
            centres[c] = _unit(self.matrix[a:b][stays[a:b]].sum(0, keepdims=True))[0]
        left = np.flatnonzero(stays)
        return Layout(centres, starts, self.rows[left].astype(np.int64), self.depth), left

    def _let_through(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Rows]:
        """Which places a mask lets through, and how many in each cell; cached for the last few masks."""
        open_cells = self._open.get(id(mask))
        if open_cells is None or open_cells[0] is not mask:
            let = mask[self.rows]
            sums = np.concatenate([[0], np.cumsum(let)])
            if len(self._open) >= 16:
                self._open.clear()
            open_cells = self._open[id(mask)] = (mask, let, np.diff(sums[self.starts]))
        return open_cells[1], open_cells[2]


class Layout(NamedTuple):
    """Where vectors go: centres (C, d), starts (C + 1,), rows (n,) by cell and the number scanned for a query."""

    centres: Floats
    starts: Rows
    rows: Rows
    depth: int

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of `Cells`, but for the matrix."""
        order = np.argsort(self.rows)
        out: dict[str, NDArray[Any]] = {"rows": self.rows, "sorted": self.rows[order], "places": order}
        out = {name: array.astype(np.uint32) for name, array in out.items()}
        return out | {"centres": self.centres, "starts": self.starts, "depth": np.array([self.depth])}


def arrange(blocks: Blocks, count: int, seed: int = 0) -> Layout:
    """Cells for `count` unit vectors, that `blocks` gives in portions (rows, vectors) as often as it is called.

    4 sqrt(n) cells by k-means on the sphere, in two levels (Nister and Stewenius 2006): centres of centres first, so
    that a vector is compared with sqrt(C) centres and then with the cells of the three nearest only.
    """
    if count <= FLAT:
        parts = list(blocks())
        rows = np.concatenate([r for r, _ in parts]) if parts else np.empty(0, np.int64)
        wide = parts[0][1].shape[1] if parts else 0
        return Layout(np.zeros((1, wide), np.float32), np.array([0, len(rows)]), rows, len(rows))
    rng = np.random.default_rng(seed)
    wanted = int(4 * np.sqrt(count))
    share = min(1.0, _SAMPLE * wanted / count)
    sample = np.concatenate([v[rng.random(len(v)) < share] for _, v in blocks()])
    top = _means(sample, int(np.sqrt(wanted)), rng)
    group = _nearest(sample, top)
    parts_of = []
    for g in range(len(top)):
        inside = sample[group == g]
        parts_of.append(_means(inside, max(1, round(wanted * len(inside) / len(sample))), rng))
    centres = np.concatenate(parts_of)
    first = np.concatenate([[0], np.cumsum([len(p) for p in parts_of])])
    top = _unit(np.stack([p.mean(0) for p in parts_of]))
    rows = np.empty(count, np.int64)
    cell = np.empty(count, np.int64)
    probes = sample[rng.permutation(len(sample))[:_PROBES]]
    noise = rng.standard_normal(probes.shape).astype(np.float32)
    queries = _unit(probes + _NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True))
    best = np.full((len(queries), 10), -2.0, np.float32)
    home = np.zeros((len(queries), 10), np.int64)
    done = 0
    for block_rows, vectors in blocks():
        into = _assign(vectors, top, centres, first)
        rows[done : done + len(into)], cell[done : done + len(into)] = block_rows, into
        done += len(into)
        scores = np.concatenate([best, queries @ vectors.T], 1)
        homes = np.concatenate([home, np.broadcast_to(into, (len(queries), len(into)))], 1)
        chosen = np.argpartition(-scores, 9, axis=1)[:, :10]
        best, home = np.take_along_axis(scores, chosen, 1), np.take_along_axis(homes, chosen, 1)
    rows, cell = rows[:done], cell[:done]
    order = np.lexsort((rows, cell))
    sizes = np.bincount(cell, minlength=len(centres))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Layout(centres, starts, rows[order], _measure(queries @ centres.T, home, sizes))


def _measure(near: Floats, home: Rows, sizes: Rows) -> int:
    """The least number of vectors to scan so that the cells in which the nearest live are among those scanned."""
    order = np.argsort(-near, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(near.shape[1]), near.shape), 1)
    before = np.cumsum(sizes[order], 1) - sizes[order]
    needed = np.take_along_axis(before, np.take_along_axis(rank, home, 1), 1)
    return max(_DEPTH, int(np.quantile(needed, _WANTED)) + 1)


def _means(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Up to `count` centres of length 1 by Lloyd's algorithm; a centre that loses all its points is drawn anew."""
    count = min(count, len(points))
    centres = points[rng.permutation(len(points))[:count]]
    for _ in range(_ROUNDS if count > 1 else 1):
        group = _nearest(points, centres)
        order = np.argsort(group, kind="stable")
        filled, starts = np.unique(group[order], return_index=True)
        centres = points[rng.integers(len(points), size=count)]
        centres[filled] = np.add.reduceat(points[order], starts, 0)
        centres = _unit(centres)
    return centres


def _assign(vectors: Floats, top: Floats, centres: Floats, first: Rows) -> Rows:
    """The nearest cell of each vector, among the cells of the three nearest groups."""
    near = np.argsort(-(vectors @ top.T), axis=1)[:, :3]
    best = np.full(len(vectors), -2.0, np.float32)
    cell = np.zeros(len(vectors), np.int64)
    for g in range(len(top)):
        mine = np.flatnonzero((near == g).any(1))
        if len(mine) and first[g + 1] > first[g]:
            scores = vectors[mine] @ centres[first[g] : first[g + 1]].T
            at = scores.argmax(1)
            value = scores[np.arange(len(mine)), at]
            better = value > best[mine]
            best[mine[better]], cell[mine[better]] = value[better], at[better] + first[g]
    return cell


def _nearest(points: Floats, centres: Floats) -> Rows:
    return np.concatenate(
        [(points[i : i + 8192] @ centres.T).argmax(1) for i in range(0, max(len(points), 1), 8192)]
    ).astype(np.int64)


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _ranges(starts: Rows, ends: Rows) -> Rows:
    """The numbers from each start up to its end, in a row."""
    sizes = ends - starts
    return np.repeat(starts - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(sizes.sum())
