"""Searching bytes for strings: as stored text, as stored JSON, and as whole words."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json


def forms(texts: Sequence[str]) -> list[tuple[str, bytes]]:
    """Each string with every way it may be written: as it is, in lower case, in UTF-16, escaped as in JSON."""
    return [
        (t, f) for t in texts for f in sorted({t.encode(), t.lower().encode(), t.encode("utf-16-le"), to_json(t)[1:-1]})
    ]


def stands(content: bytes, form: bytes) -> bool:
    """Whether it occurs, and not inside a longer word or number: 1939 does not occur in a checksum.

    >>> stands(b"in 1939.", b"1939"), stands(b"f1939a", b"1939")
    (True, False)
    """
    at = content.find(form)
    while at >= 0:
        before, after = content[at - 1 : at], content[at + len(form) : at + len(form) + 1]
        if not (before.isalnum() and form[:1].isalnum()) and not (after.isalnum() and form[-1:].isalnum()):
            return True
        at = content.find(form, at + 1)
    return False
