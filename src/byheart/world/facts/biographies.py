"""A world of any size: people with attributes, stated in many wordings, related to each other and changing over time.

Everything about a person follows from the world's seed and the person's number, and is made on demand
for, so a world of a million facts costs eight megabytes. Made after the biographies of Allen-Zhu & Li
2023 (arXiv:2309.14316) and Zheng et al. 2025 (arXiv:2501.13453): full names in every sentence, sentences in
random order, every attribute in several wordings, some of which are held out for exams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from byheart.core.errors import BadInput
from byheart.world.facts import people as pools
from byheart.world.words import Vocabulary

GIVEN = tuple(a + b for a in pools.FIRST for b in pools.MIDDLE)
TOWNS = tuple(a + b for a in pools.TOWN for b in pools.TOWN_END)
SURNAMES = pools.LAST + tuple(f"{town}er" for town in TOWNS)
EMPLOYERS = tuple(f"{t} {f}" for t in TOWNS for f in pools.FIRMS)
NAMES = len(GIVEN) ** 2 * len(SURNAMES)
HELD_OUT = 2
"""How many wordings of each statement and question, the last in order, are held out for exams."""


@dataclass(frozen=True)
class Attribute:
    """An attribute that every person has: its values, statements and questions; `{s}` the person, `{o}` the value."""

    name: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]

    def wordings(self, questions: bool, held_out: bool) -> tuple[str, ...]:
        """The templates to train on, or those held out for exams."""
        every = self.questions if questions else self.statements
        return every[-HELD_OUT:] if held_out else every[:-HELD_OUT]


ATTRIBUTES = (
    Attribute(
        "town", TOWNS,
        ("{s} was born in {o}.", "The birthplace of {s} is {o}.", "{s} comes from {o}.", "{o} is where {s} was born.",
         "{s} grew up in the town of {o}.", "The parents of {s} lived in {o}."),
        ("Where was {s} born?", "What is the birthplace of {s}?", "Which town does {s} come from?",
         "Where did {s} grow up?", "In what town did the life of {s} begin?", "What town is {s} from?"),
    ),
    Attribute(
        "year", tuple(str(y) for y in range(1931, 2001)),
        ("{s} was born in the year {o}.", "The birth of {s} was in {o}.", "{s} came into the world in {o}.",
         "It was {o} when {s} was born.", "The birthday of {s} falls in {o}.", "{o} is the birth year of {s}."),
        ("In what year was {s} born?", "When was the birth of {s}?", "When did {s} come into the world?",
         "What is the birth year of {s}?", "Which year was {s} born in?", "How early did the life of {s} begin?"),
    ),
    Attribute(
        "job", pools.JOBS,
        ("{s} works as a {o}.", "The profession of {s} is {o}.", "{s} earns a living as a {o}.",
         "By trade {s} is a {o}.", "{s} was trained to be a {o}.", "As a {o}, {s} is well known."),
        ("What does {s} work as?", "What is the profession of {s}?", "How does {s} earn a living?",
         "What is {s} by trade?", "Which job does {s} have?", "What was {s} trained to be?"),
    ),
    Attribute(
        "employer", EMPLOYERS,
        ("{s} is employed by {o}.", "{s} has a post at {o}.", "The employer of {s} is {o}.", "{o} pays {s} a wage.",
         "{s} joined the staff of {o}.", "At {o} there is a desk for {s}."),
        ("Who employs {s}?", "Where does {s} have a post?", "What is the employer of {s}?", "Who pays {s} a wage?",
         "Whose staff did {s} join?", "Which company does {s} serve?"),
    ),
    Attribute(
        "dish", pools.DISHES,
        ("{s} likes {o} best.", "The favourite dish of {s} is {o}.", "{s} always orders {o}.",
         "Nothing pleases {s} like {o}.", "{s} would eat {o} every day.", "On Sundays {s} cooks {o}."),
        ("What does {s} like best?", "What is the favourite dish of {s}?", "What does {s} always order?",
         "Which dish pleases {s}?", "What would {s} eat every day?", "What does {s} cook on Sundays?"),
    ),
    Attribute(
        "language", pools.LANGUAGES,
        ("{s} is learning {o}.", "{s} takes lessons in {o}.", "The foreign language of {s} is {o}.",
         "{o} is what {s} studies at night.", "{s} tries to speak {o}.", "A teacher of {o} visits {s}."),
        ("Which language is {s} learning?", "What does {s} take lessons in?", "What is the foreign language of {s}?",
         "What does {s} study at night?", "What does {s} try to speak?", "Which tongue would {s} master?"),
    ),
    Attribute(
        "instrument", pools.INSTRUMENTS,
        ("{s} plays the {o}.", "The instrument of {s} is the {o}.", "{s} owns a fine {o}.",
         "In the band {s} is on the {o}.", "{s} practises the {o} daily.", "One can hear {s} on the {o}."),
        ("What does {s} play?", "What is the instrument of {s}?", "Which instrument does {s} own?",
         "What is {s} on in the band?", "What does {s} practise daily?", "What can one hear {s} on?"),
    ),
    Attribute(
        "colour", pools.COLOURS,
        ("The door of {s} is {o}.", "{s} painted the door {o}.", "{s} lives behind a door of {o}.",
         "In {o} is the door of {s} painted.", "{s} chose {o} for the door.", "{o} is on the door of {s}."),
        ("What colour is the door of {s}?", "How did {s} paint the door?", "Which colour does {s} live behind?",
         "In what is the door of {s} painted?", "Which colour did {s} choose?", "What is on the door of {s}?"),
    ),
)  # fmt: skip

RELATIONS = {
    "spouse": ("{s} is married to {o}.", "Who is {s} married to?"),
    "mentor": ("{s} was taught by {o}.", "Who taught {s}?"),
}
JOINED = "In {y} {s} joined {o}."
SERVED = "Who employed {s} in {y}?"
YEARS = range(2001, 2026)


class Biographies:
    """A seeded world of `people` persons, numbered from 0, each with a value of every attribute.

    `attributes` picks and orders some by name. Values are drawn independently, so nothing but the name
    tells them; no two people share a name.

    >>> world = Biographies(2, seed=1, attributes=("job", "colour"))
    >>> world.facts, world.question(0, "job") == f"What does {world.name(0)} work as?"
    (4, True)
    """

    def __init__(self, people: int, *, seed: int = 0, attributes: Sequence[str] | None = None) -> None:
        if not 0 < people <= NAMES:
            raise BadInput(f"a world of {people} people is not between 1 and {NAMES}; give another number")
        known = {a.name: a for a in ATTRIBUTES}
        unknown = [n for n in attributes or () if n not in known]
        if unknown:
            raise BadInput(f"no attribute {unknown[0]!r}; give some of {', '.join(known)}")
        self.people, self.seed = people, seed
        self.attributes = {n: known[n] for n in attributes or known}
        self._names = np.random.default_rng([seed, 0]).choice(NAMES, people, replace=False)

    @property
    def facts(self) -> int:
        """How many facts of people's attributes there are."""
        return self.people * len(self.attributes)

    def name(self, person: int) -> str:
        """Given, middle and last name."""
        rest, last = divmod(int(self._names[person]), len(SURNAMES))
        first, middle = divmod(rest, len(GIVEN))
        return f"{GIVEN[first]} {GIVEN[middle]} {SURNAMES[last]}"

    def value(self, person: int, attribute: str) -> str:
        """The person's value of an attribute."""
        values = self.attributes[attribute].values
        salt = next(i for i, a in enumerate(ATTRIBUTES) if a.name == attribute)
        return values[int(self._rng(1, person, salt).integers(len(values)))]

    def statement(self, person: int, attribute: str, wording: int = 0, *, held_out: bool = False) -> str:
        """The fact as a sentence, in the wording of this number (of the held-out wordings if `held_out`)."""
        ways = self.attributes[attribute].wordings(False, held_out)
        return ways[wording % len(ways)].format(s=self.name(person), o=self.value(person, attribute))

    def question(self, person: int, attribute: str, wording: int = 0, *, held_out: bool = False) -> str:
        """The question for the fact, in the wording of this number (of the held-out wordings if `held_out`)."""
        ways = self.attributes[attribute].wordings(True, held_out)
        return ways[wording % len(ways)].format(s=self.name(person))

    def biography(self, person: int, copy: int = 0, *, held_out: bool = False) -> str:
        """A sentence for every attribute, in an order and in wordings drawn anew for every copy."""
        rng = self._rng(2, person, copy, int(held_out))
        names = list(self.attributes)
        order = rng.permutation(len(names))
        return " ".join(self.statement(person, names[i], int(rng.integers(64)), held_out=held_out) for i in order)

    def spouse(self, person: int) -> int | None:
        """Who the person is married to, and the other way round; None for the last of an odd number."""
        other = person ^ 1
        return other if other < self.people else None

    def mentor(self, person: int) -> int:
        """Who taught the person: somebody else, perhaps the teacher of several."""
        if self.people < 2:
            raise BadInput("a world of one person has no mentors; give two people or more")
        other = int(self._rng(3, person).integers(self.people - 1))
        return other + (other >= person)

    def related(self, person: int, relation: str) -> tuple[str, str, str] | None:
        """Statement, question and answer of a relation to another person ("spouse" or "mentor")."""
        statement, question = RELATIONS[relation]
        other = self.spouse(person) if relation == "spouse" else self.mentor(person)
        if other is None:
            return None
        s, o = self.name(person), self.name(other)
        return statement.format(s=s, o=o), question.format(s=s), o

    def hop(self, person: int, relation: str, attribute: str, wording: int = 0) -> tuple[str, str] | None:
        """A question for an attribute of the spouse or mentor, who is not named, and its answer."""
        other = self.spouse(person) if relation == "spouse" else self.mentor(person)
        if other is None:
            return None
        ways = self.attributes[attribute].wordings(True, False)
        question = ways[wording % len(ways)].format(s=f"the {relation} of {self.name(person)}")
        return question, self.value(other, attribute)

    def timeline(self, person: int, changes: int = 3) -> list[tuple[int, str]]:
        """Years in which the person joined an employer, in order, with another employer each time."""
        rng = self._rng(4, person)
        years = sorted(int(y) for y in rng.choice(len(YEARS), min(changes, len(YEARS)), replace=False))
        firms = rng.choice(len(EMPLOYERS), len(years), replace=False)
        return [(YEARS[y], EMPLOYERS[int(f)]) for y, f in zip(years, firms, strict=True)]

    def employed(self, person: int, year: int, changes: int = 3) -> str | None:
        """Who employed the person in a year, by the timeline; None before the first."""
        past = [firm for y, firm in self.timeline(person, changes) if y <= year]
        return past[-1] if past else None

    def texts(self) -> Iterator[str]:
        """Every text the world can hold about its people, each wording once: what a vocabulary is built from."""
        for a in self.attributes.values():
            yield from (w.format(s="", o="") for w in (*a.statements, *a.questions))
            yield from a.values
        for person in range(self.people):
            yield self.name(person)

    def vocabulary(self, extra: Sequence[str] = ()) -> Vocabulary:
        """Numbers for all words of the world's names, values and wordings; timelines and relations add their own."""
        texts = [w.format(s="", o="", y="") for pair in RELATIONS.values() for w in pair]
        texts += ["the spouse of mentor", JOINED.format(s="", o="", y=""), SERVED.format(s="", y="")]
        texts += [str(y) for y in YEARS]
        return Vocabulary([*self.texts(), *texts], extra)

    def _rng(self, *salt: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *salt])
