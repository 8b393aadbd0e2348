"""What a language model may be helped by: knowledge, memories, examples and tools, and what calls for each.

Four kinds of keys, each with queries that want some of them, in wordings of which the last are held out for exams. What
makes a key right differs by kind: the same person and attribute, what a situation asks to be remembered, the
same operation on another word, the same function for the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from byheart.world.facts.biographies import Biographies
from byheart.world.facts.people import FIRST, INSTRUMENTS, LANGUAGES, MIDDLE, PETS

INSTRUCTIONS = {
    "knowledge": "Represent this question to find the sentence that answers it: ",
    "memory": "Represent this message to find what was said before that helps to reply: ",
    "examples": "Represent this exercise to find a solved exercise of the same kind: ",
    "tools": "Represent this request to find the tool that can serve it: ",
}
"""The kinds of keys, and the instructions of their queries."""


@dataclass(frozen=True)
class Need:
    """A query, the numbers of the keys that serve it, the right answer with such a key in sight, and wrong answers.

    `wrong` are three other things to say, of the same sort as `output`.
    """

    query: str
    right: tuple[int, ...]
    output: str
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Aid:
    """Keys of a kind, and the queries for them."""

    kind: str
    keys: tuple[str, ...]
    needs: tuple[Need, ...]


_SITUATIONS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("{s} gets a rash from {o}.", "{s} must not eat {o}.", "The doctor keeps {s} away from {o}."),
        ("I am baking a cake for {s}. What do I leave out?", "{s} comes to dinner. What may I not cook?",
         "We plan a picnic with {s}. Which food stays at home?"),
        ("nuts", "milk", "eggs", "honey", "shellfish", "wheat"),
    ),
    (
        ("{s} is learning the {o}.", "{s} bought a used {o}.", "The neighbours hear {s} on the {o}."),
        ("The band needs one more. What could {s} bring along?", "I look for sheet music for {s}. Which kind?",
         "The choir wants to be accompanied. What would {s} play?"),
        INSTRUMENTS,
    ),
    (
        ("{s} has a dog called {o}.", "{s} takes {o} for a walk at dawn.", "{o} barks when {s} comes home."),
        ("I shall feed the animal while {s} is away. Whom do I call?", "Who waits at the gate for {s}?",
         "Something ran off from the yard of {s}. What name do we shout?"),
        PETS,
    ),
    (
        ("{s} takes the {o} to work.", "{s} has a season ticket for the {o}.", "At night the {o} brings {s} home."),
        ("How do I get to {s} without a car?", "There is a strike today. Is {s} going to be late?",
         "We want to meet {s} on the way. Where do we wait?"),
        ("ferry", "tram", "metro", "night bus", "cable car", "water taxi"),
    ),
    (
        ("{s} drinks only {o} in the morning.", "{s} cannot start a day without {o}.", "A pot of {o} wakes {s}."),
        ("{s} stays overnight. What do I set out for breakfast?", "I shop before {s} visits. Which can do I buy?",
         "{s} is still asleep. What do I put on the stove?"),
        ("mint tea", "cocoa", "black coffee", "hot milk", "apple juice", "rosehip tea"),
    ),
    (
        ("{s} grew up with {o}.", "At home {s} speaks {o}.", "The letters of {s} are in {o}."),
        ("I want to greet {s} properly. Which phrase book do I need?", "We translate a letter for {s}. Into what?",
         "The grandmother of {s} is on the phone. How do I talk to her?"),
        LANGUAGES,
    ),
    (
        ("{s} sings in the choir on {o}.", "On {o} {s} is always at practice.", "{s} keeps {o} free for the choir."),
        ("When will {s} not be at home?", "I want to ring {s} in the evening. Which day is bad?",
         "We look for a night for the party with {s}. What is out of the question?"),
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Sunday"),
    ),
    (
        ("{s} has a leg in plaster since the fall from the {o}.", "{s} fell off a {o}.", "A {o} is what hurt {s}."),
        ("What should {s} better not climb on again?", "{s} limps. What happened?",
         "The nurse asks about {s}. What do I tell her?"),
        ("ladder", "horse", "roof", "bicycle", "cliff", "swing"),
    ),
)  # fmt: skip
_OPERATIONS = (
    ("capitals", ("Write in capitals", "Put into upper case", "Make every letter big", "Shout this word")),
    ("plural", ("Give the plural", "Say it for more than one", "Name several of these", "Turn one into many")),
    ("first", ("Give the first letter", "Which letter does it start with", "What begins it", "Show the initial")),
    ("last", ("Give the last letter", "Which letter does it stop with", "What ends it", "Show the final")),
    ("twice", ("Say it two times", "Write it twice", "Repeat it once more", "Double the word")),
    ("length", ("Count the letters", "How long is the word", "Tell the number of signs", "Measure this word")),
    ("quotes", ("Put it in quotes", "Set quotation marks", "Cite this word", "Mark it as speech")),
    ("spaced", ("Spell it out", "Put dashes between letters", "Take it letter by letter", "Break it into signs")),
)  # fmt: skip
_WORDS = (
    "boat lamp bird table cloud river stone bread chair garden window candle".split(),
    "hammer forest bottle pencil island mirror carpet rocket button ladder turtle violin".split(),
)
_FUNCTIONS = (
    ("book", ("Reserves {d}.", "Makes a booking for {d}."),
     ("I would like to have {d} tomorrow.", "Can you get me {d} for two?", "Please see to it that I have {d}.")),
    ("cancel", ("Calls off {d}.", "Gives back {d} that was reserved."),
     ("I shall not need {d} after all.", "Something came up, drop {d}.", "I am ill and will not use {d}.")),
    ("price", ("Tells what {d} costs.", "Looks up the fee for {d}."),
     ("How much do I pay for {d}?", "Is {d} expensive?", "What will {d} set me back?")),
    ("move", ("Changes {d} to another day.", "Puts {d} on a new date."),
     ("Could I have {d} a day later?", "I need {d} next week instead.", "Friday suits me better for {d}.")),
    ("remind", ("Sends a reminder of {d}.", "Rings an alarm before {d}."),
     ("Do not let me forget {d}.", "Wake me in time for {d}.", "I tend to miss things, nudge me about {d}.")),
    ("rate", ("Leaves a review of {d}.", "Gives stars to {d}."),
     ("I want to say how much I liked {d}.", "Four out of five for {d}.", "Tell others that {d} was poor.")),
    ("find", ("Lists places that offer {d}.", "Searches nearby for {d}."),
     ("Where around here is there {d}?", "Show me what there is of {d}.", "I am new in town, who has {d}?")),
    ("share", ("Sends the details of {d} to a friend.", "Forwards {d} to somebody."),
     ("Let Ann know about {d}.", "My brother should see {d} too.", "Pass {d} on to my colleague.")),
)  # fmt: skip
_DOMAINS = (
    "a train seat|a hotel room|a concert ticket|a rental car|a haircut|a guided tour|a yoga class|a tennis court",
    "a ferry cabin|a restaurant table|a theatre seat|a dentist visit|a cooking course|a camping site|a taxi|a massage",
)


def aids(people: int = 8, *, seed: int = 0, held_out: bool = False) -> list[Aid]:
    """The four kinds, with `people` persons in the first two; if `held_out`, of other people, words and things.

    Knowledge and memory have eight keys and as many needs for a person, examples 48 of both, tools 64.

    >>> [(a.kind, len(a.keys), len(a.needs)) for a in aids(2)]
    [('knowledge', 16, 16), ('memory', 16, 16), ('examples', 48, 48), ('tools', 64, 64)]
    """
    rng = np.random.default_rng([seed, int(held_out)])
    return [
        _knowledge(people, rng, seed, held_out),
        _memory(people, rng, held_out),
        _examples(rng, held_out),
        _tools(rng, held_out),
    ]


def _pick(ways: tuple[str, ...], rng: np.random.Generator, held_out: bool, held: int = 1) -> str:
    some = ways[-held:] if held_out else ways[:-held]
    return some[int(rng.integers(len(some)))]


def _others(right: str, pool: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    """Three of a pool that are wrong."""
    left = [p for p in dict.fromkeys(pool) if p != right]
    return tuple(left[i] for i in rng.permutation(len(left))[:3])


def _knowledge(people: int, rng: np.random.Generator, seed: int, held_out: bool) -> Aid:
    world = Biographies(people, seed=2 * seed + held_out)
    pairs = [(p, a) for p in range(people) for a in world.attributes]
    keys = tuple(world.statement(p, a, n, held_out=held_out) for n, (p, a) in enumerate(pairs))
    needs = []
    for n, (p, a) in enumerate(pairs):
        value = world.value(p, a)
        wrong = _others(value, world.attributes[a].values, rng)
        needs.append(Need(world.question(p, a, n // 3, held_out=held_out), (n,), value, wrong))
    return Aid("knowledge", keys, tuple(needs))


def _memory(people: int, rng: np.random.Generator, held_out: bool) -> Aid:
    half = FIRST[len(FIRST) // 2 :] if held_out else FIRST[: len(FIRST) // 2]
    names = [a + b for a in half for b in MIDDLE]
    keys: list[str] = []
    needs: list[Need] = []
    for i in rng.permutation(len(names))[:people]:
        for statements, questions, values in _SITUATIONS:
            value = values[int(rng.integers(len(values)))]
            query = _pick(questions, rng, held_out).format(s=names[i])
            needs.append(Need(query, (len(keys),), value, _others(value, values, rng)))
            keys.append(_pick(statements, rng, held_out).format(s=names[i], o=value))
    return Aid("memory", tuple(keys), tuple(needs))


def _examples(rng: np.random.Generator, held_out: bool) -> Aid:
    """Each word with half of the operations as keys, with the others as needs."""
    keys: list[str] = []
    of: list[str] = []
    wanted: list[tuple[str, str, str]] = []
    for word in _WORDS[held_out]:
        for n, i in enumerate(rng.permutation(len(_OPERATIONS))):
            name, ways = _OPERATIONS[i]
            exercise = f"{_pick(ways, rng, held_out, 2)}: {word}"
            if n % 2:
                wanted.append((exercise, name, word))
            else:
                keys.append(f"{exercise} -> {_done(name, word)}")
                of.append(name)
    needs = []
    for query, name, word in wanted:
        right = tuple(n for n, o in enumerate(of) if o == name)
        output = _done(name, word)
        needs.append(Need(query, right, output, _others(output, [_done(o, word) for o, _ in _OPERATIONS], rng)))
    return Aid("examples", tuple(keys), tuple(n for n in needs if n.right))


def _done(name: str, word: str) -> str:
    """What an operation makes of a word."""
    return {
        "capitals": word.upper(),
        "plural": f"{word}s",
        "first": word[0],
        "last": word[-1],
        "twice": f"{word} {word}",
        "length": str(len(word)),
        "quotes": f'"{word}"',
        "spaced": "-".join(word),
    }[name]


def _tools(rng: np.random.Generator, held_out: bool) -> Aid:
    keys: list[str] = []
    needs: list[Need] = []
    for domain in _DOMAINS[held_out].split("|"):
        calls = [f"{name}_{domain.split(' ', 1)[1].replace(' ', '_')}" for name, _, _ in _FUNCTIONS]
        for call, (_, descriptions, requests) in zip(calls, _FUNCTIONS, strict=True):
            query = _pick(requests, rng, held_out).format(d=domain)
            needs.append(Need(query, (len(keys),), call, _others(call, calls, rng)))
            keys.append(f"{call}: {_pick(descriptions, rng, held_out).format(d=domain)}")
    return Aid("tools", tuple(keys), tuple(needs))
