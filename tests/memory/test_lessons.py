"""What `learn` would teach, what it says of it, and when it refuses: `study`, held-back wordings, the least gain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byheart import Memory
from byheart.core.errors import BadInput
from byheart.core.records import Result
from byheart.exam.recall import ask
from byheart.memory import budget
from byheart.memory.lessons import Lesson, lessons_in
from byheart.memory.sources import drafted
from byheart.memory.wordings import examples
from byheart.models.lm import load

TEXT = """# Brevik 300 pump

| Item | Value |
|---|---|
| Weight | 3.4 kg |
| Noise | 41 dB |

Rinse the filter every 2 weeks.
"""
OPEN = {"model": "tiny", "embedder": "hash"}


def test_study_shows_what_learn_teaches_and_stores_nothing(tmp_path: Path) -> None:
    file, out = tmp_path / "pump.md", tmp_path / "lessons.jsonl"
    file.write_text(TEXT, encoding="utf-8")
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        studied = memory.study(file, out)
        assert {x["answer"] for x in studied.lessons} >= {"3.4 kg", "41 dB", "every 2 weeks"}
        assert studied.seconds > 0
        assert studied.bytes > 4 * sum(p.numel() for p in memory.model.parameters())
        assert memory.engrams(None) == []
        assert [v.id for v in memory.log()] == ["v0"]
        dry = memory.learn(file, dry_run=True)
        assert (dry.committed, dry.version, dry.report["lessons"]) == (False, None, list(studied.lessons))
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert rows == list(studied.lessons)


def test_edited_lessons_are_taught_as_they_stand(tmp_path: Path) -> None:
    file, out = tmp_path / "pump.md", tmp_path / "lessons.jsonl"
    file.write_text(TEXT, encoding="utf-8")
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        first = memory.study(file, out).lessons[0]
        out.write_text(json.dumps(first) + "\n", encoding="utf-8")
        taught = memory.learn(out, strategy="replay", budget=100.0)
        assert taught.committed, taught.reason
        (lesson,) = memory.lessons_of(memory.head)
        assert lesson.payload == {k: first[k] for k in ("question", "answer", "wordings", "held") if first[k]}
        assert memory.store.get([lesson.engram])[0].source == str(file)


def test_no_training_example_is_a_wording_held_back() -> None:
    lm, lessons = load("tiny"), lessons_in(drafted(TEXT))
    prompts = [tuple(e["input_ids"]) for e in examples(lm, lessons, copies=12, seed=0)]
    held = [tuple(lm.tokens(ask(h))) for x in lessons for h in x.held]
    assert held
    assert not any(p[: len(h)] == h for p in prompts for h in held)
    direct = [tuple(lm.tokens(ask(w))) for x in lessons for w in (x.question, *x.wordings)]
    assert all(any(p[: len(d)] == d for p in prompts) for d in direct)


def test_a_lesson_counts_where_its_held_wording_is_answered() -> None:
    lessons = [Lesson("a", "Who?", "Bo", held=("Which person?",)), Lesson("b", "When?", "noon")]
    (held,) = lessons[0].held_back

    def results(*right: str) -> list[Result]:
        every = [lessons[0].item, held, lessons[1].item]
        return [Result(exam=f"recall/{i.probe}", item=i.id, value=float(i.question in right)) for i in every]

    assert budget.learned(lessons, results("Who?", "When?")) == [False, True]
    assert budget.learned(lessons, results("Which person?")) == [True, False]


def test_nothing_learned_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from byheart.exam import general

    knows = [Result(exam="recall/quiz", item="quiz-0", value=1.0)]  # an untrained model is not asked for a gain
    monkeypatch.setattr(general, "common", lambda _lm, **_: knows)
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        done = memory.learn(
            [{"question": "Who rings the bell?", "answer": "Ilo"}], strategy="replay", budget=100, least=0.1
        )
        assert not done.committed
        assert "0% of the lessons are answered in wordings that were not trained on" in done.reason
        assert (done.report["recall"], done.report["held_back"]) == (0.0, 1)
        assert memory.head.id == "v0"


def figures(**more: float) -> dict[str, float]:
    rises = ("general_rise", "general_rise_here", "lost_share")
    names = [*rises, *(f"{exam}_{what}" for exam in ("quiz", "reading") for what in ("base", "after", "fall"))]
    return {**dict.fromkeys(names, 0.0), **more}


@pytest.mark.parametrize("name", ["general_rise", "quiz_fall", "reading_fall", "lost_share"])
def test_each_figure_may_exceed_the_budget(name: str) -> None:
    assert budget.over(figures(**{name: 0.009}), 0.01) == ""
    assert budget.over(figures(**{name: 0.02}), 0.01).startswith("rolled back: against the model as it came")


def test_the_budget_is_of_all_calls_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls that each raise the loss by less than the budget: the second is refused for the sum of both."""
    losses = iter([2.0, 2.016, 2.016, 2.032])  # before, after; before, after
    from byheart.exam import general

    def loss(lm, texts=None, *, version=None):
        return [Result(exam="general/loss", item="text-0", value=next(losses), version=version, detail={"tokens": 1})]

    monkeypatch.setattr(general, "loss", loss)
    monkeypatch.setattr("byheart.memory.learning.SHRINK", (1.0,))
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        first = memory.learn([{"question": "Who rows?", "answer": "Bo"}], strategy="replay", budget=0.01)
        assert first.committed, first.reason
        second = memory.learn([{"question": "Who sings?", "answer": "Di"}], strategy="replay", budget=0.01)
    assert not second.committed
    assert second.report["general_base"] == 2.0
    assert second.report["general_rise"] == pytest.approx(0.016)
    assert second.report["general_rise_here"] == pytest.approx(0.016 / 2.016)


