"""Verbs of versions: log, diff, revert, report, export, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from byheart.memory.plain import Plain

if TYPE_CHECKING:
    from byheart.core.records import Version
    from byheart.memory.parts import Parts, Progress


def log(memory: Parts, *, progress: Progress | None = None) -> list[Version]:
    """The versions, newest first."""
    from byheart.memory import access

    access.refuse_weights(memory, "log")
    return memory.store.versions()[::-1]


def diff(
    memory: Parts,
    a: Annotated[str, "The earlier version."],
    b: Annotated[str, "The later version."],
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Facts gained and lost between two versions, by their exams."""
    from byheart.memory import access, account

    access.refuse_weights(memory, "diff")
    return account.diff(memory, a, b)


def revert(
    memory: Parts, version: Annotated[str, "The version to go back to."], *, progress: Progress | None = None
) -> Version:
    """Go back to a version, weights bit for bit."""
    from byheart.memory import access, versions

    access.refuse_weights(memory, "revert")
    with memory.store.lock("revert"):
        chosen = versions.held(memory.store.version(version))
        memory.weights.get(chosen.weights)
        memory.store.set_head(chosen.id)
    return chosen


def report(
    memory: Parts,
    path: Annotated[str | Path, Plain("The page to write.", argument=True)] = "report.html",
    *,
    progress: Progress | None = None,
) -> Path:
    """Write a page on what was learned, kept, lost and forgotten.

    Self-contained: forgetting curves, plasticity against stability, certificates, versions.
    """
    from byheart.memory import access, account

    access.refuse_weights(memory, "report")
    return account.report(memory, Path(path))


def export(
    memory: Parts,
    path: Annotated[str | Path, "The folder to write."],
    version: Annotated[str | None, "Which version (the current one if not given)."] = None,
    adapter: Annotated[bool, "Write a PEFT adapter instead of a whole checkpoint."] = False,
    *,
    progress: Progress | None = None,
) -> Path:
    """Write a transformers checkpoint or PEFT adapter."""
    from byheart.memory import access, versions

    access.refuse_weights(memory, "export")
    chosen = versions.held(memory.store.version(version) if version else memory.head)
    versions.export(memory.at_head(), chosen, Path(path), adapter=adapter)
    if chosen.taught or chosen.parent:
        memory.note_copy(Path(path), chosen.id)
    return Path(path)


def check(memory: Parts, *, progress: Progress | None = None) -> list[str]:
    """Compare files, checksums and indexes.

    Everything wrong with the folder, in words; nothing when it is sound.
    """
    return memory.store.check()
