"""The house rules that a machine can check."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from byheart.core import errors
from byheart.core.strategy import Strategy

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "byheart"
FILES = sorted(SOURCE.rglob("*.py"))
CODE = [*FILES, *sorted((ROOT / "bench").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]
LONGEST = 400
each = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@each
def test_names_say_what_they_hold(path: Path) -> None:
    assert not {"utils", "helpers", "common", "manager"} & {
        p.removesuffix(".py") for p in path.relative_to(SOURCE).parts
    }


def pickles(text: str) -> list[str]:
    """Calls and imports that read or write pickles."""
    found = []
    for node in ast.walk(ast.parse(text)):
        named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [
            n for n in named if n.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
        ]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            found += [called] if called in ("torch.load", "torch.save", "np.load", "numpy.load") else []
    return found


@each
def test_nothing_is_pickled(path: Path) -> None:
    assert pickles(path.read_text(encoding="utf-8")) == []


def test_a_pickle_is_caught() -> None:
    assert pickles("import pickle\nimport torch\ntorch.load('x')") == ["pickle", "torch.load"]


INHERITED = (
    {"run"}
    | {n for n in vars(Strategy) if not n.startswith("_")}
    | {
        "forward",
        "step",
        "zero_grad",
        "encode",
        "dimension",
    }
)


def undocumented(text: str) -> list[str]:
    """Public things without a docstring; methods that override a documented hook inherit its words."""
    tree = ast.parse(text)
    found = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                public = isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_")
                if public and inner.name not in INHERITED and not ast.get_docstring(inner) and len(inner.body) > 1:
                    found.append(f"{node.name}.{inner.name}")
    return found


@each
def test_everything_public_is_documented(path: Path) -> None:
    assert undocumented(path.read_text(encoding="utf-8")) == []


def test_a_missing_docstring_is_caught() -> None:
    assert undocumented("def f(): ...\nclass C:\n  def g(self):\n    x = 1\n    return x") == [
        "the module",
        "f",
        "C",
        "C.g",
    ]


ERRORS = {n for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, errors.ByheartError)}
STEP = re.compile(
    r"\b(try|run|give|use|pass|check|leave|set|list|start|write|name|free|install|go|make|choose|serve|"
    r"close|wait|ask|change|delete|save|send|lower|raise|pick|update|upgrade|take|call|add|shorten|open|"
    r"restore|see|look|convert|mend|rename|decode|default|defaults|repeat|revert|move|drop|remove|teach|remember|"
    r"learn|train|draw|reduce|end|stop)\b"
)


def literal(node: ast.expr) -> str:
    """What a message says for certain: its literal text, without what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(v) for v in node.values)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def stepless(text: str) -> list[str]:
    """Messages of our errors that name no next step."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args
        ):
            continue
        message = literal(node.args[0])
        if message and not STEP.search(message):
            found.append(message)
    return found


@each
def test_errors_name_the_next_step(path: Path) -> None:
    assert stepless(path.read_text(encoding="utf-8")) == []


def test_an_error_without_a_next_step_is_caught() -> None:
    assert stepless('raise BadInput(f"{x} is wrong")') == [" is wrong"]
    assert stepless('raise BadInput(f"{x} is empty; give a file with text")') == []


def test_import_loads_nothing_heavy() -> None:
    names = "torch transformers numpy pydantic sqlite3"
    code = f"import sys, byheart; print([m for m in {names!r}.split() if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_can_be_had() -> None:
    import byheart

    for _ in range(2):  # importing a home must not put a module of the same name in the way
        for name, home in byheart._HOMES.items():
            assert getattr(byheart, name) is getattr(import_module(home), name)


def test_generated_pages_are_fresh() -> None:
    from byheart.app import docs

    assert docs.stale(ROOT / "docs") == [], "run: make docs"


def test_the_changelog_and_the_licence_are_there() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changes
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_no_two_test_files_share_a_name() -> None:
    names = [p.name for p in (ROOT / "tests").rglob("*.py") if p.name != "conftest.py"]
    assert sorted(set(names)) == sorted(names), "pytest imports tests by their file's name alone"


def test_the_readme_tells_true_figures() -> None:
    """How many methods there are, how many papers have a study, how many of these hold, and how many are stale."""
    from byheart.core import catalogue, results

    studied = [p.slug for p in catalogue.papers() if results.result(p.slug)]
    hold = [s for s in studied if results.status(s) == "holds"]
    stale = [s for s in studied if results.stale(s)]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    assert f"{len(catalogue.methods())} strategies, unlearners" in text
    assert (
        f"{len(studied)} have a part and a study that run, of which {len(hold)} hold and {len(stale)} are stale" in text
    )


FORMER = (
    r"(import|from) engram\b|ENGRAM_|EngramError|src/engram\b|install '?engram|\bengram (remember|recall|learn|ask)\b"
)


def test_the_former_name_stands_in_the_changelog_alone() -> None:
    """An engram is one memory; the project was called so too, and is no more."""
    command = ["git", "-C", str(ROOT), "grep", "-nE", FORMER, "--", ".", ":!CHANGELOG.md"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    assert [line for line in lines if not line.startswith("tests/house/test_style.py")] == []
