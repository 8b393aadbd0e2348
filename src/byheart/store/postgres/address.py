"""Where a memory is in PostgreSQL: a URL, with the schema's name after `#`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from byheart.core.errors import BadInput

SCHEMES = ("postgresql://", "postgres://")
_NAME = re.compile(r"(?!pg_)[A-Za-z_][A-Za-z0-9_-]{0,62}")
_TAKEN = ("public", "information_schema")


@dataclass(frozen=True)
class Address:
    """A database's URL as libpq takes it, and the schema of a single memory there.

    >>> address = Address.read("postgresql://ann:secret@host/db?connect_timeout=5#brain")
    >>> address.schema, address.public
    ('brain', 'postgresql://ann@host/db?connect_timeout=5#brain')
    """

    url: str
    schema: str

    @classmethod
    def read(cls, text: str) -> Address:
        """From `postgresql://user:password@host/database?option=value#schema`; without a name the schema is `byheart`.

        A URL without a password is fine: libpq takes it from `PGPASSWORD` or `~/.pgpass`.
        """
        url, _, name = text.partition("#")
        name = unquote(name) or "byheart"
        if not url.startswith(SCHEMES):
            raise BadInput(f"{text!r} is no PostgreSQL address; write postgresql://user@host/database#name")
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise BadInput(
                f"{name!r} cannot name a memory's schema; use letters, digits, _ and -, at most 63, not beginning "
                "with pg_, and neither 'public' nor 'information_schema'"
            )
        return cls(url, name)

    @property
    def public(self) -> str:
        """The whole address without its password, to be shown and stored."""
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if k != "password"], quote_via=quote, safe="/")
        shown = urlunsplit((parts.scheme, f"{user.split(':')[0]}{at}{host}", parts.path, query, self.schema))
        # a host left to the query makes netloc empty, and urlunsplit then drops the two slashes
        return shown if shown.startswith(SCHEMES) else shown.replace(":", "://", 1)
