"""A stream of dated statements about people whose circumstances change, with what holds at every time.

Every slot has a single value at a time: a new value ends the value before. Every trait adds up. Statements come in many
wordings, some of which say that something changed and some of which do not. Slots, traits, names and wordings are in
two halves that share nothing, so that rules and weights chosen on "dev" are judged on "test".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from byheart.core.errors import BadInput
from byheart.world.facts.changing import HALVES, Slot, Trait

Half = Literal["dev", "test"]
START = datetime(2024, 1, 1, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Statement:
    """One line of the stream. `kind` is what it does to what was known: "first" tells a slot's first value,
    "change" another, "again" the same in other words, "end" that there is none now, "trait" something besides.

    `replaces` are the places in the stream of the statements that it makes untrue.
    """

    text: str
    at: str
    subject: str
    slot: str
    value: str | None
    kind: Literal["first", "change", "again", "end", "trait"]
    replaces: tuple[int, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question with the value that holds now, the value that held at `before`, and the values that never hold now."""

    question: str
    subject: str
    slot: str
    value: str
    before: str
    value_before: str
    stale: tuple[str, ...]


@dataclass(frozen=True)
class Stream:
    """The statements in the order of time, and the questions."""

    statements: tuple[Statement, ...]
    questions: tuple[Question, ...]


def changes(facts: int, *, seed: int = 0, half: Half = "dev", endings: float = 0.03) -> Stream:
    """`facts` slots of people, each stated two to four times with another value, among traits and repetitions.

    >>> stream = changes(20, seed=1)
    >>> sum(s.kind == "first" for s in stream.statements), len(stream.questions) <= 20
    (20, True)
    """
    if half not in HALVES:
        raise BadInput(f"half={half!r}; choose one of {', '.join(HALVES)}")
    if facts < 1:
        raise BadInput(f"a stream of {facts} facts says nothing; give at least 1")
    world = HALVES[half]
    rng = np.random.default_rng([seed, len(half)])
    names = _names(world.first, world.last, -(-facts // len(world.slots)), rng)
    pairs = [(n, s) for n in names for s in world.slots][:facts]
    timeline: list[tuple[float, str, Slot | Trait, str | None, str, str]] = []
    for name, slot in pairs:
        timeline += _timeline(name, slot, rng, endings)
    for name in names:
        for trait in world.traits:
            for value in rng.choice(trait.values, 2, replace=False):
                text = str(rng.choice(trait.stated)).format(s=name, o=value)
                timeline.append((float(rng.uniform()), name, trait, str(value), "trait", text))
    timeline.sort(key=lambda t: t[0])
    statements: list[Statement] = []
    holding: dict[tuple[str, str], list[int]] = {}
    for when, name, slot_or_trait, value, kind, text in timeline:
        at = (START + timedelta(minutes=round(when * 60 * 24 * 700))).isoformat()
        key = (name, slot_or_trait.name)
        replaced = tuple(holding.get(key, ())) if kind in ("change", "end") else ()
        if kind in ("change", "end"):
            holding[key] = []
        if kind != "trait":
            holding.setdefault(key, []).append(len(statements))
        statements.append(Statement(text, at, name, slot_or_trait.name, value, kind, replaced))  # type: ignore[arg-type]
    return Stream(tuple(statements), tuple(_questions(pairs, statements, rng)))


def _timeline(
    name: str, slot: Slot, rng: np.random.Generator, endings: float
) -> list[tuple[float, str, Slot | Trait, str | None, str, str]]:
    """The statements about a slot: a first value, one to three changes, now and then a repetition or an end."""
    times = np.sort(rng.uniform(size=int(rng.integers(2, 5))))
    values = [str(v) for v in rng.choice(slot.values, len(times), replace=False)]
    out: list[tuple[float, str, Slot | Trait, str | None, str, str]] = []
    for n, (when, value) in enumerate(zip(times, values, strict=True)):
        ways = slot.stated + (slot.changed if n else ())
        out.append(
            (float(when), name, slot, value, "change" if n else "first", str(rng.choice(ways)).format(s=name, o=value))
        )
        until = times[n + 1] if n + 1 < len(times) else 1.0
        if rng.uniform() < 0.15:
            again = str(rng.choice(slot.stated)).format(s=name, o=value)
            if again != out[-1][5]:
                out.append((float(rng.uniform(when, until)), name, slot, value, "again", again))
    if slot.ended and rng.uniform() < endings * 5:
        last = max(t[0] for t in out)
        out.append((float(rng.uniform(last, 1.0)), name, slot, None, "end", str(rng.choice(slot.ended)).format(s=name)))
    return out


def _questions(
    pairs: Sequence[tuple[str, Slot]], statements: Sequence[Statement], rng: np.random.Generator
) -> list[Question]:
    """A question for every slot that has a value at the end, and a time at which an earlier value held."""
    by: dict[tuple[str, str], list[Statement]] = {}
    for s in statements:
        if s.kind in ("first", "change", "end"):
            by.setdefault((s.subject, s.slot), []).append(s)
    out = []
    for name, slot in pairs:
        line = by[(name, slot.name)]
        if line[-1].value is None:
            continue
        n = int(rng.integers(len(line) - 1))
        a, b = (datetime.fromisoformat(line[m].at) for m in (n, n + 1))
        stale = tuple(s.value for s in line[:-1] if s.value)
        now, then = line[-1].value, line[n].value
        question = str(rng.choice(slot.questions)).format(s=name)
        out.append(Question(question, name, slot.name, now or "", (a + (b - a) / 2).isoformat(), then or "", stale))
    return out


def _names(first: Sequence[str], last: Sequence[str], n: int, rng: np.random.Generator) -> list[str]:
    if n > len(first) * len(last):
        raise BadInput(f"there are names for {len(first) * len(last)} people, not for {n}; ask for fewer facts")
    return [f"{first[i // len(last)]} {last[i % len(last)]}" for i in rng.permutation(len(first) * len(last))[:n]]
