"""Answering from hits: a short open-book prompt, and which hits the answer rests on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Protocol

from byheart.core.errors import BadInput
from byheart.core.records import Answer, Hit
from byheart.recall.read.evidence import content, evidence


class Subject(Protocol):
    """What writes the answer; `[0][0]` of the result has `.text` and `.logprobs`."""

    def generate(
        self, prompts: Sequence[Any], *, max_tokens: int = 64, temperature: float = 0.0, copies: int = 1, seed: int = 0
    ) -> list[list[Any]]: ...


class Cite:
    """Lets the subject answer from the hits, and cites what the answer rests on.

    A small model mixes up the people and numbers of a long prompt. With `focus` it is shown only
    the likeliest sentence (chosen by words, see `read.evidence`), and its answer counts when every
    content word of it stands in that sentence or the question and at least one such word is new; otherwise
    the sentence itself is the answer. Without `focus` (for a model that reads well, such as one
    behind an endpoint) it is shown the best passages whole and its answer is taken as it is.

    Parameters
    ----------
    focus: show a single sentence and check the answer against it.
    passages: hits that are read.
    max_tokens: of the answer.
    """

    def __init__(self, *, focus: bool = True, passages: int = 3, max_tokens: int = 48) -> None:
        if passages < 1:
            raise BadInput(f"passages={passages}: at least 1 must be read; the default is 3")
        self.focus = focus
        self.passages = passages
        self.max_tokens = max_tokens

    def answer(self, subject: Subject, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer from the best hits; the cited ones come with it, best first.

        Without hits the form is "none" and the text empty. `confidence` is the geometric mean
        probability of the written tokens, None where the sentence is quoted or no probabilities came.
        """
        read = list(hits[: self.passages])
        if not read or not question.strip():
            return Answer(text="", form="none")
        if not self.focus:
            text, confidence = self._write(subject, "\n\n".join(h.text for h in read), question)
            return Answer(text=text, form="text", hits=cited(text, question, read), confidence=confidence)
        best = evidence(question, read)[0]
        text, confidence = self._write(subject, best.text, question)
        if not _rests_on(text, question, best.text):
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


def _rests_on(text: str, question: str, sentence: str) -> bool:
    """Whether an answer says something beyond the question, and nothing beyond question and sentence."""
    answer_words, question_words, there = content(text), content(question), content(sentence)
    codes = re.findall(r"[^\W_]+(?:[-.:,@/][^\W_]+)*", f"{sentence} {question}".lower())
    numbers = re.findall(r"[^\W_]+(?:[-.:,@/][^\W_]+)*", text.lower())
    whole = all(n in codes for n in numbers if any(c.isdigit() for c in n))
    return bool(answer_words - question_words) and answer_words <= there | question_words and whole


def cited(text: str, question: str, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """The hits that hold the answer's new words, as many of them as any hit does."""
    new = content(text) - content(question) or content(text)
    shares = [len(new & content(h.text)) for h in hits]
    most = max(shares, default=0)
    return tuple(h for h, share in zip(hits, shares, strict=True) if share == most) if most else tuple(hits[:1])
