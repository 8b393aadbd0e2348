"""What becomes of engrams: several as one, one as several, text and weights, and what is due."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.core.records import Engram, Learned, Result
from byheart.memory import Memory
from byheart.memory.planning import FIRST, retention
from byheart.models.lm import LanguageModel


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash") as opened:
        yield opened


def told(memory: Memory, *texts: str, **more: str) -> list[str]:
    return [e.id for e in memory.remember([{"text": t, **more} for t in texts])]


def test_composed_stands_beside_its_parents(memory: Memory) -> None:
    a, b = told(memory, "Marta sails.", "Marta has a red boat.", owner="m", topic="boats")
    made = memory.compose([a, b])
    assert (made.text, made.parents, made.owner, made.state) == (
        "Marta sails.\nMarta has a red boat.",
        (a, b),
        "m",
        "active",
    )
    assert made.metadata == {"topic": "boats"}
    assert {h.id for h in memory.recall("the boat")} == {a, b, made.id}
    assert [e.id for e in memory.history(made.id)] == [a, b, made.id]


def test_merged_takes_the_place_of_its_parents_and_the_past_stays_as_it_was(memory: Memory) -> None:
    a, b = told(memory, "Marta sails in May.", "Marta sails in June.", at="2024-01-01")
    made = memory.merge([a, b], "Marta sails in May and June.")
    assert [h.id for h in memory.recall("when does Marta sail?")] == [made.id]
    assert {h.id for h in memory.recall("when does Marta sail?", at="2024-06-01")} == {a, b}
    assert [(e.id, e.state) for e in memory.history(made.id)][:2] == [(a, "superseded"), (b, "superseded")]
    assert memory.check() == []


def test_merged_takes_the_key_of_its_parents(memory: Memory) -> None:
    (a,) = told(memory, "Marta lives in Velm.", key="marta/home")
    (b,) = told(memory, "It is by the sea.")
    made = memory.merge([a, b])
    assert made.key == "marta/home"
    assert [e.state for e in memory.store.keyed("marta/home")] == ["superseded", "active"]
    (c,) = told(memory, "Marta's car is red.", key="marta/car")
    with pytest.raises(BadInput, match="about different matters"):
        memory.merge([made.id, c])
    assert memory.store.get([c])[0].state == "active"


def test_split_says_each_thing_by_itself(memory: Memory) -> None:
    (a,) = told(memory, "Marta Kask runs the ferry and sells tea. Her dog is called Bo.", speaker="Ann")
    parts = memory.split(a)
    assert [e.text for e in parts] == [
        "Marta Kask runs the ferry.",
        "Marta Kask sells tea.",
        "Marta Kask's dog is called Bo.",
    ]
    assert {(e.parents, e.speaker, e.state) for e in parts} == {((a,), "Ann", "active")}
    assert memory.recall("the dog", k=1)[0].id == parts[2].id
    assert [e.id for e in memory.history(parts[0].id)] == [a, parts[0].id]
    with pytest.raises(BadInput, match="says one thing"):
        memory.split(parts[0].id)
    with pytest.raises(BadInput, match="is superseded, not active"):
        memory.split(a)


@pytest.mark.parametrize("verb", ["compose", "merge"])
def test_one_engram_and_those_of_two_owners_are_refused(memory: Memory, verb: str) -> None:
    (a,), (b,) = told(memory, "Ann sails.", owner="a"), told(memory, "Bo sails.", owner="b")
    with pytest.raises(BadInput, match="give 2 or more"):
        getattr(memory, verb)([a, a])
    with pytest.raises(BadInput, match="different owners"):
        getattr(memory, verb)([a, b])
    with pytest.raises(BadInput, match="the text is empty"):
        getattr(memory, verb)([a, *told(memory, "Ann rows.", owner="a")], " ")
    assert memory.store.count("superseded") == 0


def test_what_was_made_of_the_forgotten_is_forgotten_with_it(memory: Memory) -> None:
    a, b, c = told(memory, "Marta's code is heron-77.", "Bo's code is crane-12.", "Ann has no code.")
    whole = memory.compose([a, b])
    certificate = memory.forget([a])
    assert certificate.passed, str(certificate)
    assert set(certificate.forgotten) == {a, whole.id}
    assert set(memory.store.find([b, c])) == {b, c}


def test_a_passage_goes_with_the_part_that_is_forgotten(memory: Memory) -> None:
    (a,) = told(memory, "Marta's code is heron-77. Bo's code is crane-12.")
    one, other = memory.split(a, ["Marta's code is heron-77.", "Bo's code is crane-12."])
    certificate = memory.forget([one.id])
    assert certificate.passed, str(certificate)
    assert set(certificate.forgotten) == {a, one.id}
    assert [h.id for h in memory.recall("the code of Bo")] == [other.id]


def test_the_weights_are_asked_and_what_they_are_sure_of_is_text(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"Who sails?": Generation("Ann", [math.log(0.9), math.log(0.4)]), "Who rows?": Generation("Bo", [-3.0])}
    asked: list[str] = []

    def generate(_: LanguageModel, prompts: Sequence[Any], **__: Any) -> list[list[Generation]]:
        asked.extend(p[-1]["content"] for p in prompts)
        return [[said.get(p[-1]["content"], Generation("", [0.0]))] for p in prompts]

    monkeypatch.setattr(LanguageModel, "generate", generate)
    made = memory.recite(["Who sails?", "Who rows?", "Who swims?", "Who sails?"])
    assert asked == ["Who sails?", "Who rows?", "Who swims?"]
    assert [(e.question, e.answer, e.source, e.forms) for e in made] == [
        ("Who sails?", "Ann", "weights:v0", ("text", "weights"))
    ]
    assert made[0].metadata["confidence"] == pytest.approx(0.6)
    assert memory.recall("who sails?", k=1)[0].id == made[0].id
    for bad in ({"questions": [" "]}, {"questions": []}, {"questions": "Who?", "sure": 2.0}):
        with pytest.raises(BadInput):
            memory.recite(**bad)


def test_the_untaught_model_is_really_asked(memory: Memory) -> None:
    said = memory.ask("Who sails?", form="weights")
    made = memory.recite("Who sails?", sure=0.0)
    assert [(e.answer, e.metadata["confidence"]) for e in made] == (
        [(said.text, pytest.approx(said.confidence, abs=1e-3))] if said.text else []
    )


def test_disuse_fades_by_the_formula_and_use_keeps(memory: Memory) -> None:
    old, used, kept = told(memory, "Marta sails.", "Bo rows to the mill.", "Ann lives in Velm.")
    told(memory, "Ann lives in Osthaven.", key="ann/home")
    for _ in range(2):
        memory.recall("who rows to the mill?", k=3)
    assert retention(FIRST * math.log(10), 0) == pytest.approx(0.1)
    assert retention(4 * FIRST * math.log(10), 2) == pytest.approx(0.1)
    assert memory.plan() == []
    soon = memory.plan("2096-01-01")
    assert {p.engrams[0] for p in soon if p.kind == "archive"} == {old, used, kept}
    now = memory.now()
    later = f"{int(now[:4]) + (int(now[5:7]) + 2) // 12}-{(int(now[5:7]) + 2) % 12 + 1:02}-15"
    due = {p.engrams[0]: p for p in memory.plan(later)}
    assert set(due) == {old, kept}
    assert due[old].reason.startswith("never used since")
    assert 0 < (due[old].retention or 0) < 0.1
    memory.carry_out([due[old]])
    assert memory.store.get([old])[0].state == "archived"


def test_uses_are_written_on_closing_and_by_several(tmp_path: Path) -> None:
    for _ in range(2):
        with Memory.open(tmp_path, model="tiny", embedder="hash") as memory:
            (a,) = told(memory, "Marta sails.")
            memory.recall("Marta")
            memory.ask("Who sails?", form="text")
    with Memory.open(tmp_path) as memory:
        times, last = memory.store.uses()[a]
        assert times in (2, 3, 4)
        assert last <= memory.now()
        assert memory.check() == []
        memory.forget([a])
        assert memory.store.uses() == {}


def test_what_is_used_often_and_settled_goes_into_weights(memory: Memory) -> None:
    pair = {"question": "What is the code?", "answer": "heron", "at": "2024-01-01"}
    (a,) = [e.id for e in memory.remember([pair])]
    (b,) = told(memory, "Unrelated words.")
    for _ in range(3):
        memory.recall("what is the code?")
    (due,) = [p for p in memory.plan() if p.kind == "consolidate"]
    assert due.engrams == (a,)
    assert "used 3 times" in due.reason
    done = memory.carry_out([due])
    assert isinstance(done[0], Learned)
    if done[0].committed:
        assert memory.store.get([a])[0].forms == ("text", "weights")
        assert [p.kind for p in memory.plan() if a in p.engrams] in ([], ["rehearse"])
    assert memory.store.get([b])[0].forms == ("text",)


def test_lost_lessons_are_rehearsed_first_and_others_along_the_measured_curve(memory: Memory) -> None:
    def pairs(words: str, *names: str) -> list[dict[str, str]]:
        return [{"question": f"{words} {n}?", "answer": n[::-1]} for n in names]

    first = memory.learn(pairs("Who is", "ann", "bob"), budget=1e9)
    memory.learn(pairs("Where is", *(f"name{i}" for i in range(30))), budget=1e9)
    assert first.committed
    lessons = memory.lessons_of(memory.store.version(first.version or ""))
    ann, bob = (x.item.id for x in lessons)
    last = memory.head.id
    memory.store.put_results(first.version, [exam(i, 1.0) for i in (ann, bob)])
    memory.store.put_results(last, [exam(ann, 1.0), exam(bob, 0.0)])
    lost = [p for p in memory.plan() if p.kind == "rehearse" and lessons[1].engram in p.engrams]
    assert [(p.retention, p.reason) for p in lost] == [(0.0, "lost at its last exam")]
    assert not [p for p in memory.plan() if lessons[0].engram in p.engrams]


def exam(item: str, value: float) -> Result:
    return Result(exam="recall/direct", item=item, value=value)


def test_near_duplicates_are_proposed_as_one(memory: Memory) -> None:
    a, b, c = told(memory, "The ferry leaves at nine.", "The ferry leaves at nine!", "The ferry leaves at ten.")
    (due,) = [p for p in memory.plan() if p.kind == "merge"]
    assert set(due.engrams) == {a, b}
    (made,) = memory.carry_out([due])
    assert isinstance(made, Engram)
    assert made.text in ("The ferry leaves at nine.", "The ferry leaves at nine!")
    assert {h.id for h in memory.recall("ferry", k=9)} == {made.id, c}
    assert [p for p in memory.plan() if p.kind == "merge"] == []
