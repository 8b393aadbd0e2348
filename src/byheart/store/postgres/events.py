"""The event log in PostgreSQL, and the tables made from it: adding, merging, changing, reading, refilling."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb
from pydantic import ValidationError
from pydantic_core import to_json

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.store.events import digest, now, ordered, payload, seconds
from byheart.store.postgres.server import Server
from byheart.store.postgres.terms import Terms

Placed = tuple[int, Engram, str]
_FORMS = ("text", "activations", "weights")
_EVENT = "kind, row, engram, at, payload"
_COLUMNS = "row, id, digest, source, position, state, forms, starts, ends, facets, payload"
_TYPES = ("int8", "text", "bytea", "text", "int8", "text", "text", "float8", "float8", "jsonb", "text")
_SHORT = 64
_APART = ("forms", "metadata")


def insert(db: Server, terms: Terms, engrams: Sequence[Engram], vectors: list[bytes] | None) -> list[Engram]:
    """Add engrams in a transaction; for an engram that is there already (and active), the stored engram is returned."""
    payloads = [payload(e) for e in engrams]
    digests = [digest(e) for e in engrams]
    for e in engrams:
        seconds(e.valid_from), seconds(e.valid_to)
    stamp = now()
    with db.transaction():
        known: dict[bytes, int] = dict(
            db.among("SELECT digest, row FROM engrams WHERE digest IN ({}) AND state = 'active'", sorted(set(digests)))
        )
        last = db.value("SELECT row FROM totals")
        events, stored = [], []
        fresh: list[Placed] = []
        merged: list[tuple[int, int]] = []
        for i, e in enumerate(engrams):
            if e.state == "active" and digests[i] in known:
                merged.append((i, known[digests[i]]))
                continue
            last += 1
            if e.state == "active":
                known[digests[i]] = last
            check = f',"vector":{zlib.crc32(vectors[i])}' if vectors else ""
            events.append(("added", last, e.id, stamp, f'{{"engram":{payloads[i]}{check}}}'))
            fresh.append((last, e, payloads[i]))
            if vectors:
                stored.append((last, np.frombuffer(vectors[i], np.float32)))
        _refuse_used(db, [e.id for _, e, _ in fresh])
        db.copy("events", _EVENT, ("text", "int8", "text", "text", "text"), events)
        place(db, terms, fresh)
        if stored:
            db.copy("vectors", "row, vector", ("int8", "vector"), stored)
        result = list(engrams)
        if merged:
            present = _merge(db, engrams, merged, vectors)
            for i, row in merged:
                result[i] = present[row]
        return result


def place(db: Server, terms: Terms, placed: Sequence[Placed]) -> None:
    """Write engrams with their rows into the table, the postings and the totals."""
    if not placed:
        return
    counts = terms.count([e.indexed for _, e, _ in placed])
    lengths = [sum(n for _, n in counted) for counted in counts]
    postings = sorted(
        (term, row, n, length)
        for (row, _, _), counted, length in zip(placed, counts, lengths, strict=True)
        for term, n in counted
    )
    db.copy("engrams", _COLUMNS, _TYPES, (_record(*entry) for entry in placed))
    db.copy("postings", "term, row, count, length", ("text", "int8", "int4", "int4"), postings)
    db.execute(
        "UPDATE totals SET engrams = engrams + ?, length = length + ?, row = greatest(row, ?)",
        (len(placed), sum(lengths), max(row for row, _, _ in placed)),
    )


def _merge(
    db: Server, engrams: Sequence[Engram], merged: list[tuple[int, int]], vectors: list[bytes] | None
) -> dict[int, Engram]:
    """Join the forms of repeated content into what is stored, and keep a vector it lacked."""
    rows = sorted({row for _, row in merged})
    stored = {r: read(p) for r, p in db.among("SELECT row, payload FROM engrams WHERE row IN ({})", rows)}
    embedded = {r for (r,) in db.among("SELECT row FROM vectors WHERE row IN ({})", rows)}
    for i, row in merged:
        forms = tuple(f for f in _FORMS if f in stored[row].forms or f in engrams[i].forms)
        if forms != stored[row].forms:
            stored[row] = change(db, [stored[row].id], {"forms": forms})[0]
        if vectors and row not in embedded:
            embedded.add(row)
            db.execute("INSERT INTO vectors (row, vector) VALUES (?, ?)", (row, np.frombuffer(vectors[i], np.float32)))
            check = json.dumps({"vector": zlib.crc32(vectors[i])})
            log(db, [("vector", row, stored[row].id, now(), check)])
    return stored


def log(db: Server, events: Sequence[tuple[str, int | None, str | None, str, str]]) -> None:
    """Append events: kind, row, engram, time, payload."""
    db.executemany(f"INSERT INTO events ({_EVENT}) VALUES (?, ?, ?, ?, ?)", events)


def change(db: Server, ids: Sequence[str], changes: dict[str, Any]) -> list[Engram]:
    """Set fields of engrams to new values, with an event each."""
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
    with db.transaction():
        old = fetch(db, ids)
        try:
            new = [Engram(**{**dict(e), **fields}) for e in old]
        except ValidationError as error:
            first = error.errors()[0]
            field, value = first["loc"][0], first["input"]
            raise BadInput(f"an engram's {field} may not be {value!r}: {first['msg']}; give another") from error
        rows = dict(db.among("SELECT id, row FROM engrams WHERE id IN ({})", ids))
        records = [_record(rows[e.id], e, payload(e)) for e in new]
        spoken, stamp = to_json(fields).decode(), now()
        log(db, [("changed", rows[i], i, stamp, spoken) for i in ids])
        db.executemany(
            "UPDATE engrams SET position = ?, state = ?, forms = ?, starts = ?, ends = ?, facets = ?, payload = ?"
            " WHERE row = ?",
            [(*r[4:], r[0]) for r in records],
        )
    return new


def fetch(db: Server, ids: Sequence[str]) -> list[Engram]:
    """Engrams in the order of the ids; `Unknown` names the first that is not there."""
    return ordered(find(db, ids), ids, db.place)


def find(db: Server, ids: Sequence[str]) -> dict[str, Engram]:
    """Those of these engrams that are there, by id."""
    rows = db.among("SELECT id, payload FROM engrams WHERE id IN ({})", list(dict.fromkeys(ids)))
    return {i: read(text) for i, text in rows}


def refill(db: Server, terms: Terms, engrams: dict[int, Engram]) -> None:
    """Write the table of engrams, the postings and the totals anew from `engrams` (row -> engram)."""
    db.execute("DELETE FROM engrams")
    db.execute("TRUNCATE postings")
    db.execute("UPDATE totals SET engrams = 0, length = 0")
    left = iter(sorted(engrams.items()))
    while part := list(islice(left, 1000)):
        place(db, terms, [(row, e, payload(e)) for row, e in part])


def read(payload: str) -> Engram:
    """An engram from its stored JSON."""
    return Engram.model_validate_json(payload)


def floats(sent: bytes) -> bytes:
    """A vector's float32 bytes from what pgvector sends: a header of four bytes, then the numbers, big end first."""
    return np.frombuffer(sent, ">f4", offset=4).astype("<f4").tobytes()


