"""Random operations of many owners in one folder: what each sees is held against a memory that was alone.

python tests/memory/tenants.py --operations 100000 --owners 50 --seed 7 --out bench/results/tenants.json
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from byheart.memory import Memory
from byheart.store.folder import namespaces

WORDS = "ferry ledger lantern crane bridge orchard archive tram kiln tunnel dock garden clinic mill permit".split()


def outside(home: Path, *, owners: int, operations: int, seed: int) -> None:
    """Random operations in namespaces of one folder, and for three of them the same in a folder of their own."""
    draw = random.Random(seed)
    names = [f"user {n}" for n in range(owners)]
    shared = {n: Memory.open(home / "all", "tiny", "hash", namespace=n) for n in names}
    watched = {n: Memory.open(home / f"alone-{n}", "tiny", "hash") for n in names[:3]}
    known: dict[str, list[str]] = {n: [] for n in names}
    for step in range(operations):
        who = draw.choice(names)
        what = draw.random()
        text = f"{who} keeps the {draw.choice(WORDS)} near the {draw.choice(WORDS)} number {step}."
        query, picked = draw.choice(WORDS), draw.random()
        answers = []
        for memory in (shared[who], *([watched[who]] if who in watched else ())):
            mine = known[who]
            if what < 0.45 or not mine:
                entry = {"text": text, "at": "2026-01-01", **({"key": query} if picked < 0.3 else {})}
                answers.append([e.id for e in memory.remember([entry])])
            elif what < 0.85:
                hits = memory.recall(query, k=5, where={"state": "active"} if picked < 0.2 else None)
                assert all(h.text.startswith(f"{who} keeps") for h in hits)
                answers.append([(h.id, h.score) for h in hits])
            elif what < 0.92:
                answers.append([memory.store.count(state=None), memory.store.count()])
            else:
                memory.store.erase([mine[int(picked * len(mine))]])
                answers.append([])
        assert answers[0] == answers[-1]
        if what < 0.45 or not known[who]:
            known[who] += [i for i in answers[0] if i not in known[who]]
        elif what >= 0.92:
            known[who].pop(int(picked * len(known[who])))
    for name, memory in shared.items():
        assert {e.id for e in memory.store.all(state=None)} == set(known[name])
    for memory in (*shared.values(), *watched.values()):
        memory.close()
    assert namespaces(home / "all") == sorted(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--owners", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        outside(Path(home), owners=given.owners, operations=given.operations, seed=given.seed)
    told = {"bench": "tenants", "operations": given.operations, "owners": given.owners, "seed": given.seed}
    text = json.dumps({**told, "seen_of_others": 0, "seconds": round(time.perf_counter() - started)}, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
