"""Chain-of-Note: a note on every passage, and only then an answer, or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from byheart.core.errors import BadInput
from byheart.core.protocols import Subject
from byheart.core.records import Answer, Hit
from byheart.recall.read.cite import cited

TASK = """\
Read the question and the passages.
1. For each passage in turn write one line that starts with "Note" and its number: what it says about the question, or \
that it is of no use.
2. Then write a last line that starts with "Answer:": the answer in a few words, from the passages of use; if none is \
of use, what you know yourself; if you do not know either, the word unknown."""


class ChainOfNote:
    """Lets the subject write a reading note on each passage before it answers, and takes "unknown" for no answer.

    A passage that only looks right is copied from when the answer is the first thing to be written. A note makes the
    model judge each passage against the question first, and what comes after is written with these judgements in view.

        y_1, ..., y_k, y = argmax p(y_i | x, d_1..d_k, y_1..y_i-1):  k notes, then the answer

    Parameters
    ----------
    passages: k, hits that are read. max_tokens: of notes and answer together.

    Departs from the paper: the subject is prompted, not trained on notes of a larger model. Where the reply has no
    line "Answer:", its last line is the answer.

    >>> ChainOfNote().parsed("Note 1: of no use.\\nNote 2: says June.\\nAnswer: in June.")
    ('in June.', [2])

    References: Yu et al. 2023, arXiv:2311.09210, section 3 and the appendix's prompt.
    """

    name: ClassVar[str] = "chain-of-note"
    paper: ClassVar[str] = "chain-of-note"
    arxiv: ClassVar[str] = "2311.09210"

    def __init__(self, *, passages: int = 5, max_tokens: int = 256) -> None:
        if min(passages, max_tokens) < 1:
            raise BadInput(f"passages={passages}, max_tokens={max_tokens}: give 1 or more of each")
        self.passages, self.max_tokens = passages, max_tokens

    def answer(self, subject: Subject, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer from the best hits, with those that its notes find of use; the form is "none" where it is unknown."""
        if not hits or not question.strip():
            return Answer(text="", form="none")
        reply = subject.generate([self.prompt(question, hits)], max_tokens=self.max_tokens)[0][0].text
        return self.read(reply, question, hits)

    def prompt(self, question: str, hits: Sequence[Hit]) -> list[dict[str, str]]:
        """What the subject is shown."""
        listed = "\n".join(f"Passage {n}: {h.text}" for n, h in enumerate(hits[: self.passages], 1))
        return [{"role": "system", "content": TASK}, {"role": "user", "content": f"Question: {question}\n{listed}"}]

    def read(self, reply: str, question: str, hits: Sequence[Hit]) -> Answer:
        """The answer that a reply to `prompt` gives."""
        read = list(hits[: self.passages])
        text, useful = self.parsed(reply)
        if not text or re.match(r"\W*(the answer is )?(unknown|not known)\b", text, re.I):
            return Answer(text="", form="none")
        named = tuple(h for n, h in enumerate(read, 1) if n in useful)
        return Answer(text=text, form="text", hits=named or cited(text, question, read))

    def parsed(self, reply: str) -> tuple[str, list[int]]:
        """The answer in a reply, and the numbers of the passages that its notes do not set aside."""
        body, mark, text = reply.rpartition("Answer:")
        lines = [line for line in (text if mark else reply).splitlines() if line.strip()]
        answer = (lines[0] if mark else lines[-1]).strip() if lines else ""
        notes = re.findall(r"^\W*Note\s*(\d{1,3})\W*(.*)$", body, re.M | re.I)
        aside = re.compile(r"\b(no use|not of use|irrelevant|not relevant|no information|does not|nothing)\b", re.I)
        return answer, [int(n) for n, note in notes if not aside.search(note)]
