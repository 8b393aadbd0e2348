"""Every method: the name users type, where its class lives, and the paper it comes from, read from the classes' files.

A method's class says these of itself, in class attributes beneath its docstring:

    name = "ewc"                       the name users type
    paper = "ewc"                      the slug of its paper, if the catalogue has it
    arxiv = "1612.00796"
    variants = {"online-ewc": {"online": True}}      other names of the class, with the settings that they stand for

So a method is in the catalogue as soon as its file is there. The files are read, not imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

from byheart.core.errors import Conflict

Kind = Literal[
    "strategy", "unlearner", "editor", "merger", "retriever", "reranker", "reader", "updater", "writer", "exam", "world"
]
Variants = Mapping[str, Mapping[str, Any]]

ROOT = Path(__file__).resolve().parents[1]
KINDS: dict[str, Kind] = {
    "learn": "strategy",
    "forget": "unlearner",
    "edit": "editor",
    "recall/retrieve": "retriever",
    "recall/rerank": "reranker",
    "recall/read": "reader",
    "recall/update": "updater",
    "recall/write": "writer",
}
"""Folders that hold methods, in the order in which they are listed, and of which kind."""
_BLOCK = re.compile(
    r"^class (\w+)\b(?:(?!^class ).)*?^(    name(?:: ClassVar\[str\])? = .*?)(?=^\s*$)", re.DOTALL | re.MULTILINE
)
"""A class, and the lines from its name to the next empty line."""


@dataclass(frozen=True)
class Entry:
    """One method: the name users type, where its class lives, and the paper it comes from.

    `target` is `package.module:Class` below `byheart`. `defaults` are constructor settings that make this name differ
    from another of the same class.
    """

    name: str
    target: str
    paper: str | None = None
    arxiv: str | None = None
    kind: Kind = "strategy"
    defaults: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def file(self) -> Path:
        """The source file of the class."""
        return ROOT / (self.target.split(":")[0].replace(".", "/") + ".py")


@cache
def methods(root: Path = ROOT) -> tuple[Entry, ...]:
    """Every method below a folder, by kind and file; `Conflict` when two classes have one name."""
    entries: dict[str, Entry] = {}
    for folder, kind in KINDS.items():
        for file in sorted((root / folder).glob("*.py")):
            for entry in _entries(file, f"{folder.replace('/', '.')}.{file.stem}", kind):
                if entry.name in entries:
                    raise Conflict(
                        f"{entries[entry.name].target} and {entry.target} have one name, {entry.name!r}; rename one"
                    )
                entries[entry.name] = entry
    return tuple(entries.values())


def _entries(file: Path, module: str, kind: Kind) -> Iterator[Entry]:
    """The methods of a file: classes with a name."""
    for name, block in _BLOCK.findall(file.read_text(encoding="utf-8")):
        attributes: dict[str, Any] = {}
        for node in ast.parse(dedent(block)).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value:
                attributes[target.id] = ast.literal_eval(node.value)
        variants = attributes.pop("variants", {})
        entry = Entry(target=f"{module}:{name}", kind=kind, **attributes)
        yield entry
        for other, settings in variants.items():
            yield Entry(other, entry.target, entry.paper, entry.arxiv, kind, dict(settings))
