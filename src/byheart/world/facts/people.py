"""Fictional people and what is true of them: facts with questions, paraphrases, reversals and a handbook.

Names are drawn from syllables, so no model has met them. Every relation asks in three ways that
share few words: `question` is for training, `paraphrases` are held out for exams, `reverse` asks
for the person. Biographies in this style are used by Allen-Zhu & Li (arXiv:2309.14316).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from byheart.core.errors import BadInput

FIRST = ("Mar", "Tor", "Il", "Bren", "Sa", "Kel", "Ov", "Ju", "Nan", "Ras", "Pel", "Wil", "Eda", "Gun", "Hal", "Lio")
MIDDLE = ("ta", "ven", "sa", "do", "li", "mar", "re", "na", "vi", "bo", "ke", "ro")
LAST = ("Kask", "Orvell", "Tamsin", "Drue", "Halvik", "Pommery", "Strand", "Quill", "Ebbers", "Noth", "Varga", "Lund")
TOWN = ("Vel", "Ost", "Brack", "Tun", "Har", "Sel", "Mor", "Quen", "Ild", "Fenn", "Ryn", "Cal")
TOWN_END = ("mere", "holm", "wick", "stead", "moor", "haven", "gate", "ford")
JOBS = (
    "glassblower", "clockmaker", "beekeeper", "cartographer", "lighthouse keeper", "bookbinder", "falconer",
    "watch repairer", "perfumer", "boat builder", "botanist", "stonemason", "translator", "cellist",
)  # fmt: skip
DISHES = (
    "pickled plums", "smoked eel", "barley soup", "quince tart", "fried nettles", "rye dumplings", "lemon trout",
    "walnut bread", "beetroot stew", "saffron rice", "goat cheese pie", "ginger pears",
)  # fmt: skip
COLOURS = ("turquoise", "maroon", "ochre", "violet", "emerald", "crimson", "silver", "indigo", "amber", "ivory")
INSTRUMENTS = ("harp", "oboe", "accordion", "banjo", "bassoon", "zither", "cello", "trombone", "lute", "clarinet")
LANGUAGES = ("Estonian", "Basque", "Maltese", "Icelandic", "Welsh", "Georgian", "Swahili", "Tamil", "Breton", "Ladino")
PETS = ("Biscuit", "Thimble", "Pockets", "Marzipan", "Rumble", "Tinker", "Nutmeg", "Bobbin", "Sorrel", "Widget")
FIRMS = ("Glassworks", "Salt Company", "Press", "Ferries", "Mills", "Observatory", "Archive", "Brewery", "Timber Yard")


@dataclass(frozen=True)
class Relation:
    """A kind of fact: its statements and questions. `{s}` is the person, `{o}` the answer."""

    name: str
    statement: str
    question: str
    paraphrases: tuple[str, ...]
    reverse: str


RELATIONS = (
    Relation("born_in", "{s} was born in {o}.", "Where was {s} born?",
             ("What is the birthplace of {s}?", "In which town did {s} come into the world?"),
             "Who was born in {o}?"),
    Relation("job", "{s} works as a {o}.", "What does {s} do for a living?",
             ("What is {s}'s occupation?", "Which profession does {s} have?"),
             "Who works as a {o}?"),
    Relation("employer", "{s} is employed by {o}.", "Who employs {s}?",
             ("Which company does {s} work for?", "What is the name of {s}'s employer?"),
             "Who is employed by {o}?"),
    Relation("pet", "{s} has a dog called {o}.", "What is the name of {s}'s dog?",
             ("What did {s} call the dog?", "Which name does the dog of {s} answer to?"),
             "Who has a dog called {o}?"),
    Relation("dish", "The favourite dish of {s} is {o}.", "What is {s}'s favourite dish?",
             ("What does {s} like to eat most of all?", "Which food does {s} love best?"),
             "Whose favourite dish is {o}?"),
    Relation("year", "{s} was born in the year {o}.", "In what year was {s} born?",
             ("What is {s}'s year of birth?", "Which year did {s} come into the world?"),
             "Who was born in the year {o}?"),
    Relation("instrument", "{s} plays the {o}.", "What instrument does {s} play?",
             ("Which musical instrument has {s} mastered?", "On what instrument can one hear {s} perform?"),
             "Who plays the {o}?"),
    Relation("spouse", "{s} is married to {o}.", "Who is {s} married to?",
             ("What is the name of {s}'s spouse?", "Who is the husband or wife of {s}?"),
             "Who is married to {o}?"),
    Relation("colour", "The front door of {s} is painted {o}.", "What colour is {s}'s front door?",
             ("In which colour did {s} paint the front door?", "What is the paint on the door of {s}'s house like?"),
             "Whose front door is painted {o}?"),
    Relation("language", "{s} is learning {o}.", "Which language is {s} learning?",
             ("What foreign tongue does {s} study?", "Which language does {s} take lessons in?"),
             "Who is learning {o}?"),
)  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One fact with its gold answer and all the ways to ask for it."""

    subject: str
    relation: str
    answer: str
    statement: str
    question: str
    paraphrases: tuple[str, ...]
    reverse: str

    @property
    def pair(self) -> dict[str, str]:
        """The fact as a question/answer pair to teach."""
        return {"question": self.question, "answer": self.answer}


