"""Adapt, retrieve, revise: a draft by a model that knows the domain finds the evidence it is corrected by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from byheart.core.errors import BadInput
from byheart.core.protocols import Subject
from byheart.core.records import Answer, Hit
from byheart.recall.read.cite import cited


class AdaptRetrieveRevise:
    """Lets a subject draft an answer, searches with the draft, and lets another subject revise it by the hits.

    A question shares few words with the text that answers it; an answer, even if half wrong, shares many. So a
    small model that was taught the domain need not be right: its draft is the better query, and a model that reads
    well corrects it.

        draft = adapted(x);  d_1..d_k = search(draft);  y = reviser(x, draft, d_1..d_k)

    Parameters
    ----------
    passages: k, hits that are read. draft_tokens, max_tokens: of the draft and of the answer.

    Departs from the paper: nowhere in the three steps; teaching the drafter is left to `Memory.learn`. Where draft and
    answer are of one subject, as in `Memory.ask`, it revises itself; before anything was taught, its draft is what the
    model came with.

    >>> made = AdaptRetrieveRevise(passages=1)
    >>> made.prompt("Who sails?", "Ann.", [Hit(id="a", text="Ben sails.", score=1.0)])[1]["content"]
    'Question: Who sails?\\nDraft: Ann.\\nEvidence 1: Ben sails.'

    References: Wan et al. 2023, arXiv:2310.03328, section 3.
    """

    name: ClassVar[str] = "adapt-retrieve-revise"
    paper: ClassVar[str] = "adapt-retrieve-revise"
    arxiv: ClassVar[str] = "2310.03328"

    def __init__(self, *, passages: int = 5, draft_tokens: int = 64, max_tokens: int = 64) -> None:
        if min(passages, draft_tokens, max_tokens) < 1:
            raise BadInput(
                f"passages={passages}, draft_tokens={draft_tokens}, max_tokens={max_tokens}: give 1 or more of each"
            )
        self.passages, self.draft_tokens, self.max_tokens = passages, draft_tokens, max_tokens

    def ask(self, drafter: Subject, reviser: Subject, question: str, search: Callable[[str], Sequence[Hit]]) -> Answer:
        """Draft, search by the draft (by the question where it is empty), revise."""
        draft = self.draft(drafter, question)
        return self.answer(reviser, question, search(draft or question), draft=draft)

    def draft(self, subject: Subject, question: str) -> str:
        """What a subject answers by itself; empty for an empty question."""
        if not question.strip():
            return ""
        prompt = [{"role": "user", "content": question}]
        return subject.generate([prompt], max_tokens=self.draft_tokens)[0][0].text.strip()

    def answer(self, subject: Subject, question: str, hits: Sequence[Hit], *, draft: str | None = None) -> Answer:
        """The draft, or a new one, revised by the hits; without hits there is nothing to revise by, and no answer."""
        read = list(hits[: self.passages])
        if not read or not question.strip():
            return Answer(text="", form="none")
        draft = self.draft(subject, question) if draft is None else draft
        reply = subject.generate([self.prompt(question, draft, read)], max_tokens=self.max_tokens)[0][0]
        text = reply.text.strip()
        return Answer(text=text, form="text" if text else "none", hits=cited(text, question, read) if text else ())

    def prompt(self, question: str, draft: str, hits: Sequence[Hit]) -> list[dict[str, str]]:
        """What the reviser is shown."""
        listed = "\n".join(f"Evidence {n}: {h.text}" for n, h in enumerate(hits, 1))
        task = (
            "A draft answer may be wrong. Judge which evidence bears on the question, correct the draft by it, and "
            "reply with the corrected answer alone, in a few words."
        )
        return [
            {"role": "system", "content": task},
            {"role": "user", "content": f"Question: {question}\nDraft: {draft}\n{listed}"},
        ]
