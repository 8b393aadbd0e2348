"""Notices of a made-up town with given vectors, as many as wanted: what stores are measured on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMENSION = 384
QUERIES = 200
K = 10
USER = "u1"
BLOCK = 1000
CHUNKS = 8
Vectors = NDArray[np.float32]

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


class Corpus:
    """Texts and clustered vectors, made a block at a time, and queries that ask for some of them."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size, self.seed = size, seed
        self.people = [f"{f} {a.title()}{e}" for f in _FIRST for a in _STEMS for e in _ENDS]
        self.places = [f"{a.title()}{b}{e}" for a in _STEMS for b in _STEMS for e in _ENDS]
        self.centres = np.random.default_rng(seed).standard_normal((200, DIMENSION)).astype(np.float32)
        pick = random.Random(seed)
        starts = range(0, size, BLOCK)
        blocks = sorted(pick.sample(starts, min(CHUNKS, len(starts))))
        rng = np.random.default_rng([seed, size])
        self.rows: list[int] = []
        self.queries: list[str] = []
        near = []
        self.gold: list[str] = []
        for place, start in enumerate(blocks):
            facts, texts, vectors = self.block(start)
            for _ in range(QUERIES * place // len(blocks), QUERIES * (place + 1) // len(blocks)):
                i = pick.randrange(len(texts))
                _, verb, what, where, month = facts[i]
                self.rows.append(start + i)
                self.gold.append(texts[i])
                self.queries.append(f"Who {verb} the {what} at {where} in {month}?")
                near.append(vectors[i] + 0.02 * rng.standard_normal(DIMENSION))
        self.near = _unit(np.array(near))

    def block(self, start: int) -> tuple[list[tuple[str, str, str, str, str]], list[str], Vectors]:
        """Facts, texts and vectors of the engrams from `start` on."""
        count = min(BLOCK, self.size - start)
        pick = random.Random(f"{self.seed} {start}")
        choose = pick.choice
        facts = [
            (choose(self.people), choose(_VERBS), choose(_THINGS), choose(self.places), choose(_MONTHS))
            for _ in range(count)
        ]
        texts = [
            f"In {m} {pick.randint(1950, 2026)} {who} {verb} the {what} at {where}, {choose(_TAILS)}. "
            f"The {choose(_THINGS)} next to it costs {pick.randint(3, 900)} crowns a day."
            for who, verb, what, where, m in facts
        ]
        rng = np.random.default_rng([self.seed, start])
        noise = rng.standard_normal((count, DIMENSION))
        return facts, texts, _unit(self.centres[rng.integers(200, size=count)] + 0.7 * noise)

    def blocks(self) -> Iterator[tuple[int, list[str], Vectors]]:
        """Number of the first, texts and vectors, block by block."""
        for start in range(0, self.size, BLOCK):
            _, texts, vectors = self.block(start)
            yield start, texts, vectors

    def table(self) -> dict[str, list[float]]:
        """The vector of every text and query, for peers that want an embedder."""
        vectors_by_text = dict(zip(self.queries, self.near.tolist(), strict=True))
        for _, texts, vectors in self.blocks():
            vectors_by_text |= dict(zip(texts, vectors.tolist(), strict=True))
        return vectors_by_text

    def nearest(self) -> Vectors:
        """The cosine of each query with its tenth nearest vector, exactly."""
        best = np.full((QUERIES, K), -2.0, np.float32)
        for _, _, vectors in self.blocks():
            both = np.concatenate([best, self.near @ vectors.T], 1)
            best = -np.partition(-both, K - 1, axis=1)[:, :K]
        return best.min(1)


def owner(number: int) -> str:
    """Half belong to a single owner, the others to five hundred."""
    return USER if number % 2 == 0 else f"u{number % 1000}"


def _unit(rows: NDArray[Any]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def timed(work: Callable[[int], Sequence[str]], wanted: Sequence[str], count: int = QUERIES) -> dict[str, Any]:
    """Milliseconds of each search by the clock and of the processor, and how often the wanted text is a hit."""
    spent, used, right = [], [], 0
    for i in range(count):
        start, began = time.perf_counter(), time.process_time()
        hits = work(i)
        spent.append(1000 * (time.perf_counter() - start))
        used.append(1000 * (time.process_time() - began))
        right += wanted[i] in hits
    wall, cpu = (np.percentile(v, [50, 95]).round(3).tolist() for v in (spent, used))
    figures = {"p50_ms": wall[0], "p95_ms": wall[1], "cpu_p50_ms": cpu[0], "cpu_p95_ms": cpu[1]}
    return {**figures, "found_at_10": right / count}
