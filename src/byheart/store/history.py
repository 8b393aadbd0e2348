"""What learning leaves behind: versions, lessons, exam items and results, certificates, settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from byheart.core.errors import BadInput, Unknown
from byheart.core.records import Certificate, Item, Result, Version
from byheart.store.link import Link

LEARNED = "learned"
"""The setting with the marks of what methods learned from use; what they learned is in settings that begin so."""
_USED = "SELECT payload FROM results WHERE item IN ({}) AND version = '' AND exam = 'used'"


def put_version(db: Link, version: Version) -> None:
    """Write a version, or overwrite the version with its id in place."""
    db.execute(
        "INSERT INTO versions (id, payload) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET payload = excluded.payload",
        (version.id, version.to_json()),
    )


def versions(db: Link) -> list[Version]:
    """All versions, oldest first."""
    return [Version.model_validate_json(p) for (p,) in db.rows("SELECT payload FROM versions ORDER BY place")]


def version(db: Link, name: str) -> Version:
    """The version with this id, or the only version whose id starts with it."""
    known = {v.id: v for v in versions(db)}
    if name in known:
        return known[name]
    fits = [i for i in known if name and i.startswith(name)]
    if len(fits) == 1:
        return known[fits[0]]
    if fits:
        raise Unknown(f"{name!r} fits versions {', '.join(fits)}; write more of it (list them: byheart log)")
    raise Unknown.name("version", name, known, "byheart log")


def put_items(db: Link, version: str | None, items: Iterable[Item]) -> None:
    """Store exam questions; a known id is replaced."""
    db.executemany(
        "INSERT INTO items (id, version, engram, payload) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " version = excluded.version, engram = excluded.engram, payload = excluded.payload",
        [(i.id, version, i.engram, i.to_json()) for i in items],
    )


def items(db: Link, engrams: Sequence[str] | None, version: str | None) -> list[Item]:
    """Exam questions in the order stored; of these engrams, of this version, or all."""
    rows = db.rows(
        "SELECT payload, engram FROM items WHERE CAST(? AS TEXT) IS NULL OR version = ? ORDER BY place", (version,) * 2
    )
    wanted = None if engrams is None else set(engrams)
    return [Item.model_validate_json(p) for p, e in rows if wanted is None or e in wanted]


def golds(payloads: Iterable[str]) -> set[str]:
    """The gold answers of stored exam questions, in every form that counts as right."""
    stored = [Item.model_validate_json(p) for p in payloads]
    return {gold for item in stored for gold in (item.answer, *item.accept)}


def put_lessons(db: Link, version: str, lessons: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Store what a version was trained on, by engram; replaces that version's earlier lessons."""
    rows = [(version, engram, to_json(payload).decode()) for engram, payload in lessons]
    db.execute("DELETE FROM lessons WHERE version = ?", (version,))
    db.executemany("INSERT INTO lessons (version, engram, payload) VALUES (?, ?, ?)", rows)


def lessons(db: Link, version: str) -> list[tuple[str, dict[str, Any]]]:
    """(engram id, lesson) pairs of a version, in the order stored."""
    rows = db.rows("SELECT engram, payload FROM lessons WHERE version = ? ORDER BY place", (version,))
    return [(engram, from_json(payload)) for engram, payload in rows]


def put_results(db: Link, version: str | None, results: Iterable[Result]) -> None:
    """Store exam results; the same version, exam, item and seed replaces what was there."""
    rows = []
    for r in results:
        if not math.isfinite(r.value):
            raise BadInput(f"the result of item {r.item!r} in exam {r.exam!r} is {r.value}; give a finite number")
        result = r.model_copy(update={"version": version or r.version})
        rows.append((result.version or "", r.exam, r.item, r.seed, r.engram, result.to_json()))
    db.executemany(
        "INSERT INTO results (version, exam, item, seed, engram, payload) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (version, exam, item, seed) DO UPDATE SET engram = excluded.engram, payload = excluded.payload",
        rows,
    )


def results(db: Link, version: str | None, exam: str | None) -> list[Result]:
    """Exam results in the order stored; of this version, of this exam, or all."""
    rows = db.rows(
        "SELECT payload FROM results WHERE (CAST(? AS TEXT) IS NULL OR version = ?)"
        " AND (CAST(? AS TEXT) IS NULL OR exam = ?) ORDER BY place",
        (version, version, exam, exam),
    )
    return [Result.model_validate_json(p) for (p,) in rows]


def use(db: Link, times: Mapping[str, int], at: str) -> None:
    """Count uses of engrams; each is a result of the exam "used" without a version."""
    known = {r.item: r for (p,) in db.among(_USED, list(times)) if (r := Result.model_validate_json(p))}
    there = {i for (i,) in db.among("SELECT id FROM engrams WHERE id IN ({})", list(times))}
    rows = []
    for engram in sorted(there):
        count = times[engram] + (known[engram].value if engram in known else 0)
        rows.append(Result(exam="used", item=engram, engram=engram, value=count, detail={"last": at}))
    put_results(db, None, rows)


def uses(db: Link) -> dict[str, tuple[int, str]]:
    """How often each engram was used, and when last."""
    return {r.item: (int(r.value), str(r.detail["last"])) for r in results(db, "", "used")}


def put_certificate(db: Link, certificate: Certificate) -> None:
    """Append a certificate."""
    db.execute("INSERT INTO certificates (payload) VALUES (?)", (certificate.to_json(),))


def certificates(db: Link) -> list[Certificate]:
    """All certificates, oldest first."""
    return [Certificate.model_validate_json(p) for (p,) in db.rows("SELECT payload FROM certificates ORDER BY place")]


def setting(db: Link, key: str, default: Any = None) -> Any:
    """A setting's value, or the default when it was never set."""
    text = db.value("SELECT value FROM settings WHERE key = ?", (key,))
    return default if text is None else json.loads(text)


def set_setting(db: Link, key: str, value: Any) -> None:
    """Keep a JSON value under a key."""
    db.execute(
        "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, json.dumps(value, ensure_ascii=False)),
    )


def unlearn(db: Link) -> None:
    """Drop what methods learned from use: it holds traces of questions and hits, whatever is being erased."""
    db.execute("DELETE FROM settings WHERE key = ? OR key LIKE ?", (LEARNED, f"{LEARNED} %"))
