"""What git's history says of a study: since when its thresholds stand, and which commit the code is at."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from byheart.study.base.criterion import Criterion


class Stated(NamedTuple):
    """A threshold as a file states it: its words, and its limit as "at_least 0.1"."""

    says: str
    limit: str


class Place(NamedTuple):
    """A commit, and where a file lay in it."""

    commit: str
    path: str


def stated(criteria: Iterable[Criterion]) -> frozenset[Stated]:
    """The thresholds of criteria.

    >>> stated([Criterion("gain", says="helps", at_least=0.1)])
    frozenset({Stated(says='helps', limit='at_least 0.1')})
    """
    return frozenset(Stated(c.says, _limit(c.at_least is not None, c.limit)) for c in criteria)


def stated_in(source: str) -> frozenset[Stated]:
    """The thresholds that a file's text states in calls of `Criterion`, read from its syntax.

    >>> sorted(stated_in('x = (Criterion(measure="a", says="b", at_most=1), Criterion("c", says="d", at_least=-2.5))'))
    [Stated(says='b', limit='at_most 1'), Stated(says='d', limit='at_least -2.5')]
    """
    thresholds: set[Stated] = set()
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "Criterion"):
            continue
        values = {k.arg: k.value for k in node.keywords if k.arg}
        for name in ("at_least", "at_most"):
            if name in values and "says" in values:
                limit = float(ast.literal_eval(values[name]))
                thresholds.add(Stated(str(ast.literal_eval(values["says"])), _limit(name == "at_least", limit)))
    return frozenset(thresholds)


def stood_since(file: Path, thresholds: frozenset[Stated]) -> str | None:
    """The commit from which on these thresholds have stood in a file under git, over renames.

    None when the file as it is committed lacks one of them, has changes that are not committed, or is not under git.
    """
    try:
        if _git(file.parent, "status", "--porcelain", "--", file.name):
            return None
        since = None
        for place in _history(file):
            if not thresholds <= stated_in(_git(file.parent, "show", f"{place.commit}:{place.path}")):
                break
            since = place.commit
        return since
    except (OSError, subprocess.CalledProcessError):
        return None


def study_at(folder: Path, commit: str, name: str) -> str:
    """The text of a study's file at a commit, wherever it lay then below a folder called study.

    Raises `CalledProcessError` for a commit that is not there.
    """
    tree = _git(folder, "ls-tree", "-r", "--full-tree", "--name-only", commit).split("\n")
    (path,) = [
        p for p in tree if p.endswith(f"/{name}") and "study" in p.split("/")[:-1] and not p.startswith("tests/")
    ]
    return _git(folder, "show", f"{commit}:{path}")


def head(folder: Path) -> str | None:
    """The commit that is checked out, None outside of git."""
    try:
        return _git(folder, "rev-parse", "--short", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def _history(file: Path) -> Iterator[Place]:
    """The commits that changed a file, newest first, over renames."""
    commit = ""
    for line in _git(file.parent, "log", "--follow", "--format=commit %h", "--name-only", "--", file.name).split("\n"):
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
        elif line:
            yield Place(commit, line)


def _limit(at_least: bool, limit: float) -> str:
    return f"{'at_least' if at_least else 'at_most'} {limit:g}"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout.strip()
