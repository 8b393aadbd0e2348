"""Questions about a document, made by rules: no model, every answer a literal span of the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.recall.sentences import sentences
from byheart.recall.write import questions
from byheart.recall.write.clauses import PREPOSITIONS, triple
from byheart.recall.write.verbs import PARTICIPLES

_FIELD = re.compile(r"^\s*(?:[-*+•]\s+)?(\*\*)?([A-Z][\w '/()-]{0,40}?)(\*\*)?:(\*\*)?\s+(\S.*)$")
_NOT_FIELDS = frozenset("note warning example tip important nb caution remember info question answer e.g i.e".split())
_GENERIC = frozenset("contact contacts details overview general summary info data facts basics notes about".split())
_SPAN = re.compile(
    r"^(?P<lead>.+ (?:at|on|in|by|to|from|for|of|is|are|was|were|with|called|named|until|before|after|between|near))"
    r" (?P<span>\S+(?: \S+){0,5})$"
)
_SUBJECT = re.compile(
    r"(?:The|An?) .+|(?!(?:What|Who|When|Where|Why|How|Every\w*|Nothing|No|All)\b)[A-Z][\w'-]+(?: [A-Z][\w'-]+)*"
)
_TAILED = re.compile(rf"^(?:{'|'.join(sorted(PREPOSITIONS))})\b| (?:{'|'.join(sorted(PREPOSITIONS))}) |(?: .*){{6}}")


@dataclass(frozen=True)
class Pair:
    """A question and its answer, with the sentence they come from and the engram that holds it.

    `kind` is "question" (an English question), "field" (from a `key: value` line or a table cell),
    "cloze" (the start of a sentence to be completed) or "given" (the engram was stored as a pair).
    """

    question: str
    answer: str
    statement: str
    engram: str
    kind: Literal["question", "field", "cloze", "given"]


class Pairs:
    """Rules for the sentences that handbooks and reference pages are made of, and a cloze for the rest.

    A wrong question teaches and examines nonsense, so the rules take only what they can parse whole:
    a single clause, a known verb, a subject that is not a pronoun. Of another sentence of a single clause the question
    asks for the object, if its subject is clear; every other sentence of enough words becomes a cloze for its last
    phrase. A question that has two answers in the document gives its place to clozes, and a cloze that has two is left
    out. Sentences that lean on the sentence before (It, This, ...) are left out unless their heading says what they are
    about.

    Parameters
    ----------
    cloze: "fallback" for sentences without a question, "always" for every sentence, "never".
    longest: words above which a sentence is left out.

    >>> from byheart.core.records import Engram
    >>> text = "The harbourmaster of Velm is Marta Kask. The ferry to Orsk leaves at 06:40."
    >>> for pair in Pairs().write([Engram(id="a", text=text, created="2026-11-20")]):
    ...     print(pair.question, "|", pair.answer)
    Who is the harbourmaster of Velm? | Marta Kask
    When does the ferry to Orsk leave? | 06:40
    """

    def __init__(self, *, cloze: Literal["fallback", "always", "never"] = "fallback", longest: int = 30) -> None:
        if cloze not in ("fallback", "always", "never"):
            raise BadInput(f"cloze={cloze!r}; choose 'fallback', 'always' or 'never'")
        self.cloze = cloze
        self.longest = longest

    def write(self, engrams: Sequence[Engram]) -> list[Pair]:
        """Pairs in the order of the text, no question twice."""
        lower = {w for e in engrams for w in re.findall(r"(?<![.!?:] )(?<!^)\b[a-z][\w-]*", e.text)}
        made = [pair for engram in engrams for pair in self._engram(engram, frozenset(lower))]
        doubtful = _doubtful(made)
        made = [
            whole_pair for p in made for whole_pair in (self._gap(p) if p.question.casefold() in doubtful else (p,))
        ]
        doubtful = _doubtful(made)
        unique: dict[str, Pair] = {}
        for pair in made:
            if pair.kind == "given" or pair.question.casefold() not in doubtful:
                unique.setdefault(pair.question.casefold(), pair)
        return list(unique.values())

    def _engram(self, engram: Engram, lower: frozenset[str]) -> Iterator[Pair]:
        if engram.question and engram.answer:
            yield Pair(engram.question, engram.answer, engram.text, engram.id, "given")
            return
        heading = str(engram.metadata.get("heading") or "")
        lines = engram.text.split("\n")
        if lines and lines[0] == heading:
            lines = lines[1:]
        path = [part for part in heading.split(" > ") if part.lower() not in _GENERIC] or heading.split(" > ")
        topic = path[-1]
        columns: list[str] = []
        fenced = False
        prose = ""
        for line in [*lines, ""]:
            fenced ^= line.lstrip().startswith(("```", "~~~"))
            row = line.lstrip().startswith("|")
            field = None if fenced or row else _FIELD.match(line)
            if field and (field[2].lower() in _NOT_FIELDS or len(field[2].split()) > 4 or len(field[5].split()) > 12):
                field = None
            plain = line.strip() and not (fenced or row or field or re.match(r"^\s*([-*+•]|\d{1,3}[.)])\s+", line))
            if plain:
                prose += " " + line
                continue
            yield from self._prose(prose, engram.id, topic, lower)
            prose = ""
            if row:
                cells = [c.strip() for c in line.strip().strip("|").split("|")]
                yield from self._row(columns, cells, line.strip(), engram.id, topic)
                columns = columns or cells
                continue
            columns = []
            if field:
                key, value = field[2].strip(), field[5].strip().strip("*").rstrip(".")
                yield Pair(questions.about(key, value, topic), value, line.strip(), engram.id, "field")
            elif line.strip() and not fenced:
                yield from self._prose(re.sub(r"^\s*\S+\s+", "", line), engram.id, topic, lower)

    def _prose(self, text: str, engram: str, topic: str, lower: frozenset[str]) -> Iterator[Pair]:
        for sentence in sentences(text.replace("**", "").replace("`", "")):
            count = len(sentence.split())
            if count < 4 or count > self.longest or not sentence.endswith("."):
                continue
            made = [
                Pair(q, a, sentence, engram, "question")
                for q, a in questions.ask(sentence[:-1], lower)
                if a in sentence
            ]
            if not made and self.cloze != "never":
                made = list(_of_object(sentence, engram))
            yield from made
            if self.cloze == "always" or (self.cloze == "fallback" and not made):
                yield from self._gap(Pair("", "", sentence, engram, "cloze"), topic)

    def _row(self, columns: list[str], cells: list[str], line: str, engram: str, topic: str) -> Iterator[Pair]:
        """One question for each cell beside the first; the header row and the rule under it give none."""
        if not columns or len(cells) != len(columns) or not any(c.strip("-: ") for c in cells):
            return
        table = f' in the table "{topic}"' if topic else ""
        for column, cell in zip(columns[1:], cells[1:], strict=True):
            if column and cell and cells[0]:
                yield Pair(f'What is listed under "{column}" for {cells[0]}{table}?', cell, line, engram, "field")

    def _gap(self, pair: Pair, topic: str = "") -> Iterator[Pair]:
        """A cloze of the pair's sentence: its last phrase is to be filled in."""
        sentence = pair.statement
        if self.cloze == "never" or not sentence.endswith("."):
            return
        match = _SPAN.match(sentence[:-1])
        words = sentence[:-1].split()
        lead, span = (match["lead"], match["span"]) if match else (" ".join(words[:-2]), " ".join(words[-2:]))
        leans = questions.leans(sentence)
        if len(lead.split()) < 3 or (leans and not topic) or not re.search(r"\w", span):
            return
        about = f' about "{topic}"' if leans else ""
        yield replace(pair, question=f"Complete the sentence{about}: {lead} ...", answer=span, kind="cloze")


def _of_object(sentence: str, engram: str) -> Iterator[Pair]:
    """The question for the object of a sentence of one clause, where its words make a question."""
    parts = triple(sentence) if questions.single(sentence[:-1]) else None
    if parts is None:
        return
    who, relation, what = parts
    middle = relation.split()[1:]
    if (
        not _SUBJECT.fullmatch(who)
        or _TAILED.search(what)
        or not all(w in PARTICIPLES or w in PREPOSITIONS or w.endswith(("born", "ed", "ing")) for w in middle)
    ):
        return
    question = questions.asks(*parts)
    if not question.endswith(" what?"):
        yield Pair(question, what, sentence, engram, "question")


def _doubtful(pairs: Sequence[Pair]) -> set[str]:
    """Questions made by rules that have more than one answer."""
    answers: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.kind != "given":
            answers.setdefault(pair.question.casefold(), set()).add(pair.answer.casefold())
    return {question for question, given in answers.items() if len(given) > 1}
