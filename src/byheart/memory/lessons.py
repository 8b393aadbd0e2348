"""Lessons: the questions with their answers that weights are taught and examined on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from byheart.core.errors import BadInput
from byheart.core.protocols import Subject
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


def lessons_in(drafts: Sequence[Engram], writer: Subject | None = None) -> list[Lesson]:
    """The questions to teach, each once: those of pairs as given, those of texts by `recall.write.inquiries`.

    With a `writer`, a model, those of texts are what it writes (`recall.write.asked_by_model`), and the rules ask where
    it wrote nothing of a source.
    """
    from byheart.recall.write import asked_by_model
    from byheart.recall.write.inquiries import Inquiries

    texts = [d for d in drafts if not (d.question and d.answer)]
    written = asked_by_model.write(texts, writer) if writer is not None and texts else []
    ids = {i.engram for i in written}
    sources = {d.source for d in texts if d.id in ids}
    by_rule = [d for d in drafts if (d.question and d.answer) or d.source not in sources]
    lessons = [
        Lesson(i.engram, i.question, i.answer, i.wordings, i.held) for i in [*Inquiries().write(by_rule), *written]
    ]
    return list({(x.question, x.answer): x for x in lessons}.values())


def writing(address: str | None) -> Subject | None:
    """The model behind an address that writes lessons; None for none. The environment's key is sent to it."""
    if address is None:
        return None
    if not address.startswith(("http://", "https://")):
        raise BadInput(f"writer={address!r} is no address; give one such as http://127.0.0.1:8000/v1#model")
    from byheart.models.endpoint import Endpoint

    url, _, name = address.partition("#")
    return Endpoint(url, name or "default")
