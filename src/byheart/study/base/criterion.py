"""Thresholds on what a study measures, and what follows from them over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from byheart.core.errors import BadInput

Verdict = Literal["holds", "fails", "inconclusive", "not testable here"]


def t95(freedom: int) -> float:
    """The one-sided 95% quantile of Student's t.

    >>> [round(t95(n), 3) for n in (2, 15, 30)]
    [2.92, 1.753, 1.697]
    """
    from scipy.stats import t

    return float(t.ppf(0.95, freedom))


def seeds_needed(spread: float, margin: float, power: float = 0.8, most: int = 40) -> int | None:
    """The least number of seeds with which a true value `margin` beyond the threshold is judged to hold.

    The one-sided 95% test of Student has this `power` then (by the noncentral t distribution). `spread` is the standard
    deviation over seeds. None when more than `most` seeds would be needed, or when there is no margin.

    >>> [seeds_needed(0.02, m) for m in (0.04, 0.02, 0.001)]
    [4, 8, None]
    """
    from scipy.stats import nct

    if margin <= 0:
        return None
    if spread == 0:
        return 2
    enough = (n for n in range(2, most + 1) if nct.sf(t95(n - 1), n - 1, margin * n**0.5 / spread) >= power)
    return next(enough, None)


@dataclass(frozen=True)
class Criterion:
    """One threshold on a measure, on its difference from the measure `over`, or on its ratio to the measure `of`.

    Parameters
    ----------
    measure: a name in what a study's run returns.
    says: the same in words, for people.
    over, of: another measure, which is subtracted or which divides.
    at_least, at_most: the limit; one of the two.

    >>> uer = Criterion("uer", over="replay", says="UER above replay", at_least=0.02)
    >>> uer.name, round(uer.value({"uer": 0.8, "replay": 0.75}), 3)
    ('uer - replay', 0.05)
    """

    measure: str
    _: KW_ONLY
    says: str
    over: str | None = None
    of: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise BadInput(f"criterion {self.measure!r} needs one limit; give at_least or at_most")
        if self.over and self.of:
            raise BadInput(f"criterion {self.measure!r} has over= and of=; give one of the two")

    @property
    def name(self) -> str:
        """What is compared with the limit."""
        if self.over:
            return f"{self.measure} - {self.over}"
        return f"{self.measure} / {self.of}" if self.of else self.measure

    @property
    def limit(self) -> float:
        """The threshold."""
        return self.at_least if self.at_least is not None else self.at_most or 0.0

    @property
    def text(self) -> str:
        """The threshold as one phrase."""
        return f"{self.says}: {self.name} {'>=' if self.at_least is not None else '<='} {self.limit:g}"

    def value(self, row: Mapping[str, float]) -> float:
        """The value in one seed's row of measures; `BadInput` when the row lacks a measure."""
        names = [n for n in (self.measure, self.over, self.of) if n]
        missing = [n for n in names if n not in row]
        if missing:
            raise BadInput(f"no measure {missing[0]!r} in a run that gave {sorted(row)}; name what run returns")
        first, *other = (row[n] for n in names)
        if self.over:
            return first - other[0]
        return first / max(other[0], 1e-9) if self.of else first

    def judge(self, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """The mean over rows (one a seed), its two one-sided 95% limits (Student's t), and the verdict.

        The criterion holds when the limit towards the threshold meets it, fails when the other limit misses it too,
        and is inconclusive between. One row has no interval, and so is inconclusive.

        >>> gain = Criterion("gain", says="helps", at_least=0.1)
        >>> rows = ([0.2, 0.21, 0.19], [0.2, 0.5, 0.0], [0.05, 0.04, 0.05], [0.2])
        >>> [gain.judge([{"gain": v} for v in values])["verdict"] for values in rows]
        ['holds', 'inconclusive', 'fails', 'inconclusive']
        """
        values = [self.value(row) for row in rows]
        n = len(values)
        mean = math.fsum(values) / n
        spread = math.inf
        if n > 1:
            deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
            spread = t95(n - 1) * deviation / math.sqrt(n)
        low, high = mean - spread, mean + spread
        meets = (low >= self.limit, high >= self.limit) if self.at_least is not None else (
            high <= self.limit, low <= self.limit
        )  # fmt: skip
        verdict: Verdict = "holds" if meets[0] else "inconclusive" if meets[1] else "fails"
        if not math.isfinite(mean):
            verdict = "fails"
        return {
            "measure": self.name,
            "says": self.says,
            "at_least" if self.at_least is not None else "at_most": self.limit,
            "n": n,
            "mean": round(mean, 6),
            "interval": [round(low, 6), round(high, 6)] if math.isfinite(spread) else None,
            "constant": n > 1 and len(set(values)) == 1,
            "verdict": verdict,
        }
