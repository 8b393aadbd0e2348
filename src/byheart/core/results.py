"""What the committed results of studies say, and whether they still are of the code as it is.

Two files belong to a paper: `docs/results/SLUG.json`, the record of its study's run, and
`docs/results/today/SLUG.json`, the study as it is today. Where the two differ the result is stale.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from byheart.core.errors import BadInput, Damaged
from byheart.core.methods import ROOT

Status = Literal["no study yet", "holds", "fails", "inconclusive", "not testable here"]
Role = Literal["primary", "secondary", "precondition"]
VERDICTS: tuple[Status, ...] = ("holds", "fails", "inconclusive", "not testable here")
RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""How far a figure of a fingerprint may move by another order of additions in float32."""


def folder() -> Path:
    """Where results lie: in a checkout the repository's folder, else the copy that an installed package carries."""
    checkout = ROOT.parents[1] / "docs" / "results"
    return checkout if checkout.is_dir() and (ROOT.parents[1] / "pyproject.toml").exists() else ROOT / "results"


def result(slug: str) -> dict[str, Any] | None:
    """The committed record of a paper's study, or None when there is none; `Damaged` when it is no JSON."""
    return _read(folder() / f"{slug}.json")


def today(slug: str) -> dict[str, Any] | None:
    """A study as it is today: its fingerprint, thresholds, sizes and seeds; None when there is none."""
    return _read(folder() / "today" / f"{slug}.json")


def status(slug: str) -> Status:
    """What a paper's study showed, read from its committed record and never typed."""
    record = result(slug)
    if record is None:
        return "no study yet"
    verdict: Status = record.get("verdict", "no study yet")
    if verdict not in VERDICTS:
        raise BadInput(f"{slug}.json says {verdict!r}, not {', '.join(VERDICTS)}; run the study again")
    return verdict


def stale(slug: str) -> list[str]:
    """Why a paper's result is no longer of the study as it is, in words; empty when it is, or when there is none."""
    record, now = result(slug), today(slug)
    if record is None or now is None:
        return []
    if "roles" not in record:
        return ["the record has the form of an earlier version"]
    reasons = []
    if record["roles"] != "named before the run":
        reasons.append("which criterion decides was named after the run")
    thresholds = [f"{c['says']}: {c['measure']} {limit(c)}" for _, c in criteria(record)]
    if sorted(thresholds) != sorted(now["criteria"]):
        reasons.append("the thresholds are others now")
    if record["settings"] != now["settings"].get(record["scale"]):
        reasons.append("the settings are others now")
    burnt = sorted(set(record["seeds"]) & set(now["burnt"]))
    if burnt:
        reasons.append(f"seeds {spans(burnt)} were looked at before the study took its present form")
    behaviour = moved(record["fingerprint"], now["fingerprint"])
    if behaviour:
        more = f" and {len(behaviour) - 1} more figures" if len(behaviour) > 1 else ""
        reasons.append(f"behaviour changed: at smoke scale {behaviour[0]}{more}")
    return reasons


def shown(slug: str) -> str:
    """The status of a paper as lists show it: `holds`, `holds (stale)`."""
    return f"{status(slug)} (stale)" if stale(slug) else status(slug)


def moved(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """The figures of an earlier fingerprint that are others now, beyond float noise, each in words.

    >>> moved({"a": 0.5, "b": 1.0, "c": 2.0}, {"a": 0.50001, "b": 1.1})
    ['b was 1, is 1.1', 'c was 2, is gone']
    """
    changes = []
    for name, old in before.items():
        new = now.get(name)
        if new is None:
            changes.append(f"{name} was {old:g}, is gone")
        elif not math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            changes.append(f"{name} was {old:g}, is {new:g}")
    return changes


def spans(numbers: list[int]) -> str:
    """Sorted numbers in words, runs of them as their ends.

    >>> spans([0, 1, 2, 5, 7, 8])
    '0 to 2, 5, 7 to 8'
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)


def criteria(record: Mapping[str, Any]) -> list[tuple[Role, dict[str, Any]]]:
    """The judged criteria of a record, each with its role, the one that decides first."""
    return [
        ("primary", record["primary"]),
        *(("secondary", c) for c in record["secondary"]),
        *(("precondition", c) for c in record["preconditions"]),
    ]


def limit(judged: Mapping[str, Any]) -> str:
    """The limit of a judged criterion.

    >>> limit({"at_least": 0.1}), limit({"at_most": 2.0})
    ('>= 0.1', '<= 2')
    """
    return f">= {judged['at_least']:g}" if "at_least" in judged else f"<= {judged['at_most']:g}"


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise Damaged(f"{path.name} is not JSON ({error}); run the study again") from None
    return record
