"""Li et al. 2025, "MemOS: An Operating System for Memory-Augmented Generation (MAG)", arXiv:2505.22101."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byheart.memory import Memory
from byheart.store.move import move
from byheart.store.sqlite import Store
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.facts.changes import Statement, Stream, changes

OWNERS = ("ann", "bo", "cem")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    facts: int
    embedder: str


class Governed(Study[Size]):
    """Memory as a governed resource: current, traceable, under access rules, fused and migrated without loss.

    The paper describes an operating system for memory: units with provenance, versions and rights, that are scheduled,
    fused, migrated and traced, where retrieval alone is stateless; it states what such a system must do and measures
    nothing (sections 3 and 4). Here: each of these is a measure. The data is a stream of dated statements about people
    whose circumstances change (`world.facts.changes`, half "test"). Each person's statements belong to one of three
    owners, who share a memory (MiniLM) and store them under keys. Beside it is a memory that only adds and knows no
    owners. Then pairs of an owner's traits are merged and everything is moved to another folder.
    """

    claim = "governed memory is current, traceable, under access rules, and is fused and migrated without loss"
    quote = (
        "At its core is the MemCube, a standardized memory abstraction that enables tracking, fusion, and "
        "migration of heterogeneous memory, while offering structured, traceable access across tasks and "
        "contexts."
    )
    source = "sections 3 and 4"
    scope = "mechanism"
    primary = Criterion("current", says="current answers first, beyond a memory that only adds", at_least=0.3)
    secondary = (
        Criterion("leaked", says="questions that show an owner what is another's", at_most=0.0),
        Criterion("traced", says="facts whose history is all that was said of them, in order", at_least=1.0),
        Criterion("fused", says="merged engrams that lead back to what they were made from", at_least=1.0),
        Criterion("migrated", says="questions with the same hits after a move", at_least=1.0),
    )
    scales = Scales(
        smoke=Size(facts=72, embedder="hash"),
        small=Size(facts=360, embedder="minilm"),
        full=Size(facts=1000, embedder="minilm"),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        """One stream in a governed memory and in a plain memory."""
        stream = changes(size.facts, seed=seed, half="test")
        people = list(dict.fromkeys(s.subject for s in stream.statements))
        owner = {p: OWNERS[n % len(OWNERS)] for n, p in enumerate(people)}
        with tempfile.TemporaryDirectory() as home, ExitStack() as held:
            where = Path(home)
            mine = {
                o: held.enter_context(Memory.open(where / "governed", "tiny", size.embedder, owner=o)) for o in OWNERS
            }
            plain = held.enter_context(Memory.open(where / "plain", "tiny", size.embedder))
            statements: dict[str, Statement] = {}
            for o, memory in mine.items():
                own = [s for s in stream.statements if owner[s.subject] == o]
                statements |= dict(zip([e.id for e in memory.remember([_keyed(s) for s in own])], own, strict=True))
            added = plain.remember([{"text": s.text, "at": s.at} for s in stream.statements])
            first = dict(zip([e.id for e in added], stream.statements, strict=True))
            questions = [(q, owner[q.subject]) for q in stream.questions]
            governed = sum(_gives(mine[o].recall(q.question, k=1), statements, q) for q, o in questions)
            adding = sum(_gives(plain.recall(q.question, k=1), first, q) for q, _ in questions)
            leaked = sum(_shows(mine[OWNERS[OWNERS.index(o) - 1]], q.question, o) for q, o in questions)
            traced = [_history(mine[owner[q.subject]], q, stream) for q in stream.questions]
            fused = [_merged(memory) for memory in mine.values()]
            before = [[h.id for h in mine[o].recall(q.question)] for q, o in questions]
            with Store(where / "copy") as copy:
                move(mine["ann"].store, copy)
            moved = {o: held.enter_context(Memory.open(where / "copy", owner=o)) for o in OWNERS}
            after = [[h.id for h in moved[o].recall(q.question)] for q, o in questions]
        n = len(questions)
        return {
            "current": (governed - adding) / n,
            "leaked": leaked / n,
            "traced": sum(traced) / n,
            "fused": sum(fused) / len(fused),
            "migrated": sum(a == b for a, b in zip(before, after, strict=True)) / n,
            "first_governed": governed / n,
            "first_adding": adding / n,
        }


def _keyed(s: Statement) -> dict[str, str]:
    key = {} if s.kind == "trait" else {"key": f"{s.subject}/{s.slot}"}
    return {"text": s.text, "at": s.at, **key}


def _gives(hits: Any, statements: Mapping[str, Statement], q: Any) -> bool:
    """Whether the first hit states the current value."""
    s = statements.get(hits[0].id) if hits else None
    return s is not None and (s.subject, s.slot, s.value) == (q.subject, q.slot, q.value)


def _shows(memory: Memory, question: str, owner: str) -> bool:
    """Whether the hits of a question include an engram of this owner."""
    return any(e.owner == owner for e in memory.store.get([h.id for h in memory.recall(question)]))


def _history(memory: Memory, q: Any, stream: Stream) -> bool:
    """Whether a fact's history is its statements in order, each valid until the next."""
    statements = [s for s in stream.statements if (s.subject, s.slot) == (q.subject, q.slot)]
    line = memory.history(f"{q.subject}/{q.slot}")
    ends = [*(s.at for s in statements[1:]), None]
    return [(e.text, e.at, e.valid_to) for e in line] == [
        (s.text, s.at, end) for s, end in zip(statements, ends, strict=True)
    ]


def _merged(memory: Memory) -> bool:
    """Merge two of an owner's traits; whether the history of the new engram holds both."""
    traits = [e for e in memory.store.all() if e.key is None and e.owner == memory.owner][:2]
    made = memory.merge([e.id for e in traits])
    line = memory.history(made.id)
    return {e.id for e in line} == {made.id, *(e.id for e in traits)} and line[-1].id == made.id
