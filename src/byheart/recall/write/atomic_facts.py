"""Atomic facts: a text as short statements that each state a single fact and name its subject."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import ClassVar

from byheart.core.errors import BadInput
from byheart.core.protocols import Subject
from byheart.core.records import Engram, Op
from byheart.recall.sentences import sentences
from byheart.recall.write.chunks import Chunks, Source
from byheart.recall.write.clauses import PERSON, clauses, stands_for

_PROMPT = (
    "List every fact of the text below, one a line, as: what it is about | what is said of it. Use full names instead "
    "of pronouns, and only what the text says.\n\n"
)

_SOMEONE = re.compile(r"(He|She|His|Her)\b")
Row = tuple[Engram, str, str]
"""A passage, a fact from it, and what that is about."""


class AtomicFacts:
    """Writes an engram for each fact of a text, with its subject named, instead of passages.

    A passage holds ten facts, a question wants one of them, and the reader's context is filled with the other nine. A
    fact by itself is short, and it can be understood alone if what a pronoun or a heading stood for is put into it. So
    more answers fit into the same number of tokens.

        passage -> sentences -> clauses;  fact = entity + description

    A clause begins where a sentence has another subject or verb (`recall.write.clauses`). A pronoun at the start gives
    way to the last subject; where the subject is not stated, or is a common noun, the heading stands before the fact.
    An item of a list, a row of a table, a line of code is a fact. Every word of a fact stands in the source.

    `metadata` holds `entity` (what the fact is about), `heading`, and `of`, the number of the passage that it is from,
    as `Chunks` counts them; `source` and `position` say its place among the facts of its source.

    Parameters
    ----------
    longest: words above which a sentence stays whole.

    Departs from the paper: rules take the place of the language model, which there first writes questions about a
    passage, answers them by entity-description pairs, and is sampled several times; with a `subject` it is asked once
    for each source, without questions. Lines that are not "entity | description" are dropped, and where none is left
    the rules write.

    >>> text = "Marta Kask runs the ferry and sells tea. Her dog is called Bo."
    >>> [op.engram.text for op in AtomicFacts().write(text)]
    ['Marta Kask runs the ferry.', 'Marta Kask sells tea.', "Marta Kask's dog is called Bo."]

    References: Li et al. 2025, arXiv:2503.19574, abstract; entity-description pairs as summaries of it describe them.
    """

    name: ClassVar[str] = "atomic-facts"
    paper: ClassVar[str] = "atomic-facts"
    arxiv: ClassVar[str] = "2503.19574"

    def __init__(self, *, longest: int = 60) -> None:
        if longest < 1:
            raise BadInput(f"longest={longest}: a sentence has at least 1 word; the default is 60")
        self.longest = longest

    def write(self, source: Source, subject: Subject | None = None) -> list[Op]:
        """Additions in the order of the text, no fact of a source twice. Takes and refuses what `Chunks` does."""
        groups: dict[str | None, list[Engram]] = {}
        for passage in Chunks().write(source):
            groups.setdefault(passage.source, []).append(passage)
        by_model = by_subject(list(groups.values()), subject) if subject is not None else [[] for _ in groups]
        out: list[Op] = []
        for passages, facts in zip(groups.values(), by_model, strict=True):
            known: set[str] = set()
            for passage, text, entity in facts or self.by_rule(passages):
                if text.casefold() not in known:
                    out.append(Op(kind="add", engram=made_from(passage, text, len(known), entity=entity)))
                    known.add(text.casefold())
        return out

    def by_rule(self, passages: Sequence[Engram]) -> Iterator[Row]:
        """The facts of a source's passages; the meaning of a pronoun holds as long as the heading does."""
        last, before = "", None
        for passage in passages:
            heading = passage.metadata.get("heading")
            topic = str(heading or "").split(" > ")[-1]
            last = last if heading == before else topic
            facts, last = self.facts(passage, topic, last)
            yield from ((passage, *fact) for fact in facts)
            before = heading

    def facts(self, passage: Engram, topic: str, last: str) -> tuple[list[tuple[str, str]], str]:
        """The facts of a passage with what each is about, and what a pronoun would mean after it."""
        if passage.question and passage.answer:
            return [(passage.text, topic)], last
        out: list[tuple[str, str]] = []
        for line, prose in lines(passage):
            if not prose:
                out.append((f"{topic}: {line}" if topic and topic not in line else line, topic))
                continue
            for sentence in sentences(line):
                known = "" if last == topic and not PERSON.search(topic) and _SOMEONE.match(sentence) else last
                cut = clauses(sentence, known) if len(sentence.split()) <= self.longest else []
                for clause in cut:
                    common = re.match(r"(?:The|A|An|[a-z]\w*) |$", clause.subject) and not PERSON.search(clause.subject)
                    lacks = topic and common and topic.casefold() not in clause.text.casefold()
                    out.append((f"{topic}: {clause.text}" if lacks else clause.text, clause.subject or topic))
                    last = stands_for(clause.subject) or last
                if not cut:
                    out.append((sentence, topic))
        return out, last


def lines(passage: Engram) -> Iterator[tuple[str, bool]]:
    """What stands in a passage below its heading: paragraphs (True), and items, rows, fields and code line by line."""
    body = passage.text.split("\n")
    if body[0] == passage.metadata.get("heading") and len(body) > 1:
        body = body[1:]
    prose: list[str] = []
    fenced = False
    for line in [*body, ""]:
        fence = re.match(r"\s*(```|~~~)", line) is not None
        apart = (
            fenced or fence or re.match(r"\s*(\||[-*+•]\s|\d{1,3}[.)]\s|(\*\*)?[A-Z][\w '/()-]{0,40}?:(\*\*)? )", line)
        )
        fenced ^= fence
        if line.strip() and not apart:
            prose.append(line.strip())
            continue
        if prose:
            yield " ".join(prose), True
            prose = []
        plain = re.sub(r"^\s*([-*+•]|\d{1,3}[.)])\s+", "", line).strip()
        if re.search(r"\w", plain) and not fence:
            yield plain, False


def made_from(passage: Engram, text: str, position: int, **metadata: str) -> Engram:
    """An engram of this text with a passage's provenance; `metadata["of"]` is the passage's number."""
    more = {k: v for k, v in metadata.items() if v}
    return passage.model_copy(
        update={
            "id": secrets.token_hex(8),
            "text": text,
            "position": position,
            "question": passage.question if text == passage.text else None,
            "answer": passage.answer if text == passage.text else None,
            "metadata": {**passage.metadata, **more, "of": passage.position},
        }
    )


def by_subject(groups: Sequence[Sequence[Engram]], subject: Subject) -> list[list[Row]]:
    """Facts that a language model lists, in a request for each source; they belong to its first passage."""
    prompts = [[{"role": "user", "content": _PROMPT + "\n\n".join(e.text for e in group)}] for group in groups]
    out: list[list[Row]] = []
    for group, reply in zip(groups, subject.generate(prompts, max_tokens=1024), strict=True):
        rows = re.findall(r"^[\s*•-]*(?:\d+[.)])? *([^|\n]+?) *\| *([^|\n]+?)\s*$", _clean(reply[0].text), re.M)
        out.append([(group[0], fact if entity in fact else f"{entity}: {fact}", entity) for entity, fact in rows])
    return out


def _clean(text: str) -> str:
    return text.encode("utf-8", "ignore").decode().replace("\0", "")
