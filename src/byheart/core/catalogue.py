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
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from byheart.core import results
from byheart.core.errors import Unknown
from byheart.core.methods import ROOT, Entry, methods


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

    @property
    def folder(self) -> str:
        """The package that its study lies in: the first that the catalogue names.

        >>> paper("reflective-memory").package, paper("reflective-memory").folder
        ('recall/update+rerank', 'recall')
        """
        return re.split(r"[/+]", self.package)[0]

    @property
    def study(self) -> Path:
        """The file that its study lies in, or would lie in."""
        return ROOT / "study" / self.folder / f"{self.slug.replace('-', '_')}.py"


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
    for e in methods():
        if e.name == name:
            return e
    raise Unknown.name("method", name, [e.name for e in methods()], "byheart methods")


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


def docstring(e: Entry) -> str:
    """The docstring of a method's class, read without importing it ("" when there is none)."""
    name = e.target.split(":")[1]
    for node in ast.parse(e.file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return ast.get_docstring(node) or ""
    return ""


def summary(e: Entry) -> str:
    """The first paragraph of the class's docstring, on one line."""
    return docstring(e).split("\n\n")[0].replace("\n", " ").strip()


def about(e: Entry) -> str:
    """What a method's file says it is in its first line, and the summary of its class."""
    return f"{e.file.read_text(encoding='utf-8').lstrip().split(chr(10))[0].strip(chr(34))} {summary(e)}"


def find(text: str) -> list[Entry | Paper]:
    """Methods and papers that match a name, a slug, an arXiv id or words of a title; best first.

    >>> [(type(f).__name__, f.name) for f in find("spurious")][:2]
    [('Entry', 'spurious-forgetting'), ('Paper', 'spurious-forgetting')]
    """
    wanted = _arxiv(text) or text.strip().lower()
    words = re.findall(r"[a-z0-9+]+", wanted)
    everything: list[Entry | Paper] = [*methods(), *papers()]
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
    name, source = f.name, paper(f.paper) if isinstance(f, Entry) and f.paper else f
    title = source.title.lower() if isinstance(source, Paper) else ""
    if wanted and wanted in (name, f.arxiv):
        return 100
    if wanted and wanted == title:
        return 99 if f is source else 95
    if isinstance(f, Entry) and wanted in (f.paper, f.target.split(":")[1].lower()):
        return 90
    if re.fullmatch(r"\d{4}\.\d{4,5}", wanted):
        return 50 if isinstance(f, Entry) and wanted in docstring(f) else 0
    if not words:
        return 0
    if name.startswith(wanted):
        return 80 - len(name) / 100
    heading = re.findall(r"[a-z0-9+]+", f"{name} {title}")
    if all(any(h.startswith(w) for h in heading) for w in words):
        return (60 if f is source else 50) - len(heading) / 100
    body = re.findall(r"[a-z0-9+]+", (about(f) if isinstance(f, Entry) else f.show).lower())
    if all(any(h.startswith(w) for h in heading + body) for w in words):
        return 40
    return 0


def places(slug: str) -> dict[str, str]:
    """Where everything of a paper lies, by what it is: methods, study, tests, page, result, and the command.

    Paths are below the repository. What is not there is left out. Tests are those named by the slug or by the method's
    file; without any, those that import the method.

    >>> places("ewc")["study"], places("ewc")["run"]
    ('src/byheart/study/learn/ewc.py', 'byheart replicate ewc')
    """
    here, stem = paper(slug), slug.replace("-", "_")
    files = [e.file for e in methods() if e.paper == slug]
    top = ROOT.parents[1]
    stems = dict.fromkeys([stem, *(f.stem for f in files)])
    tests = [p for s in stems for p in sorted((top / "tests").glob(f"*/test_{s}.py"))]
    if not tests:
        modules = [".".join(["byheart", *f.relative_to(ROOT).with_suffix("").parts]) for f in dict.fromkeys(files)]
        every = sorted((top / "tests").glob("*/test_*.py")) if modules else []
        tests = [p for p in every if any(m in p.read_text(encoding="utf-8") for m in modules)]
    paths_by_kind = {
        "method": dict.fromkeys(files),
        "study": [here.study],
        "test": tests,
        "page": [top / "docs" / "papers" / f"{slug}.md"],
        "result": [results.folder() / f"{slug}.json"],
    }
    out = {what: ", ".join(_below(p, top) for p in paths if p.exists()) for what, paths in paths_by_kind.items()}
    return {what: text for what, text in out.items() if text} | (
        {"run": f"byheart replicate {slug}"} if here.study.exists() else {}
    )


def _below(path: Path, top: Path) -> str:
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else str(path)