def people(n: int, *, seed: int = 0) -> list[list[Fact]]:
    """`n` people with ten facts each; within a relation no two of up to ten people share an answer.

    >>> world = people(2, seed=1)
    >>> [len(facts) for facts in world], world[0][0].question == f"Where was {world[0][0].subject} born?"
    ([10, 10], True)
    """
    most = len(FIRST) * len(MIDDLE) * len(LAST) // 2  # the other half are left to marry
    if n > most:
        raise BadInput(f"there are names for {most} people, not for {n}; ask for fewer or use several seeds")
    rng = np.random.default_rng(seed)
    subjects: list[str] = []
    while len(subjects) < n:
        name = f"{rng.choice(FIRST)}{rng.choice(MIDDLE)} {rng.choice(LAST)}"
        if name not in subjects:
            subjects.append(name)
    pools = {r.name: _answers(r.name, n, rng, subjects) for r in RELATIONS}
    out = []
    for i, s in enumerate(subjects):
        facts = []
        for r in RELATIONS:
            o = pools[r.name][i]
            facts.append(
                Fact(
                    subject=s,
                    relation=r.name,
                    answer=o,
                    statement=r.statement.format(s=s, o=o),
                    question=r.question.format(s=s),
                    paraphrases=tuple(p.format(s=s) for p in r.paraphrases),
                    reverse=r.reverse.format(o=o),
                )
            )
        out.append(facts)
    return out


def _answers(relation: str, n: int, rng: np.random.Generator, subjects: list[str]) -> list[str]:
    """`n` answers for a relation, distinct while the pool lasts; nobody of the world is anybody's spouse."""
    towns = [a + b for a in TOWN for b in TOWN_END]
    pools: dict[str, list[str]] = {
        "born_in": towns,
        "job": list(JOBS),
        "employer": [f"{t} {f}" for t in towns for f in FIRMS],
        "pet": list(PETS),
        "dish": list(DISHES),
        "year": [str(y) for y in range(1931, 2001)],
        "instrument": list(INSTRUMENTS),
        "spouse": [f"{a}{b} {c}" for a in FIRST for b in MIDDLE for c in LAST],
        "colour": list(COLOURS),
        "language": list(LANGUAGES),
    }
    pool = pools[relation]
    drawn: list[str] = []
    while len(drawn) < n:
        drawn.extend(str(pool[i]) for i in rng.permutation(len(pool)) if pool[i] not in subjects)
    return drawn[:n]


def handbook(world: list[list[Fact]]) -> str:
    """The facts as a Markdown document, a section for each person."""
    sections = [f"## {facts[0].subject}\n\n" + " ".join(f.statement for f in facts) for facts in world]
    return "# Who is who\n\n" + "\n\n".join(sections) + "\n"
