"""Published systems, whole: every name in them is a method of its kind, and a memory keeps the one it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from byheart.core import catalogue
from byheart.core.errors import BadInput, Unknown
from byheart.memory import Memory
from byheart.recall.systems import SYSTEMS


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
def test_names_are_methods_of_their_kind(system) -> None:
    for name, kinds in (
        (system.write, {"writer"}),
        (system.update, {"updater"}),
        (system.reader, {"reader"}),
        *((n, {"retriever", "reranker"}) for n in (system.method or "").split(",") if n),
    ):
        assert name is None or catalogue.entry(name).kind in kinds
    assert system.paper is None or catalogue.paper(system.paper)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
def test_every_system_remembers_recalls_and_answers(tmp_path: Path, system) -> None:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash", system=system.name) as memory:
        memory.remember("Marta Kask runs the ferry. Her dog is called Bo.")
        memory.remember("Marta Kask sells tea. The ferry leaves at nine.")
        assert any("dog" in h.text for h in memory.recall("the dog", k=5))
        assert memory.ask("What is the dog called?", form="text").form in ("text", "none")
        assert memory.check() == []


def test_a_memory_keeps_its_system_and_a_call_may_name_another_method(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash", system="atomic-facts") as memory:
        assert len(memory.remember("Ann Kask sails and sells tea.")) == 2
        assert len(memory.remember("Ann Kask swims and dives for pearls.", write="chunks")) == 1
    with Memory.open(tmp_path / "brain") as memory:
        assert memory.system.name == "atomic-facts"
    with pytest.raises(BadInput, match="was made with system 'atomic-facts', not 'memgas'"):
        Memory.open(tmp_path / "brain", system="memgas")
    with pytest.raises(Unknown, match="did you mean 'memgas'"):
        Memory.open(tmp_path / "other", system="memgass")
    assert not (tmp_path / "other").exists()
