"""Answering from hits: a short open-book prompt, and which hits the answer rests on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Protocol

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder
from byheart.core.records import Answer, Hit
from byheart.recall.read.evidence import Evidence, content, evidence
from byheart.recall.read.strangers import strangers
from byheart.recall.spans import fitting


class Subject(Protocol):
    """What writes the answer; `[0][0]` of the result has `.text` and `.logprobs`."""

    def generate(
        self, prompts: Sequence[Any], *, max_tokens: int = 64, temperature: float = 0.0, copies: int = 1, seed: int = 0
    ) -> list[list[Any]]: ...


class Cite:
    """Lets the subject answer from the hits, and cites what the answer rests on; silent where they do not say.

    A small model mixes up the people and numbers of a long prompt. With `focus` it is shown only
    the likeliest statement (see `read.evidence`), and its answer counts when every content word of it stands in that
    statement or the question, at least one such word is new, and it is of the kind that is asked for; otherwise the
    statement itself is the answer. Where no statement is relevant enough, or the question names somebody of whom
    the hits do not speak (see `read.strangers`), there is no answer, and the nearest hits come with it.
    Without `focus` (for a model that reads well, such as one
    behind an endpoint) it is shown the best passages whole and its answer is taken as it is.

    Parameters
    ----------
    focus: show a single statement and check the answer against it.
    passages: hits that are read.
    max_tokens: of the answer.
    embedder: compares the question with the statements by meaning; without it words alone do.
    relevant: the least relevance of a statement (`read.evidence.Evidence`) that is an answer; 0 always answers.
    """

    def __init__(
        self,
        *,
        focus: bool = True,
        passages: int = 6,
        max_tokens: int = 48,
        embedder: Embedder | None = None,
        relevant: float = 0.0,
    ) -> None:
        if passages < 1:
            raise BadInput(f"passages={passages}: at least 1 must be read; the default is 6")
        self.focus = focus
        self.passages = passages
        self.max_tokens = max_tokens
        self.embedder = embedder
        self.relevant = relevant

    def answer(self, subject: Subject, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer from the best hits; the cited ones come with it, best first.

        Where the hits do not say it, the form is "none", the text is empty and the hits are the nearest.
        `confidence` is the geometric mean probability of the written tokens, None where the statement is quoted or no
        probabilities came.
        """
        read = list(hits[: self.passages])
        if not read or not question.strip():
            return Answer(text="", form="none")
        if not self.focus:
            text, confidence = self._write(subject, "\n\n".join(h.text for h in read), question)
            return Answer(text=text, form="text", hits=cited(text, question, read), confidence=confidence)
        ranked = evidence(question, read, self.embedder)
        if not ranked or ranked[0].relevance < self.relevant or strangers(question, [h.text for h in hits]):
            nearest = dict.fromkeys(e.hit.id for e in ranked[:3])
            return Answer(text="", form="none", hits=tuple(h for i in nearest for h in read if h.id == i))
        best = ranked[0]
        text, confidence = self._write(subject, best.text, question)
        if not _rests_on(text, question, best):
            text, confidence = best.text.rpartition("? ")[2] or best.text, None
        others = (h for h in cited(text, question, read) if h.id != best.hit.id)
        return Answer(text=text, form="text", hits=(best.hit, *others), confidence=confidence)

    def _write(self, subject: Subject, text: str, question: str) -> tuple[str, float | None]:
        prompt = [
            {"role": "system", "content": "Answer in a few words."},
            {"role": "user", "content": f"{text}\n{question}" if not self.focus else f"{text} {question}"},
        ]
        reply = subject.generate([prompt], max_tokens=self.max_tokens)[0][0]
        scores = reply.logprobs
        return reply.text.strip(), math.exp(sum(scores) / len(scores)) if scores else None


def _rests_on(text: str, question: str, best: Evidence) -> bool:
    """Whether an answer says something new, nothing beyond question and statement, and of the kind that is asked."""
    answer_words, question_words, there = content(text), content(question), content(best.text)
    codes = re.findall(r"[^\W_]+(?:[-.:,@/][^\W_]+)*", f"{best.text} {question}".lower())
    numbers = re.findall(r"[^\W_]+(?:[-.:,@/][^\W_]+)*", text.lower())
    whole = all(n in codes for n in numbers if any(c.isdigit() for c in n))
    fits = not best.fits or any(True for _ in fitting(question, text))
    return bool(answer_words - question_words) and answer_words <= there | question_words and whole and fits


def cited(text: str, question: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """The hits that hold the answer's new words, as many of them as any hit does."""
    new = content(text) - content(question) or content(text)
    shares = [len(new & content(h.text)) for h in hits]
    most = max(shares, default=0)
    return tuple(h for h, share in zip(hits, shares, strict=True) if share == most) if most else tuple(hits[:1])
