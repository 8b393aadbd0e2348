"""From what a user gives to what a model is trained and examined on."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput
from byheart.core.protocols import Prompt
from byheart.core.records import Engram, Item
from byheart.exam.recall import ask
from byheart.store.events import seconds

if TYPE_CHECKING:
    from byheart.models.lm import LanguageModel


@dataclass(frozen=True)
class Lesson:
    """One thing to teach: a question with its answer, drawn from an engram. Asked again in exams."""

    engram: str
    question: str
    answer: str

    @property
    def item(self) -> Item:
        """The exam question of this lesson; its id depends on content alone."""
        code = hashlib.sha256(f"{self.question}\0{self.answer}".encode()).hexdigest()[:12]
        return Item(id=f"{self.engram}-{code}", question=self.question, answer=self.answer, engram=self.engram)

    @property
    def payload(self) -> dict[str, str]:
        """What is stored beside the engram's id."""
        return {"question": self.question, "answer": self.answer}


def is_pairs(source: Any) -> bool:
    """Whether this is a list of question/answer dicts."""
    return (
        isinstance(source, list | tuple)
        and bool(source)
        and all(isinstance(s, dict) and "question" in s and "answer" in s for s in source)
    )


def is_engrams(source: Any) -> bool:
    """Whether this is a list of engrams."""
    return isinstance(source, list | tuple) and bool(source) and all(isinstance(s, Engram) for s in source)


def drafted(source: Any, created: str = "1970-01-01") -> list[Engram]:
    """What a source holds, as engrams not yet stored; ids depend on content alone."""
    if is_engrams(source) or is_pairs(source):
        return timed(list(source) if is_engrams(source) else engrams_of(source, created))
    from byheart.recall.write.chunks import Chunks

    return [named(d, created) for d in Chunks().write(source)]


def timed(engrams: list[Engram]) -> list[Engram]:
    """These engrams, if all their times are times; `BadInput` else, for what is stored must be comparable for ever."""
    for e in engrams:
        for field in ("at", "valid_from", "valid_to", "created"):
            try:
                seconds(getattr(e, field))
            except BadInput as error:
                told = f"{field} of {e.text[:40]!r} is {getattr(e, field)!r}, not a time"
                raise BadInput(f"{told}; write it as 2026-11-20 or 2026-11-20T06:30:00Z") from error
    return engrams


def named(engram: Engram, created: str | None = None) -> Engram:
    """An engram under the id that its content gives it."""
    name = identity(engram.text, engram.source, engram.question, engram.answer)
    return engram.model_copy(update={"id": name, "created": created or engram.created})


def lessons_in(drafts: Sequence[Engram]) -> list[Lesson]:
    """The questions to teach: those of pairs as given, those of texts by rule, each once."""
    lessons = [Lesson(d.id, d.question, d.answer) for d in drafts if d.question and d.answer]
    texts = [d for d in drafts if not (d.question and d.answer)]
    if texts:
        from byheart.recall.write.pairs import Pairs

        lessons += [Lesson(p.engram, p.question, p.answer) for p in Pairs().write(texts)]
    return list({(x.question, x.answer): x for x in lessons}.values())


def general_texts(general: str | Path | Sequence[str] | None) -> list[str] | None:
    """General text as a list of texts; a path is read."""
    if general is None:
        return None
    if not isinstance(general, str | Path):
        return list(general)
    path = Path(general)
    if isinstance(general, str) and (len(general) > 500 or "\n" in general or not path.is_file()):
        return [general]
    try:
        return [path.read_text(encoding="utf-8")]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"general={str(path)!r} cannot be read ({error}); give a text file") from error


