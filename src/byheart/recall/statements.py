"""The statements of a passage: its sentences, list items, table rows and fields, each with what it leans on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from byheart.recall.sentences import sentences
from byheart.recall.write.blocks import Block, blocks

_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|[a-z]\))\s+")
_FIELD = re.compile(r"^(?P<key>\w[\w '/().,&-]{0,50}?)\s*:\s+(?P<value>\S.*)$", re.S)
_LEANS = re.compile(
    r"^(?:He|She|It|They|We|His|Her|Its|Their|This|That|These|Those|There|Then|Both|Neither|Otherwise|However|So|Such"
    r"|To (?:see|do|undo|change|stop|cancel) (?:it|this|them|the (?:latter|former)))\b"
)
_ANY = frozenset(
    (
        "item what value amount name description detail details info field property parameter quantity thing entry"
    ).split()
)


@dataclass(frozen=True)
class Statement:
    """A stretch of a passage that says something, as a text of its own.

    Parameters
    ----------
    text: a sentence, a list item without its mark, or a table row as "first cell: value" or "first cell: column value".
    topic: the headings above it, "A > B".
    before: the sentence or the line above that it leans on, else "".
    kind: what it was in the passage.
    cells: of a row or a field, the (name, value) pairs that it states; of a row, the first is the row's name.
    """

    text: str
    topic: str = ""
    before: str = ""
    kind: Literal["sentence", "item", "row", "field", "code"] = "sentence"
    cells: tuple[tuple[str, str], ...] = ()

    @property
    def whole(self) -> str:
        """The statement after what it leans on."""
        return f"{self.before} {self.text}".strip()


def statements(text: str, heading: str = "") -> list[Statement]:
    """The statements of a passage, in order. `heading` is its first line where that is the headings above it.

    >>> for s in statements("Pump\\n\\n| Item | Value |\\n|---|---|\\n| Weight | 3 kg |\\n\\nIt hums.", "Pump"):
    ...     print(s.kind, "|", s.text, "|", s.topic)
    row | Weight: 3 kg | Pump
    sentence | It hums. | Pump
    """
    if heading and text.startswith(heading):
        text = text[len(heading) :].lstrip("\n")
    made: list[Statement] = []
    intro = ""
    for block in blocks(text):
        topic = " > ".join(part for part in (heading, *block.heading) if part)
        part = list(_of(block, topic, intro, made[-1].text if made else ""))
        intro = _plain(block.units[-1]) if block.units and block.units[-1].rstrip().endswith(":") else ""
        made += part
    return [s for s in made if re.search(r"\w", s.text)]


def _of(block: Block, topic: str, intro: str, last: str) -> Iterator[Statement]:
    """The statements of one block; `intro` is a line ending with a colon above it, `last` the statement before."""
    if block.kind == "table":
        yield from _rows(block, topic, intro)
    elif block.kind == "code":
        yield Statement(block.units[0], topic, intro, "code")
    elif block.kind == "list":
        for unit in block.units:
            yield from _line(_ITEM.sub("", _plain(unit)), topic, intro, "", "item")
    else:
        for unit in block.units:
            for line in unit.split("\n"):
                for statement in _line(_plain(line), topic, "", last, "sentence"):
                    yield statement
                    last = statement.text


def _line(line: str, topic: str, intro: str, last: str, kind: Literal["sentence", "item"]) -> Iterator[Statement]:
    """The statements of a line: its sentences, the first perhaps a field; what leans comes after what it leans on."""
    parts = sentences(line)
    field = _field(parts[0]) if parts else None
    if field:
        yield Statement(parts[0], topic, intro, "field", (field,))
        last, parts = parts[0], parts[1:]
    for sentence in parts:
        leaning = bool(last) and (last.endswith("?") or _LEANS.match(sentence) is not None)
        yield Statement(sentence, topic, last if leaning else intro, kind)
        last = f"{last} {sentence}" if leaning and kind == "item" else sentence


def _rows(block: Block, topic: str, intro: str) -> Iterator[Statement]:
    heads = [_plain(c) for c in split_row(block.head.split("\n")[0])] if block.head else []
    for unit in block.units:
        cells = [_plain(c) for c in split_row(unit)]
        if not heads:
            heads = cells
            if len(block.units) > 1:
                continue
        if len(cells) < 2 or not any(re.search(r"\w", c) for c in cells):
            continue
        names = heads + [""] * (len(cells) - len(heads))
        pairs = [(n, c) for n, c in zip(names, cells, strict=False) if re.search(r"\w", c)]
        row, rest = cells[0], pairs[1:] if re.search(r"\w", cells[0]) else pairs
        stated = "; ".join(c if generic(n) else f"{n} {c}" for n, c in rest)
        text = f"{row}: {stated}" if row and stated else row or stated
        yield Statement(text, topic, intro, "row", tuple(pairs))


def split_row(line: str) -> list[str]:
    r"""The cells of a table's row, with or without bars at its ends; an escaped bar is part of its cell.

    >>> split_row("| E1 | a \\| b |"), split_row("E1 | fan")
    (['E1', 'a | b'], ['E1', 'fan'])
    """
    line = line.strip()
    line = line[1:] if line.startswith("|") else line
    line = line[:-1] if line.endswith("|") and not line.endswith("\\|") else line
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)]


def generic(name: str) -> bool:
    """Whether a column's name says nothing: Item, Value, or none at all."""
    return not name or all(w in _ANY for w in re.findall(r"\w+", name.lower()))


def _field(line: str) -> tuple[str, str] | None:
    match = _FIELD.match(line)
    if not match or len(match["key"].split()) > 5 or "http" in match["key"]:
        return None
    return match["key"].strip(), match["value"].strip()


def _plain(text: str) -> str:
    """A text without Markdown's marks of emphasis, code and links."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text.strip())
    text = re.sub(r"(?<!\\)(\*\*|__|`)", "", text)
    return re.sub(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", r"\1", text).strip()
