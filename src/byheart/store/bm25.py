"""The best by BM25, exactly, without looking at more engrams than is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Bits = NDArray[np.uint64]
Mask = NDArray[np.bool_]
K1, B = 1.2, 0.75
_SLACK = 1 - 1e-5
_CHEAP = 16_384
_EACH = 16
_RARE = 256
_SETS = 5
_LITTLE = 4_096
_FEW = 4_096


@dataclass
class QueryWord:
    """A word of a query: its rows in order, how often each has it, its weight and the most it can add to a score.

    gain: what it adds to the score of each row; bits: a bit for every row, set where it has the word. Both are made
    when they are first needed.
    """

    rows: Rows
    times: Floats
    weight: float
    most: float
    gain: Floats | None = None
    bits: Bits | None = None

    def within(self, mask: Mask | None) -> QueryWord:
        """The word within the rows that a mask lets through."""
        if mask is None:
            return self
        seen = mask[self.rows]
        gain = None if self.gain is None else self.gain[seen]
        return QueryWord(self.rows[seen], self.times[seen], self.weight, self.most, gain)


class Ranker:
    """The k best by BM25 as FTS5 counts it (k1 = 1.2, b = 0.75), exactly.

    score(d) = sum over words w of  idf_w f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|)),
    idf_w = log((N - n_w + 0.5) / (n_w + 0.5)), 1e-6 where that is not above 0

    Where a mask lets few through, these are scored. Else two ways lead there, both by what the words can add at most.
    Of few words that many engrams have, sets are taken, the weightiest first: who has all words of a set is a
    conjunction of bits. As soon as k engrams are known, only sets that can reach the k-th of them are looked at.
    Where that would bring too many, scores are added up word by word from the rarest to the commonest, until the
    words left cannot lift an engram above the k best unless it is near them already; they are looked up for those
    few only (MaxScore, Turtle and Flood 1995). What is added up is float32; the best are then scored anew in float64.
    """

    def __init__(self) -> None:
        self.lengths: Floats = np.zeros(1, np.float32)
        self._sums: Floats = np.zeros(1, np.float32)
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

    def word(self, rows: Rows, times: NDArray[Any]) -> QueryWord:
        """A word of a query by its postings."""
        idf = np.log((self.count - len(rows) + 0.5) / (len(rows) + 0.5)) if self.count >= len(rows) else 0.0
        weight, top = float(idf) if idf > 0 else 1e-6, float(times.max(initial=0))
        return QueryWord(rows, times.astype(np.float32), weight, weight * (K1 + 1) * top / (top + K1 * (1 - B)))

    def best(self, words: Sequence[QueryWord], k: int, mask: Mask | None = None) -> tuple[Rows, Doubles]:
        """The k best rows that a mask (by row) lets through and their scores, best first, equal ones by row."""
        words = sorted((w for w in words if len(w.rows)), key=lambda w: len(w.rows))
        if not words or k < 1:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        chosen = self._by_rows(words, mask) or self._by_sets(words, k, mask)
        if chosen is None:
            words = [w for word in words if len((w := word.within(mask)).rows)]
            rows = self._by_sums(words, k)
            chosen = rows, self._exact(words, rows)
        rows, scores = chosen
        if len(rows) > k:
            edge = np.partition(scores, len(scores) - k)[len(scores) - k]
            rows, scores = rows[scores >= edge], scores[scores >= edge]
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]

    def _by_rows(self, words: Sequence[QueryWord], mask: Mask | None) -> tuple[Rows, Doubles] | None:
        """All rows with any of the words and scores, where a mask lets few through."""
        if mask is None or np.count_nonzero(mask) > _FEW:
            return None
        rows = np.flatnonzero(mask)
        scores = self._exact(words, rows)
        return rows[scores > 0], scores[scores > 0]

    def _by_sets(self, words: Sequence[QueryWord], k: int, mask: Mask | None) -> tuple[Rows, Doubles] | None:
        """Rows with the k best among them and scores, by sets of common words; None where adding up is as cheap."""
        common = [w for w in words if len(w.rows) > len(self.lengths) // _RARE]
        bound = sum(len(w.rows) for w in common) // _EACH
        rare = [w.rows for w in words[: len(words) - len(common)]]
        if not 1 < len(common) <= _SETS or bound < _LITTLE or sum(map(len, rare)) > bound:
            return None
        for word in common:
            self._gain(word)
        rows = _let(np.unique(np.concatenate([np.empty(0, np.int64), *rare])), mask)
        scores, least = np.empty(0), 0.0
        done: list[set[int]] = []
        for most, chosen in sorted(_sets([w.most for w in common]), reverse=True):
            if most < least * _SLACK:
                break
            if any(set(chosen) >= other for other in done):
                continue
            new = _let(self._having([common[n] for n in chosen]), mask)
            if len(rows) + len(new) > bound:
                return None
            rows = np.union1d(rows, new)
            done.append(set(chosen))
            if not least and len(rows) >= k:
                scores = self._exact(words, rows)
                least = float(np.partition(scores, len(scores) - k)[len(scores) - k])
        return rows, scores if len(scores) == len(rows) else self._exact(words, rows)

    def _having(self, words: Sequence[QueryWord]) -> Rows:
        """The rows that have all of these words."""
        if len(words) == 1:
            return words[0].rows
        for word in words:
            if word.bits is None:
                has = np.zeros(-(-len(self.lengths) // 64) * 64, np.bool_)
                has[word.rows] = True
                word.bits = np.packbits(has, bitorder="little").view(np.uint64)
        both = reduce(np.bitwise_and, (w.bits for w in words if w.bits is not None))
        some = np.flatnonzero(both)
        at = np.flatnonzero(np.unpackbits(both[some].view(np.uint8), bitorder="little"))
        return 64 * some[at >> 6] + (at & 63)

    def _by_sums(self, words: Sequence[QueryWord], k: int) -> Rows:
        """Rows with the k best among them, by adding up."""
        sums, added = self._sums, 0
        least, cut = 0.0, 0.0
        try:
            for n, word in enumerate(words):
                rest = sum(w.most for w in words[n:])
                if len(word.rows) > _CHEAP and _reach(words[:n], k) > rest:
                    least = self._least(words[:n], k, least)
                    if least > rest:
                        cut = (least - rest) * _SLACK
                        if _EACH * np.count_nonzero(sums >= cut) < sum(len(w.rows) for w in words[n:]):
                            break
                gain = self._gain(word)
                sums[word.rows] = gain + sums[word.rows] if n else gain
                added, cut = n + 1, 0.0
            if added == len(words):
                cut = self._least(words, k, least) * _SLACK
            return np.flatnonzero(sums >= cut if cut > 0 else sums > 0)
        finally:
            if sum(len(w.rows) for w in words[:added]) > len(sums) // 16:
                sums.fill(0.0)
            else:
                for word in words[:added]:
                    sums[word.rows] = 0.0

    def _gain(self, word: QueryWord) -> Floats:
        """What a word adds to the score of each of its rows; from now on its most is the greatest of these."""
        if word.gain is None:
            norm = self.lengths[word.rows]
            norm *= np.float32(K1 * B * self.count / max(self.words, 1))
            norm += np.float32(K1 * (1 - B))
            norm += word.times
            word.gain = np.divide(np.float32(word.weight * (K1 + 1)) * word.times, norm, out=norm)
            word.most = float(word.gain.max(initial=0.0))
        return word.gain

    def _least(self, words: Sequence[QueryWord], k: int, known: float) -> float:
        """A score that k engrams reach at least: the k-th best of those that have the rarest word that k have.

        A guess from every sixteenth of them spares ordering them all; `known` is such a score of before.
        """
        enough = next((w.rows for w in words if len(w.rows) >= k), None)
        if enough is None:
            return known
        sums = self._sums[enough]
        if len(sums) > 64 * k:
            some = np.sort(sums[::16])
            better = sums[sums >= max(some[-(k // 4) - 2], known)]
            sums = better if len(better) >= k else sums
        return max(known, float(np.partition(sums, len(sums) - k)[len(sums) - k]))

    def _exact(self, words: Sequence[QueryWord], rows: Rows) -> Doubles:
        scores = np.zeros(len(rows))
        norm = K1 * (1 - B + B * self.lengths[rows].astype(np.float64) * self.count / max(self.words, 1))
        for word in words:
            at = np.minimum(np.searchsorted(word.rows, rows), len(word.rows) - 1)
            times = word.times[at] * (word.rows[at] == rows)
            scores += word.weight * (K1 + 1) * times.astype(np.float64) / (times + norm)
        return scores


def _sets(most: Sequence[float]) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Every set of words with the most that it can add."""
    for size in range(1, len(most) + 1):
        for chosen in combinations(range(len(most)), size):
            yield sum(most[n] for n in chosen), chosen


def _let(rows: Rows, mask: Mask | None) -> Rows:
    return rows if mask is None else rows[mask[rows]]


def _reach(words: Sequence[QueryWord], k: int) -> float:
    """What the k-th best can have at most by these words: those that fewer than k have together may not be in it."""
    few = 0
    for n, word in enumerate(words):
        few += len(word.rows)
        if few >= k:
            return sum(w.most for w in words[n:])
    return 0.0
