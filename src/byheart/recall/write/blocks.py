"""Reading plain text and Markdown as blocks under headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from byheart.recall.sentences import sentences

_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.+?)\s*#*\s*$")
_RULE = re.compile(r"^ {0,3}(=+|-+|~+|\^+|\*+|_+)\s*$")
_FIELD = re.compile(r"^\s*(\*\*)?\w[\w '/().,&-]{0,40}(\*\*)?:(\*\*)? +\S")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_ROW = re.compile(r"^\s*\|.*\|\s*$")
_RULED = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)+\|?\s*$")


@dataclass(frozen=True)
class Block:
    """A stretch of text under a heading path, in units that may not be split.

    `units` are sentences of a paragraph, items of a list, rows of a table, or a whole code block;
    `join` goes between them; `head` (a table's header) is repeated where the block is split.
    """

    kind: Literal["text", "list", "table", "code", "bare"]
    heading: tuple[str, ...]
    units: tuple[str, ...]
    join: str
    head: str = ""


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a text in order. A heading with nothing under it is a block of kind "bare"."""
    path: list[tuple[int, str]] = []
    empty = False
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        level, title, used = _heading(lines, at)
        if used:
            if empty and path and level <= path[-1][0]:
                yield _bare(path)
            path = [*(p for p in path if p[0] < level), (level, title)]
            empty, at = True, at + used
            continue
        if not line.strip() or _RULE.match(line):
            at += 1
            continue
        names = tuple(t for _, t in path)
        empty = False
        start, at = at, _end(lines, at)
        part = lines[start:at]
        if _FENCE.match(line):
            yield Block("code", names, ("\n".join(part),), "\n")
        elif _ROW.match(line) or _bare_table(lines, start):
            ruled = len(part) > 1 and re.fullmatch(r"[\s|:+-]+", part[1]) is not None
            head = "\n".join(part[:2]) if ruled else ""
            yield Block("table", names, tuple(r.strip() for r in part[2 if ruled else 0 :]), "\n", head)
        elif _ITEM.match(line):
            yield Block("list", names, tuple(_items(part)), "\n")
        else:
            yield Block("text", names, tuple(_lines(part)), " ")
    if empty:
        yield _bare(path)


def _heading(lines: list[str], at: int) -> tuple[int, str, int]:
    """Level, title and lines used by a heading at this line; 0 lines when there is none."""
    match = _HEADING.match(lines[at])
    if match:
        return len(match[1]), _plain(match[2]), 1
    line = lines[at].strip()
    alone = at == 0 or not lines[at - 1].strip()
    if line and alone and at + 1 < len(lines) and not _ITEM.match(line) and not _ROW.match(line):
        under = re.match(r"^(=+|-+|~+|\^+)\s*$", lines[at + 1])
        if under and len(under[1]) >= min(3, len(line)) and not _RULE.match(line) and len(line) <= 100:
            return "=-~^".index(under[1][0]) + 1, _plain(line), 2
    return 0, "", 0


def _end(lines: list[str], at: int) -> int:
    """Where the block that starts at this line ends."""
    fence = _FENCE.match(lines[at])
    if fence:
        close = next((i for i in range(at + 1, len(lines)) if lines[i].strip().startswith(fence[1])), len(lines) - 1)
        return close + 1
    if _ROW.match(lines[at]):
        return next((i for i in range(at, len(lines)) if not _ROW.match(lines[i])), len(lines))
    if _bare_table(lines, at):
        return next((i for i in range(at, len(lines)) if "|" not in lines[i]), len(lines))
    listed = _ITEM.match(lines[at]) is not None
    end = at + 1
    while end < len(lines):
        line = lines[end]
        if _FENCE.match(line) or _HEADING.match(line) or _ROW.match(line) or _bare_table(lines, end):
            break
        if not line.strip():
            after = lines[end + 1] if end + 1 < len(lines) else ""
            if not (listed and (_ITEM.match(after) or after.startswith(("  ", "\t")))):
                break
        elif not listed and (_ITEM.match(line) and not line[0].isdigit()):
            break
        end += 1
    return end


def _bare_table(lines: list[str], at: int) -> bool:
    """Whether the head of a table without bars at its ends stands at this line."""
    return "|" in lines[at] and at + 1 < len(lines) and _RULED.match(lines[at + 1]) is not None


def _items(lines: list[str]) -> Iterator[str]:
    """The items of a list, continuation lines joined, with their indentation."""
    item = ""
    for line in lines:
        if _ITEM.match(line):
            if item:
                yield item
            item = line.rstrip()
        elif line.strip():
            item += " " + line.strip()
    if item:
        yield item


def _lines(lines: list[str]) -> Iterator[str]:
    """Sentences of a paragraph; lines of short `key: value` fields stay lines of their own."""
    if len(lines) > 1 and all(_FIELD.match(line) for line in lines):
        yield "\n".join(line.strip() for line in lines)
    else:
        yield from sentences(" ".join(lines))


def _bare(path: list[tuple[int, str]]) -> Block:
    names = tuple(t for _, t in path)
    return Block("bare", names[:-1], names[-1:], " ")


def _plain(title: str) -> str:
    """A heading without emphasis marks and link targets."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"[*`]+", "", title)).strip()
