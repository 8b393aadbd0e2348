"""Notices of a made-up town with given vectors, as many as wanted: what stores are measured on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMENSION = 384
QUERIES = 200

_FIRST = "Marta Jonas Irena Pavel Sofia Anders Lucia Tomas Greta Milo Hanna Viktor Elsa Oskar Nadia Emil".split()
_STEMS = "kask vel bren tor mar lin dor sten hol fen gar win pel rad sul nor ash cor eld vin tam rok bel jas".split()
_ENDS = "holm ster wick mund gate ford mere stad vale berg low ness".split()
_THINGS = (
    "ferry ledger lantern crane warehouse bridge orchard archive tram kiln observatory market tunnel dock library "
    "garden clinic bakery mill theatre permit invoice budget contract timetable rota manual key engine harvest"
).split()
_VERBS = (
    "approved repaired painted inspected sold closed moved measured planned funded rented cleaned lost ordered".split()
)
_MONTHS = "January February March April May June July August September October November December".split()
_TAILS = (
    "because the old one had failed during the storm",
    "after a long meeting of the council, which ended in agreement",
    "and asked everyone to report problems to the front desk before noon",
    "so that visitors no longer have to wait at the eastern entrance",
    "although the insurance had not yet confirmed that it would pay",
    "together with two apprentices who had come from the coast",
)


Vectors = NDArray[np.float32]


def corpus(size: int, seed: int = 0) -> tuple[list[str], Vectors, list[str], Vectors, list[int]]:
    """Texts, their vectors, queries, their vectors, and the text each query asks for."""
    pick = random.Random(seed)
    people = [f"{f} {a.title()}{e}" for f in _FIRST for a in _STEMS for e in _ENDS]
    places = [f"{a.title()}{b}{e}" for a in _STEMS for b in _STEMS for e in _ENDS]
    facts = [
        (pick.choice(people), pick.choice(_VERBS), pick.choice(_THINGS), pick.choice(places), pick.choice(_MONTHS))
        for _ in range(size)
    ]
    texts = [
        f"In {m} {pick.randint(1950, 2026)} {who} {verb} the {what} at {where}, {pick.choice(_TAILS)}. "
        f"The {pick.choice(_THINGS)} next to it costs {pick.randint(3, 900)} crowns a day."
        for who, verb, what, where, m in facts
    ]
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, DIMENSION))
    vectors = _unit(centres[rng.integers(200, size=size)] + 0.7 * rng.standard_normal((size, DIMENSION)))
    asked = [pick.randrange(size) for _ in range(QUERIES)]
    queries = [f"Who {facts[i][1]} the {facts[i][2]} at {facts[i][3]} in {facts[i][4]}?" for i in asked]
    near = _unit(vectors[asked] + 0.02 * rng.standard_normal((QUERIES, DIMENSION)))
    return texts, vectors, queries, near, asked


def _unit(rows: NDArray[Any]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def timed(work: Callable[[int], Sequence[str]], asked: Sequence[str]) -> dict[str, Any]:
    """Milliseconds of each search, and how often what was asked for is among the hits."""
    for i in range(5):
        work(i)
    spent, found = [], 0
    for i in range(QUERIES):
        start = time.perf_counter()
        hits = work(i)
        spent.append(1000 * (time.perf_counter() - start))
        found += asked[i] in hits
    p50, p95 = np.percentile(spent, [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "found_at_10": found / QUERIES}
