"""Arrows point one way: the imports of every file, read from its syntax, against the table of packages."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "byheart"
MIDDLE = ("learn", "forget", "edit", "recall", "latent", "nets", "exam", "world")
BASE = ("core", "kit", "models", "store", "train")
MAY: dict[str, set[str]] = {
    "core": set(),
    "kit": {"core"},
    "models": {"core", "kit"},
    "store": {"core"},
    "train": {"core", "kit"},
    **{name: {"core", "kit"} for name in MIDDLE},
    "study": {*BASE, *MIDDLE, "memory"},
    "memory": {*BASE, *MIDDLE},
    "bench": {*BASE, *MIDDLE, "study", "memory"},
    "app": {*BASE, *MIDDLE, "study", "memory", "bench"},
    "__main__": {"app"},
}
FILES = sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "__init__.py")


def imports(tree: ast.AST, module: str, typing: bool = True) -> Iterator[str]:
    """Every module named by an import, absolute; without `typing`, those for type checkers are left out."""
    for node in ast.iter_child_nodes(tree):
        if not typing and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = module.split(".")[: -node.level]
            yield ".".join([*base, *([node.module] if node.module else [])])
        elif isinstance(node, ast.ImportFrom) and node.module == "byheart":
            yield from (f"byheart.{a.name}" for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        yield from imports(node, module, typing)


def package(path: Path) -> str:
    """The package of a file: the first folder below byheart, or the module's own name."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def wrong(path: Path, text: str) -> list[str]:
    """The imports of a file that its package may not have."""
    name = package(path)
    module = ".".join(["byheart", *path.relative_to(SOURCE).with_suffix("").parts])
    found = []
    for target in imports(ast.parse(text), module):
        parts = target.split(".")
        if parts[0] == "byheart" and len(parts) > 1:
            other = {"Memory": "memory"}.get(parts[1], parts[1])
            if other != name and other in MAY and other not in MAY[name]:
                found.append(f"{name} imports {target}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_follow_the_table(path: Path) -> None:
    assert package(path) in MAY, f"{path} is in no package of the table"
    assert wrong(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("learn/x.py", "from byheart.forget.npo import NPO", "learn imports byheart.forget.npo"),
        ("learn/x.py", "def f():\n    import byheart.exam.leak", "learn imports byheart.exam.leak"),
        ("kit/x.py", "from ..train import loop", "kit imports byheart.train"),
        ("recall/read/x.py", "from ...store import sqlite", "recall imports byheart.store"),
        ("core/x.py", "if TYPE_CHECKING:\n    from byheart.kit import readout", "core imports byheart.kit"),
        ("exam/x.py", "from byheart import Memory", "exam imports byheart.Memory"),
        ("memory/x.py", "from byheart import study", "memory imports byheart.study"),
        ("store/x.py", "from byheart.app.cli import main", "store imports byheart.app.cli"),
    ],
)
def test_a_violation_is_caught(place: str, text: str, said: str) -> None:
    assert wrong(SOURCE / place, text) == [said]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("learn/x.py", "from byheart.kit.fisher import fisher\nfrom byheart.core.errors import Conflict"),
        ("recall/read/x.py", "from ..write import chunk"),
        ("memory/x.py", "from byheart.exam import leak\nfrom byheart.store import sqlite"),
        ("app/x.py", "from byheart import Memory"),
    ],
)
def test_what_is_allowed_passes(place: str, text: str) -> None:
    assert wrong(SOURCE / place, text) == []


def graph(texts: dict[str, str]) -> dict[str, set[str]]:
    """For every module (a package by its `__init__`) the modules it imports, for type checkers or in functions too."""
    names = {n.removesuffix(".__init__"): n for n in texts}
    edges: dict[str, set[str]] = {n: set() for n in names}
    for module, whole in names.items():
        for node in ast.walk(ast.parse(texts[whole])):
            if isinstance(node, ast.Import):
                targets = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = whole.split(".")[: -node.level] if node.level else []
                start = ".".join([*base, *([node.module] if node.module else [])])
                targets = [n if (n := f"{start}.{a.name}") in names else start for a in node.names]
            else:
                continue
            edges[module] |= {t for t in targets if t in names and t != module}
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, by Kosaraju's two searches."""
    back: dict[str, set[str]] = {n: set() for n in edges}
    for n, targets in edges.items():
        for t in targets:
            back[t].add(n)

    def search(start: str, ways: dict[str, set[str]], seen: set[str]) -> list[str]:
        """The modules reached that were not seen yet, each after all that it leads to."""
        seen.add(start)
        out, path = [], [(start, iter(sorted(ways[start])))]
        while path:
            n, rest = path[-1]
            following = next((t for t in rest if t not in seen), None)
            if following is None:
                out.append(n)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(sorted(ways[following]))))
        return out

    first: set[str] = set()
    order = [n for start in sorted(edges) if start not in first for n in search(start, edges, first)]
    second: set[str] = set()
    groups = [search(n, back, second) for n in reversed(order) if n not in second]
    return [sorted(g) for g in groups if len(g) > 1]


def test_no_modules_import_each_other_in_a_circle() -> None:
    paths = sorted(SOURCE.rglob("*.py"))
    texts = {
        ".".join(["byheart", *p.relative_to(SOURCE).with_suffix("").parts]): p.read_text(encoding="utf-8")
        for p in paths
    }
    assert circles(graph(texts)) == []


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        ("import p.b", "import p.c", "import p.a"),
        ("from p import b", "from .c import x", "from . import a"),
        ("from p.b import x", "def f():\n    from p.c import x", "if TYPE_CHECKING:\n    from p.a import y"),
        ("from p import b", "from p import c", "from p import x"),
    ],
)
def test_a_circle_is_caught(a: str, b: str, c: str) -> None:
    texts = {"p.__init__": "from p.a import y as x", "p.a": a, "p.b": b, "p.c": c, "p.d": "from p import a, c"}
    whole = ["p", "p.a", "p.b", "p.c"] if c == "from p import x" else ["p.a", "p.b", "p.c"]
    assert circles(graph(texts)) == [whole]


def test_arrows_that_point_one_way_are_no_circle() -> None:
    texts = {
        "p.__init__": "from p.a import x",
        "p.a": "import json\nfrom p import b, c",
        "p.b": "from .c import x",
        "p.c": "",
    }
    assert circles(graph(texts)) == []


CORE = [p for p in FILES if package(p) == "core"]


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.name)
def test_core_needs_only_the_standard_library_numpy_and_pydantic(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "pydantic", "byheart"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    outside = {m.split(".")[0] for m in imports(tree, "byheart.core.x", typing=False)} - allowed
    lazy = {"torch"} if path.name == "strategy.py" else set()
    assert outside <= lazy
