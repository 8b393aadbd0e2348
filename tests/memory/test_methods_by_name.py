"""Papers' methods behind the verbs: writers, updaters, retrievers, rerankers and readers by their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from byheart.core import catalogue
from byheart.core.errors import BadInput, ByheartError, Unknown
from byheart.memory import Memory

TEXT = "Marta Kask runs the ferry and sells tea. Her dog is called Bo. The ferry leaves at nine."


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash") as opened:
        yield opened


def named(kind: str, verb: str) -> list[str]:
    return [e.name for e in catalogue.methods() if e.kind == kind and hasattr(catalogue.load(e.name), verb)]


@pytest.mark.parametrize("name", named("writer", "write"))
def test_every_writer_writes_through_remember(memory: Memory, name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(TEXT, encoding="utf-8")
    made = memory.remember(tmp_path / "notes.md", write=name)
    again = memory.remember(tmp_path / "notes.md", write=name)
    assert [e.id for e in again] == [e.id for e in made]
    assert memory.store.count() == len(made) > 0
    assert any("ferry" in h.text for h in memory.recall("the ferry", k=3))
    assert memory.check() == []


def test_a_writer_of_facts_makes_other_engrams_than_passages(memory: Memory) -> None:
    assert [e.text for e in memory.remember(TEXT)] == [TEXT]
    facts = memory.remember(TEXT, write="atomic-facts")
    assert [e.text for e in facts][:2] == ["Marta Kask runs the ferry.", "Marta Kask sells tea."]


@pytest.mark.parametrize("name", named("updater", "reconcile"))
def test_every_updater_updates_through_remember(memory: Memory, name: str) -> None:
    memory.remember(["Marta's car is a Volvo.", "Bo likes chess."])
    memory.remember(["Marta's car is a Fiat."], update=name)
    assert any("Fiat" in h.text for h in memory.recall("Marta's car", k=5))
    assert {e.state for e in memory.store.all(state=None)} <= {"active", "superseded"}
    assert memory.check() == []


def test_think_in_memory_ends_a_thought_that_is_contradicted(memory: Memory) -> None:
    def thought(tail: str) -> dict[str, str]:
        return {"text": f"Marta works as a {tail}.", "head": "Marta", "relation": "job", "tail": tail}

    first = memory.remember([thought("diver")], update="think-in-memory")[0].id
    second = memory.remember([thought("baker")], update="think-in-memory")[0].id
    assert {e.id: e.state for e in memory.store.all(state=None)} == {first: "superseded", second: "active"}
    assert [h.id for h in memory.recall("Marta's job")] == [second]


def test_merging_keeps_what_was_said_before_as_history(memory: Memory) -> None:
    first = memory.remember(["Ann sails. Ann is 40."])[0].id
    made = memory.remember(["Ann sails. Ann is 40. Ann has a boat."], update="prospective-reflection")
    assert [e.text for e in made] == ["Ann sails. Ann is 40. Ann has a boat."]
    assert [e.id for e in memory.history(made[0].id)] == [first, made[0].id]


@pytest.mark.parametrize("name", [*named("retriever", "search"), "lsh,long-context-rag", "reflective-memory"])
def test_every_retriever_and_reranker_is_reached_through_recall(memory: Memory, name: str) -> None:
    memory.remember(["The red boat needs varnish.", "Rye bread wants caraway.", "A lute has strings."])
    found = memory.recall("the red boat", k=2, method=name)
    assert found
    assert any("boat" in h.text for h in found)


def test_a_cross_encoder_is_named_with_its_model(memory: Memory, tmp_path: Path) -> None:
    memory.remember(["The red boat needs varnish.", "Rye bread wants caraway."])
    with pytest.raises(BadInput, match="no cross-encoder is given to rerank with"):
        memory.recall("boat", method="cross-encoder")
    with pytest.raises(BadInput, match="only a cross-encoder is named with its model; give long-context-rag alone"):
        memory.recall("boat", method="long-context-rag=tiny")
    with pytest.raises(ByheartError, match="nowhere"):
        memory.recall("boat", method=f"cross-encoder={tmp_path / 'nowhere'}")


def test_experience_is_updated_in_its_place(memory: Memory) -> None:
    def step(reward: float) -> dict[str, Any]:
        told = {"task": "bring tea", "observation": "a door", "action": "open", "reward": reward}
        return {"text": "bring tea: a door", "source": "an episode", **told}

    memory.remember([step(1.0)], update="rememberer")
    (made,) = memory.remember([step(0.0)], update="rememberer")
    assert made.metadata["actions"] == {"open": [0.5, 2]}
    assert [e.state for e in memory.history(made.key or "")] == ["superseded", "active"]
    assert memory.check() == []


def test_what_is_not_told_to_be_expected_is_expected_from_what_is_kept(memory: Memory) -> None:
    def said(text: str) -> list[str]:
        told = [{"text": text, "asked": "What will you drink?"}]
        return [e.text for e in memory.remember(told, update="violation-of-expectation")]

    assert said("Green tea, please.") == ["What will you drink? Green tea, please."]
    assert said("Green tea, please. It rains.") == []
    assert said("Cold beer.") == ["What will you drink? Cold beer."]


def test_solved_problems_reach_the_writer_they_are_for(memory: Memory) -> None:
    posed = {"question": "Ann has 3 pens and gets 4. How many?", "answer": "7"}
    (made,) = memory.remember([{**posed, "rationale": "3 + 4 = 7."}], write="arm-rag")
    assert made.text == f"{posed['question']}\nAnswer: 3 + 4 = 7."
    assert (made.question, made.answer) == (posed["question"], "7")
    (plain,) = memory.remember([{**posed, "answer": "8"}], write="atomic-facts")
    assert (plain.question, plain.answer) == (posed["question"], "8")


def test_a_reader_that_drafts_has_its_draft_looked_up(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    from byheart.core.protocols import Generation

    prompts: list[str] = []

    class Drafts:
        def generate(self, asked: Any, **_: Any) -> Any:
            prompts.append(asked[0][-1]["content"])
            return [[Generation("The ferry takes rye bread.")] for _ in asked]

    monkeypatch.setattr(Memory, "subject_at_head", lambda self: Drafts())
    memory.remember([*(f"Boat {n} needs red varnish." for n in range(9)), "Rye bread wants caraway."])
    said = memory.ask("What needs varnish?", form="text", reader="adapt-retrieve-revise")
    assert len(prompts) == 2
    assert "Evidence 1: Rye bread wants caraway." in prompts[1]
    assert said.form == "text"


@pytest.mark.parametrize("name", named("reader", "answer"))
def test_every_reader_is_reached_through_ask(memory: Memory, name: str) -> None:
    memory.remember(["The red boat needs varnish."])
    assert memory.ask("What needs varnish?", form="text", reader=name).form in ("text", "none")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: m.remember("x y", write="lsh"), BadInput, "lsh is no writer that serves here; choose one of"),
        (lambda m: m.remember("x y", write="lhs"), Unknown, "lhs"),
        (lambda m: m.remember("x y", update="qa-memory"), BadInput, "is no updater"),
        (lambda m: m.recall("x", method="lsh,memgas"), BadInput, "name one retriever"),
        (lambda m: m.recall("x", method="ewc"), BadInput, "name one retriever"),
        (lambda m: m.ask("x", form="text", reader="ewc"), BadInput, "ewc is no reader; choose one of"),
    ],
)
def test_a_method_of_another_kind_is_refused_with_nothing_stored(
    memory: Memory, call: Any, error: Any, words: str
) -> None:
    with pytest.raises(error, match=words):
        call(memory)
    assert memory.store.count(state=None) == 0


def test_an_endpoint_writes_once_for_each_source_and_the_cost_is_counted(tmp_path: Path, endpoint: Any) -> None:
    url = endpoint("Marta Kask | runs the ferry.\nBo | is a dog.")
    with Memory.open(tmp_path / "brain", model=url, embedder="hash") as memory:
        made = memory.remember([TEXT, "Bo is a dog, and Ann has none."], write="atomic-facts")
        assert [e.text for e in made] == ["Marta Kask: runs the ferry.", "Bo: is a dog."]
        assert memory.endpoint.usage.requests in (1, 2)
        assert memory.endpoint.usage.read == 100 * memory.endpoint.usage.requests
        assert str(memory.endpoint.usage).endswith("written")
