"""Open-book reading: the exam's rows are sound, the oracle passes, the amnesiac scores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from byheart.core.protocols import Generation, Prompt
from byheart.core.records import Item
from byheart.exam.general import Passage, open_book, reading, shown
from byheart.exam.match import right


class Reader:
    """Answers each prompt from a table, and "I do not know." to any other; records sizes and settings of calls."""

    def __init__(self, known: Sequence[Passage]) -> None:
        self.known = {user(shown(text, item.question)): item.answer for text, item in known}
        self.sizes: list[int] = []
        self.settings: list[dict[str, Any]] = []

    def generate(self, prompts: Sequence[Prompt], **settings: Any) -> list[list[Generation]]:
        self.sizes.append(len(prompts))
        self.settings.append(settings)
        return [
            [Generation(f"It is {self.known[user(p)]}." if user(p) in self.known else "I do not know.")]
            for p in prompts
        ]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[list[float]]:
        raise AssertionError("reading is an exam of replies")


def user(prompt: Prompt) -> str:
    assert not isinstance(prompt, str)
    return prompt[-1]["content"]


def test_each_row_has_an_answer_in_its_text_that_the_question_does_not_give_away() -> None:
    assert len(reading()) == 80
    for text, item in reading():
        assert all((text, item.question, item.answer, *item.accept))
        assert item.question.endswith("?")
        assert item.probe == "reading"
        assert right(text, item.model_copy(update={"accept": ()})), f"{item.answer!r} is not in {text!r}"
        assert not right(item.question, item), item.question
        assert len(text.split()) <= 30
        assert not {"|", "\t"} & set(text + item.question + item.answer + "".join(item.accept))
        for field in (text, item.question, item.answer, *item.accept):
            assert field == " ".join(field.split())
    lines = files("byheart.exam").joinpath("reading.tsv").read_text(encoding="utf-8").splitlines()
    assert {line.count("\t") for line in lines} == {2}


def test_no_text_question_or_id_occurs_twice() -> None:
    for fields in (
        [p.text.casefold() for p in reading()],
        [p.item.question.casefold() for p in reading()],
        [p.item.id for p in reading()],
    ):
        assert len(set(fields)) == 80


def test_the_oracle_reads_all_and_the_amnesiac_nothing() -> None:
    oracle = Reader(reading())
    results = open_book(oracle, version="v3")
    assert [r.value for r in results] == [1.0] * 80
    assert [r.item for r in results] == [p.item.id for p in reading()]
    assert {(r.exam, r.version, r.chance) for r in results} == {("reading", "v3", 0.0)}
    assert results[0].detail == {"said": f"It is {reading()[0].item.answer}."}
    assert oracle.sizes == [64, 16]
    assert all(s["max_tokens"] == 24 and not s.get("temperature") for s in oracle.settings)
    assert sum(r.value for r in open_book(Reader([]))) == 0.0


def test_some_passages_alone_are_read_and_another_form_of_the_answer_is_right() -> None:
    legs = Passage("The Orm chair has 3 legs.", Item(id="orm", question="Legs?", answer="3", accept=("three",)))
    in_words = Passage(legs.text, legs.item.model_copy(update={"answer": "three"}))
    (result,) = open_book(Reader([in_words]), [legs])
    assert (result.item, result.value) == ("orm", 1.0)
    assert [r.value for r in open_book(Reader(reading()[:2]), reading()[:4])] == [1.0, 1.0, 0.0, 0.0]
    assert open_book(Reader([]), []) == []
