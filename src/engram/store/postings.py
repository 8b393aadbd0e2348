"""Words to engrams: who has which word how often, and the best by BM25 without looking at more than is needed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engram.store.tokens import Counted

Rows = NDArray[np.int64]
Doubles = NDArray[np.float64]
K1, B = 1.2, 0.75
_SLACK = 1 - 1e-5
_CHEAP = 16_384
_EACH = 16


class Postings:
    """The words of a fixed set of engrams.

    Parameters
    ----------
    arrays: terms (bytes,) end to end in order, ends (T,) of each, starts (T + 1,) of its postings, rows (P,), times
    (P,), docs (n,) rows in order, lengths (n,) words of each, names (bytes,) their ids end to end, stops (n,) of each.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.docs, self.lengths = arrays["docs"], arrays["lengths"]
        self._terms, self._ends, self._starts = arrays["terms"], arrays["ends"], arrays["starts"]
        self._rows, self._times = arrays["rows"], arrays["times"]
        self._names, self._stops = arrays["names"], arrays["stops"]

    def names(self, rows: Rows) -> dict[int, str]:
        """The ids of those of these rows that are here."""
        if not len(self.docs):
            return {}
        at = np.minimum(np.searchsorted(self.docs, rows.astype(np.uint32)), len(self.docs) - 1)
        at = at[self.docs[at] == rows]
        starts, stops = np.where(at > 0, self._stops[at - 1], 0), self._stops[at]
        wide = stops - starts
        text = self._names[np.repeat(stops - np.cumsum(wide), wide) + np.arange(wide.sum())].tobytes()
        ends = np.cumsum(wide).tolist()
        spans = zip(self.docs[at].tolist(), [0, *ends], ends, strict=False)
        return {row: text[a:b].decode() for row, a, b in spans}

    def get(self, term: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """The rows that have a word, in order, and how often."""
        key = term.encode()
        at = bisect_left(range(len(self._ends)), key, key=self._term)
        if at == len(self._ends) or self._term(at) != key:
            return None
        start, end = int(self._starts[at]), int(self._starts[at + 1])
        return self._rows[start:end], self._times[start:end]

    def _term(self, at: int) -> bytes:
        start = int(self._ends[at - 1]) if at else 0
        return self._terms[start : int(self._ends[at])].tobytes()


class Gathered:
    """Counts of words, portion by portion, made into the arrays of `Postings`."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._parts: list[tuple[Rows, Rows, NDArray[np.uint32], NDArray[Any]]] = []
        self._docs: list[Rows] = []
        self._lengths: list[Rows] = []
        self._names: list[bytes] = []

    def add(self, rows: Rows, names: Sequence[str], counted: Counted) -> None:
        """Take in the words of engrams with these rows, which rise from portion to portion, and ids."""
        self._names += [n.encode() for n in names]
        number = self._number
        named = np.array([number.setdefault(t, len(number)) for t in counted.terms], np.int64)
        times = counted.times.astype(np.min_scalar_type(int(counted.times.max(initial=0))))
        self._parts.append((named, np.diff(counted.starts), rows[counted.docs].astype(np.uint32), times))
        self._docs.append(rows)
        self._lengths.append(counted.lengths)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of `Postings`."""
        terms = sorted((t.encode(), n) for t, n in self._number.items())
        place = np.empty(len(terms), np.int64)
        place[[n for _, n in terms]] = np.arange(len(terms))
        sizes = np.zeros(len(terms), np.int64)
        for named, many, _, _ in self._parts:
            sizes[place[named]] += many
        starts = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.empty(int(starts[-1]), np.uint32)
        times = np.empty(len(rows), max((t.dtype for *_, t in self._parts), key=lambda d: d.itemsize, default=np.uint8))
        fill = starts[:-1].copy()
        for named, many, part, often in self._parts:
            at = np.repeat(fill[place[named]] - (np.cumsum(many) - many), many) + np.arange(len(part))
            rows[at], times[at] = part, often
            fill[place[named]] += many
        return {
            "terms": np.frombuffer(b"".join(t for t, _ in terms), np.uint8),
            "ends": np.cumsum([len(t) for t, _ in terms], dtype=np.int64),
            "starts": starts,
            "rows": rows,
            "times": times.astype(np.uint32) if times.dtype.itemsize > 2 else times,
            "docs": np.concatenate([*self._docs, np.empty(0, np.int64)]).astype(np.uint32),
            "lengths": np.concatenate([*self._lengths, np.empty(0, np.int64)]).astype(np.uint32),
            "names": np.frombuffer(b"".join(self._names), np.uint8),
            "stops": np.cumsum([len(n) for n in self._names], dtype=np.int64),
        }


def without(arrays: dict[str, NDArray[Any]], gone: Rows) -> dict[str, NDArray[Any]]:
    """The arrays of `Postings` as if some rows had never been; words that only they had are gone too."""
    kept = ~np.isin(arrays["rows"], gone)
    starts = np.concatenate([[0], np.cumsum(kept)])[arrays["starts"]]
    left = np.diff(starts) > 0
    ends = arrays["ends"]
    sizes = np.diff(ends, prepend=0)
    stays = ~np.isin(arrays["docs"], gone)
    widths = np.diff(arrays["stops"], prepend=0)
    return {
        "terms": arrays["terms"][np.repeat(left, sizes)],
        "ends": np.cumsum(sizes[left], dtype=np.int64),
        "starts": np.concatenate([starts[:-1][left], starts[-1:]]),
        "rows": arrays["rows"][kept],
        "times": arrays["times"][kept],
        "docs": arrays["docs"][stays],
        "lengths": arrays["lengths"][stays],
        "names": arrays["names"][np.repeat(stays, widths)],
        "stops": np.cumsum(widths[stays], dtype=np.int64),
    }


@dataclass
class Asked:
    """A word of a query: its rows in order, how often each has it, its weight and the most it can add to a score.

    gain: what it adds to the score of each row, once that was needed.
    """

    rows: Rows
    times: NDArray[np.float32]
    weight: float
    most: float
    gain: NDArray[np.float32] | None = None


def _reach(words: Sequence[Asked], k: int) -> float:
    """What the k-th best can have at most by these words: those that fewer than k have together may not be in it."""
    few = 0
    for n, word in enumerate(words):
        few += len(word.rows)
        if few >= k:
            return sum(w.most for w in words[n:])
    return 0.0


class Ranker:
    """The k best by BM25 as FTS5 counts it (k1 = 1.2, b = 0.75), exactly.

    score(d) = sum over words w of  idf_w f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|)),
    idf_w = log((N - n_w + 0.5) / (n_w + 0.5)), 1e-6 where that is not above 0

    Words are added up from the rarest to the commonest. As soon as the words left cannot lift an engram above the k
    best so far unless it is near them already, they are looked up for those few only (MaxScore, Turtle and Flood
    1995). What is added up is float32; the best are then scored anew in float64.
    """

    def __init__(self) -> None:
        self.lengths: NDArray[np.float32] = np.zeros(1, np.float32)
        self._sums: NDArray[np.float32] = np.zeros(1, np.float32)
        self.count = 0
        self.words = 0

    def learn(self, rows: Rows, lengths: NDArray[Any]) -> None:
        """Take in how many words engrams have."""
        if not len(rows):
            return
        last = int(rows[-1])
        if last >= len(self.lengths):
            grown = np.zeros(max(last + 1, len(self.lengths) * 9 // 8), np.float32)
            grown[: len(self.lengths)] = self.lengths
            self.lengths, self._sums = grown, np.zeros(len(grown), np.float32)
        self.lengths[rows] = lengths
        self.count += len(rows)
        self.words += int(lengths.sum(dtype=np.int64))

    def asked(self, rows: Rows, times: NDArray[Any], mask: NDArray[np.bool_] | None) -> Asked:
        """A word's postings, of those that a mask (by row) lets through."""
        idf = np.log((self.count - len(rows) + 0.5) / (len(rows) + 0.5)) if self.count >= len(rows) else 0.0
        weight = float(idf) if idf > 0 else 1e-6
        if mask is not None:
            kept = mask[rows]
            rows, times = rows[kept], times[kept]
        top = float(times.max(initial=0))
        return Asked(rows, times.astype(np.float32), weight, weight * (K1 + 1) * top / (top + K1 * (1 - B)))

    def best(self, words: Sequence[Asked], k: int) -> tuple[Rows, Doubles]:
        """The k best rows and their scores, best first, equal ones in the order of rows."""
        words = sorted((w for w in words if len(w.rows)), key=lambda w: len(w.rows))
        if not words or k < 1:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        sums, added = self._sums, 0
        least, cut = 0.0, 0.0
        try:
            for word in words:
                rest = sum(w.most for w in words[added:])
                if len(word.rows) > _CHEAP and _reach(words[:added], k) > rest:
                    least = self._least(words[:added], k, least)
                    if least > rest:
                        cut = (least - rest) * _SLACK
                        if _EACH * np.count_nonzero(sums >= cut) < sum(len(w.rows) for w in words[added:]):
                            break
                if word.gain is None:
                    word.gain = self._gain(word, word.rows, word.times)
                sums[word.rows] = word.gain + sums[word.rows] if added else word.gain
                added, cut = added + 1, 0.0
            if added == len(words):
                cut = self._least(words, k, least) * _SLACK
            rows = np.flatnonzero(sums >= cut if cut > 0 else sums > 0)
        finally:
            if sum(len(w.rows) for w in words[:added]) > len(sums) // 16:
                sums.fill(0.0)
            else:
                for word in words[:added]:
                    sums[word.rows] = 0.0
        scores = self._exact(words, rows)
        if len(rows) > k:
            edge = np.partition(scores, len(scores) - k)[len(scores) - k]
            rows, scores = rows[scores >= edge], scores[scores >= edge]
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]

    def _gain(self, word: Asked, rows: Rows, times: NDArray[np.float32]) -> NDArray[np.float32]:
        slope = np.float32(K1 * B * self.count / max(self.words, 1))
        norm = self.lengths[rows]
        norm *= slope
        norm += np.float32(K1 * (1 - B))
        norm += times
        return np.divide(np.float32(word.weight * (K1 + 1)) * times, norm, out=norm)

    def _least(self, words: Sequence[Asked], k: int, known: float) -> float:
        """A score that k engrams reach at least: the k-th best of those that have the rarest word that k have.

        A guess from every sixteenth of them spares ordering them all; `known` is such a score of before.
        """
        enough = next((w.rows for w in words if len(w.rows) >= k), None)
        if enough is None:
            return known
        found = self._sums[enough]
        if len(found) > 64 * k:
            some = np.sort(found[::16])
            better = found[found >= max(some[-(k // 4) - 2], known)]
            found = better if len(better) >= k else found
        return max(known, float(np.partition(found, len(found) - k)[len(found) - k]))

    def _exact(self, words: Sequence[Asked], rows: Rows) -> Doubles:
        scores = np.zeros(len(rows))
        norm = K1 * (1 - B + B * self.lengths[rows].astype(np.float64) * self.count / max(self.words, 1))
        for word in words:
            at = np.minimum(np.searchsorted(word.rows, rows), len(word.rows) - 1)
            has = word.rows[at] == rows
            times = np.where(has, word.times[at], 0.0).astype(np.float64)
            scores += word.weight * times * (K1 + 1) / (times + norm)
        return scores
