"""What a study is: a claim, thresholds, one run per seed, and a verdict that follows from them.

A study is a module of this package named by its paper's slug (dashes as underscores) with one class
derived from `Study`. Nothing is registered; `find` reads the folder.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

from byheart.core import catalogue
from byheart.core.errors import BadInput, Unknown

Scale = Literal["smoke", "small", "full"]
Verdict = Literal["holds", "fails", "inconclusive"]
SCALES: tuple[Scale, ...] = ("smoke", "small", "full")
T95 = (math.nan, 6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)


def t95(freedom: int) -> float:
    """The one-sided 95% quantile of Student's t; above ten degrees of freedom by its expansion (Cornish and Fisher).

    >>> [round(t95(n), 3) for n in (2, 15, 19, 30)]
    [2.92, 1.753, 1.729, 1.697]
    """
    if freedom < len(T95):
        return T95[freedom]
    z = 1.644854
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One threshold: the measure it is on, what it says in words, and the limit that must be met."""

    measure: str
    says: str
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise BadInput(f"criterion {self.measure!r} needs one limit; give at_least or at_most")

    @property
    def text(self) -> str:
        """The threshold as one phrase."""
        return f"{self.says}: {self.measure} " + (
            f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
        )

    def judge(self, values: Sequence[float]) -> dict[str, Any]:
        """Mean over seeds, its one-sided 95% limit (Student's t) towards the threshold, and what follows.

        Holds when the limit meets the threshold, fails when the mean does not, and is inconclusive between;
        a single seed has no interval and at best is inconclusive.

        >>> c = Criterion(measure="gain", says="helps", at_least=0.1)
        >>> [c.judge(v)["verdict"] for v in ([0.2, 0.21, 0.19], [0.2, 0.5, 0.0], [0.05, 0.0, 0.0], [0.2])]
        ['holds', 'inconclusive', 'fails', 'inconclusive']
        """
        n = len(values)
        mean = math.fsum(values) / n
        spread = math.inf
        if n > 1:
            deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
            spread = t95(n - 1) * deviation / math.sqrt(n)
        if self.at_least is not None:
            met, sure = mean >= self.at_least, mean - spread >= self.at_least
        else:
            met, sure = mean <= (self.at_most or 0.0), mean + spread <= (self.at_most or 0.0)
        verdict: Verdict = "holds" if sure else "inconclusive" if met else "fails"
        if not math.isfinite(mean):
            verdict = "fails"
        interval = [round(mean - spread, 6), round(mean + spread, 6)] if math.isfinite(spread) else None
        return {
            "measure": self.measure,
            "says": self.says,
            **({"at_least": self.at_least} if self.at_least is not None else {"at_most": self.at_most}),
            "n": n,
            "mean": round(mean, 6),
            "interval": interval,
            "verdict": verdict,
        }


class Study(ABC):
    """A paper's claim as a runnable experiment.

    The class's docstring tells what the paper did, what is done here, and where it departs. `claim` is
    the paper's claim in a sentence, `source` where it is made. `criteria` are all that the verdict
    depends on. `scales` holds, by scale, keyword arguments of `run`: "smoke" takes seconds and shows
    only that it runs, "small" at most six minutes on two cores with three seeds.

    `tuning` are seeds that settings were chosen on; a run refuses them. `needs` names a folder of public
    data (see `world.intents`) that all scales but "smoke" are run on; `run` is then given its path as `data`.
    """

    claim: ClassVar[str]
    source: ClassVar[str]
    criteria: ClassVar[tuple[Criterion, ...]]
    scales: ClassVar[Mapping[Scale, Mapping[str, Any]]]
    tuning: ClassVar[frozenset[int]] = frozenset(range(100, 110))
    needs: ClassVar[str | None] = None

    @abstractmethod
    def run(self, *, seed: int, **scale: Any) -> dict[str, float]:
        """Everything measured with one seed, by name; the criteria's measures among it."""

    @classmethod
    def slug(cls) -> str:
        """The paper's slug, from the module's name."""
        return cls.__module__.rsplit(".", 1)[-1].replace("_", "-")

    @classmethod
    def file(cls) -> Path:
        """The source file of the study."""
        return Path(__file__).parent / (cls.slug().replace("-", "_") + ".py")


def slugs() -> list[str]:
    """Papers that have a study, in the catalogue's order."""
    here = {p.stem.replace("_", "-") for p in Path(__file__).parent.glob("*.py")}
    return [p.slug for p in catalogue.papers() if p.slug in here]


def find(slug: str) -> type[Study]:
    """The study of a paper; `Unknown` with a suggestion when there is none."""
    if slug not in slugs():
        raise Unknown.name("study of", slug, slugs(), "byheart replicate --list")
    module = import_module(f"byheart.study.{slug.replace('-', '_')}")
    (found,) = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, Study) and c.__module__ == module.__name__
    ]
    return found


def judge(criteria: Sequence[Criterion], rows: Sequence[Mapping[str, float]]) -> tuple[Verdict, list[dict[str, Any]]]:
    """The verdict over seeds: the worst of the criteria's, and each criterion's own figures."""
    judged = []
    for c in criteria:
        missing = [r for r in rows if c.measure not in r]
        if missing:
            raise BadInput(f"no measure {c.measure!r} in a run that gave {sorted(missing[0])}; name what run returns")
        judged.append(c.judge([r[c.measure] for r in rows]))
    order: tuple[Verdict, ...] = ("fails", "inconclusive", "holds")
    worst = min((j["verdict"] for j in judged), key=order.index)
    return worst, judged
