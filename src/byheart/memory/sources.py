"""Intake of sources: a file, texts, pairs or engrams as engrams that are not stored yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.memory.pairs import is_pairs, pairs_of
from byheart.store.events import seconds

Source = str | Path | Sequence[str | dict[str, Any] | Engram]


def is_engrams(source: Any) -> bool:
    """Whether this is a list of engrams."""
    return isinstance(source, list | tuple) and bool(source) and all(isinstance(s, Engram) for s in source)


def drafted(source: Any, created: str = "1970-01-01") -> list[Engram]:
    """What a source holds, as engrams not yet stored; ids depend on content alone."""
    if is_engrams(source) or is_pairs(source):
        return timed(list(source) if is_engrams(source) else engrams_of(pairs_of(source), created))
    from byheart.recall.write.chunks import Chunks

    return [named(d, created) for d in Chunks().write(source)]


def timed(engrams: list[Engram]) -> list[Engram]:
    """These engrams, if all their times are times; `BadInput` else, for what is stored must be comparable for ever."""
    for e in engrams:
        for field in ("at", "valid_from", "valid_to", "created"):
            try:
                seconds(getattr(e, field))
            except BadInput as error:
                where = f"{field} of {e.text[:40]!r} is {getattr(e, field)!r}, not a time"
                raise BadInput(f"{where}; write it as 2026-11-20 or 2026-11-20T06:30:00Z") from error
    return engrams


def named(engram: Engram, created: str | None = None) -> Engram:
    """An engram under the id that its content gives it."""
    name = identity(engram.text, engram.source, engram.question, engram.answer)
    return engram.model_copy(update={"id": name, "created": created or engram.created})


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
    """Engrams for pairs as `pairs_of` gives them; keys that no field of an engram has become metadata."""
    out = []
    for n, pair in enumerate(pairs):
        question, answer = pair["question"], pair["answer"]
        known = {k: pair[k] for k in ("source", "at", "speaker", "owner", "key", "valid_from", "valid_to") if k in pair}
        for name, value in known.items():
            if value is not None and not isinstance(value, str):
                raise BadInput(f"pair {n + 1} has {name}={value!r}, a {type(value).__name__}; give a string")
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
