"""What a study's JSON file holds: made from the rows of its seeds, stored and read again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from byheart.study.base import fingerprint as prints
from byheart.study.base import history
from byheart.study.base.study import Scale, Study, find, judge

Row = dict[str, Any]
INTERVAL = "the two one-sided 95% limits of the mean over seeds, Student's t"


def record(
    study: type[Study[Any]], scale: Scale, rows: Sequence[Row], *, figures: dict[str, float], data: Path | None = None
) -> dict[str, Any]:
    """The result of a run: what was claimed, what would count, what came out, and what it is bound to.

    `rows` are the measures by seed, `figures` the fingerprint of the code that made them.
    """
    since = history.stood_since(study.file(), history.stated(study.criteria()))
    return {
        **claimed(study, scale, rows),
        **({"data": {"name": study.needs, "revision": revision(data)}} if study.needs and data else {}),
        "seconds": round(sum(r["seconds"] for r in rows), 1),
        "processor_seconds": round(sum(r["processor_seconds"] for r in rows), 1),
        "rows": list(rows),
        "roles": "named before the run",
        "criteria_since": since,
        "commit": history.head(study.file().parent),
        "fingerprint": figures,
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def claimed(study: type[Study[Any]], scale: Scale, rows: Sequence[Row]) -> dict[str, Any]:
    """The part of a record that follows from the study and its rows alone: a test makes it again and compares."""
    return {
        "paper": study.slug(),
        "claim": study.claim,
        "quote": study.quote,
        "source": study.source,
        "scope": study.scope,
        **judge(study, rows),
        "scale": scale,
        "settings": study.settings(scale),
        "seeds": [r["seed"] for r in rows],
        "n": len(rows),
        "interval": INTERVAL,
        "grid": {
            t.name: {"values": list(t.values), "chosen": t.chosen, "seeds": list(t.seeds), "edge": t.at_the_edge}
            for t in study.grid
        },
        "power": None if study.power is None else {**vars(study.power), "seeds": list(study.power.seeds)},
    }


def revision(data: Path) -> str:
    """What a folder of public data holds, as one hash over names and contents."""
    sha = hashlib.sha256()
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        sha.update(f"{path.relative_to(data).as_posix()}\0".encode())
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()[:16]


def stored(folder: Path, slug: str, scale: Scale, seeds: Sequence[int]) -> dict[str, Any] | None:
    """The result in a folder, if it is of this study as it is now, of this scale and of these seeds."""
    path = folder / f"{slug}.json"
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    study = find(slug)
    if (result.get("scale"), result.get("seeds")) != (scale, list(seeds)):
        return None
    same = result.get("settings") == study.settings(scale) and "criteria_since" in result
    if not same or any(result[k] != v for k, v in claimed(study, scale, result["rows"]).items()):
        return None
    return None if prints.differs(result["fingerprint"], prints.fingerprint(slug)) else result


def write(result: dict[str, Any], folder: Path) -> Path:
    """Store a result under its paper's slug."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['paper']}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def write_today(slug: str, folder: Path, figures: dict[str, float] | None = None) -> Path:
    """Store what a study is today in `today` below the folder of results, where figures moved or words changed."""
    path = folder / "today" / f"{slug}.json"
    now = prints.today(slug, figures)
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if not prints.differs(before["fingerprint"], now["fingerprint"]):
            now["fingerprint"] = before["fingerprint"]  # float noise is no change
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