def engrams_of(pairs: Sequence[dict[str, Any]], created: str) -> list[Engram]:
    """Engrams for question/answer pairs; other keys become metadata."""
    out = []
    for n, pair in enumerate(pairs):
        question, answer = pair["question"], pair["answer"]
        for name, value in (("question", question), ("answer", answer)):
            if not isinstance(value, str) or not value.strip():
                raise BadInput(f"pair {n}: the {name} is {value!r}; give a text that is not empty")
        known = {k: pair[k] for k in ("source", "at", "speaker", "owner", "key", "valid_from", "valid_to") if k in pair}
        extra = {k: v for k, v in pair.items() if k not in known and k not in ("question", "answer")}
        text = f"{question.strip()} {answer.strip()}"
        out.append(
            Engram(
                id=identity(text, known.get("source"), question, answer),
                text=text,
                position=n,
                created=created,
                question=question.strip(),
                answer=answer.strip(),
                metadata=extra,
                **known,
            )
        )
    return out


def identity(text: str, source: str | None, question: str | None = None, answer: str | None = None) -> str:
    """An id that depends on content alone, so that a repeated call names the same engram."""
    content = json.dumps([text, source, question, answer], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


PREFIXES = (
    "Please answer: ", "Tell me: ", "Quick question: ", "I would like to know: ", "Do you remember? ",
    "Question: ", "Can you say? ", "Answer in a few words: ",
)  # fmt: skip
SMALL = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "do",
        "does",
        "did",
        "have",
        "has",
        "had",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "about",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "where",
        "when",
        "how",
        "why",
        "and",
        "or",
        "that",
        "this",
        "it",
        "its",
        "there",
    ]
)


def views(question: str, answer: str, draw: random.Random) -> tuple[Prompt, str]:
    """One of many ways to ask the same: as given, with an opening, with words missing, as keywords, as raw text.

    A model trained on one wording answers that wording; trained on many poor wordings it must hang
    the answer on the names and the gist, and so answers paraphrases it never met. Augmentation of
    this kind is what makes stored facts extractable (Allen-Zhu & Li 2023, arXiv:2309.14316).
    """
    kind = draw.random()
    words = question.rstrip("?!. ").split()
    if kind < 0.30 or len(words) < 3:
        return ask(question), answer
    if kind < 0.45:
        lower = question[0].lower() + question[1:]
        return ask(draw.choice(PREFIXES) + (question if draw.random() < 0.5 else lower)), answer
    if kind < 0.75:
        kept = [w for n, w in enumerate(words) if _names(n, w) or draw.random() > 0.35]
        return ask(" ".join(kept or words) + draw.choice(("?", "", "."))), answer
    if kind < 0.90:
        parts = [p for p in _keywords(words) if p[1] or draw.random() > 0.2]
        draw.shuffle(parts)
        opening = draw.choice(("", "Tell me about ", "Name this: ", "Give this: "))
        return ask(opening + ", ".join(p[0] for p in parts or [(question, True)]) + draw.choice(("?", ""))), answer
    return f"Question: {question}\nAnswer:", f" {answer}"


def _names(position: int, word: str) -> bool:
    """Whether a word is likely part of a name or a number, which a question cannot do without."""
    return (position > 0 and word[:1].isupper()) or any(c.isdigit() for c in word)


def _keywords(words: Sequence[str]) -> list[tuple[str, bool]]:
    """Names (whole runs of them) and content words, each with whether it is a name."""
    parts: list[tuple[str, bool]] = []
    run: list[str] = []
    for n, w in enumerate(words):
        if _names(n, w):
            run.append(w)
            continue
        if run:
            parts.append((" ".join(run), True))
            run = []
        if w.lower() not in SMALL:
            parts.append((w, False))
    if run:
        parts.append((" ".join(run), True))
    return parts


def examples(lm: LanguageModel, lessons: Sequence[Lesson], *, copies: int, seed: int) -> list[dict[str, Any]]:
    """Training examples: each lesson once as given and `copies - 1` times in other views.

    Every example carries the index of its lesson under `"lesson"`.
    """
    draw = random.Random(seed)
    out = []
    for copy in range(copies):
        for n, lesson in enumerate(lessons):
            prompt, completion = (
                views(lesson.question, lesson.answer, draw) if copy else (ask(lesson.question), lesson.answer)
            )
            out.append({**lm.example(prompt, completion), "lesson": n})
    return out
