"""Current truth: on a stream of changing facts, which value does a memory give now, and which did it give earlier?

    python bench/truth.py [--facts 1000] [--seed 0] [--out bench/results/truth.json]

The stream is the second half of `world.facts.changes`, whose slots, names and wordings no rule or weight was made on.
It is remembered in three ways: with keys (who writes says what a fact is about), by meaning (`update=True`), and side
by side, as a memory that only adds keeps it. Every slot is then asked for once now and once as of a time when an
earlier value held. First: the first hit gives the wanted value of the slot. Both: an outdated value of the slot is
among ten current hits beside the current one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from byheart.memory import Memory
from byheart.world.facts.changes import Stream, changes

WAYS = ("keys", "meaning", "side by side")


def measure(stream: Stream, way: str, embedder: str) -> dict[str, Any]:
    """Shares of the questions, and processor seconds a statement."""
    with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder=embedder) as memory:
        _ = memory.embedder
        drafts = [
            {"text": s.text, "at": s.at, **({"key": f"{s.subject}/{s.slot}"} if s.kind != "trait" else {})}
            if way == "keys"
            else {"text": s.text, "at": s.at}
            for s in stream.statements
        ]
        started = time.process_time()
        stored = memory.remember(drafts, update=way == "meaning")
        spent = time.process_time() - started
        told: dict[str, list[Any]] = {}
        for engram, statement in zip(stored, stream.statements, strict=True):
            told.setdefault(engram.id, []).append(statement)
        first = before = both = found = 0
        for q in stream.questions:
            now = [s for h in memory.recall(q.question, k=10) for s in told[h.id]]
            then = [s for h in memory.recall(q.question, k=1, at=q.before) for s in told[h.id]]
            slot = [s.value for s in now if (s.subject, s.slot) == (q.subject, q.slot)]
            first += any((s.subject, s.slot, s.value) == (q.subject, q.slot, q.value) for s in now[:1])
            before += any((s.subject, s.slot, s.value) == (q.subject, q.slot, q.value_before) for s in then)
            both += q.value in slot and any(v in q.stale for v in slot)
            found += q.value in slot
    n = len(stream.questions)
    return {
        "latest_first": round(first / n, 4),
        "earlier_first": round(before / n, 4),
        "both_as_current": round(both / n, 4),
        "latest_among_ten": round(found / n, 4),
        "processor_ms_a_statement": round(1e3 * spent / len(stream.statements), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", default="test")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--ways", nargs="*", default=WAYS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    stream = changes(args.facts, seed=args.seed, half=args.half)
    result: dict[str, Any] = {
        "bench": "truth",
        **{k: getattr(args, k) for k in ("facts", "seed", "half", "embedder")},
        "statements": len(stream.statements),
        "questions": len(stream.questions),
        "ways": {},
    }
    for way in args.ways:
        result["ways"][way] = measure(stream, way, args.embedder)
        print(way, json.dumps(result["ways"][way]), flush=True)
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
