"""The words of a text, stemmed exactly as the SQLite store stems them: by SQLite itself, in memory."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from hashlib import blake2b

_LONGEST = 200


class Terms:
    """SQLite's tokenizer `porter unicode61`, used on its own.

    PostgreSQL's parser and stemmer differ from it (hyphens, addresses, Porter's second algorithm), so
    the same query would rank differently in the two stores. Any thread may call.

    >>> Terms().count(["The ferries leave; a ferry waits."])
    [[('a', 1), ('ferri', 2), ('leav', 1), ('the', 1), ('wait', 1)]]
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._link.execute("CREATE VIRTUAL TABLE words USING fts5 (text, content = '', tokenize = 'porter unicode61')")
        self._link.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, instance)")

    def count(self, texts: Sequence[str]) -> list[list[tuple[str, int]]]:
        """For each text its terms and how often each occurs; a term too long for an index is its hash."""
        counts: list[list[tuple[str, int]]] = [[] for _ in texts]
        with self._lock:
            self._link.execute("BEGIN")
            self._link.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(texts))
            for term, place, count in self._link.execute(
                "SELECT term, doc, count(*) FROM vocabulary GROUP BY doc, term ORDER BY doc, term"
            ):
                counts[place].append((_short(term), count))
            self._link.execute("ROLLBACK")
        return counts

    def close(self) -> None:
        """Give the memory back."""
        self._link.close()


def _short(term: str) -> str:
    encoded = term.encode()
    return term if len(encoded) <= _LONGEST else blake2b(encoded, digest_size=32).hexdigest()
