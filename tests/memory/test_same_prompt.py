"""The open-book exam shows a model exactly what the reader of `ask` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from byheart.core.protocols import Generation, Prompt
from byheart.core.records import Hit
from byheart.exam.general import open_book, reading
from byheart.recall.read.cite import Cite
from byheart.recall.read.evidence import evidence


@dataclass
class Recorder:
    """Records prompts, and replies nothing."""

    prompts: list[Prompt] = field(default_factory=list)

    def generate(self, prompts: Sequence[Prompt], **_: Any) -> list[list[Generation]]:
        self.prompts.extend(prompts)
        return [[Generation("")] for _ in prompts]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[list[float]]:
        raise AssertionError("no reader scores")


def test_the_exam_of_reading_and_the_reader_write_the_same_prompt() -> None:
    exam = Recorder()
    open_book(exam)
    whole = 0
    for passage, prompt in zip(reading(), exam.prompts, strict=True):
        hit, reader = Hit(id="h", text=passage.text, score=1.0), Recorder()
        if evidence(passage.item.question, [hit])[0].text != passage.text:
            continue  # the reader shows a sentence of this text, the exam all of it
        Cite().answer(reader, passage.item.question, [hit])
        assert reader.prompts == [prompt]
        whole += 1
    assert whole >= 50
