"""Word problems of grade-school arithmetic: few structures, in many wordings about many things, with solutions.

What a problem is about and how it is solved are drawn apart, so that a problem which sounds alike is mostly solved
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from byheart.core.errors import BadInput
from byheart.world.facts.people import FIRST, MIDDLE

HELD_OUT = 2
"""How many wordings of each structure, the last in order, are held out for exams."""


@dataclass(frozen=True)
class Problem:
    """A question with its solution in steps and its answer, the structure that it has and what it is about."""

    question: str
    rationale: str
    answer: str
    structure: str
    topic: str


@dataclass(frozen=True)
class Structure:
    """One way to calculate, the ways to tell it, and the steps to the result.

    `{n}` and `{m}` are people, `{x}` things, `{box}` their containers, `{a}` > `{b}` numbers, `{d}` twice `{a}`,
    `{r}` the result.
    """

    name: str
    wordings: tuple[str, ...]
    steps: str


STRUCTURES = (
    Structure(
        "more",
        (
            "{n} has {a} {x}. {m} gives {n} {b} more {x}. How many {x} does {n} have now?",
            "There are {a} {x}. {n} adds {b} {x} to them. How many {x} are there then?",
            "{n} kept {a} {x} and bought {b} {x} from {m}. How many {x} does {n} own?",
            "{n} made {a} {x} and found {b} other {x}. How many {x} are there in all?",
            "{m} brings {b} {x} to {n}, who had {a} {x} before. With how many {x} does {n} end up?",
        ),
        "The numbers are {a} and {b}. Add them: {a} + {b} = {r}.",
    ),
    Structure(
        "left",
        (
            "{n} had {a} {x} and lost {b} of them. How many {x} are left?",
            "There were {a} {x}. {n} took away {b} {x}. How many {x} remain?",
            "{n} has {a} {x} and gives {b} {x} to {m}. How many {x} does {n} still have?",
            "{n} made {a} {x}, but {b} of the {x} broke. How many {x} can {n} use?",
            "Out of {a} {x}, {m} sold {b}. How many {x} were not sold?",
        ),
        "The numbers are {a} and {b}. Take away: {a} - {b} = {r}.",
    ),
    Structure(
        "each",
        (
            "{n} has {b} {box} with {a} {x} in each of them. How many {x} does {n} have?",
            "{n} puts {a} {x} into every one of {b} {box}. How many {x} does {n} need?",
            "There are {b} {box}, and each holds {a} {x}. How many {x} are there?",
            "{m} fills {b} {box} for {n}, {a} {x} in each. How many {x} does {n} get?",
            "Every one of the {b} {box} of {n} holds {a} {x}. How many {x} is that?",
        ),
        "The numbers are {b} and {a}. Multiply them: {b} * {a} = {r}.",
    ),
    Structure(
        "twice",
        (
            "{n} found {a} {x}, then twice as many. How many {x} did {n} find in all?",
            "{n} has {a} {x}, and {m} has two times as many {x}. How many {x} do they have together?",
            "{n} made {a} {x} at first and twice that number later. How many {x} did {n} make?",
            "{m} sold {a} {x}. {n} sold twice as many {x}. How many {x} did the two sell?",
            "First {n} counts {a} {x}, then double that number. How many {x} does {n} count in all?",
        ),
        "The number is {a}. Double it: {a} + {a} = {d}. Add both: {a} + {d} = {r}.",
    ),
)
TOPICS = {
    "orchard": (("apples", "pears", "plums"), ("baskets", "crates")),
    "harbour": (("herrings", "oars", "shells"), ("barrels", "nets")),
    "school": (("pencils", "books", "maps"), ("desks", "satchels")),
    "workshop": (("nails", "planks", "screws"), ("drawers", "tins")),
    "bakery": (("buns", "loaves", "tarts"), ("trays", "racks")),
    "garden": (("tulips", "bulbs", "seeds"), ("pots", "rows")),
    "farm": (("eggs", "carrots", "pumpkins"), ("sacks", "carts")),
    "market": (("candles", "ribbons", "bells"), ("stalls", "bags")),
}
"""What a problem may be about: a place with its things, and their containers."""


def problems(count: int, *, seed: int = 0, held_out: bool = False) -> list[Problem]:
    """Different problems in equal shares of structures and of topics; in the held-out wordings if `held_out`.

    >>> problem = problems(6, seed=1)[0]
    >>> problem.structure, problem.answer in problem.rationale, len({p.question for p in problems(40, seed=1)})
    ('more', True, 40)
    """
    if count < 1:
        raise BadInput(f"count={count}: give 1 problem or more")
    rng = np.random.default_rng([seed, int(held_out)])
    topics = [t for _ in range(count // len(TOPICS) + 1) for t in rng.permutation(list(TOPICS)).tolist()]
    made: dict[str, Problem] = {}
    for _ in range(100 * count):
        if len(made) == count:
            return list(made.values())
        problem = _problem(rng, STRUCTURES[len(made) % len(STRUCTURES)], topics[len(made)], held_out)
        made.setdefault(problem.question, problem)
    raise BadInput(f"there are no {count} different problems; give a smaller count")


def _problem(rng: np.random.Generator, structure: Structure, topic: str, held_out: bool) -> Problem:
    b, a = sorted(int(n) for n in rng.choice(np.arange(2, 10), 2, replace=False))
    things, boxes = TOPICS[topic]
    n, m = (FIRST[i] + MIDDLE[int(rng.integers(len(MIDDLE)))] for i in rng.permutation(len(FIRST))[:2])
    result = {"more": a + b, "left": a - b, "each": a * b, "twice": 3 * a}[structure.name]
    fields = {"n": n, "m": m, "x": rng.choice(things), "box": rng.choice(boxes)}
    fields |= {"a": a, "b": b, "d": 2 * a, "r": result}
    ways = structure.wordings[-HELD_OUT:] if held_out else structure.wordings[:-HELD_OUT]
    question = f"At the {topic}: {ways[int(rng.integers(len(ways)))].format(**fields)}"
    steps = f"{structure.steps.format(**fields)} The answer is {result}."
    return Problem(question, steps, str(result), structure.name, topic)
