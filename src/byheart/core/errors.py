"""Errors a user can act on: each names the value, the limit and the next thing to try."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ByheartError(Exception):
    """Base of every error that is the caller's to mend; the command line prints it and exits 2."""


class BadInput(ByheartError):
    """The input cannot be used: missing, empty, binary, malformed."""


class Unknown(ByheartError):
    """A name that is not in the catalogue, in the folder or on the hub."""

    @classmethod
    def name(cls, kind: str, name: str, known: Iterable[str], look: str) -> Unknown:
        """Build the message, with the nearest known names as a suggestion.

        >>> str(Unknown.name("strategy", "ewcc", ["ewc", "lwf"], "byheart methods"))
        "no strategy 'ewcc'; did you mean 'ewc'? (list them: byheart methods)"
        """
        near = get_close_matches(name, list(known), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ";"
        return cls(f"no {kind} {name!r}{hint} (list them: {look})")


class Conflict(ByheartError):
    """Two parts claim the same thing, for example two strategies the same objective."""


class Busy(ByheartError):
    """Another process holds the folder for a change of weights."""


class Newer(ByheartError):
    """The folder was written by a newer byheart than this one."""


class Full(ByheartError):
    """The disk has no room; nothing was changed."""


class Damaged(ByheartError):
    """Stored data does not match its checksum or its index."""
