"""Erasing from PostgreSQL: out of the tables, out of their files, out of the server's log; and what is left to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from byheart.core.errors import BadInput, Busy, ByheartError, Full, Unknown
from byheart.store import history
from byheart.store.erase import DUE, SHORT, empty_details
from byheart.store.events import now
from byheart.store.postgres.events import log, read
from byheart.store.postgres.schema import ANEW, CONTENT
from byheart.store.postgres.server import Server
from byheart.store.postgres.terms import Terms
from byheart.store.trace import forms, stands

_CHUNK = 1 << 24
_ROUNDS = 256


def erase(db: Server, terms: Terms, ids: Sequence[str]) -> None:
    """Delete engrams with everything stored about them; the log keeps their ids alone. `scrub` must follow."""
    with db.transaction():
        ids = list(dict.fromkeys(ids))
        stored = db.among("SELECT id, row, payload FROM engrams WHERE id IN ({})", ids)
        erased = "SELECT engram FROM events WHERE kind = 'erased' AND engram IN ({})"
        known = {f[0] for f in stored} | {i for (i,) in db.among(erased, ids)}
        for i in ids:
            if i not in known:
                raise Unknown(f"no engram {i!r} in {db.place}, so it cannot be erased (list them: byheart list)")
        if not stored:
            return
        keys, rows = [f[0] for f in stored], [f[1] for f in stored]
        gone = [read(f[2]) for f in stored]
        items = db.among("SELECT id, payload FROM items WHERE engram IN ({})", keys)
        texts = {t for e in gone for t in (e.text, e.question, e.answer) if t} | history.golds(p for _, p in items)
        db.execute("DELETE FROM results WHERE item = ANY (?)", ([i for i, _ in items],))
        for table in ("results", "lessons", "items"):
            db.execute(f"DELETE FROM {table} WHERE engram = ANY (?)", (keys,))
        for table in ("vectors", "events", "engrams"):
            db.execute(f"DELETE FROM {table} WHERE row = ANY (?)", (rows,))
        empty_details(db, [t for t in texts if len(t) >= SHORT])
        history.unlearn(db)
        counts = terms.count([e.indexed for e in gone])
        stems = sorted({term for counted in counts for term, _ in counted})
        db.execute("DELETE FROM postings WHERE term = ANY (?) AND row = ANY (?)", (stems, rows))
        length = sum(n for counted in counts for _, n in counted)
        db.execute("UPDATE totals SET engrams = engrams - ?, length = length - ?", (len(rows), length))
        stamp = now()
        log(db, [("erased", None, key, stamp, "{}") for key in keys])
        history.set_setting(db, DUE, True)


def scrub(db: Server) -> None:
    """Write the tables anew from what is alive, then move the server's log past every old byte.

    VACUUM FULL would copy dead rows along while any transaction in the database might still see them;
    a change of a column's type copies live rows only, and so is made, to the type that it has. The
    old file goes with the next checkpoint. The log's finished segments get new names and are
    overwritten later, which is done here: each switch fills the rest of a segment with zeros. Turning
    the log needs a superuser; `unseen` says when it could not be done. Raises `Busy` when another
    process reads for longer than the patience, `Full` without room.
    """
    try:
        for table, (column, kind, same) in ANEW.items():
            with db.transaction():
                db.execute("SET LOCAL maintenance_work_mem = '512MB'")
                db.execute("SET LOCAL max_parallel_maintenance_workers = 0")
                storage = f", ALTER COLUMN {column} SET STORAGE EXTERNAL" if kind == "text" else ""
                db.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind} USING {same}{storage}")
    except Busy as error:
        raise Busy(
            f"another process is reading {db.place}; close it, then open the memory again to drop old bytes"
        ) from error
    except Full as error:
        raise Full(f"erased, but {db.place} needs as much free space as its own size to drop old bytes") from error
    db.execute(f"ANALYZE {', '.join(ANEW)}")
    turn_log(db)
    history.set_setting(db, DUE, False)


def turn_log(db: Server) -> None:
    """Leave no segment of the server's log that has not been removed or written over, if this role may."""
    if not _superuser(db):
        return
    db.rows("SELECT pg_switch_wal()")
    db.execute("CHECKPOINT")
    last = _segments(db)[-1]
    for _ in range(_ROUNDS):
        if db.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())") > last:
            break
        db.rows("SELECT pg_logical_emit_message(false, 'byheart', '')")
        db.rows("SELECT pg_switch_wal()")
    db.execute("CHECKPOINT")


