"""Intervals computed from per-item results."""

from __future__ import annotations

import math
from collections.abc import Iterable

from byheart.core.records import Result


def wilson(successes: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927, JASA 22:209-212); (0, 1) when n is 0.

    >>> [round(v, 4) for v in wilson(9, 10)]
    [0.5958, 0.9821]
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def fallen(before: Iterable[Result], after: Iterable[Result], z: float = 1.644854) -> float:
    """By how much the mean surely fell: the lower one-sided 95% limit of the mean paired difference, 0 or more.

    Results are paired by item; items on one side alone are left out.

    >>> def four(*values):
    ...     return [Result(exam="recall/quiz", item=str(i), value=v) for i, v in enumerate(values)]
    >>> fallen(four(1, 1, 1, 0), four(1, 1, 0, 0)), fallen(four(1, 1, 1, 1), four(0, 0, 0, 0))
    (0.0, 1.0)
    """
    later = {r.item: r.value for r in after}
    drops = [r.value - later[r.item] for r in before if r.item in later]
    if not drops:
        return 0.0
    n = len(drops)
    mean = sum(drops) / n
    spread = math.sqrt(sum((d - mean) ** 2 for d in drops) / max(n - 1, 1) / n)
    return max(0.0, mean - z * spread)


def summary(results: Iterable[Result]) -> dict[str, dict[str, float]]:
    """Mean, n and 95% interval by exam: Wilson for 0/1 values, normal otherwise.

    >>> r = [Result(exam="recall/direct", item=str(i), value=float(i > 0)) for i in range(4)]
    >>> summary(r)["recall/direct"]["mean"]
    0.75
    """
    by_exam: dict[str, list[float]] = {}
    for r in results:
        by_exam.setdefault(r.exam, []).append(r.value)
    out = {}
    for exam, values in sorted(by_exam.items()):
        n = len(values)
        mean = sum(values) / n
        if set(values) <= {0.0, 1.0}:
            low, high = wilson(sum(values), n)
        else:
            spread = math.sqrt(sum((v - mean) ** 2 for v in values) / max(n - 1, 1) / n)
            low, high = mean - 1.96 * spread, mean + 1.96 * spread
        out[exam] = {"mean": mean, "n": n, "low": low, "high": high}
    return out
