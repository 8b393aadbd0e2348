"""What is left of an engram when only some of its sentences must be forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from byheart.core.records import Engram
from byheart.exam.match import contains
from byheart.memory.lessons import Lesson
from byheart.memory.sources import identity
from byheart.recall.sentences import sentences

_LEANS = re.compile(r"(he|she|they|it|his|her|hers|their|theirs|its|him|them|this|that|these|those|there)\b", re.I)


@dataclass(frozen=True)
class Gone:
    """An engram to forget, and the engram that keeps the rest of its text, if there is any."""

    engram: Engram
    rest: Engram | None = None

    def fate(self, lesson: Lesson) -> Lesson | None:
        """A lesson of the engram as the rest still tells it, or None when it goes.

        It stays when the rest holds its answer and no sentence was taken that its question speaks of:
        every content word of the question must stand in what is left.
        """
        if self.rest is None or not contains(self.rest.text, lesson.answer):
            return None
        taken = set(_words(self.engram.text)) - set(_words(self.rest.text))
        wordings = [w for w in (lesson.question, *lesson.wordings) if not taken & set(_words(w))]
        if not wordings or wordings[0] != lesson.question:
            return None
        held = tuple(h for h in lesson.held if not taken & set(_words(h)))
        return replace(lesson, engram=self.rest.id, wordings=tuple(wordings[1:]), held=held)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def redact(text: str, what: str) -> str | None:
    """The text without the sentences that say `what`, and without those that lean on them.

    None when nothing but a heading is left, or when a heading says it: then all of it is about that.

    >>> redact("Ilsa rows. Marta Kask sails. She is fast. Torven swims.", "Marta Kask")
    'Ilsa rows. Torven swims.'
    """
    lines = text.split("\n")
    heading = lines[0] if len(lines) > 1 else ""
    if heading and contains(heading, what) and not re.search(r"[.!?]$", heading.strip()):
        return None
    remaining: list[str] = []
    says = False
    for line in lines:
        left: list[str] = []
        dropped = False
        for sentence in sentences(line) or [line]:
            leans = says and _LEANS.match(sentence.strip())
            says = contains(sentence, what) or bool(leans)
            if says:
                dropped = True
            else:
                left.append(sentence)
        if not dropped:
            remaining.append(line)
        elif left:
            remaining.append(" ".join(left))
    rest = "\n".join(remaining).strip()
    return rest if rest and rest != heading.strip() else None


def beside(e: Engram) -> str:
    """What an engram says besides its text, question and answer: key, speaker and metadata."""
    key = None if e.key is None or e.key.startswith("#") else e.key
    parts = (key, e.speaker, json.dumps(e.metadata, ensure_ascii=False) if e.metadata else None)
    return " \n ".join(t for t in parts if t)


def tells(e: Engram, what: str) -> bool:
    """Whether an engram says this anywhere; the name of its source counts for several words alone.

    Else to forget the word "travel" would be to forget all that a file called travel.md says.

    >>> e = Engram(id="a", text="Ask first.", source="Marta Kask on travel.md", key="rules/first", created="")
    >>> tells(e, "rules"), tells(e, "Marta Kask"), tells(e, "travel")
    (True, True, False)
    """
    text = " \n ".join(t for t in (e.text, e.question, e.answer, beside(e)) if t)
    return contains(text, what) or (len(what.split()) > 1 and contains(e.source or "", what))


def redacted(engrams: Sequence[Engram], what: str | None, created: str) -> list[Gone]:
    """Each engram with its rest; a pair, or an engram forgotten by id (`what` None), leaves none."""
    out = []
    for e in engrams:
        text = None if what is None or e.question or e.answer else redact(e.text, what)
        if text is None or contains(beside(e), what or "") or contains(e.source or "", what or ""):
            out.append(Gone(e))
            continue
        rest = e.model_copy(
            update={
                "id": identity(text, e.source),
                "text": text,
                "created": created,
                "forms": ("text",),
                "version": None,
            }
        )
        out.append(Gone(e, rest))
    return out
