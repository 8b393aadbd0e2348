"""A folder that version 0.1 made, when the project was called engram, opens and answers."""

import tarfile
from pathlib import Path

import pytest

from byheart import Memory
from byheart.core.errors import BadInput

FOLDER = Path(__file__).parent / "folder-0.1.tar.gz"
"""Model `tiny`, embedder `hash`: a text, a fact told twice under one key, and two versions of weights."""


@pytest.fixture
def former(tmp_path: Path) -> Path:
    with tarfile.open(FOLDER) as archive:
        archive.extractall(tmp_path / "brain", filter="data")
    return tmp_path / "brain"


def test_a_former_folder_opens_and_answers(former: Path) -> None:
    with Memory.open(former) as memory:
        assert memory.system.name == "byheart"
        assert memory.ask("Who signs off travel?", form="text").text == "Marta Kask signs off travel in Velm."
        assert [h.text for h in memory.recall("What does Ilo Brandt keep?", k=1)] == ["Ilo Brandt keeps the lamp."]
        assert [e.text for e in memory.history("Ilo/keeps")] == [
            "Ilo Brandt keeps the key.",
            "Ilo Brandt keeps the lamp.",
        ]
        assert [v.id for v in memory.log()] == ["v2", "v1", "v0"]
        assert memory.check() == []


def test_a_former_folder_learns_goes_back_and_forgets(former: Path) -> None:
    with Memory.open(former) as memory:
        learned = memory.learn(
            [{"question": "Who rows?", "answer": "Bo"}], strategy="teach-lmm-skills,replay", budget=100.0
        )
        assert learned.committed, learned.reason
        memory.revert("v1")
        memory.forget("Ilo Brandt")
        texts = [e.text for e in memory.engrams(None)]
        assert "Marta Kask signs off travel in Velm." in texts
        assert not [t for t in texts if "Ilo Brandt" in t]


def test_a_former_folder_may_be_named_its_system(former: Path) -> None:
    Memory.open(former, system="byheart").close()
    with pytest.raises(BadInput, match="made with system 'byheart'"):
        Memory.open(former, system="memgas")
