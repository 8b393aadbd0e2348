"""Long dialogues with questions about them and the turns that hold the answers, as their publishers ship them.

Nothing is downloaded. Recall over such dialogues is what long-term memory of an assistant is measured by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from byheart.core.errors import BadInput
from byheart.world.facts.people import people

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}


@dataclass(frozen=True)
class Turn:
    """An utterance: its session, its place in the session, and its time."""

    session: str
    place: int
    speaker: str
    text: str
    at: str | None = None


@dataclass(frozen=True)
class Probe:
    """A question about a dialogue: the numbers of the turns that hold the answer, and those turns' sessions."""

    id: str
    text: str
    answer: str
    category: str
    turns: tuple[int, ...]
    sessions: tuple[str, ...]


@dataclass(frozen=True)
class Dialogue:
    """Turns in their order, and the questions about them."""

    name: str
    turns: tuple[Turn, ...]
    probes: tuple[Probe, ...]


def read(path: Path | str) -> list[Dialogue]:
    """The dialogues of a LoCoMo or LongMemEval file, or of such files in a folder; the keys of a file tell which it is.

    Raises `BadInput` for a file that is neither, and for a folder without any.
    """
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files or not all(f.is_file() for f in files):
        raise BadInput(f"{path} holds no dialogues; give a .json file of LoCoMo or LongMemEval, or a folder with some")
    out: list[Dialogue] = []
    for file in files:
        try:
            rows = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadInput(f"{file} is no JSON ({error}); give a .json file of LoCoMo or LongMemEval") from error
        rows = rows if isinstance(rows, list) else [rows]
        keys = set(rows[0]) if rows and isinstance(rows[0], dict) else set()
        if {"conversation", "qa"} <= keys:
            out += _each(file, rows, _locomo)
        elif {"haystack_sessions", "question"} <= keys:
            out += _each(file, rows, _longmemeval)
        else:
            raise BadInput(f"{file} has the keys {sorted(keys)}; give a .json file of LoCoMo or LongMemEval")
    return out


def _each(file: Path, rows: list[Any], read: Callable[[Any], Dialogue]) -> list[Dialogue]:
    """Every entry of a file as a dialogue; `BadInput` names the first that is none, and what it lacks."""
    out = []
    for n, row in enumerate(rows):
        try:
            out.append(read(row))
        except KeyError as error:
            raise BadInput(f"{file}: entry {n} has no {error}; give the file as its publisher ships it") from error
        except (TypeError, ValueError, AttributeError, StopIteration) as error:
            raise BadInput(f"{file}: entry {n} is no dialogue ({error}); give it as its publisher ships it") from error
    return out


def invented(*, persons: int = 6, sessions: int = 12, seed: int = 0) -> Dialogue:
    """A dialogue of two who talk about people that do not exist, and a question for every fact in it.

    Every session is about a single person, of whom some facts are stated; the others come in a later session.

    >>> made = invented(persons=2, sessions=4)
    >>> len(made.turns), len(made.probes), made.probes[0].turns
    (24, 20, (1,))
    """
    rng = np.random.default_rng(seed)
    rounds = max(1, sessions // persons)
    turns: list[Turn] = []
    probes: list[Probe] = []
    world = people(persons, seed=seed)
    shares = [np.array_split(rng.permutation(len(facts)), rounds) for facts in world]
    for n in range(persons * rounds):
        facts, name = world[n % persons], f"session {n + 1}"
        shared = [facts[i] for i in shares[n % persons][n // persons]]
        lines = [f"Have you news of {facts[0].subject}?", *(f.statement for f in shared)]
        for place, text in enumerate(lines):
            if place:
                fact = shared[place - 1]
                question = fact.paraphrases[int(rng.integers(len(fact.paraphrases)))]
                probes.append(Probe(f"{name}/{place}", question, fact.answer, fact.relation, (len(turns),), (name,)))
            turns.append(Turn(name, place, ("Ann", "Ben")[place % 2], text))
    return Dialogue("invented", tuple(turns), tuple(probes))


def _locomo(row: dict[str, Any]) -> Dialogue:
    """Maharana et al. 2024, arXiv:2402.17753: two people, months of sessions, pictures given by captions.

    Questions whose evidence names no turn are left out.
    """
    conversation = row["conversation"]
    numbers = sorted(int(k.split("_")[1]) for k in conversation if re.fullmatch(r"session_\d+", k))
    turns: list[Turn] = []
    places: dict[tuple[int, int], int] = {}
    for n in numbers:
        for place, turn in enumerate(conversation[f"session_{n}"]):
            shown = turn.get("blip_caption")
            text = f"{turn['text']} [{shown}]" if shown else turn["text"]
            places[next(_marks(turn["dia_id"]))] = len(turns)
            turns.append(Turn(f"session {n}", place, turn["speaker"], text, conversation.get(f"session_{n}_date_time")))
    probes = []
    for n, question in enumerate(row["qa"]):
        marks = [m for text in question.get("evidence", ()) for m in _marks(text)]
        held = tuple(dict.fromkeys(places[m] for m in marks if m in places))
        if held:
            answer = question.get("answer", question.get("adversarial_answer", ""))
            sessions = tuple(dict.fromkeys(turns[t].session for t in held))
            name = f"{row.get('sample_id', '')}/{n}"
            probes.append(
                Probe(name, question["question"], str(answer), CATEGORIES[question["category"]], held, sessions)
            )
    return Dialogue(str(row.get("sample_id", "")), tuple(turns), tuple(probes))


def _marks(text: str) -> Iterator[tuple[int, int]]:
    """Session and turn of ids such as `D3:11`; a few in the set run together or have a colon too many.

    >>> list(_marks("D8:6; D9:17")), list(_marks("D:11:26 D30:05"))
    ([(8, 6), (9, 17)], [(11, 26), (30, 5)])
    """
    for part in re.split(r"[;,\s]+", text):
        numbers = re.findall(r"\d+", part)
        if len(numbers) >= 2:
            yield int(numbers[0]), int(numbers[1])


def _longmemeval(row: dict[str, Any]) -> Dialogue:
    """Wu et al. 2024, arXiv:2410.10813: a user's chats with an assistant, with a question for each."""
    turns: list[Turn] = []
    held: list[int] = []
    dates = row.get("haystack_dates") or [None] * len(row["haystack_sessions"])
    for name, date, session in zip(row["haystack_session_ids"], dates, row["haystack_sessions"], strict=True):
        for place, turn in enumerate(session):
            if turn.get("has_answer"):
                held.append(len(turns))
            turns.append(Turn(name, place, turn["role"], turn["content"], date))
    sessions = tuple(row.get("answer_session_ids", ()))
    name = row["question_id"]
    kind = "abstention" if name.endswith("_abs") else row["question_type"]
    probe = Probe(name, row["question"], str(row.get("answer", "")), kind, tuple(held), sessions)
    return Dialogue(name, tuple(turns), (probe,))
