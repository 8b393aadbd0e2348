"""Lessons: the questions with their answers that weights are taught and examined on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from byheart.core.records import Engram, Item


@dataclass(frozen=True)
class Lesson:
    """One thing to teach: a question with its answer, drawn from an engram.

    Parameters
    ----------
    engram: the id of the engram that says it.
    question, answer: the first wording, and what it is answered with. Trained on, and asked again in exams.
    wordings: further wordings of the question that are trained on.
    held: wordings that are never trained on. Exams ask them.
    """

    engram: str
    question: str
    answer: str
    wordings: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "wordings", tuple(self.wordings))
        object.__setattr__(self, "held", tuple(h for h in self.held if h not in (self.question, *self.wordings)))

    @property
    def item(self) -> Item:
        """The exam question of this lesson; its id depends on content alone."""
        code = hashlib.sha256(f"{self.question}\0{self.answer}".encode()).hexdigest()[:12]
        return Item(id=f"{self.engram}-{code}", question=self.question, answer=self.answer, engram=self.engram)

    @property
    def held_back(self) -> list[Item]:
        """An exam question for each wording that is never trained on; their probe is "paraphrase"."""
        item = self.item
        return [
            item.model_copy(update={"id": f"{item.id}-p{n}", "question": w, "probe": "paraphrase"})
            for n, w in enumerate(self.held)
        ]

    @property
    def payload(self) -> dict[str, Any]:
        """What is stored beside the engram's id."""
        more = {"wordings": list(self.wordings), "held": list(self.held)}
        return {"question": self.question, "answer": self.answer, **{k: v for k, v in more.items() if v}}


def lessons_in(drafts: Sequence[Engram]) -> list[Lesson]:
    """The questions to teach: those of pairs as given, those of texts by `recall.write.inquiries`, each once."""
    from byheart.recall.write.inquiries import Inquiries

    lessons = [Lesson(i.engram, i.question, i.answer, i.wordings, i.held) for i in Inquiries().write(drafts)]
    return list({(x.question, x.answer): x for x in lessons}.values())
