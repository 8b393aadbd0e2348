"""The event log, and the table of engrams made from it: adding, changing, reading, replaying."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from byheart.core.errors import BadInput, Unknown
from byheart.core.records import Brief, Engram
from byheart.store.database import Database
from byheart.store.link import Link

FIELDS = (
    "id, text, source, position, speaker, owner, at, valid_from, valid_to, created, state, forms, version, "
    "question, answer, key, parents, metadata"
)
_NAMES = tuple(FIELDS.split(", "))
LISTS = ("forms", "parents")
_FORMS = ("text", "activations", "weights")
_INSERT = (
    "INSERT INTO engrams (row, digest, starts, ends, id, text, source, position, speaker, owner, at, valid_from,"
    " valid_to, created, state, forms, version, question, answer, key, parents, metadata) VALUES ("
    + ",".join("?" * 22)
    + ")"
)
_EVENT = "INSERT INTO events (kind, row, engram, at, payload) VALUES (?, ?, ?, ?, ?)"


def now() -> str:
    """The time as ISO-8601 in UTC, to the microsecond."""
    return datetime.now(UTC).isoformat()


def seconds(time: str | None) -> float | None:
    """An ISO-8601 time as seconds since 1970; without a zone it is UTC; None stays None.

    >>> seconds("1970-01-02"), seconds("1970-01-01T01:00:00+01:00")
    (86400.0, 0.0)
    """
    if time is None:
        return None
    try:
        moment = datetime.fromisoformat(time)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{time!r} is not a time; write it as 2026-11-20 or 2026-11-20T06:30:00Z") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def blobs(vectors: Any, count: int, dimension: int | None) -> list[bytes] | None:
    """Check embeddings (n, d) and give them as float32 bytes, one per engram; None for no vectors."""
    if vectors is None:
        return None
    array: NDArray[np.float32] = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or len(array) != count:
        raise BadInput(f"vectors have shape {array.shape}, not ({count}, dimension); give one row per engram")
    if dimension is not None and array.shape[1] != dimension:
        raise BadInput(f"vectors have {array.shape[1]} dimensions, this memory has {dimension}; use its embedder")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise BadInput(f"vector {bad} holds NaN or infinity; check the embedder's output for that text")
    return [row.tobytes() for row in array]


def digest(engram: Engram) -> bytes:
    """What makes two engrams the same: text, source, owner, question and answer; key and speaker; when it holds.

    A fact with a key is the same at whatever time it is added. Without a key, two engrams differ that begin or end to
    hold at different times, and so do those that a speaker says at different times.
    """
    parts: list[Any] = [engram.text, engram.source, engram.owner, engram.question, engram.answer]
    more = [engram.key, engram.speaker, engram.at if engram.speaker is not None else None]
    more += [engram.valid_from, engram.valid_to] if engram.key is None else []
    return blake2b(to_json(parts + more if any(m is not None for m in more) else parts), digest_size=16).digest()


def insert(db: Database, engrams: Sequence[Engram], vectors: list[bytes] | None) -> list[Engram]:
    """Add engrams in a transaction; for an engram that is there already (and active), the stored engram is returned."""
    payloads = [payload(e) for e in engrams]
    digests = [digest(e) for e in engrams]
    spans = [(seconds(e.valid_from), seconds(e.valid_to)) for e in engrams]
    stamp = now()
    with db.transaction():
        known: dict[bytes, int] = dict(
            db.among("SELECT digest, row FROM engrams WHERE digest IN ({}) AND state = 'active'", sorted(set(digests)))
        )
        last = db.value("SELECT seq FROM sqlite_sequence WHERE name = 'engrams'") or 0
        events, rows, words, stored = [], [], [], []
        fresh: list[tuple[int, int]] = []
        merged: list[tuple[int, int]] = []
        for i, e in enumerate(engrams):
            if e.state == "active" and digests[i] in known:
                merged.append((i, known[digests[i]]))
                continue
            last += 1
            if e.state == "active":
                known[digests[i]] = last
            fresh.append((i, last))
            check = f',"vector":{zlib.crc32(vectors[i])}' if vectors else ""
            events.append(("added", last, e.id, stamp, f'{{"engram":{payloads[i]}{check}}}'))
            rows.append((last, digests[i], *spans[i], *_columns(e)))
            words.append((last, e.text))
            if vectors:
                stored.append((last, vectors[i]))
        _refuse_used(db, [engrams[i].id for i, _ in fresh])
        db.executemany(_EVENT, events)
        db.executemany(_INSERT, rows)
        db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", words)
        db.executemany("INSERT INTO vectors (row, vector) VALUES (?, ?)", stored)
        result = list(engrams)
        if merged:
            present = _merge(db, engrams, merged, vectors)
            for i, row in merged:
                result[i] = present[row]
        return result


def _merge(
    db: Database, engrams: Sequence[Engram], merged: list[tuple[int, int]], vectors: list[bytes] | None
) -> dict[int, Engram]:
    """Join the forms of repeated content into what is stored, and keep a vector it lacked."""
    rows = sorted({row for _, row in merged})
    stored = {r[0]: _engram(r[1:]) for r in db.among(f"SELECT row, {FIELDS} FROM engrams WHERE row IN ({{}})", rows)}
    embedded = {r[0] for r in db.among("SELECT row FROM vectors WHERE row IN ({})", rows)}
    for i, row in merged:
        forms = tuple(f for f in _FORMS if f in stored[row].forms or f in engrams[i].forms)
        if forms != stored[row].forms:
            stored[row] = change(db, [stored[row].id], {"forms": forms})[0]
        if vectors and row not in embedded:
            embedded.add(row)
            db.execute("INSERT INTO vectors (row, vector) VALUES (?, ?)", (row, vectors[i]))
            detail = json.dumps({"vector": zlib.crc32(vectors[i])})
            db.execute(_EVENT, ("vector", row, stored[row].id, now(), detail))
    return stored


def change(db: Database, ids: Sequence[str], changes: dict[str, Any]) -> list[Engram]:
    """Set fields of engrams to new values, with an event each."""
    old = fetch(db, ids)
    try:
        new = [Engram(**{**dict(e), **changes}) for e in old]
    except ValidationError as error:
        first = error.errors()[0]
        field, value = first["loc"][0], first["input"]
        raise BadInput(f"an engram's {field} may not be {value!r}: {first['msg']}; give another") from error
    columns = {k: ",".join(v) if k in LISTS else v for k, v in changes.items()}
    for name, column in (("valid_from", "starts"), ("valid_to", "ends")):
        if name in changes:
            columns[column] = seconds(changes[name])
    payload = to_json(changes).decode()
    stamp = now()
    names = ", ".join(f"{c} = ?" for c in columns)
    with db.transaction():
        rows = dict(db.among("SELECT id, row FROM engrams WHERE id IN ({})", ids))
        db.executemany(_EVENT, [("changed", rows[i], i, stamp, payload) for i in ids])
        db.executemany(
            f"UPDATE engrams SET {names}, digest = ? WHERE row = ?",
            [(*columns.values(), digest(e), rows[i]) for i, e in zip(ids, new, strict=True)],
        )
    return new


def fetch(db: Database, ids: Sequence[str]) -> list[Engram]:
    """Engrams in the order of the ids; `Unknown` names the first that is not there."""
    return ordered(find(db, ids), ids, str(db.path.parent))


def ordered(engrams: dict[str, Engram], ids: Sequence[str], place: str) -> list[Engram]:
    """Engrams by id in the order of the ids; `Unknown` names the first that is not there."""
    for i in ids:
        if i not in engrams:
            raise Unknown(f"no engram {i!r} in {place}; it may have been forgotten (list them: byheart list)")
    return [engrams[i] for i in ids]


def find(db: Database, ids: Sequence[str]) -> dict[str, Engram]:
    """Those of these engrams that are there, by id."""
    rows = db.among(f"SELECT {FIELDS} FROM engrams WHERE id IN ({{}})", list(dict.fromkeys(ids)))
    return {r[0]: _engram(r) for r in rows}


def brief(db: Database, ids: Sequence[str]) -> dict[str, Brief]:
    """Source, position, speaker, length and whether it asks, of each engram that is there."""
    rows = db.among(
        "SELECT id, source, position, speaker, length(text), instr(text, '?') > 0 FROM engrams WHERE id IN ({})", ids
    )
    return {i: Brief(source, position, speaker, size, bool(asks)) for i, source, position, speaker, size, asks in rows}


def select(db: Database, condition: str, values: Sequence[Any]) -> list[Engram]:
    """Engrams that meet an SQL condition, oldest first."""
    return [_engram(r) for r in db.rows(f"SELECT {FIELDS} FROM engrams WHERE {condition} ORDER BY row", values)]


def replay(db: Link) -> dict[int, tuple[Engram, int | None]]:
    """What the event log says there is: row -> engram and the checksum of its vector."""
    state: dict[int, dict[str, Any]] = {}
    sums: dict[int, int | None] = {}
    for kind, row, payload in db.rows("SELECT kind, row, payload FROM events WHERE row IS NOT NULL ORDER BY seq"):
        content = from_json(payload)
        if kind == "added":
            state[row], sums[row] = content["engram"], content.get("vector")
        elif kind == "changed" and row in state:
            state[row].update(content)
        elif kind == "vector" and row in state:
            sums[row] = content["vector"]
    return {row: (Engram(**fields), sums[row]) for row, fields in state.items()}


def refill(db: Database, engrams: dict[int, Engram]) -> None:
    """Write the table of engrams anew from `engrams` (row -> engram)."""
    db.execute("DELETE FROM engrams")
    db.executemany(
        _INSERT,
        ((r, digest(e), seconds(e.valid_from), seconds(e.valid_to), *_columns(e)) for r, e in sorted(engrams.items())),
    )


def payload(engram: Engram) -> str:
    """An engram as JSON; `BadInput` for what cannot be stored: no words, NUL characters, lone surrogates."""
    try:
        text = engram.model_dump_json()
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise BadInput(f"engram {engram.id!r} cannot be stored: {error}; give plain text and JSON values") from error
    if "\\u0000" in text:
        for name in ("id", "text", "source", "speaker", "owner", "question", "answer", "key"):
            if "\0" in (getattr(engram, name) or ""):
                raise BadInput(f"the {name} of engram {engram.id!r} holds a NUL character; give text, not bytes")
    if not engram.text.strip():
        raise BadInput(f"engram {engram.id!r} has an empty text; give it some words")
    return text


def _columns(e: Engram) -> tuple[Any, ...]:
    metadata = to_json(e.metadata, inf_nan_mode="null").decode()
    return (
        *(e.id, e.text, e.source, e.position, e.speaker, e.owner, e.at, e.valid_from, e.valid_to, e.created, e.state),
        *(",".join(e.forms), e.version, e.question, e.answer, e.key, ",".join(e.parents), metadata),
    )


def _engram(row: Sequence[Any]) -> Engram:
    fields = dict(zip(_NAMES, row, strict=True))
    for name in LISTS:
        fields[name] = tuple(f for f in fields[name].split(",") if f)
    fields["metadata"] = from_json(fields["metadata"])
    return Engram(**fields)


def _refuse_used(db: Database, ids: list[str]) -> None:
    repeated = len(set(ids)) < len(ids) and next(i for n, i in enumerate(ids) if i in ids[:n])
    used = db.among("SELECT id FROM engrams WHERE id IN ({})", ids)
    if repeated or used:
        raise BadInput(f"the id {repeated or used[0][0]!r} is taken by other content; give each engram its own id")
