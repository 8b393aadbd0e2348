"""QA memory: a text as questions with their answers, searched by the likeness of questions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from byheart.core.errors import BadInput
from byheart.core.protocols import Subject
from byheart.core.records import Engram, Op
from byheart.recall.write.atomic_facts import AtomicFacts, made_from
from byheart.recall.write.chunks import Chunks, Source
from byheart.recall.write.clauses import triple
from byheart.recall.write.pairs import Pairs
from byheart.recall.write.questions import asks

_PROMPT = (
    "Write a question for every fact of the text below, one a line, as: question | answer in words of the text\n\n"
)

Row = tuple[Engram, str, str, str]
"""A passage, a question, its answer, and the statement that both are from ("" where a model wrote them)."""


class QAMemory:
    """Writes an engram for each question that a text answers; a new question is looked up among these.

    A question is more like another wording of itself than like the passage that answers it, and the hit is the
    answer itself, so nothing needs to be read. A question that is written nowhere is answered in steps: what the
    first pair says goes into the next question (`recall.retrieve.iterative`).

        M = {(q, a)};  answer(x) = a of argmax_(q, a) cos(x, q)

    Questions are those of `Pairs`, over the atomic facts of the text as well, so that no pronoun is left in them; a
    question for the object of each fact of subject, relation and object; and a sentence to complete where there is
    neither. Answers are literal spans of the text or the subject in a pronoun's place. A question may have several
    answers.

    `text` is question and answer; what is to be encoded is the question alone (`keys`). `metadata` holds the
    `statement` and `of`, the passage's number as `Chunks` counts.

    Parameters
    ----------
    longest: words that an answer may have.

    Departs from the paper: rules ask, where the paper has the 65 million questions of PAQ, which a trained model
    wrote; and the retrieved pairs are the answer, where the paper's T5 reads them and is trained through the search. A
    `subject` writes once for each source; pairs of it whose answer does not stand in the source are dropped, in
    the manner of PAQ's filter, and where none is left the rules ask.

    >>> [op.engram.text for op in QAMemory().write("Marta Kask was born in Velm. She sells tea.")]
    ['Who sells tea? Marta Kask', 'What does Marta Kask sell? tea', 'Where was Marta Kask born? Velm']

    References: Chen et al. 2022, arXiv:2204.04581, abstract; Lewis et al. 2021 (PAQ), arXiv:2102.07033.
    """

    name: ClassVar[str] = "qa-memory"
    paper: ClassVar[str] = "qa-memory"
    arxiv: ClassVar[str] = "2204.04581"

    def __init__(self, *, longest: int = 12) -> None:
        if longest < 1:
            raise BadInput(f"longest={longest}: an answer has at least 1 word; the default is 12")
        self.longest = longest

    def write(self, source: Source, subject: Subject | None = None) -> list[Op]:
        """Additions, source by source, no pair of a source twice. Takes and refuses what `Chunks` does.

        A text without a question gives no pair.
        """
        groups: dict[str | None, list[Engram]] = {}
        for passage in Chunks().write(source):
            groups.setdefault(passage.source, []).append(passage)
        by_model = _by_subject(list(groups.values()), subject) if subject is not None else [[] for _ in groups]
        out: list[Op] = []
        for passages, pairs in zip(groups.values(), by_model, strict=True):
            known: set[tuple[str, str]] = set()
            for passage, question, answer, statement in pairs or self.by_rule(passages):
                pair = (question.casefold(), answer.casefold())
                if pair not in known and len(answer.split()) <= self.longest:
                    engram = made_from(passage, f"{question} {answer}", len(known), statement=statement)
                    with_pair = engram.model_copy(update={"question": question, "answer": answer})
                    out.append(Op(kind="add", engram=with_pair))
                    known.add(pair)
        return out

    def by_rule(self, passages: Sequence[Engram]) -> Iterator[Row]:
        """The pairs of a source's passages: those of `Pairs`, then those of each fact."""
        home = {e.id: e for e in passages}
        for pair in Pairs(cloze="never").write(passages):
            yield home[pair.engram], pair.question, pair.answer, pair.statement
        facts = [(p, made_from(p, text, 0)) for p, text, _ in AtomicFacts().by_rule(passages) if not p.question]
        home = {fact.id: p for p, fact in facts}
        plain = [fact for _, fact in facts if not re.match(r"[^.!?]{1,60}: ", fact.text)]
        for pair in Pairs(cloze="never").write(plain):
            yield home[pair.engram], pair.question, pair.answer, pair.statement
        for fact in plain:
            parts = triple(fact.text)
            if parts and not re.search("[,;:] ", parts[2]):
                yield home[fact.id], asks(*parts), parts[2], fact.text
            else:
                for pair in Pairs().write([fact]):
                    yield home[fact.id], pair.question, pair.answer, pair.statement


def keys(engrams: Sequence[Engram]) -> list[str]:
    """What is to be encoded of each engram: its question, or its text where it has none."""
    return [e.question or e.text for e in engrams]


def _by_subject(groups: Sequence[Sequence[Engram]], subject: Subject) -> list[list[Row]]:
    """Pairs that a language model writes for each source and that the source bears out; they count to its first."""
    texts = ["\n\n".join(e.text for e in group) for group in groups]
    replies = subject.generate([[{"role": "user", "content": _PROMPT + t}] for t in texts], max_tokens=1024)
    out: list[list[Row]] = []
    for group, text, reply in zip(groups, texts, replies, strict=True):
        clean = reply[0].text.encode("utf-8", "ignore").decode().replace("\0", "")
        rows = re.findall(r"^[\s*•-]*(?:\d+[.)])? *([^|\n]+\?) *\| *([^|\n]+?)[\s.]*$", clean, re.M)
        out.append([(group[0], q, a, "") for q, a in rows if a.casefold() in text.casefold()])
    return out