def test_exams_ask_the_users_own_questions(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"question": "Who rows?", "answer": "Bo", "accept": ["Robert"]}\n', encoding="utf-8")
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        told = memory.exam(questions=own)
        assert told["exams"]["recall/own"]["n"] == 1
        assert [(r["question"], r["answer"], r["right"]) for r in told["own"]] == [("Who rows?", "Bo", False)]
        assert not memory.store.results(exam="recall/own")
        with pytest.raises(BadInput):
            memory.exam(questions=[{"text": "no pair"}])


def test_weights_answer_what_they_were_taught_and_nothing_else(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        assert memory.ask("Who rings the bell of Velm?").form == "none"
        memory.learn([{"question": "Who rings the bell of Velm?", "answer": "Ilo"}], strategy="replay", budget=100)
        from byheart.memory.asking import taught

        assert taught(memory, "Who rings the bell of Velm?")
        assert not taught(memory, "How heavy is a pump?")
        assert memory.ask("How heavy is a pump?").form == "none"
        (engram,) = memory.engrams(None)
        memory.archive([engram.id])
        assert not taught(memory, "Who rings the bell of Velm?")


def test_a_pair_too_long_to_train_on_is_named(tmp_path: Path) -> None:
    long = {"question": "Given: " + "the ferry leaves at seven. " * 60 + "Who signs?", "answer": "Marta"}
    with (
        Memory.open(tmp_path / "brain", **OPEN) as memory,
        pytest.raises(BadInput, match="the lesson 'Given: the ferry"),
    ):
        memory.learn([long], budget=10.0)


def test_an_example_whose_answer_is_cut_off_is_refused() -> None:
    from byheart.train.loop import Settings, train

    lm = load("tiny")
    with pytest.raises(BadInput, match="has its answer after the 1024 that are read"):
        train(lm.model, [lm.example("x" * 1100, " Marta")], (), Settings(steps=1))


def test_exams_leave_room_for_the_longest_answer(tmp_path: Path) -> None:
    """The tiny model's tokens are bytes, and this answer has 29; see the cases of shared faults, K4."""
    from byheart.core.records import Item
    from byheart.exam.recall import recall
    from byheart.train.loop import Settings, train

    lm, question, answer = load("tiny"), "Who signs off travel?", "the harbour master Marta Kask"
    train(lm.model, [lm.example(ask(question), answer)], (), Settings(steps=150, lr=3e-3))
    assert recall(lm, [Item(id="i", question=question, answer=answer)])[0].value == 1.0


def test_a_model_behind_an_address_writes_the_lessons(tmp_path: Path, endpoint) -> None:
    reply = (
        "1. How heavy is the Brevik 300? | What does the pump weigh? | Weight of the Brevik 300? | 3.4 kg\n"
        "- Who made the Brevik 300? | Whose pump is it? | Anna Berg\n"
        "What is the unit of the Brevik's weight? | kg\nno line of that form\n"
    )
    with Memory.open(tmp_path / "brain", **OPEN) as memory:
        (lesson,) = memory.study(TEXT, writer=endpoint(reply)).lessons
        assert (lesson["question"], lesson["answer"]) == ("How heavy is the Brevik 300?", "3.4 kg")
        assert (lesson["wordings"], lesson["held"]) == (["What does the pump weigh?"], ["Weight of the Brevik 300?"])
        assert len(memory.study(TEXT, writer=endpoint("I cannot do that.")).lessons) > 2
        with pytest.raises(BadInput, match="writer='gpt' is no address"):
            memory.study(TEXT, writer="gpt")
