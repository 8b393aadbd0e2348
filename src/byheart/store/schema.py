"""The tables of `memory.db`, format 2, and how earlier formats become it.

`events` is the truth; `engrams` and `words` (the full-text index) are made from it, `vectors` hold
the embeddings by row. The setting `index` names the index files. Row numbers are never used twice,
so that a reader only has to fetch rows above the last it knows.
"""

APPLICATION = 0x656E6772
FORMAT = 2

TABLES = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('added', 'changed', 'vector', 'erased', 'rebuilt')),
    row INTEGER,
    engram TEXT,
    at TEXT NOT NULL,
    payload TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX events_row ON events (row);
CREATE INDEX events_late ON events (row) WHERE kind = 'vector';

CREATE TABLE engrams (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    source TEXT,
    position INTEGER NOT NULL,
    speaker TEXT,
    owner TEXT,
    at TEXT,
    valid_from TEXT,
    valid_to TEXT,
    starts REAL,
    ends REAL,
    created TEXT NOT NULL,
    state TEXT NOT NULL,
    forms TEXT NOT NULL,
    version TEXT,
    metadata TEXT NOT NULL,
    question TEXT,
    answer TEXT,
    key TEXT,
    parents TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL,
    live INTEGER GENERATED ALWAYS AS (state = 'active' AND instr(forms, 'text') > 0) VIRTUAL
);
CREATE INDEX engrams_digest ON engrams (digest);
CREATE INDEX engrams_source ON engrams (source, position);
CREATE INDEX engrams_key ON engrams (key) WHERE key IS NOT NULL;
CREATE INDEX engrams_owner ON engrams (owner) WHERE owner IS NOT NULL;
CREATE INDEX engrams_dead ON engrams (row) WHERE live = 0;
CREATE INDEX engrams_timed ON engrams (row) WHERE starts IS NOT NULL OR ends IS NOT NULL;

CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'engrams', content_rowid = 'row', tokenize = 'porter unicode61'
);

CREATE TABLE vectors (
    row INTEGER PRIMARY KEY REFERENCES engrams (row) DEFERRABLE INITIALLY DEFERRED,
    vector BLOB NOT NULL
);

CREATE TABLE versions (place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, payload TEXT NOT NULL);

CREATE TABLE items (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    version TEXT,
    engram TEXT REFERENCES engrams (id) DEFERRABLE INITIALLY DEFERRED,
    payload TEXT NOT NULL
);
CREATE INDEX items_engram ON items (engram);

CREATE TABLE lessons (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL,
    engram TEXT NOT NULL REFERENCES engrams (id) DEFERRABLE INITIALLY DEFERRED,
    payload TEXT NOT NULL
);
CREATE INDEX lessons_version ON lessons (version);
CREATE INDEX lessons_engram ON lessons (engram);

CREATE TABLE results (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL,
    exam TEXT NOT NULL,
    item TEXT NOT NULL,
    seed INTEGER NOT NULL,
    engram TEXT,
    payload TEXT NOT NULL,
    UNIQUE (version, exam, item, seed)
);
CREATE INDEX results_engram ON results (engram);
CREATE INDEX results_item ON results (item);

CREATE TABLE certificates (place INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL);
"""

CHANGES = {
    1: (
        "ALTER TABLE engrams ADD COLUMN key TEXT",
        "ALTER TABLE engrams ADD COLUMN parents TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX events_late ON events (row) WHERE kind = 'vector'",
        "CREATE INDEX engrams_key ON engrams (key) WHERE key IS NOT NULL",
        "CREATE INDEX engrams_owner ON engrams (owner) WHERE owner IS NOT NULL",
    ),
}
"""The statements that turn each format into the next."""
