"""Words to engrams: who has which word how often."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.store import arrays
from byheart.store.tokens import Counted

Rows = NDArray[np.int64]


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
        at = arrays.places(self.docs, rows)
        at = at[at >= 0]
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
    unhidden = ~np.isin(arrays["rows"], gone)
    starts = np.concatenate([[0], np.cumsum(unhidden)])[arrays["starts"]]
    left = np.diff(starts) > 0
    ends = arrays["ends"]
    sizes = np.diff(ends, prepend=0)
    stays = ~np.isin(arrays["docs"], gone)
    widths = np.diff(arrays["stops"], prepend=0)
    return {
        "terms": arrays["terms"][np.repeat(left, sizes)],
        "ends": np.cumsum(sizes[left], dtype=np.int64),
        "starts": np.concatenate([starts[:-1][left], starts[-1:]]),
        "rows": arrays["rows"][unhidden],
        "times": arrays["times"][unhidden],
        "docs": arrays["docs"][stays],
        "lengths": arrays["lengths"][stays],
        "names": arrays["names"][np.repeat(stays, widths)],
        "stops": np.cumsum(widths[stays], dtype=np.int64),
    }
