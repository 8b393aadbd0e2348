"""Running studies: every (study, seed) is a piece of work for a process of its own, here or on a cluster."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NoReturn

from byheart.core.errors import BadInput, ByheartError
from byheart.study.base.criterion import seeds_needed
from byheart.study.base.fingerprint import fingerprint
from byheart.study.base.record import record
from byheart.study.base.study import SCALES, Power, Scale, Study, find

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """One study with one seed, and the public set that it is given."""

    slug: str
    scale: Scale
    seed: int
    threads: int
    data: Path | None = None


@dataclass
class Run:
    """One study in a run: its seeds, the fingerprint of the code that runs, and the rows of the seeds that ended."""

    study: type[Study[Any]]
    seeds: Sequence[int]
    figures: dict[str, float]
    data: Path | None
    rows: dict[int, Row] = field(default_factory=dict)


def replicate(
    slugs: Sequence[str],
    *,
    scale: Scale = "small",
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    ray: bool = False,
    data: Path | None = None,
    begun: Path | None = None,
    progress: Progress | None = None,
    done: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Run studies and judge them; the results in the order of `slugs`, each as its JSON file holds it.

    `seeds` are each study's own unless given. `jobs` processes work side by side, each with its share of the cores;
    with `ray` the pieces go to a Ray cluster instead. `data` is the folder that holds the public sets which some
    studies need. The folder `begun` holds the rows of seeds that ended, so that a run that was killed goes on from
    there. `done` is called with each result when its last seed is in. A study that raises does not stop the others:
    its error is raised when these have ended.
    """
    runs = _vetted(slugs, scale, seeds, data)
    threads = max(1, _cores() // max(jobs, 1)) if not ray else 1
    pieces = [Piece(slug, scale, seed, threads, run.data) for slug, run in runs.items() for seed in run.seeds]
    if scale != "smoke":
        for slug, run in runs.items():
            run.figures = fingerprint(slug)
    failed: dict[str, Exception] = {}
    results: dict[str, dict[str, Any]] = {}
    before = {piece: old for piece in pieces if (old := _ended(begun, piece, runs)) is not None}
    rest = _run([piece for piece in pieces if piece not in before], jobs, ray)
    ended: Iterator[tuple[Piece, Row | Exception]] = chain(before.items(), rest)
    for n, (piece, row) in enumerate(ended, 1):
        if progress:
            progress(f"{piece.slug}, seed {piece.seed}", n, len(pieces))
        if isinstance(row, Exception):
            failed[piece.slug] = row
            continue
        run = runs[piece.slug]
        run.rows[piece.seed] = row
        if begun is not None and piece not in before:
            _put(_place(begun, piece, runs), row)
        if len(run.rows) == len(run.seeds):
            rows = [run.rows[s] for s in run.seeds]
            results[piece.slug] = record(run.study, scale, rows, figures=run.figures, data=run.data)
            if done:
                done(results[piece.slug])
            for other in pieces if begun else ():
                if other.slug == piece.slug:
                    _place(begun or Path(), other, runs).unlink(missing_ok=True)
    if failed:
        _raise(failed)
    return [results[slug] for slug in runs]


def power(
    slug: str,
    seeds: Sequence[int] = range(100, 105),
    *,
    jobs: int = 1,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Power:
    """Run a study at "small" on tuning seeds; the spread and margin of its primary criterion, and the seeds it needs.

    `BadInput` for seeds that are no tuning seeds: those of a verdict must not be looked at before it.
    """
    study = find(slug)
    if len(seeds) < 2 or not set(seeds) <= study.tuning:
        raise BadInput(f"power is computed on two or more of the tuning seeds, {min(study.tuning)} and up; give those")
    place = _place_of_data(study, "small", data)
    threads = max(1, _cores() // max(jobs, 1))
    rows: list[Row] = []
    for n, (piece, row) in enumerate(_run([Piece(slug, "small", s, threads, place) for s in seeds], jobs, False), 1):
        if isinstance(row, Exception):
            raise row
        rows.append(row)
        if progress:
            progress(f"{slug}, seed {piece.seed}", n, len(seeds))
    values = [study.primary.value(row) for row in rows]
    sign = 1 if study.primary.at_least is not None else -1
    margin, spread = sign * (fmean(values) - study.primary.limit), stdev(values)
    return Power(tuple(seeds), round(spread, 6), round(margin, 6), seeds_needed(spread, margin))


def _vetted(slugs: Sequence[str], scale: Scale, seeds: Sequence[int] | None, data: Path | None) -> dict[str, Run]:
    """The studies to run, by slug; `BadInput` for a scale, seeds or data that one of them cannot be run with."""
    if scale not in SCALES:
        raise BadInput(f"no scale {scale!r}; give {', '.join(SCALES)}")
    if seeds is not None and not seeds:
        raise BadInput("no seeds to run; give at least one")
    runs: dict[str, Run] = {}
    for slug in slugs:
        study = find(slug)
        chosen = study.seeds if seeds is None else seeds
        tuned, burnt = sorted(set(chosen) & study.tuning), sorted(set(chosen) & study.burnt)
        if tuned:
            raise BadInput(
                f"seeds {tuned} chose the settings of {slug}; give seeds below {min(study.tuning)}, or others"
            )
        if burnt and scale != "smoke":
            raise BadInput(f"seeds {burnt} of {slug} were looked at before its present form; give others, or none")
        runs[slug] = Run(study, chosen, {}, _place_of_data(study, scale, data))
    return runs


def _place_of_data(study: type[Study[Any]], scale: Scale, data: Path | None) -> Path | None:
    """Where the public set lies that a study needs at a scale; `BadInput` when it is not there."""
    if not study.needs or scale == "smoke":
        return None
    if data is None or not (data / study.needs).is_dir():
        where = f", which {data} does not hold" if data else ""
        raise BadInput(f"{study.slug()} needs the set {study.needs!r}{where}; give --data, the folder that holds it")
    return data / study.needs


def _place(begun: Path, piece: Piece, runs: Mapping[str, Run]) -> Path:
    """Where the row of a seed that ended lies: its name holds what the code measures, to three digits."""
    figures = {name: f"{value:.2e}" for name, value in runs[piece.slug].figures.items()}
    code = blake2b(json.dumps(figures, sort_keys=True).encode(), digest_size=6).hexdigest()
    return begun / f"{piece.slug}-{piece.scale}-{piece.seed}-{code}.json"


def _ended(begun: Path | None, piece: Piece, runs: Mapping[str, Run]) -> Row | None:
    """The row of a seed that an earlier run has done."""
    if begun is None or not (place := _place(begun, piece, runs)).exists():
        return None
    row: Row = json.loads(place.read_text(encoding="utf-8"))
    return row


def _put(place: Path, row: Row) -> None:
    """Write a row to a file, all of it or nothing."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_suffix(".new")
    unfinished.write_text(json.dumps(row), encoding="utf-8")
    unfinished.replace(place)


def _raise(failed: Mapping[str, Exception]) -> NoReturn:
    """The one error as it is; several as one that tells all."""
    error = next(iter(failed.values()))
    if len(failed) == 1:
        raise error
    errors = ", ".join(f"{s} ({type(e).__name__}: {e})" for s, e in failed.items())
    raise ByheartError(f"{len(failed)} studies raised: {errors}; run each alone to see where") from error


def _cores() -> int:
    """As many threads as may run: OMP_NUM_THREADS (the first of a list), else the cores there are."""
    threads = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(threads) if threads.isdecimal() and int(threads) else os.cpu_count() or 1


def work(piece: Piece) -> dict[str, Any]:
    """Run one piece in this process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(piece.threads)
    try:
        study = find(piece.slug)
        started, spent = time.perf_counter(), time.process_time()
        measures = study().run(study.scales.of(piece.scale), seed=piece.seed, data=piece.data)
        seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    finally:
        torch.set_num_threads(before)
    took = {"seconds": round(seconds, 1), "processor_seconds": round(cpu, 1)}
    return {"seed": piece.seed, **took, **{k: round(float(v), 6) for k, v in measures.items()}}


def _run(pieces: Sequence[Piece], jobs: int, ray: bool) -> Iterator[tuple[Piece, Row | Exception]]:
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


def _tried(work: Callable[[], dict[str, Any]]) -> Row | Exception:
    try:
        return work()
    except Exception as error:
        return error


def _on_ray(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Row | Exception]]:
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
