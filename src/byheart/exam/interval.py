"""Intervals computed from per-item results."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

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


def fallen(before: Iterable[Result], after: Iterable[Result], level: float = 0.95) -> float:
    """By how much the share of right answers surely fell: the lower one-sided limit of the fall, 0 or more.

    Results of value 1 or 0 are paired by item; items on one side alone are left out. Of n pairs, m changed, x of them
    from right to wrong. The limit is the 1 - `level` quantile of T (2 B - 1), where T ~ Beta(m, n - m + 1) stands for
    the share that changed and B ~ Beta(x, m - x + 1) for that of losses among what changed. It is above 0 exactly where
    McNemar's exact one-sided test rejects at 1 - `level`. The normal limit of a mean is no bound where few items
    change: it takes 3 losses of 60 (p = 0.125) for a sure fall.

    After Fay and Lumbard 2021, Statistics in Medicine 40:1147-1159 (doi:10.1002/sim.8829), who conjecture the coverage
    from numerical study; theirs is `mcnemarExactDP` of the R package exact2x2.

    >>> def share(right, n):
    ...     return [Result(exam="recall/quiz", item=str(i), value=float(i < right)) for i in range(n)]
    >>> fallen(share(60, 60), share(57, 60)), round(fallen(share(300, 300), share(285, 300)), 3)
    (0.0, 0.025)
    """
    later = {r.item: r.value for r in after}
    pairs = [(r.value, later[r.item]) for r in before if r.item in later]
    losses, gains = pairs.count((1.0, 0.0)), pairs.count((0.0, 1.0))
    return _limit(losses, losses + gains, len(pairs), 1 - level) if losses else 0.0


def _limit(losses: int, changed: int, n: int, tail: float) -> float:
    """The `tail` quantile of the fall under that distribution, or 0 where it is negative."""
    from scipy.optimize import brentq
    from scipy.special import betainc, betaincinv

    sign = float(betainc(losses, changed - losses + 1, 0.5))  # P(B <= 1/2), the p-value of the exact test
    if sign >= tail:
        return 0.0
    nodes, weights = np.polynomial.legendre.leggauss(64)
    tops = sign + (1 - sign) * (nodes + 1) / 2  # (64,), levels of B above 1/2
    net = 2 * betaincinv(losses, changed - losses + 1, tops) - 1
    mass = weights * (1 - sign) / 2

    def below(fall: float) -> float:
        return sign + float(mass @ betainc(changed, n - changed + 1, np.minimum(fall / net, 1.0))) - tail

    return float(brentq(below, 0.0, 1.0))


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