def facet(value: Any) -> Any:
    """A value as filters compare it: true is 1, a long text is its hash, a list or a mapping equals nothing.

    >>> facet(True), facet("u1"), facet(["u1"]), facet(float("nan")) is None
    (1, 'u1', [], True)
    """
    if isinstance(value, str):
        plain = len(value) <= _SHORT and "\0" not in value
        return value if plain else blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return int(value) if isinstance(value, int) else None if value is None else []


def _record(row: int, e: Engram, payload: str) -> tuple[Any, ...]:
    """An engram as a row of its table, in the order of `_COLUMNS`."""
    fields = {k: ",".join(v) if isinstance(v, tuple) else v for k, v in dict(e).items() if k not in _APART}
    facets = {k: facet(v) for k, v in (*fields.items(), *((f".{k}", v) for k, v in e.metadata.items()))}
    clean = Jsonb({k.replace("\0", "\ufffd"): v for k, v in facets.items() if v is not None})
    spans = seconds(e.valid_from), seconds(e.valid_to)
    return row, e.id, digest(e), e.source, e.position, e.state, ",".join(e.forms), *spans, clean, payload


def _refuse_used(db: Server, ids: list[str]) -> None:
    repeated = len(set(ids)) < len(ids) and next(i for n, i in enumerate(ids) if i in ids[:n])
    used = db.among("SELECT id FROM engrams WHERE id IN ({})", ids)
    if repeated or used:
        raise BadInput(f"the id {repeated or used[0][0]!r} is taken by other content; give each engram its own id")
