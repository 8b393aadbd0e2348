"""What binds a result to behaviour: the figures of a study at smoke scale with seed 0."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from byheart.core.results import moved
from byheart.study.base.study import find


def fingerprint(slug: str) -> dict[str, float]:
    """The measures of a study's smoke run with seed 0 on one thread, but for wall time, and what its training lost.

    `training steps` and `training loss` are over everything that the run trained: shares of a few right answers hardly
    move when a constant of a method changes, losses do.
    """
    import torch

    from byheart.train.watch import watching

    study = find(slug)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with watching() as stages:
            measures = study().run(study.scales.smoke, seed=0)
    finally:
        torch.set_num_threads(threads)
    figures = {name: float(value) for name, value in measures.items() if name not in study.timed}
    losses = [value for stage in stages for step in stage.history for value in step.values()]
    if losses:
        figures |= {"training steps": float(sum(s.steps for s in stages)), "training loss": fmean(losses)}
    return {name: round(value, 6) for name, value in figures.items()}


def differs(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """As `moved`, and the figures that are new besides."""
    return moved(before, now) + [f"{name} is new" for name in now if name not in before]


def today(slug: str, figures: Mapping[str, float] | None = None) -> dict[str, Any]:
    """A study as it is now: its fingerprint, thresholds, sizes and seeds; `docs/results/today/SLUG.json` holds it."""
    study = find(slug)
    return {
        "fingerprint": dict(figures or fingerprint(slug)),
        "criteria": [c.text for c in study.criteria()],
        "primary": study.primary.text,
        "settings": {scale: study.settings(scale) for scale in ("small", "full")},
        "seeds": list(study.seeds),
        "burnt": sorted(study.burnt),
    }
