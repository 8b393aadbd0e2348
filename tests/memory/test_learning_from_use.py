"""Methods that live as long as their memory: what they worked out serves again, what they learned is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byheart.core.errors import BadInput, Unknown
from byheart.memory import Memory
from byheart.store.history import LEARNED

TEXTS = ["The ferry is for all, which hour it may be.", "The ferry is booked for nine."]
QUESTION = "Which hour is for the ferry?"


def opened(home: Path, **settings: Any) -> Memory:
    return Memory.open(home, model="tiny", embedder="hash", **settings)


class Cites:
    """Reads five passages and cites one."""

    passages = 5

    def __init__(self, text: str) -> None:
        self.text = text

    def answer(self, subject: Any, question: str, hits: Any) -> Any:
        from byheart.core.records import Answer

        return Answer(text="noon", form="text", hits=tuple(h for h in hits if h.text == self.text))


@pytest.fixture
def citing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that cite the second text, whatever is asked."""
    from byheart.memory import asking

    monkeypatch.setattr(asking, "_reader", lambda *_: Cites(TEXTS[1]))


def order(memory: Memory, **more: Any) -> list[str]:
    return [h.text for h in memory.recall(QUESTION, k=2, **more)]


def test_what_answers_cite_comes_first_and_still_does_after_closing(tmp_path: Path, citing: None) -> None:
    with opened(tmp_path / "brain", system="reflective-memory") as memory:
        memory.methods.get("reflective-memory").noise = 0.0
        memory.remember(TEXTS, update=False)
        assert order(memory) == TEXTS
        for _ in range(40):
            memory.ask(QUESTION, form="text")
        assert order(memory) == TEXTS[::-1]
        held = memory.methods.get("reflective-memory").state_dict()
        assert held["answers"] == 40
    with opened(tmp_path / "brain") as memory:
        again = memory.methods.get("reflective-memory").state_dict()
        assert again["answers"] == 40
        assert (again["weights"] == held["weights"]).all()
        memory.methods.get("reflective-memory").noise = 0.0
        assert order(memory) == TEXTS[::-1]
        assert memory.check() == []


def test_the_default_reader_teaches_too_and_recall_does_not(tmp_path: Path) -> None:
    with opened(tmp_path / "brain", system="reflective-memory") as memory:
        memory.remember(TEXTS, update=False)
        order(memory)
        assert memory.store.setting(LEARNED) is None
        for n in range(4):
            memory.ask(QUESTION, form="text")
            assert memory.methods.get("reflective-memory").state_dict()["answers"] == n + 1
        assert memory.methods.get("reflective-memory").state_dict()["weights"].any()


def test_two_processes_learn_together(tmp_path: Path) -> None:
    with opened(tmp_path / "brain", system="reflective-memory") as one, opened(tmp_path / "brain") as other:
        one.remember(TEXTS, update=False)
        for n in range(6):
            (one, other)[n % 2].ask(QUESTION, form="text")
        states = [m.methods.get("reflective-memory").state_dict() for m in (one, other)]
        assert [s["answers"] for s in states] == [6, 6]
        assert (states[0]["weights"] == states[1]["weights"]).all()


def test_forgetting_anything_forgets_what_was_learned_from_use(tmp_path: Path) -> None:
    with opened(tmp_path / "brain", system="reflective-memory") as memory, opened(tmp_path / "brain") as other:
        memory.remember([*TEXTS, "Bo sells tea."], update=False)
        for _ in range(4):
            memory.ask(QUESTION, form="text")
        assert other.methods.get("reflective-memory").state_dict()["answers"] == 4
        with pytest.raises(Unknown):
            memory.forget("nothing that is here")
        assert memory.methods.get("reflective-memory").state_dict()["answers"] == 4
        assert memory.forget("Bo sells tea").passed
        assert not [k for (k,) in memory.store.db.rows("SELECT key FROM settings") if k.startswith(LEARNED)]
        for one in (memory, other):
            assert one.methods.get("reflective-memory").state_dict()["answers"] == 0


def test_owners_learn_apart(tmp_path: Path) -> None:
    with opened(tmp_path / "brain", system="reflective-memory", owner="ann") as memory:
        memory.remember(TEXTS, update=False)
        memory.ask(QUESTION)
    for owner, answers in (("ann", 1), ("bo", 0), (None, 0)):
        with opened(tmp_path / "brain", owner=owner) as memory:
            assert memory.methods.get("reflective-memory").state_dict()["answers"] == answers


def test_as_many_hits_as_are_asked_for(tmp_path: Path) -> None:
    with opened(tmp_path / "brain") as memory:
        memory.remember([f"Boat {n} is red." for n in range(30)])
        for k in (1, 5, 12, 25):
            assert len(memory.recall("a red boat", k=k, method="reflective-memory")) == k


def test_one_object_for_each_name_and_settings(tmp_path: Path) -> None:
    with opened(tmp_path / "brain") as memory:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: memory.methods.get("memgas"), range(32)))
        assert len({id(m) for m in made}) == 1
        assert memory.methods.get("memgas", seeds=3) is memory.methods.get("memgas", seeds=3) is not made[0]
        memory.remember(TEXTS, update=False)
        memory.recall("boat", method="memgas")
        assert made[0]._views, "another object was asked"
        with pytest.raises(Unknown, match="did you mean 'memgas'"):
            memory.methods.get("memgass")
        with pytest.raises(BadInput, match="has learned nothing that could be kept"):
            memory.methods.keep("memgas")


def test_many_threads_may_recall_while_others_remember(tmp_path: Path) -> None:
    with opened(tmp_path / "brain") as memory:
        memory.remember(TEXTS, update=False)

        def work(n: int) -> int:
            if n % 4 == 0:
                memory.remember(f"Boat {n} is red.")
            return len(memory.recall("boat", k=2, method=("memgas", "lsh", "reflective-memory")[n % 3]))

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(work, range(48))) == {2}


def test_a_map_that_was_fitted_serves_recall_and_is_kept(tmp_path: Path) -> None:
    from byheart.recall.retrieve.llm_embedder import Lesson

    with opened(tmp_path / "brain") as memory:
        memory.remember(["A ship sails.", "A boat yard is shut."])
        assert memory.recall("boat", k=1, method="llm-embedder")[0].text == "A boat yard is shut."
        lessons = [Lesson("", "boat", ("A ship sails.", "A boat yard is shut."))]
        memory.methods.get("llm-embedder").fit(lessons, memory.embedder)
        memory.methods.keep("llm-embedder")
        assert memory.recall("boat", k=1, method="llm-embedder")[0].text == "A ship sails."
    with opened(tmp_path / "brain") as memory:
        assert memory.recall("boat", k=1, method="llm-embedder")[0].text == "A ship sails."
        assert np.isfinite(memory.methods.get("llm-embedder").mapped("boat", memory.embedder)).all()
