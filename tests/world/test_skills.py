"""Algorithmic skills: the answers are right, and no problem is both trained on and tested."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.world.stream.skills import SKILLS, tasks, vocabulary
from byheart.world.words import END


def solve(name: str, given: list[str]) -> list[str]:
    """The answer, worked out from the words of the problem in another way than the world does."""
    if name == "add":
        a, b = given[: given.index("and")], given[given.index("and") + 1 :]
        total = sum(int(d) * 10**n for row in (a, b) for n, d in enumerate(row))
        return [str(total // 10**n % 10) for n in range(len(a) + 1)]
    if name == "lookup":
        table = dict(zip(given[:-2:2], given[1:-2:2], strict=True))
        return [table[given[-1]]]
    if name == "count":
        return [str(given[:-2].count(given[-1]))]
    return {
        "copy": lambda: given,
        "reverse": lambda: list(reversed(given)),
        "sort": lambda: sorted(given),
        "next": lambda: ["abcdefghija"["abcdefghij".index(c) + 1] for c in given],
        "largest": lambda: [sorted(given)[-1]],
        "first": lambda: [given[0]],
        "last": lambda: [given[-1]],
        "swap": lambda: given[1:] + given[:1],
    }[name]()


@pytest.mark.parametrize("name", [s.name for s in SKILLS])
def test_answers_are_right_and_scored_alone(name: str) -> None:
    v = vocabulary()
    (task,) = tasks([name], length=4, train=60, test=20, seed=3)
    assert (task.name, len(task.train), len(task.test)) == (name, 60, 20)
    for e in [*task.train, *task.test]:
        tokens = v.decode(e["input_ids"]).split()
        at = tokens.index("=")
        assert tokens[0] == name
        assert tokens[at + 1 :] == solve(name, tokens[1:at])
        assert [x for x in e["labels"] if x >= 0] == [*v.encode(" ".join(tokens[at + 1 :])), END]
    prompts = [tuple(e["input_ids"]) for e in [*task.train, *task.test]]
    assert len(set(prompts)) == 80


def test_seeds_differ_and_bad_calls_say_what_to_do() -> None:
    assert tasks(["sort"], train=9, test=2, seed=1) == tasks(["sort"], train=9, test=2, seed=1)
    assert tasks(["sort"], train=9, test=2, seed=1) != tasks(["sort"], train=9, test=2, seed=2)
    with pytest.raises(BadInput, match="no skill 'sing'; give some of copy"):
        tasks(["sing"])
    with pytest.raises(BadInput, match="give a larger length"):
        tasks(["first"], length=1, train=20, test=20)
