"""The tables of a memory's schema, format 1.

`events` is the truth, in the form the SQLite store has it. `engrams` and `postings` are made from it:
an engram's whole record is JSON in `payload`, beside it stands what queries ask for (`facets` holds
fields and, after a dot, metadata keys). `vectors` hold the embeddings by row, `totals` what BM25
needs to know of the whole and the last row number, which is never used twice. `turn` is empty: who
writes holds its lock.

Content is stored as it is written, without compression and without samples of it in the planner's
statistics, so that it can be erased and its absence be shown.
"""

FORMAT = 1

TABLES = """
CREATE TABLE about (format INT NOT NULL);
CREATE TABLE turn ();
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('added', 'changed', 'vector', 'erased', 'rebuilt')),
    row BIGINT,
    engram TEXT,
    at TEXT NOT NULL,
    payload TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX events_row ON events (row);
CREATE INDEX events_erased ON events (engram) WHERE kind = 'erased';

CREATE TABLE engrams (
    row BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    digest BYTEA NOT NULL,
    source TEXT,
    position BIGINT NOT NULL,
    state TEXT NOT NULL,
    forms TEXT NOT NULL,
    live BOOLEAN GENERATED ALWAYS AS (state = 'active' AND strpos(forms, 'text') > 0) STORED,
    starts FLOAT8,
    ends FLOAT8,
    facets JSONB NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX engrams_digest ON engrams (digest);
CREATE INDEX engrams_source ON engrams (md5(source), position);
CREATE INDEX engrams_facets ON engrams USING gin (facets jsonb_path_ops);
CREATE INDEX engrams_key ON engrams ((facets ->> 'key')) WHERE facets ->> 'key' IS NOT NULL;
CREATE INDEX engrams_hidden ON engrams (row) WHERE NOT live OR starts IS NOT NULL OR ends IS NOT NULL;

CREATE TABLE postings (
    term TEXT NOT NULL,
    row BIGINT NOT NULL,
    count INT NOT NULL,
    length INT NOT NULL,
    PRIMARY KEY (term, row) INCLUDE (count, length)
);
CREATE TABLE totals (engrams BIGINT NOT NULL, length BIGINT NOT NULL, row BIGINT NOT NULL);
INSERT INTO totals VALUES (0, 0, 0);

CREATE TABLE vectors (row BIGINT PRIMARY KEY, vector vector NOT NULL);

CREATE TABLE versions (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE, payload TEXT NOT NULL
);

CREATE TABLE items (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    version TEXT,
    engram TEXT REFERENCES engrams (id) DEFERRABLE INITIALLY DEFERRED,
    payload TEXT NOT NULL
);
CREATE INDEX items_engram ON items (engram);

CREATE TABLE lessons (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version TEXT NOT NULL,
    engram TEXT NOT NULL REFERENCES engrams (id) DEFERRABLE INITIALLY DEFERRED,
    payload TEXT NOT NULL
);
CREATE INDEX lessons_version ON lessons (version);
CREATE INDEX lessons_engram ON lessons (engram);

CREATE TABLE results (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version TEXT NOT NULL,
    exam TEXT NOT NULL,
    item TEXT NOT NULL,
    seed INT NOT NULL,
    engram TEXT,
    payload TEXT NOT NULL,
    UNIQUE (version, exam, item, seed)
);
CREATE INDEX results_engram ON results (engram);
CREATE INDEX results_item ON results (item);

CREATE TABLE certificates (place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload TEXT NOT NULL)
"""

CONTENT = {
    "settings": ("key", "value"),
    "events": ("engram", "payload"),
    "engrams": ("id", "digest", "source", "facets", "payload"),
    "postings": ("term",),
    "vectors": ("vector",),
    "versions": ("id", "payload"),
    "items": ("id", "version", "engram", "payload"),
    "lessons": ("version", "engram", "payload"),
    "results": ("version", "exam", "item", "engram", "payload"),
    "certificates": ("payload",),
}
"""The columns with a user's words: stored as they are, and left out of the planner's statistics."""

ANEW = {
    **{t: ("payload", "text", "payload || ''") for t in CONTENT if "payload" in CONTENT[t]},
    "settings": ("value", "text", "value || ''"),
    "postings": ("count", "int", "count + 0"),
    "vectors": ("row", "bigint", "row + 0"),
}
"""A column of each table with content, its type, and an expression that leaves it as it is: to write the table anew."""


def statements() -> list[str]:
    """Everything that makes a schema, in order."""
    plain = [
        f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL, ALTER COLUMN {column} SET STATISTICS 0"
        for table, columns in CONTENT.items()
        for column in columns
    ]
    return [*TABLES.split(";\n"), *plain, f"INSERT INTO about VALUES ({FORMAT})"]
