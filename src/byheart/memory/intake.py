"""Bulk import: engrams from lines of JSON, a batch at a time, so that a file of any size fits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import ValidationError

from byheart.core.errors import BadInput, ByheartError
from byheart.core.records import Engram
from byheart.memory import access
from byheart.memory.remembering import keep, note_speakers
from byheart.memory.sources import identity, timed
from byheart.store.base import vet
from byheart.store.events import digest, now, seconds

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

_FIELDS = set(Engram.model_fields)
_TIMES = {"at", "valid_from", "created"}


class Line(NamedTuple):
    """What a line says: an engram, perhaps its vector, and the fields that it gives itself."""

    number: int
    engram: Engram
    vector: list[float] | None
    given: frozenset[str]


def import_lines(
    memory: Parts, lines: Iterable[str | bytes], *, batch: int = 1000, progress: Progress | None = None
) -> dict[str, int]:
    """Keep one engram per line, each batch durable before the next is read; the same import again adds nothing.

    A line is an object with `text`, any other field of an engram, and perhaps a `vector`; further keys
    become metadata. Without an id it gets one of its content. Vectors are given on every line or on
    none; without them the embedder makes them. Of facts with one key the one that began last is current, as with
    `remember`; no writer and no updater is asked. `progress` is called with the number of lines so far (how many
    there will be is not known, so it is told twice).

    A line adds nothing where its content is there already, be it archived or history. A fact with a key may be told
    again: one with a time (`valid_from`, `at` or `created`) is there if it was said to hold then, one without if it
    was told as often as by the lines up to this one.

    Gives the number of lines and how many engrams are new. Raises `BadInput` with the number of the
    line that cannot be used; the batches before it are kept.
    """
    novelty, first = Novelty(memory), None
    before, done, number = memory.store.count(None), 0, 0
    part: list[Line] = []

    def put() -> None:
        nonlocal done
        try:
            _put(memory, novelty.new(part))
            note_speakers(memory, [line.engram for line in part])
        except (ByheartError, ValueError, TypeError) as error:
            raise BadInput(
                f"lines {done + 1} to {done + len(part)}: {error}; mend them, those before are kept"
            ) from error
        done += len(part)
        part.clear()
        if progress:
            progress("lines", done, done)

    for number, text in enumerate(lines, 1):
        if not text.strip():
            raise BadInput(f"line {number} is empty; write one JSON object on each; the first {done} are kept")
        line = _read(memory, text, number, done)
        first = first or (line.vector is not None, number)
        if first[0] != (line.vector is not None):
            raise BadInput(
                f"line {number} has {'no' if first[0] else 'a'} vector, unlike line {first[1]}; "
                f"give every line one, or none; the first {done} are kept"
            )
        part.append(line)
        if len(part) == batch:
            put()
    if part:
        put()
    memory.store.settle()
    return {"lines": number, "new": memory.store.count(None) - before}


class Novelty:
    """Which lines say something that is not there yet, whether by this import or before it."""

    def __init__(self, memory: Parts) -> None:
        self._store = memory.store
        self._times: Counter[bytes] = Counter()
        self._last: dict[bytes, bytes] = {}

    def new(self, part: Sequence[Line]) -> list[Line]:
        """Those of a batch that are to be kept; `BadInput` for an id that is given to different content."""
        names = {line.number: (line.engram.id, _remembered(line.engram)) for line in part}
        present = self._store.find(list({name for pair in names.values() for name in pair}))
        lines: dict[tuple[str, str | None], list[Engram]] = {}
        fresh: dict[tuple[str, str | None], set[tuple[bytes, float | None]]] = {}
        out = []
        for line in part:
            e, code = line.engram, digest(line.engram)
            if "id" in line.given and e.id in present and not _same(present[e.id], e):
                raise BadInput(f"line {line.number}: the id {e.id!r} is taken by other content; give another")
            there = False
            if e.key is None or "id" in line.given:
                same = [h for n in names[line.number] if (h := present.get(n)) is not None and _same(h, e)]
                there = any(h.state != "active" or set(e.forms) <= set(h.forms) for h in same)
            if e.key is not None and not there:
                place, time = (e.key, e.owner), seconds(e.since) if line.given & _TIMES else None
                if place not in lines:
                    lines[place], fresh[place] = self._store.keyed(*place), set()
                same = [h for h in lines[place] if _same(h, e)]
                if time is None:
                    there = self._often(code, place, len(same))
                else:
                    there = (code, time) in fresh[place] or _held(line, time, same, whole=not fresh[place])
                if not there:
                    fresh[place].add((code, time))
            if not there:
                out.append(line)
                present.setdefault(e.id, e)
        return out

    def _often(self, code: bytes, place: tuple[str, str | None], times: int) -> bool:
        """Whether a fact is there as often as the lines have told it; told twice running it says nothing new."""
        name = _short(json.dumps(place))
        if self._last.get(name) == code:
            return True
        self._last[name] = code
        self._times[code + name] += 1
        return self._times[code + name] <= times


def _same(stored: Engram, draft: Engram) -> bool:
    """Whether what is kept is what is told; when history ended is no part of what it says."""
    ended = {} if stored.state == "active" else {"valid_to": draft.valid_to}
    return digest(stored.model_copy(update=ended)) == digest(draft)


def _held(line: Line, time: float, same: Sequence[Engram], *, whole: bool) -> bool:
    """Whether a fact was told for this time; where nothing is about to change (`whole`), whether it held then."""
    made = seconds(line.engram.created) if "created" in line.given else None
    for e in same:
        start, end = seconds(e.since) or 0.0, seconds(e.valid_to)
        if start == time or seconds(e.created) == made or (whole and start <= time and (end is None or time < end)):
            return True
    return False


def _put(memory: Parts, new: Sequence[Line]) -> None:
    """Keep what is new; vectors are made before anybody is made to wait."""
    if not new:
        return
    drafts = [line.engram for line in new]
    if new[0].vector is None:
        vectors = memory.embed([d.indexed for d in drafts])
    else:
        vectors = np.array([line.vector for line in new], np.float32)
    with memory.store.transaction():
        keep(memory, drafts, vectors)


def _read(memory: Parts, text: str | bytes, number: int, done: int) -> Line:
    note = f"the first {done} are kept"
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"line {number} is no JSON ({error}); write one object on each line; {note}") from error
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise BadInput(f'line {number} has no text; write {{"text": "..."}} on each line; {note}')
    vector = record.pop("vector", None)
    if record.get("owner") is None and memory.owner is not None:
        record["owner"] = memory.owner
    fields = {k: v for k, v in record.items() if k in _FIELDS}
    extra = {k: v for k, v in record.items() if k not in _FIELDS}
    content = json.dumps([record["text"], *(record.get(k) for k in ("source", "owner", "question", "answer"))])
    made = {"id": _short(content).hex(), "created": now()} | fields
    if extra:
        metadata = fields.get("metadata")
        made["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), **extra}
    try:
        engram = Engram(**made)
        timed([engram])
        vet([engram])
        access.owned(memory, [engram])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"line {number}: {where} may not be {first['input']!r} ({first['msg']}); {note}, mend it"
        ) from error
    except BadInput as error:
        raise BadInput(f"line {number}: {error}; {note}, mend it") from error
    return Line(number, engram, vector, frozenset(k for k, v in fields.items() if v is not None))


def _remembered(e: Engram) -> str:
    """The id that `remember` would give it."""
    return identity(e.text, e.source, e.question, e.answer)


def _short(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
