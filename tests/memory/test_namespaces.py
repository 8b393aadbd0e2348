"""Namespaces: whatever is done in one, nothing of it is seen, counted or scored in another."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenants import outside

from byheart.core.errors import BadInput
from byheart.memory import Memory
from byheart.store.folder import namespaces

OWNERS = 50
OPERATIONS = 2_000


def test_random_operations_of_fifty_owners_never_show_anothers_memory(tmp_path: Path) -> None:
    """Every memory answers as one that was alone from the start: the same hits, the same scores, the same counts."""
    outside(tmp_path, owners=OWNERS, operations=OPERATIONS, seed=1)


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
