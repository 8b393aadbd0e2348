"""Keeping facts current: of the engrams with the same key, one holds at any time and the others are its history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from byheart.core.records import Engram
from byheart.store.events import seconds


def settle(store: Any, engrams: Sequence[Engram]) -> list[Engram]:
    """Put what has been added in its place among what has the same key and owner; gives what became history.

    In the order of the times since when each holds (equal times: as added), every engram ends when the next begins,
    unless it ended sooner, and all but the last are superseded. So a fact that is added late, about an earlier time,
    does not push out what is true now. What was archived is left alone. Call it inside the transaction that adds.
    """
    ended: list[Engram] = []
    for key, owner in dict.fromkeys((e.key, e.owner) for e in engrams if e.key is not None):
        line = [e for e in store.keyed(key, owner) if e.state in ("active", "superseded")]
        line.sort(key=lambda e: seconds(e.since) or 0.0)
        for engram, following in pairwise(line):
            until = following.since
            if engram.valid_to is not None and (seconds(engram.valid_to) or 0.0) <= (seconds(until) or 0.0):
                until = engram.valid_to
            if engram.state != "superseded" or engram.valid_to != until:
                ended += store.update([engram.id], state="superseded", valid_to=until)
    return ended
