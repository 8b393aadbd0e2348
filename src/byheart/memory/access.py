"""Whose engrams may be read and changed when a memory is opened for one owner.

What has no owner is everyone's to read. An owner reads and changes what is its own, and what others granted it. Weights
hold what everyone taught, so they are neither asked nor taught for one owner. This is a filter on one index, whose
word statistics all owners share: tenants who must not know of each other are namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from byheart.core.errors import BadInput, Unknown
from byheart.core.records import Engram, State

if TYPE_CHECKING:
    from byheart.memory.parts import Parts

Right = Literal["read", "write"]
GRANTS = "grants"


def grant(memory: Parts, to: str, right: Right | None) -> None:
    """Let another owner read, or change too, what is this owner's; None takes the right back."""
    if memory.owner is None:
        raise BadInput("this memory is open for everyone; open it with owner= to grant what is that owner's")
    if right not in ("read", "write", None):
        raise BadInput(f"right={right!r}; give 'read', 'write' or None")
    if not to or to == memory.owner:
        raise BadInput(f"to={to!r}; name another owner")
    with memory.store.transaction():
        grants = memory.store.setting(GRANTS, {})
        own = {k: v for k, v in grants.get(memory.owner, {}).items() if k != to}
        memory.store.set_setting(GRANTS, {**grants, memory.owner: own | ({to: right} if right else {})})


def granted(memory: Parts) -> dict[str, Right]:
    """To whom this owner has granted what."""
    grants: dict[str, Right] = memory.store.setting(GRANTS, {}).get(memory.owner or "", {})
    return grants


def readable(memory: Parts) -> tuple[str | None, ...] | None:
    """The owners whose engrams may be read; None for all."""
    if memory.owner is None:
        return None
    return (None, memory.owner, *_granted(memory, ("read", "write")))


def seen(memory: Parts, where: dict[str, Any] | None) -> dict[str, Any] | None:
    """A filter narrowed to what may be read."""
    owners = readable(memory)
    if owners is None:
        return where
    if where is None or "owner" not in where:
        return {**(where or {}), "owner": owners}
    if where["owner"] not in owners:
        raise Unknown(f"nothing of owner {where['owner']!r} may be read for {memory.owner!r}; ask without owner")
    return where


def visible(memory: Parts, engrams: Iterable[Engram]) -> list[Engram]:
    """Those that may be read."""
    owners = readable(memory)
    return [e for e in engrams if owners is None or e.owner in owners]


def changeable(memory: Parts, engrams: Iterable[Engram]) -> list[Engram]:
    """These engrams, if all may be changed; `Unknown` for one that may not be read, `BadInput` for one that may."""
    wanted = list(engrams)
    if memory.owner is None:
        return wanted
    owners = (memory.owner, *_granted(memory, ("write",)))
    for e in wanted:
        if e.owner not in owners:
            if not visible(memory, [e]):
                raise Unknown(f"no engram {e.id!r} here (list them: byheart list)")
            raise BadInput(f"engram {e.id} may not be changed by {memory.owner!r}; ask its owner to grant 'write'")
    return wanted


def owned(memory: Parts, drafts: list[Engram]) -> list[Engram]:
    """New engrams under the owner that the memory is open for; another's are refused."""
    if memory.owner is None:
        return drafts
    for d in drafts:
        if d.owner not in (None, memory.owner):
            raise BadInput(f"this memory is open for {memory.owner!r}, not for {d.owner!r}; leave owner out")
    return [d.model_copy(update={"owner": memory.owner}) for d in drafts]


def listed(memory: Parts, state: State | None, source: str | None, limit: int | None) -> list[Engram]:
    """What may be read of a state and a source, newest first; see `Memory.engrams`."""
    if limit is not None and limit < 1:
        raise BadInput(f"limit is {limit}; list at least one engram, or give no limit")
    if memory.owner is None:
        return memory.store.all(state, source=source, newest=limit)[::-1]
    return visible(memory, memory.store.all(state, source=source)[::-1])[:limit]


def refuse_weights(memory: Parts, verb: str) -> None:
    """Weights hold what everyone taught."""
    if memory.owner is not None:
        raise BadInput(f"{verb} is about weights, which are everyone's; open the memory without owner=")


def _granted(memory: Parts, rights: tuple[str, ...]) -> list[str]:
    grants: dict[str, dict[str, str]] = memory.store.setting(GRANTS, {})
    return [owner for owner, given in grants.items() if given.get(memory.owner or "") in rights]
