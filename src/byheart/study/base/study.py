"""What a study is: a paper's claim, criteria, a run for each seed, and the verdict that follows from them.

A study is a module `study/PACKAGE/SLUG.py` (the catalogue's package and slug, dashes as underscores) with one class
derived from `Study`. Nothing is registered; `find` reads the folders.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from byheart.core import catalogue, results
from byheart.core.errors import BadInput, Unknown
from byheart.core.methods import ROOT
from byheart.study.base.criterion import Criterion, Verdict

Scale = Literal["smoke", "small", "full"]
Scope = Literal["mechanism", "miniature", "paper's setting"]
SCALES: tuple[Scale, ...] = ("smoke", "small", "full")
S = TypeVar("S")


@dataclass(frozen=True)
class Scales(Generic[S]):
    """How big a study is.

    "smoke" takes at most two seconds, "small" at most twelve processor-minutes over all seeds.
    """

    smoke: S
    small: S
    full: S

    def of(self, scale: Scale) -> S:
        """The size at a scale; `BadInput` for a scale that there is not."""
        if scale not in SCALES:
            raise BadInput(f"no scale {scale!r}; give {', '.join(SCALES)}")
        size: S = getattr(self, scale)
        return size


@dataclass(frozen=True)
class Tuned:
    """How a setting was chosen: the values tried on tuning seeds, and the one taken.

    >>> Tuned("rate", (0.05, 0.1, 0.2), 0.1, seeds=(100, 101)).at_the_edge
    False
    """

    name: str
    values: tuple[Any, ...]
    chosen: Any
    seeds: tuple[int, ...] = ()

    @property
    def at_the_edge(self) -> bool:
        """Whether the value taken is the least or the greatest of the numbers tried."""
        numbers = [v for v in self.values if isinstance(v, int | float)]
        return bool(numbers) and self.chosen in (min(numbers), max(numbers))


@dataclass(frozen=True)
class Power:
    """Spread of the primary criterion on the tuning seeds before the run, from which the number of seeds follows."""

    seeds: tuple[int, ...]
    spread: float
    margin: float
    needed: int | None


class Study(ABC, Generic[S]):
    """A paper's claim as a runnable experiment.

    The class's docstring says what the paper did, what is done here ("Here:"), and where it departs.

    claim: the paper's claim in a sentence. quote: the sentence of the paper that is tested, with its number. source:
    where it stands. scope: "mechanism" (a formula or a behaviour shown exactly), "miniature" (the paper's set-up,
    small) or "paper's setting".

    primary: the one criterion that decides. secondary: measured and published, no part of the verdict.
    preconditions: what must hold for the claim to be testable at all, such as that there is forgetting.

    scales: the size of a run, by scale. seeds: those of the published run. tuning: seeds that settings were chosen on;
    a run refuses them. burnt: seeds looked at before the study took its present form; a run refuses them too. grid:
    the values tried for each setting. power: what the number of seeds follows from, when it was computed. needs: a
    folder of public data which all scales but "smoke" are run on. timed: measures of wall time, which no fingerprint
    holds.
    """

    claim: ClassVar[str]
    quote: ClassVar[str]
    source: ClassVar[str]
    scope: ClassVar[Scope] = "miniature"
    primary: ClassVar[Criterion]
    secondary: ClassVar[tuple[Criterion, ...]] = ()
    preconditions: ClassVar[tuple[Criterion, ...]] = ()
    scales: Scales[S]
    seeds: ClassVar[Sequence[int]] = range(3)
    tuning: ClassVar[frozenset[int]] = frozenset(range(100, 110))
    burnt: ClassVar[frozenset[int]] = frozenset()
    grid: ClassVar[tuple[Tuned, ...]] = ()
    power: ClassVar[Power | None] = None
    needs: ClassVar[str | None] = None
    timed: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def run(self, size: S, *, seed: int, data: Path | None = None) -> dict[str, float]:
        """Everything measured with one seed, by name; the criteria's measures among it."""

    @classmethod
    def criteria(cls) -> tuple[Criterion, ...]:
        """All criteria: the primary one, the secondary ones, the preconditions."""
        return (cls.primary, *cls.secondary, *cls.preconditions)

    @classmethod
    def slug(cls) -> str:
        """The paper's slug, from the module's name."""
        return cls.__module__.rsplit(".", 1)[-1].replace("_", "-")

    @classmethod
    def file(cls) -> Path:
        """The source file of the study."""
        return file(cls.slug())

    @classmethod
    def settings(cls, scale: Scale) -> dict[str, Any]:
        """The size at a scale, as plain values."""
        size: Any = cls.scales.of(scale)
        return asdict(size)


def file(slug: str) -> Path:
    """Where the study of a paper lies, or would lie."""
    return catalogue.paper(slug).study


def slugs() -> list[str]:
    """Papers that have a study, in the catalogue's order."""
    return [p.slug for p in catalogue.papers() if file(p.slug).exists()]


def find(slug: str) -> type[Study[Any]]:
    """The study of a paper; `Unknown` with a suggestion when there is none."""
    if slug not in slugs():
        raise Unknown.name("study of", slug, slugs(), "byheart replicate --list")
    place = file(slug).relative_to(ROOT).with_suffix("")
    module = import_module(".".join(["byheart", *place.parts]))
    (study,) = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, Study) and c.__module__ == module.__name__
    ]
    return study


def judge(study: type[Study[Any]], rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The verdict over seeds and why: the primary criterion decides, if every precondition holds.

    A primary criterion that has one value in all seeds shows nothing, unless the claim is of a mechanism.
    """
    primary = study.primary.judge(rows)
    before = [c.judge(rows) for c in study.preconditions]
    lacking = [c for c in before if c["verdict"] != "holds"]
    verdict, reason = primary["verdict"], f"{primary['says']}: {primary['verdict']}"
    if lacking:
        verdict, reason = "not testable here", f"precondition {lacking[0]['verdict']}: {_figure(lacking[0])}"
    elif primary["constant"] and study.scope != "mechanism":
        verdict, reason = "inconclusive", f"no spread over seeds: {_figure(primary)}"
    known: Verdict = verdict
    secondary = [c.judge(rows) for c in study.secondary]
    return {"verdict": known, "reason": reason, "primary": primary, "secondary": secondary, "preconditions": before}


def _figure(judged: Mapping[str, Any]) -> str:
    return f"{judged['says']} is {judged['mean']:.3f}, which should be {results.limit(judged)}"
