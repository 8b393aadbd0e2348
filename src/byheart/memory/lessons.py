"""Lessons: the questions with their answers that weights are taught and examined on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from byheart.core.records import Engram, Item


@dataclass(frozen=True)
class Lesson:
    """One thing to teach: a question with its answer, drawn from an engram. Asked again in exams."""

    engram: str
    question: str
    answer: str

    @property
    def item(self) -> Item:
        """The exam question of this lesson; its id depends on content alone."""
        code = hashlib.sha256(f"{self.question}\0{self.answer}".encode()).hexdigest()[:12]
        return Item(id=f"{self.engram}-{code}", question=self.question, answer=self.answer, engram=self.engram)

    @property
    def payload(self) -> dict[str, str]:
        """What is stored beside the engram's id."""
        return {"question": self.question, "answer": self.answer}


def lessons_in(drafts: Sequence[Engram]) -> list[Lesson]:
    """The questions to teach: those of pairs as given, those of texts by rule, each once."""
    lessons = [Lesson(d.id, d.question, d.answer) for d in drafts if d.question and d.answer]
    texts = [d for d in drafts if not (d.question and d.answer)]
    if texts:
        from byheart.recall.write.pairs import Pairs

        lessons += [Lesson(p.engram, p.question, p.answer) for p in Pairs().write(texts)]
    return list({(x.question, x.answer): x for x in lessons}.values())