def _segments(db: Server) -> list[str]:
    """The files of the server's log, oldest first; those after the current file wait to be written over."""
    return [n for (n,) in db.rows("SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' ORDER BY name")]


def traces(db: Server, texts: Sequence[str]) -> list[tuple[str, str]]:
    """(file or table, string) where these strings stand.

    The tables are read as they are; a superuser's connection reads the server's files too: those of
    this schema's tables and indexes, the statistics, and the log.
    """
    wanted = forms(texts)
    places: set[tuple[str, str]] = set()
    for table, columns in CONTENT.items():
        shown = ", ".join(f"{c}::text" for c in columns if c not in ("vector", "digest"))
        if not shown:
            continue
        with db.reading(), db.stream(f"SELECT {shown} FROM {table}") as rows:
            for row in rows:
                content = "\n".join(v for v in row if v).encode()
                places |= {(f"table {table}", t) for t, form in wanted if stands(content, form)}
    for path, content in _files(db) if _superuser(db) else ():
        places |= {(path, t) for t, form in wanted if stands(content, form)}
    return sorted(places)


def _files(db: Server) -> Iterator[tuple[str, bytes]]:
    """The server's files that may hold this memory's content, in overlapping pieces."""
    paths = [
        p
        for (p,) in db.rows(
            "WITH mine AS (SELECT c.oid, c.reltoastrelid FROM pg_class AS c WHERE c.relnamespace = to_regnamespace(?)"
            " OR c.oid = 'pg_statistic'::regclass), whole AS (SELECT oid FROM mine UNION SELECT reltoastrelid FROM mine"
            " UNION SELECT i.indexrelid FROM pg_index AS i JOIN mine ON i.indrelid IN (mine.oid, mine.reltoastrelid))"
            " SELECT pg_relation_filepath(oid) FROM whole WHERE oid <> 0 AND pg_relation_filepath(oid) IS NOT NULL",
            (f'"{db.address.schema}"',),
        )
    ]
    more = []
    for path in paths:
        part = 1
        while db.value("SELECT (pg_stat_file(?, true)).size", (f"{path}.{part}",)) is not None:
            more.append(f"{path}.{part}")
            part += 1
    for path in [*paths, *more, *(f"pg_wal/{name}" for name in _segments(db))]:
        at = 0
        while True:
            content = db.value("SELECT pg_read_binary_file(?, ?, ?, true)", (path, at, _CHUNK + 4096))
            if not content:
                break
            yield path, content
            at += _CHUNK
            if len(content) < _CHUNK:
                break


def unseen(db: Server) -> list[str]:
    """Where erased content may be that no statement of ours reaches, in words, each with what to do.

    Copies that the server does not know of (base backups, dumps, snapshots of its disk) are never in
    this list: nobody can see them from here.
    """
    reasons = []
    if not _superuser(db):
        reasons.append(
            "the server's log and files: this role may not read or turn them; "
            "let a superuser run `byheart store scrub` on this memory"
        )
    settings = dict(db.rows("SELECT name, setting FROM pg_settings"))
    if settings["archive_mode"] != "off":
        reasons.append("the archive of the server's log (archive_mode is on): remove archived segments up to now")
    if settings.get("wal_keep_size", "0") != "0":
        reasons.append(
            f"segments of the log that wal_keep_size ({settings['wal_keep_size']} MB) keeps: they go in time"
        )
    slots = [s for (s,) in db.rows("SELECT slot_name::text FROM pg_replication_slots ORDER BY 1")]
    if slots:
        reasons.append(f"what replication slots hold back or have sent on ({', '.join(slots)}): bring their readers up")
    with suppress(ByheartError):
        if db.value("SELECT count(*) FROM pg_stat_replication"):
            reasons.append("replicas: they erase when they replay it; see that they have")
    loud = settings["log_statement"] != "none" or settings["log_min_duration_statement"] != "-1"
    if loud:
        reasons.append(
            "the server's text log (log_statement or log_min_duration_statement is on): delete what it wrote"
        )
    return reasons


def _superuser(db: Server) -> bool:
    try:
        return bool(db.value("SELECT current_setting('is_superuser') = 'on'"))
    except BadInput:
        return False
