"""Bulk import: engrams from lines of JSON, a batch at a time, so that a file of any size fits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from numpy.typing import ArrayLike
from pydantic import ValidationError

from engram.core.errors import BadInput, EngramError
from engram.core.records import Engram
from engram.store.base import AnyStore
from engram.store.events import now

Progress = Callable[[str, int, int], None]
_FIELDS = set(Engram.model_fields)


def import_lines(
    store: AnyStore,
    lines: Iterable[str | bytes],
    *,
    embed: Callable[[Sequence[str]], ArrayLike] | None = None,
    batch: int = 1000,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Add one engram per line, each batch durable before the next is read; the same import again adds nothing.

    A line is an object with `text`, any other field of an engram, and perhaps a `vector`; further keys
    become metadata. Without an id it gets one of its content. Vectors are given on every line or on
    none; without them `embed` makes them from the texts, if it is given. `progress` is called with
    the number of lines so far (how many there will be is not known, so it is told twice).

    Gives the number of lines and how many engrams are new. Raises `BadInput` with the number of the
    line that cannot be used; the batches before it are kept.
    """
    before, done, first = store.count(None), 0, None
    part: list[tuple[Engram, list[float] | None]] = []

    def put() -> None:
        nonlocal done
        engrams, vectors = [e for e, _ in part], [v for _, v in part]
        given: Any = vectors if vectors[0] is not None else embed([e.indexed for e in engrams]) if embed else None
        try:
            store.add(engrams, given)
        except (EngramError, ValueError) as error:
            raise BadInput(
                f"lines {done + 1} to {done + len(part)}: {error}; mend them, those before are kept"
            ) from error
        done += len(part)
        part.clear()
        if progress:
            progress("lines", done, done)

    number = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise BadInput(f"line {number} is empty; write one JSON object on each; the first {done} are kept")
        engram, vector = _read(line, number, done)
        first = first or (vector is not None, number)
        if first[0] != (vector is not None):
            raise BadInput(
                f"line {number} has {'a' if vector is not None else 'no'} vector, unlike line {first[1]}; "
                f"give every line one, or none; the first {done} are kept"
            )
        part.append((engram, vector))
        if len(part) == batch:
            put()
    if part:
        put()
    store.settle()
    return {"lines": number, "new": store.count(None) - before}


def _read(line: str | bytes, number: int, done: int) -> tuple[Engram, list[float] | None]:
    kept = f"the first {done} are kept"
    try:
        told = json.loads(line)
    except ValueError as error:
        raise BadInput(f"line {number} is no JSON ({error}); write one object on each line; {kept}") from error
    if not isinstance(told, dict) or not isinstance(told.get("text"), str):
        raise BadInput(f'line {number} has no text; write {{"text": "..."}} on each line; {kept}')
    vector = told.pop("vector", None)
    fields = {k: v for k, v in told.items() if k in _FIELDS}
    extra = {k: v for k, v in told.items() if k not in _FIELDS}
    identity = json.dumps([told["text"], *(told.get(k) for k in ("source", "owner", "question", "answer"))])
    fields = {"id": blake2b(identity.encode(), digest_size=8).hexdigest(), "created": now()} | fields
    if extra:
        metadata = fields.get("metadata")
        fields["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), **extra}
    try:
        return Engram(**fields), vector
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"line {number}: {where} may not be {first['input']!r} ({first['msg']}); {kept}, mend it"
        ) from error
