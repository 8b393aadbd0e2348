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
    "app": {*BASE, *MIDDLE, "study", "memory"},
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


CORE = [p for p in FILES if package(p) == "core"]


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.name)
def test_core_needs_only_the_standard_library_numpy_and_pydantic(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "pydantic", "byheart"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    outside = {m.split(".")[0] for m in imports(tree, "byheart.core.x", typing=False)} - allowed
    lazy = {"torch"} if path.name == "strategy.py" else set()
    assert outside <= lazy
