"""Questions for the rows of tables and for `key: value` lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from byheart.recall.spans import Span, spans
from byheart.recall.statements import Statement, generic
from byheart.recall.write.about import IT
from byheart.recall.write.clauses import PERSON
from byheart.recall.write.fronting import in_place, wh
from byheart.recall.write.verbs import PLACES

Candidate = tuple[list[str], str, str]
"""The wordings of a question, its answer, and its kind."""

NOUNS = {
    "money": "amount of money", "duration": "length of time", "date": "date", "clock": "time", "share": "percentage",
    "quantity": "amount", "initials": "person", "code": "code or word", "name": "name", "number": "number",
}  # fmt: skip


def of_row(statement: Statement) -> Iterator[Candidate]:
    """A row's cells, each by its column's name; of a person's row, what that person does, and who does it."""
    first, *rest = statement.cells
    if len(statement.cells) == 1:
        first, rest = ("", ""), [first]
    head, row = first
    person = re.fullmatch(r"who|owner|responsible|person|name|assignee|member|by whom", head.strip().lower())
    for column, cell in rest:
        name, others = _small(column), "; ".join(c for _, c in rest if c != cell)
        if not row:
            yield [f"What is the {name} of {IT}?", f"{column}: what?"], cell, "cell"
        elif re.match(r"by\b|due|deadline|until|when|date", name):
            what = f"{row}, {others}" if others else row
            yield [f"By when: {what}?", f"What is the date for this: {what}?", f"When is it due: {what}?"], cell, "cell"
        elif person:
            yield [f"What does {row} have to do?", f"{row} has which task?", f"What is {row}'s task?"], cell, "cell"
            yield [f"Who has to do this: {cell}?", f"{cell}: who does it?", f"Whose task is it: {cell}?"], row, "cell"
        elif len(rest) == 1 and generic(column):
            yield from of_field(row, cell, "")
        elif re.match(r"meaning|what it means|cause|problem", name):
            yield (
                [f"What does {row} mean?", f"{row} stands for what?", f"What is wrong when {row} is shown?"],
                cell,
                "cell",
            )
        elif re.match(r"what to do|remedy|solution|action|fix", name):
            yield [f"What do I have to do when {row} is shown?", f"What helps against {row} ({others})?"], cell, "cell"
        else:
            yield (
                [f"What is the {name} of {row}?", f"Which {name} does {row} have?", f"{row}: what is the {name}?"],
                cell,
                "cell",
            )


_HOW = (
    (r"\bweight\b", "How heavy is {of}?"),
    (r"\blength\b", "How long is {of}?"),
    (r"\bheight\b", "How tall is {of}?"),
    (r"\bwidth\b", "How wide is {of}?"),
    (r"\bdepth\b", "How deep is {of}?"),
    (r"\bnoise\b|\bsound", "How loud is {of}?"),
    (r"\bprice\b|\bcost\b|\bfee\b", "How much does {of} cost?"),
    (r"\bcapacity\b|\bvolume\b", "How much does {of} hold?"),
    (r"\bduration\b|\btime\b", "How long does {of} take?"),
    (r"\bdate\b", "When is {of}?"),
    (r"\bplace\b|\bvenue\b|\blocation\b", "Where is {of}?"),
    (r"\b(?:starts?|from|begins?)\b", "From when is {of} valid?"),
    (r"\bage\b", "How old is {of}?"),
)
"""What a field's key is asked by, beside its name."""


def of_field(key: str, value: str, section: str) -> Iterator[Candidate]:
    """A `key: value` line: asked for by its key and, where that says how, in plain words; a long value by its spans."""
    name = _small(key)
    inner = [s for s in spans(value) if s.kind != "number" or len(value.split()) > 4]
    someone = any(s.start == 0 and _person(s) for s in inner)
    if re.search(r"\b(?:by|from|to|at|in|on|for|of)$", name):
        word = "whom" if someone else "when" if any(s.kind in ("date", "clock") for s in inner) else "what"
        wordings = [f"{key} {word}?", f'What stands after "{key}"?']
    else:
        word, be = ("Who" if someone else "What"), ("are" if _plural(name) else "is")
        wordings = [f"{word} {be} the {name} of {IT}?", f"{key}: {word.lower()}?"]
        wordings += [pattern.format(of=IT) for r, pattern in _HOW if re.search(r, name)][:1]
        if section and section.casefold() != name:
            wordings += [f'{word} {be} the {name} under "{section}"?']
    if len(value.split()) <= 20:
        yield wordings, value, "field"
    if len(value.split()) > 3 or re.search("[,/;]", value):
        for span in inner:
            if span.kind in ("initials", "name") and sum(s.kind == span.kind for s in inner) > 1:
                continue
            phrases, cut = wh(span, value[: span.start])
            gap = [f"{key}: {in_place(value, span.start - cut, span.end, p)}" for p in phrases]
            yield (
                [
                    *gap[:1],
                    f"What {NOUNS[span.kind]} is missing here: {key}: {value[: span.start]}...{value[span.end :]}",
                    *gap[1:],
                ],
                span.text,
                "field",
            )


def _person(span: Span) -> bool:
    bare = re.sub(r"^(?:Dr|Mr|Mrs|Ms|Prof)\.? ", "", span.text)
    titled = bare != span.text
    return span.kind == "initials" or (
        span.kind == "name" and (titled or (bool(PERSON.fullmatch(bare)) and not PLACES & set(bare.split())))
    )


def _plural(name: str) -> bool:
    return name.endswith("s") and not name.endswith(("ss", "us", "is")) and " of " not in name


def _small(key: str) -> str:
    return key if len(key) > 1 and (key[1].isupper() or key[0].isdigit()) else key[:1].lower() + key[1:]
