"""Running studies: every (study, seed) is a piece of work for a process of its own, here or on a cluster."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

from byheart.core.errors import BadInput, ByheartError
from byheart.study.trial import SCALES, Scale, Study, find, judge

Progress = Callable[[str, int, int], None]
SEEDS = (0, 1, 2)
Row = dict[str, Any] | Exception
"""What a piece measured, or what it raised."""


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
    kept: Path | None = None,
    progress: Progress | None = None,
    done: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Run studies and judge them; the results in the order of `slugs`, each as its JSON file holds it.

    `jobs` processes work side by side, each with its share of the cores; with `ray` the pieces go to a
    Ray cluster instead. `data` is the folder that holds the public sets which some studies need. In the folder
    `kept` every seed is put as it ends, so that a run that was killed goes on from there (studies that are
    committed only). `done` hears of each study when its last seed is in. A study that raises does not stop the
    others: its error is raised when these have ended.
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
            raise BadInput(
                f"seeds {burnt} chose the settings of {slug}; give seeds below {min(study.tuning)}, or others"
            )
        if scale not in study.scales:
            raise BadInput(f"{slug} has no scale {scale!r}; give {', '.join(study.scales)}")
        if study.needs and scale != "smoke":
            if data is None or not (data / study.needs).is_dir():
                where = f", which {data} does not hold" if data else ""
                raise BadInput(f"{slug} needs the set {study.needs!r}{where}; give --data, the folder that holds it")
            sets[slug] = data / study.needs
    threads = max(1, _cores() // max(jobs, 1)) if not ray else 1
    pieces = [Piece(slug, scale, seed, threads, sets.get(slug)) for slug in chosen for seed in seeds]
    rows: dict[str, dict[int, dict[str, Any]]] = {slug: {} for slug in chosen}
    results: dict[str, dict[str, Any]] = {}
    failed: dict[str, Exception] = {}
    before = {piece: told for piece in pieces if (told := _ended(kept, piece)) is not None}
    rest = _run([piece for piece in pieces if piece not in before], jobs, ray)
    ended: Iterator[tuple[Piece, Row]] = chain(before.items(), rest)
    for n, (piece, row) in enumerate(ended, 1):
        if progress:
            progress(f"{piece.slug}, seed {piece.seed}", n, len(pieces))
        if isinstance(row, Exception):
            failed[piece.slug] = row
            continue
        rows[piece.slug][piece.seed] = row
        if piece not in before:
            _keep(kept, piece, row)
        if len(rows[piece.slug]) == len(seeds):
            results[piece.slug] = result(chosen[piece.slug], scale, [rows[piece.slug][s] for s in seeds])
            if done:
                done(results[piece.slug])
            for one in pieces if kept else ():
                if one.slug == piece.slug:
                    _place(kept, one).unlink(missing_ok=True)
    if failed:
        _raise(failed)
    return [results[slug] for slug in chosen]


def _place(kept: Path | None, piece: Piece) -> Path:
    """Where a piece that has ended is kept: bound to the commit that holds its study."""
    bound = registered(find(piece.slug).file())
    return (kept or Path()) / f"{piece.slug}-{piece.scale}-{piece.seed}-{bound}.json"


def _ended(kept: Path | None, piece: Piece) -> dict[str, Any] | None:
    """A piece that an earlier run has done."""
    if kept is None or not (place := _place(kept, piece)).exists():
        return None
    row: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return row


def _keep(kept: Path | None, piece: Piece, row: dict[str, Any]) -> None:
    """Put a piece by, all of it or nothing."""
    if kept is None or registered(find(piece.slug).file()) is None:
        return
    kept.mkdir(parents=True, exist_ok=True)
    place = _place(kept, piece)
    fresh = place.with_suffix(".new")
    fresh.write_text(json.dumps(row), encoding="utf-8")
    fresh.replace(place)


def _raise(failed: Mapping[str, Exception]) -> NoReturn:
    """The one error as it is; several as one that tells all."""
    error = next(iter(failed.values()))
    if len(failed) == 1:
        raise error
    told = ", ".join(f"{s} ({type(e).__name__}: {e})" for s, e in failed.items())
    raise ByheartError(f"{len(failed)} studies raised: {told}; run each alone to see where") from error


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


def _run(pieces: Sequence[Piece], jobs: int, ray: bool) -> Iterator[tuple[Piece, Row]]:
    """Each piece with what it measured, or with what it raised."""
    if ray:
        yield from _on_ray(pieces)
    elif jobs <= 1:
        for piece in pieces:
            yield piece, _tried(partial(work, piece))
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(work, piece): piece for piece in pieces}
            try:
                for future in as_completed(futures):
                    yield futures[future], _tried(future.result)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _tried(work: Callable[[], dict[str, Any]]) -> Row:
    try:
        return work()
    except Exception as error:
        return error


def _on_ray(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Row]]:
    try:
        import ray
    except ImportError:
        raise BadInput("ray is not installed; pip install 'byheart[cluster]', or leave out --ray") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    remote = ray.remote(num_cpus=1)(work)
    waiting = {remote.remote(piece): piece for piece in pieces}
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        yield waiting.pop(ready), _tried(partial(ray.get, ready))


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


def stored(folder: Path, slug: str, scale: Scale, seeds: Sequence[int]) -> dict[str, Any] | None:
    """The result in a folder, if it is of this study as it is committed, of this scale and of these seeds."""
    path = folder / f"{slug}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    bound = registered(find(slug).file())
    same = (found.get("registered"), found.get("scale"), found.get("seeds")) == (bound, scale, list(seeds))
    return found if same and bound else None


def write(found: dict[str, Any], folder: Path) -> Path:
    """Store a result under its paper's slug."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['paper']}.json"
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
