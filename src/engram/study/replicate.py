"""Running studies: every (study, seed) is a piece of work for a process of its own, here or on a cluster."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from engram.core.errors import BadInput
from engram.study.trial import SCALES, Scale, Study, find, judge

Progress = Callable[[str, int, int], None]
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Piece:
    """One study with one seed, and the public set that it is given."""

    slug: str
    scale: Scale
    seed: int
    threads: int
    data: Path | None = None


def replicate(
    slugs: Sequence[str],
    *,
    scale: Scale = "small",
    seeds: Sequence[int] = SEEDS,
    jobs: int = 1,
    ray: bool = False,
    data: Path | None = None,
    progress: Progress | None = None,
    done: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Run studies and judge them; the results in the order of `slugs`, each as its JSON file holds it.

    `jobs` processes work side by side, each with its share of the cores; with `ray` the pieces go to a
    Ray cluster instead. `data` is the folder that holds the public sets which some studies need. `done`
    hears of each study when its last seed is in. A study that raises stops the others.
    """
    if scale not in SCALES:
        raise BadInput(f"no scale {scale!r}; give {', '.join(SCALES)}")
    if not seeds:
        raise BadInput("no seeds to run; give at least one")
    chosen = {slug: find(slug) for slug in slugs}
    sets: dict[str, Path] = {}
    for slug, study in chosen.items():
        burnt = sorted(set(seeds) & study.tuning)
        if burnt:
            raise BadInput(f"seeds {burnt} chose the settings of {slug}; give others")
        if scale not in study.scales:
            raise BadInput(f"{slug} has no scale {scale!r}; give {', '.join(study.scales)}")
        if study.needs and scale != "smoke":
            if data is None or not (data / study.needs).is_dir():
                raise BadInput(f"{slug} needs the set {study.needs!r}; give --data, the folder that holds it")
            sets[slug] = data / study.needs
    threads = max(1, _cores() // max(jobs, 1)) if not ray else 1
    pieces = [Piece(slug, scale, seed, threads, sets.get(slug)) for slug in chosen for seed in seeds]
    rows: dict[str, dict[int, dict[str, Any]]] = {slug: {} for slug in chosen}
    results: dict[str, dict[str, Any]] = {}
    for n, (piece, row) in enumerate(_run(pieces, jobs, ray), 1):
        rows[piece.slug][piece.seed] = row
        if progress:
            progress(f"{piece.slug}, seed {piece.seed}", n, len(pieces))
        if len(rows[piece.slug]) == len(seeds):
            told = [rows[piece.slug][s] for s in seeds]
            results[piece.slug] = result(chosen[piece.slug], scale, told)
            if done:
                done(results[piece.slug])
    return [results[slug] for slug in chosen]


def _cores() -> int:
    """As many threads as may run: OMP_NUM_THREADS (the first of a list), else the cores there are."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) else os.cpu_count() or 1


def work(piece: Piece) -> dict[str, Any]:
    """Run one piece in this process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(piece.threads)
    try:
        study = find(piece.slug)
        started, spent = time.perf_counter(), time.process_time()
        more = {"data": piece.data} if piece.data else {}
        measured = study().run(seed=piece.seed, **more, **study.scales[piece.scale])
        seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    finally:
        torch.set_num_threads(before)
    took = {"seconds": round(seconds, 1), "processor_seconds": round(cpu, 1)}
    return {"seed": piece.seed, **took, **{k: round(float(v), 6) for k, v in measured.items()}}


def _run(pieces: Sequence[Piece], jobs: int, ray: bool) -> Iterator[tuple[Piece, dict[str, Any]]]:
    if ray:
        yield from _on_ray(pieces)
    elif jobs <= 1:
        for piece in pieces:
            yield piece, work(piece)
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(work, piece): piece for piece in pieces}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _on_ray(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, dict[str, Any]]]:
    try:
        import ray
    except ImportError:
        raise BadInput("ray is not installed; pip install 'engram[cluster]', or leave out --ray") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    remote = ray.remote(num_cpus=1)(work)
    waiting = {remote.remote(piece): piece for piece in pieces}
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        yield waiting.pop(ready), ray.get(ready)


def result(study: type[Study], scale: Scale, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a study's JSON file holds."""
    verdict, judged = judge(study.criteria, rows)
    return {
        "paper": study.slug(),
        "claim": study.claim,
        "source": study.source,
        "verdict": verdict,
        "threshold": [c.text for c in study.criteria],
        "criteria": judged,
        "scale": scale,
        "settings": dict(study.scales[scale]),
        **({"data": study.needs} if study.needs else {}),
        "seeds": [r["seed"] for r in rows],
        "n": len(rows),
        "interval": "one-sided 95% limits of the mean over seeds, Student's t",
        "seconds": round(sum(r["seconds"] for r in rows), 1),
        "processor_seconds": round(sum(r["processor_seconds"] for r in rows), 1),
        "rows": list(rows),
        "registered": registered(study.file()),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def registered(file: Path) -> str | None:
    """The commit that holds this study as it is now; None when it is not committed, so nothing binds its thresholds."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(file.parent), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if git("status", "--porcelain", "--", file.name):
            return None
        return git("log", "-1", "--format=%h", "--", file.name) or None
    except (OSError, subprocess.CalledProcessError):
        return None


def write(found: dict[str, Any], folder: Path) -> Path:
    """Store a result under its paper's slug."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['paper']}.json"
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
