"""The verbs of a memory, each written once, and their table.

A verb is a typed function of a memory. `Memory` takes them as its methods, with signature and docstring; the command
line derives its commands from the table (`byheart.memory.plain` says how), and other ways in do the same. So a verb is
changed in its function and nowhere else. `progress`, wherever it is taken, is called with (stage, done, of).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from byheart.memory.verbs.text import (
    archive,
    ask,
    carry_out,
    compose,
    engrams,
    grant,
    history,
    merge,
    plan,
    recall,
    remember,
    restore,
    split,
)
from byheart.memory.verbs.versions import check, diff, export, log, report, revert
from byheart.memory.verbs.weights import exam, forget, learn, recite, study


def _never(_: Any) -> bool:
    return False


@dataclass(frozen=True)
class Verb:
    """A verb as the ways in see it.

    Parameters
    ----------
    run: the function.
    word: what it is called where it is a command; "" takes the function's name.
    creates: whether it makes a memory in a folder that has none.
    refused: whether a result says that nothing was changed or shown, or that something is damaged.
    then: a verb that takes this one's result, if that is asked for.
    """

    run: Callable[..., Any]
    word: str = ""
    creates: bool = False
    refused: Callable[[Any], bool] = _never
    then: Verb | None = None

    @property
    def name(self) -> str:
        """What it is called where it is a command."""
        return self.word or self.run.__name__


def _rolled_back(outcomes: Any) -> bool:
    return any(getattr(o, "committed", True) is False for o in outcomes)


VERBS: tuple[Verb, ...] = (
    Verb(remember, creates=True),
    Verb(engrams, "list"),
    Verb(history),
    Verb(archive),
    Verb(restore),
    Verb(compose),
    Verb(merge),
    Verb(split),
    Verb(plan, then=Verb(carry_out, refused=_rolled_back)),
    Verb(grant),
    Verb(recite),
    Verb(recall),
    Verb(ask),
    Verb(study),
    Verb(learn, creates=True, refused=lambda learned: not (learned.committed or "lessons" in learned.report)),
    Verb(exam),
    Verb(forget, refused=lambda certificate: not certificate.passed),
    Verb(log),
    Verb(diff),
    Verb(revert),
    Verb(report),
    Verb(export),
    Verb(check, refused=bool),
)
"""Every verb, in the order of the help."""
