"""Continual-learning metrics, as functions of what was measured when.

`matrix[i][j]` is the accuracy on task j after stage i was learned, both from 0; a T x T list or array.
A `curve` (N, T) is the accuracy on every task at N moments in time, and `ends[j]` the row of the curve at
which task j had just been learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from byheart.core.errors import BadInput
from byheart.core.records import Result


def matrix(results: Sequence[Result], stages: Sequence[str], tasks: Sequence[str]) -> np.ndarray:
    """The accuracy matrix from records: `version` is the stage, `exam` the task, the value the mean over items.

    >>> results = [Result(exam="b", item="1", value=1.0, version="after a")]
    >>> matrix(results, ["after a"], ["a", "b"])
    array([[nan,  1.]])
    """
    cells: dict[tuple[str | None, str], list[float]] = {}
    for r in results:
        cells.setdefault((r.version, r.exam), []).append(r.value)
    return np.array([[np.mean(cells.get((s, t), [np.nan])) for t in tasks] for s in stages])


def _square(values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not len(array):
        raise BadInput(f"an accuracy matrix of shape {array.shape} is not tasks x tasks; give a row for each stage")
    return array


def average_accuracy(values: Any) -> float:
    """Mean accuracy over all tasks after the last stage.

    >>> average_accuracy([[0.9, 0.1], [0.5, 0.7]])
    0.6
    """
    return float(_square(values)[-1].mean())


def learning_accuracy(values: Any) -> float:
    """Mean accuracy on each task just after it was learned (Riemer et al. 2018, arXiv:1810.11910).

    >>> learning_accuracy([[0.9, 0.1], [0.5, 0.7]])
    0.8
    """
    return float(np.diag(_square(values)).mean())


def forgetting(values: Any) -> float:
    """Mean over earlier tasks of the best accuracy so far less that at the end (Chaudhry 2018, arXiv:1801.10112).

    >>> forgetting([[0.9, 0.1], [0.5, 0.7]])
    0.4
    """
    m = _square(values)
    if len(m) == 1:
        return 0.0
    return float(np.mean([m[j:-1, j].max() - m[-1, j] for j in range(len(m) - 1)]))


def backward_transfer(values: Any) -> float:
    """Mean over earlier tasks of the accuracy at the end less that just after learning (Lopez-Paz 2017, 1706.08840).

    >>> backward_transfer([[0.9, 0.1], [0.5, 0.7]])
    -0.4
    """
    m = _square(values)
    return float(np.mean(m[-1, :-1] - np.diag(m)[:-1])) if len(m) > 1 else 0.0


def forward_transfer(values: Any, untaught: Sequence[float]) -> float:
    """Mean over later tasks of the accuracy just before learning less that of an untaught model (same source).

    >>> forward_transfer([[0.9, 0.25], [0.5, 0.7]], untaught=[0.1, 0.1])
    0.15
    """
    m = _square(values)
    if len(m) == 1:
        return 0.0
    return float(np.mean([m[j - 1, j] - untaught[j] for j in range(1, len(m))]))


def min_accuracy(curve: Any, ends: Sequence[int]) -> float:
    """min-ACC: mean over all but the last task of the lowest accuracy at any time after it was learned.

    De Lange et al. 2022, arXiv:2205.13452, equation 2.

    >>> min_accuracy([[0.9, 0.0], [0.3, 0.6], [0.7, 0.8]], ends=[0, 2])
    0.3
    """
    c = np.asarray(curve, dtype=float)
    lows = [c[ends[j] + 1 :, j].min() for j in range(len(ends) - 1) if ends[j] + 1 < len(c)]
    return float(np.mean(lows)) if lows else float("nan")


def worst_case_accuracy(curve: Any, ends: Sequence[int]) -> float:
    """WC-ACC: accuracy on the last task and min-ACC, weighed by 1/k and 1 - 1/k (same source, equation 3).

    >>> round(worst_case_accuracy([[0.9, 0.0], [0.3, 0.6], [0.7, 0.8]], ends=[0, 2]), 2)
    0.55
    """
    c, k = np.asarray(curve, dtype=float), len(ends)
    last = float(c[ends[-1], k - 1])
    return last if k == 1 else last / k + (1 - 1 / k) * min_accuracy(curve, ends)


def windowed_forgetting(curve: Any, window: int, ends: Sequence[int] = ()) -> float:
    """WF: largest drop within `window` consecutive evaluations, mean over tasks (same source, equation 4).

    A task is looked at from the first evaluation of its own training on, when `ends` says where that is;
    without it, from the first row.

    >>> windowed_forgetting([[0.9], [0.3], [0.2]], window=2)
    0.6
    >>> windowed_forgetting([[0.5, 0.5], [0.9, 0.1], [0.8, 0.6]], window=2, ends=[1, 2])
    0.05
    """
    return _largest(-np.asarray(curve, dtype=float), window, ends)


def windowed_plasticity(curve: Any, window: int, ends: Sequence[int] = ()) -> float:
    """WP: largest gain within `window` consecutive evaluations, mean over tasks (same source, equation 5).

    >>> windowed_plasticity([[0.1], [0.3], [0.9]], window=3)
    0.8
    """
    return _largest(np.asarray(curve, dtype=float), window, ends)


def _largest(c: np.ndarray, window: int, ends: Sequence[int]) -> float:
    """The largest rise from a value to a later value at most `window` - 1 rows on, mean over columns."""
    best = np.zeros(c.shape[1])
    for j in range(c.shape[1]):
        seen = c[ends[j - 1] + 1 :, j] if ends and j else c[:, j]
        for ahead in range(1, min(window, len(seen))):
            best[j] = max(best[j], (seen[ahead:] - seen[:-ahead]).max())
    return float(best.round(12).mean())
