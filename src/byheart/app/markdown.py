"""Pieces of the generated pages: tables, docstrings as Markdown, links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

MADE = "<!-- Written by `make docs`; edit the source, not this page. -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; pipes in cells are escaped."""
    lines = [head, ["---"] * len(head), *([_cell(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def blocks(text: str) -> Iterator[str]:
    """A docstring's paragraphs as Markdown: headings, code, formulas and prose."""
    for paragraph in re.split(r"\n\s*\n", text):
        rows = paragraph.splitlines()
        if len(rows) > 1 and re.fullmatch(r"-{3,}", rows[1].strip()):
            yield f"## {rows[0]}"
            rows = rows[2:]
            if rows:
                yield "\n".join(f"- {_prose(item)}" for item in _items(rows))
        elif rows[0].startswith(">>>"):
            yield "```python\n" + "\n".join(rows) + "\n```"
        elif all(re.search(r"=|<-|^ {2,}", row) for row in rows) and not paragraph.rstrip().endswith("."):
            yield "```text\n" + "\n".join(rows) + "\n```"
        else:
            yield _prose(" ".join(row.strip() for row in rows))


def _items(rows: list[str]) -> list[str]:
    """`name: words` rows, with the rows that go on from each joined to it."""
    items: list[str] = []
    for row in rows:
        if items and not re.match(r"[\w*]+(, [\w*]+)*:", row):
            items[-1] += " " + row.strip()
        else:
            items.append(row.strip())
    return items


def _prose(text: str) -> str:
    return re.sub(r"(?<!`)([*<|])(?!`)", r"\\\1", text)


def arxiv(number: str | None) -> str:
    """A link to a paper by its arXiv id; empty without one."""
    return f"[{number}](https://arxiv.org/abs/{number})" if number else ""
