"""Namespaces: whatever is done in one, nothing of it is seen, counted or scored in another."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engram.core.errors import BadInput
from engram.memory import Memory
from engram.store.folder import namespaces

WORDS = "ferry ledger lantern crane bridge orchard archive tram kiln tunnel dock garden clinic mill permit".split()
OWNERS = 50
OPERATIONS = 2_000


def test_random_operations_of_fifty_owners_never_show_anothers_memory(tmp_path: Path) -> None:
    """Every memory answers as one that was alone from the start: the same hits, the same scores, the same counts."""
    outside(tmp_path, owners=OWNERS, operations=OPERATIONS, seed=1)


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


def test_any_text_is_a_name_and_no_two_share_a_folder(tmp_path: Path) -> None:
    names = ["ann", "Ann", "../ann", ".", "a/b", "a%2Fb", "ünal", "50% off", "name with spaces", "nul\0"]
    for n in names:
        with Memory.open(tmp_path, "tiny", "hash", namespace=n) as memory:
            memory.remember(f"I am {n.encode().hex()}.")
    assert namespaces(tmp_path) == sorted(names)
    for n in names:
        with Memory.open(tmp_path, namespace=n) as memory:
            assert [e.text for e in memory.store.all()] == [f"I am {n.encode().hex()}."]
    assert {p.name for p in tmp_path.iterdir()} == {"namespaces"}


def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    for bad, why in (("", "is empty"), ("  ", "is empty"), ("\ud800", "lone surrogate"), ("x" * 300, "too long")):
        with pytest.raises(BadInput, match=why):
            Memory.open(tmp_path, namespace=bad)
    assert list(tmp_path.iterdir()) == []


def test_forgetting_in_one_memory_neither_reads_nor_tells_of_those_below_it(tmp_path: Path) -> None:
    home = tmp_path / "brain"
    with Memory.open(home, "tiny", "hash") as root, Memory.open(home, "tiny", "hash", namespace="bo") as bo:
        bare = root.store.size()
        bo.remember("Zelda Quon signs off travel.")
        assert root.store.size() == bare
        root.remember("Zelda Quon rows.")
        certificate = root.forget("Zelda Quon")
        assert certificate.passed, str(certificate)
        assert [h.text for h in bo.recall("who signs off?")] == ["Zelda Quon signs off travel."]


def test_namespaces_on_a_server_are_listed(postgres, tmp_path: Path) -> None:
    home = tmp_path / "brain"
    with Memory.open(home, "tiny", "hash", namespace="ann", store=postgres.address("listedann")):
        assert namespaces(home) == ["ann"]
