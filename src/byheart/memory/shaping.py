"""Several engrams as one, one as several: what is made keeps its parents, what it replaces is history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.memory import access
from byheart.memory.remembering import keep
from byheart.memory.sources import identity

if TYPE_CHECKING:
    from byheart.memory.parts import Parts


def compose(memory: Parts, ids: Sequence[str], text: str | None) -> Engram:
    """One engram that says what several say, beside them; see `Memory.compose`."""
    made = _joined(memory, _active(memory, ids, 2), text)
    with memory.store.transaction():
        return _stored(memory, [made])[0]


def merge(memory: Parts, ids: Sequence[str], text: str | None) -> Engram:
    """One engram in the place of several; see `Memory.merge`."""
    parts = _active(memory, ids, 2)
    keys = list(dict.fromkeys(e.key for e in parts if e.key is not None))
    if len(keys) > 1:
        names = ", ".join(map(repr, keys))
        raise BadInput(f"they are about different matters (keys {names}); give engrams about one, or use compose")
    made = _joined(memory, parts, text).model_copy(update={"key": keys[0] if keys else None})
    with memory.store.transaction():
        memory.store.update([e.id for e in parts], state="superseded", valid_to=made.created)
        return _stored(memory, [made])[0]


def split(memory: Parts, id: str, texts: Sequence[str] | None) -> list[Engram]:
    """Several engrams in the place of one; see `Memory.split`."""
    from byheart.recall.write.atomic_facts import AtomicFacts

    whole = _active(memory, [id], 1)[0]
    if texts is None:
        texts = [op.engram.text for op in AtomicFacts().write([whole.text]) if op.engram is not None]
    texts = list(dict.fromkeys(texts))
    if len(texts) < 2:
        raise BadInput(f"engram {whole.id} says one thing; give texts= with what it is to become")
    if not all(t.strip() for t in texts):
        raise BadInput("one of the texts is empty; give texts that say something")
    now = memory.now()
    plain = {"question": None, "answer": None, "key": None, "version": None, "forms": ("text",), "created": now}
    parts = [
        whole.model_copy(update={**plain, "id": identity(t, whole.id), "text": t, "parents": (whole.id,)})
        for t in texts
    ]
    with memory.store.transaction():
        memory.store.update([whole.id], state="superseded", valid_to=now)
        return _stored(memory, parts)


def _active(memory: Parts, ids: Sequence[str], least: int) -> list[Engram]:
    engrams = access.changeable(memory, memory.store.get(list(dict.fromkeys(ids))))
    if len(engrams) < least:
        raise BadInput(f"{len(engrams)} engrams were given; give {least} or more")
    for e in engrams:
        if e.state != "active":
            raise BadInput(f"engram {e.id} is {e.state}, not active; give engrams that hold")
    owners = {e.owner for e in engrams}
    if len(owners) > 1:
        raise BadInput(f"they belong to different owners ({', '.join(sorted(map(str, owners)))}); give one owner's")
    return engrams


def _joined(memory: Parts, parts: Sequence[Engram], text: str | None) -> Engram:
    """What several say as one, in the order given; what they agree on is kept, what not is left out."""
    if text is not None and not text.strip():
        raise BadInput("the text is empty; give what the engrams say together, or none")
    joined = text or "\n".join(dict.fromkeys(e.text for e in parts))
    created = memory.now()
    return Engram(
        id=identity(joined, "+".join(e.id for e in parts)),
        text=joined,
        source=_agreed([e.source for e in parts]),
        speaker=_agreed([e.speaker for e in parts]),
        position=min(e.position for e in parts),
        owner=parts[0].owner,
        at=_agreed([e.at for e in parts]),
        created=created,
        valid_from=created,
        parents=tuple(e.id for e in parts),
        metadata={k: v for k, v in parts[0].metadata.items() if all(e.metadata.get(k) == v for e in parts)},
    )


def _agreed(values: Sequence[str | None]) -> str | None:
    return values[0] if len(set(values)) == 1 else None


def _stored(memory: Parts, engrams: Sequence[Engram]) -> list[Engram]:
    return keep(memory, engrams, memory.embed([e.indexed for e in engrams]))
