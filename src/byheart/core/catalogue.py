"""What is in the box: a line per method, a line per paper, and the way to find either.

Pure data: looking something up imports no method and no torch. `load` imports the one class asked for.

>>> [f.name for f in find("1612.00796")]
['ewc', 'online-ewc', 'ewc']
>>> paper("ewc").title
'Overcoming catastrophic forgetting in neural networks'
"""

from __future__ import annotations

import ast
import csv
import inspect
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from byheart.core.errors import BadInput, Damaged, Unknown
from byheart.core.methods import METHODS, ROOT, Entry

Status = Literal["no study yet", "holds", "fails", "inconclusive"]


@dataclass(frozen=True)
class Paper:
    """One paper: its slug, title, the package it belongs to, its kind, and what must be shown."""

    slug: str
    title: str
    package: str
    kind: str
    show: str
    arxiv: str | None = None

    @property
    def name(self) -> str:
        """The slug, under the attribute that a method has too."""
        return self.slug


@cache
def papers() -> tuple[Paper, ...]:
    """Every paper of the catalogue, in its order."""
    with (Path(__file__).parent / "papers.tsv").open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(Paper(r["slug"], r["title"], r["package"], r["kind"], r["show"], r["arxiv"] or None) for r in rows)


def paper(slug: str) -> Paper:
    """The paper with this slug; `Unknown` with a suggestion otherwise."""
    for p in papers():
        if p.slug == slug:
            return p
    raise Unknown.name("paper", slug, [p.slug for p in papers()], "byheart papers")


def entry(name: str) -> Entry:
    """The method with this name; `Unknown` with a suggestion otherwise.

    >>> entry("ewcc")
    Traceback (most recent call last):
    byheart.core.errors.Unknown: no method 'ewcc'; did you mean 'ewc' or ...
    """
    for e in METHODS:
        if e.name == name:
            return e
    raise Unknown.name("method", name, [e.name for e in METHODS], "byheart methods")


def load(name: str) -> type[Any]:
    """Import and return the class of a method."""
    target = entry(name).target
    module, _, attribute = target.partition(":")
    return getattr(import_module(f"byheart.{module}"), attribute)


def make(name: str, **settings: Any) -> Any:
    """Construct a method, with its entry's defaults and these settings checked against its constructor."""
    cls = load(name)
    known = {
        p.name: p
        for p in inspect.signature(cls).parameters.values()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    }
    for key in settings:
        if key not in known:
            raise Unknown.name(f"setting of {name}", key, known, f"byheart methods {name}")
    return cls(**{**entry(name).defaults, **settings})


def summary(e: Entry) -> str:
    """The first line of the class's docstring, read without importing it ("" when there is no file yet)."""
    try:
        tree = ast.parse(e.file.read_text(encoding="utf-8"))
    except OSError:
        return ""
    wanted = e.target.split(":")[1]
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == wanted:
            return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").strip()
    return ""


def find(text: str) -> list[Entry | Paper]:
    """Methods and papers that match a name, a slug, an arXiv id or words of a title; best first.

    >>> [(type(f).__name__, f.name) for f in find("spurious")][:2]
    [('Entry', 'spurious-forgetting'), ('Paper', 'spurious-forgetting')]
    """
    wanted = _arxiv(text) or text.strip().lower()
    words = re.findall(r"[a-z0-9+]+", wanted)
    everything: list[Entry | Paper] = [*METHODS, *papers()]
    scored = [(_match(f, wanted, words), f) for f in everything]
    return [f for score, f in sorted(scored, key=lambda pair: -pair[0]) if score > 0]


def _arxiv(text: str) -> str | None:
    """The arXiv id in an id, an `arXiv:` reference or an address, without its version.

    >>> _arxiv("https://arxiv.org/abs/1612.00796v2")
    '1612.00796'
    """
    found = re.fullmatch(
        r"(?:arxiv:|https?://arxiv\.org/\w+/)?\s*(\d{4}\.\d{4,5})(?:v\d+)?(?:\.pdf)?", text.strip().lower()
    )
    return found[1] if found else None


def _match(f: Entry | Paper, wanted: str, words: list[str]) -> float:
    """How well a method or a paper answers a query; 0 when it does not."""
    name, title = f.name, f.title.lower() if isinstance(f, Paper) else ""
    if wanted and wanted in (name, f.arxiv, title):
        return 100
    if isinstance(f, Entry) and wanted in (f.paper, f.target.split(":")[1].lower()):
        return 90
    if not words:
        return 0
    if name.startswith(wanted):
        return 80 - len(name) / 100
    heading = re.findall(r"[a-z0-9+]+", f"{name} {title}")
    if all(any(h.startswith(w) for h in heading) for w in words):
        return 60 - len(heading) / 100
    body = re.findall(r"[a-z0-9+]+", summary(f).lower() if isinstance(f, Entry) else f.show.lower())
    if all(any(h.startswith(w) for h in heading + body) for w in words):
        return 40
    return 0


def results(slug: str) -> dict[str, Any] | None:
    """The committed result of a paper's study (`docs/results/SLUG.json`), or None when there is none.

    In a checkout the repository's own file counts; an installed package carries a copy.
    """
    checkout = ROOT.parents[1] / "docs" / "results"
    home = checkout if checkout.is_dir() and (ROOT.parents[1] / "pyproject.toml").exists() else ROOT / "results"
    path = home / f"{slug}.json"
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise Damaged(f"{path.name} is not JSON ({error}); run the study again") from None


def status(slug: str) -> Status:
    """What the paper's study found, computed from its committed result and never typed.

    >>> status("no-such-paper")
    Traceback (most recent call last):
    byheart.core.errors.Unknown: no paper 'no-such-paper'...
    """
    paper(slug)
    found = results(slug)
    if found is None:
        return "no study yet"
    verdict = found.get("verdict")
    if verdict not in ("holds", "fails", "inconclusive"):
        raise BadInput(f"{slug}.json says {verdict!r}, not holds, fails or inconclusive; run the study again")
    return verdict
