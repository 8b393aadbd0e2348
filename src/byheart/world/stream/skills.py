"""Algorithmic skills over letters and digits: small tasks with exact answers, as a stream for language models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from byheart.core.errors import BadInput
from byheart.world.stream.task import Task
from byheart.world.words import Vocabulary

LETTERS = tuple("abcdefghij")
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Skill:
    """A way to make problems: from a generator and a length to a question and its answer, both in words."""

    name: str
    make: Callable[[np.random.Generator, int], tuple[list[str], list[str]]]


def _letters(rng: np.random.Generator, n: int, *, distinct: bool = False) -> list[str]:
    return [LETTERS[i] for i in (rng.permutation(len(LETTERS))[:n] if distinct else rng.integers(len(LETTERS), size=n))]


def _of(change: Callable[[list[str]], list[str]], *, distinct: bool = False) -> Any:
    """A skill that changes a list of letters."""

    def make(rng: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
        given = _letters(rng, n, distinct=distinct)
        return given, change(given)

    return make


def _add(rng: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    """Two numbers of n digits and their sum, the lowest digit first."""
    a, b = (int(x) for x in rng.integers(10**n, size=2))
    written = [list(str(x).zfill(w))[::-1] for x, w in ((a, n), (b, n), (a + b, n + 1))]
    return [*written[0], "and", *written[1]], written[2]


def _lookup(rng: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    """A table of n letters with a digit each, and the digit of one of them."""
    keys = _letters(rng, n, distinct=True)
    values = [DIGITS[i] for i in rng.integers(len(DIGITS), size=n)]
    at = int(rng.integers(n))
    return [w for pair in zip(keys, values, strict=True) for w in pair] + ["of", keys[at]], [values[at]]


def _count(rng: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    """How often a letter is among n letters."""
    wanted = LETTERS[int(rng.integers(len(LETTERS)))]
    times = int(rng.integers(min(n, 9) + 1))
    others = [x for x in LETTERS if x != wanted]
    given = [wanted] * times + [others[i] for i in rng.integers(len(others), size=n - times)]
    return [*(given[i] for i in rng.permutation(n)), "of", wanted], [DIGITS[times]]


SKILLS = (
    Skill("copy", _of(list)),
    Skill("reverse", _of(lambda x: x[::-1])),
    Skill("sort", _of(sorted)),
    Skill("next", _of(lambda x: [LETTERS[(LETTERS.index(c) + 1) % len(LETTERS)] for c in x])),
    Skill("largest", _of(lambda x: [max(x)])),
    Skill("first", _of(lambda x: x[:1])),
    Skill("last", _of(lambda x: x[-1:])),
    Skill("swap", _of(lambda x: [*x[1:], x[0]])),
    Skill("add", _add),
    Skill("lookup", _lookup),
    Skill("count", _count),
)


WORDS = tuple(dict.fromkeys([*(s.name for s in SKILLS), *LETTERS, *DIGITS, "and", "of", "="]))
"""Every word of every skill."""


def vocabulary() -> Vocabulary:
    """Numbers for the words of the skills alone."""
    return Vocabulary((), WORDS)


def problems(name: str, count: int, *, length: int = 5, seed: int = 0) -> list[tuple[str, str]]:
    """Different problems of a skill: the question, such as `reverse a b =`, and the answer, in words apart.

    `length` is how many letters or digits a problem is about.

    >>> problems("largest", 1, length=1)[0][1] in LETTERS
    True
    """
    known = {s.name: s for s in SKILLS}
    if name not in known:
        raise BadInput(f"no skill {name!r}; give some of {', '.join(known)}")
    rng = np.random.default_rng([seed, list(known).index(name)])
    made: dict[str, str] = {}
    for _ in range(50 * count):
        if len(made) == count:
            break
        question, answer = known[name].make(rng, length)
        made.setdefault(f"{name} {' '.join(question)} =", " ".join(answer))
    if len(made) < count:
        raise BadInput(f"{name} with length {length} has fewer than {count} problems; give a larger length")
    return list(made.items())


def tasks(
    names: Sequence[str],
    *,
    length: int = 5,
    train: int = 500,
    test: int = 100,
    seed: int = 0,
    words: Vocabulary | None = None,
) -> list[Task]:
    """One task for each named skill: examples in which the answer is scored, no problem both trained on and tested.

    A problem is `<s> NAME question = answer </s>`; `length` is how many letters or digits it is about, and
    `words` a vocabulary of more than the skills (build it with `WORDS` as `extra`).

    >>> (task,) = tasks(["reverse"], length=2, train=1, test=1)
    >>> vocabulary().decode(task.train[0]["input_ids"]).split()[0], len(task.test)
    ('reverse', 1)
    """
    words = words or vocabulary()
    out = []
    for name in names:
        rows = [words.pair(q, a) for q, a in problems(name, train + test, length=length, seed=seed)]
        out.append(Task(name, rows[test:], rows[:test]))
    return out
