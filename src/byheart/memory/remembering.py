"""`remember` as a transaction: what is new is kept, what it makes untrue becomes history."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from byheart.core import catalogue
from byheart.core.errors import BadInput, Unknown
from byheart.core.records import Engram, Op, State
from byheart.memory import access
from byheart.memory.pairs import is_pairs, pairs_of
from byheart.memory.sources import drafted, identity, is_engrams, named
from byheart.recall.update.keep_me_updated import KeepMeUpdated
from byheart.recall.update.present import Present
from byheart.store.current import settle
from byheart.store.events import digest, seconds

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

Vectors = NDArray[np.float32]


def remember(
    memory: Parts, source: Any, drafts: Sequence[Engram], *, update: str | None, progress: Progress | None
) -> list[Engram]:
    """Store drafts with their vectors and settle what is current, in one transaction; see `Memory.remember`."""
    if not drafts:
        return []
    updater = None if update is None else made(memory, update, "updater", "reconcile")
    vectors = _embedded(memory, drafts, progress)
    present = Present(memory.store)
    if isinstance(updater, KeepMeUpdated):
        _placed(memory, updater, present, drafts, vectors, progress)
    elif updater is not None:
        ops = updater.reconcile(
            memory.store, [Op(kind="add", engram=d) for d in drafts], memory.embedder, memory.endpoint
        )
        _taken(memory, present, ops)
    if updater is not None:
        new = [n for n, op in enumerate(present.ops) if op.engram is not None and op.kind != "pass"]
        drafts = [e for n in new if (e := present.ops[n].engram) is not None]
        vectors = np.array([present.vectors[n] for n in new], np.float32)
    ended = [op.target for op in present.ops if op.target is not None and (op.kind == "delete" or _retold(memory, op))]
    with memory.store.transaction():
        for target in memory.store.find(list(present.keys)):
            memory.store.update([target], key=present.keys[target])
        memory.store.update(list(memory.store.find(ended)), state="superseded", valid_to=memory.now())
        stored = keep(memory, drafts, vectors) if drafts else []
        _reread(memory, source, stored)
        return memory.store.get([e.id for e in stored])


def _retold(memory: Parts, op: Op) -> bool:
    """Whether an engram takes the place of one with the same words, which the store would take for the same."""
    if op.kind != "replace" or op.engram is None or op.target is None:
        return False
    old = memory.store.find([op.target]).get(op.target)
    return old is not None and (old.text, old.source, old.owner) == (op.engram.text, op.engram.source, op.engram.owner)


def written(memory: Parts, source: Any, writer: str | None, progress: Progress | None) -> list[Engram]:
    """What a source says, as engrams not yet stored, by the writer of this name; pairs and engrams are what they are.

    Where the model is an endpoint, a writer asks it; else rules write. One whose business are pairs is given them.
    """
    if writer is None or writer == "chunks" or is_engrams(source):
        return drafted(source, memory.now())
    method = made(memory, writer, "writer", "write")
    if is_pairs(source) and not getattr(method, "takes_pairs", False):
        return drafted(source, memory.now())
    ops = method.write(pairs_of(source) if is_pairs(source) else source, memory.endpoint)
    if progress:
        progress("writing", len(ops), len(ops))
    return [named(op.engram, memory.now()) for op in ops if op.engram is not None]


def made(memory: Parts, name: str, kind: str, verb: str) -> Any:
    """A method of the catalogue that serves here; `Unknown` or `BadInput` else."""
    method = memory.methods.get(name)
    if catalogue.entry(name).kind != kind or not hasattr(method, verb):
        known = [e.name for e in catalogue.methods() if e.kind == kind and hasattr(catalogue.load(e.name), verb)]
        raise BadInput(f"{name} is no {kind} that serves here; choose one of {', '.join(known)}")
    return method


def keep(memory: Parts, drafts: Sequence[Engram], vectors: Vectors) -> list[Engram]:
    """Add drafts and settle what is current of their keys; call it inside a transaction."""
    stored: list[Engram] = []
    for start, end in _runs(memory, drafts):
        part, keyless = _renamed(memory, [_dated(memory, d) for d in drafts[start:end]])
        added = memory.store.add(part, vectors[start:end])
        settle(memory.store, added)
        for engram_id, since in keyless.items():
            memory.store.update([engram_id], state="superseded", valid_to=since)
        stored += added
    note_speakers(memory, drafts)
    return stored


def note_speakers(memory: Parts, engrams: Sequence[Engram]) -> None:
    """Have a memory know that it holds what somebody said, which is searched in another way."""
    if any(e.speaker for e in engrams) and not memory.store.setting("speakers"):
        memory.store.set_setting("speakers", True)


def history(memory: Parts, what: str) -> list[Engram]:
    """What was said under the key of an engram, or under a key, and what that was made from, by when it held."""
    engram = memory.store.find([what]).get(what)
    if engram is None:
        line = memory.store.keyed(what)
    else:
        line = memory.store.keyed(engram.key, engram.owner) if engram.key else [engram]
    line = access.visible(memory, line)
    if not line:
        raise Unknown(f"no engram and no key {what!r} here; look for one with byheart recall QUERY")
    engrams = {e.id: e for e in line}
    while more := list(dict.fromkeys(i for e in engrams.values() for i in e.parents if i not in engrams)):
        parents = memory.store.find(more)
        shown = {e.id: e for e in access.visible(memory, parents.values())}
        engrams = {i: shown[i] for i in more if i in shown} | engrams
        if not shown:
            break
    return sorted(engrams.values(), key=lambda e: seconds(e.since) or 0.0)


def archive(memory: Parts, ids: Sequence[str], *, back: bool) -> list[Engram]:
    """Put engrams out of sight of recall, or bring them back; what is not in the state for it is refused."""
    engrams = access.changeable(memory, memory.store.get(list(ids)))
    state: State = "archived" if back else "active"
    other: State = "active" if back else "archived"
    for e in engrams:
        if e.state != state:
            raise BadInput(f"engram {e.id} is {e.state}, not {state}; give engrams that are {state}")
    with memory.store.transaction():
        changed = memory.store.update(list(ids), state=other)
        settle(memory.store, changed)
        return memory.store.get(list(ids))


def _dated(memory: Parts, draft: Engram) -> Engram:
    """A fact of a key begins when it is said to, and one without a time after all that was told before it.

    So what held earlier can be told apart, and a clock that goes backwards makes no new fact an old one.
    """
    if draft.key is None:
        return draft
    since = [draft.since]
    if draft.at is None and draft.valid_from is None:
        since += [e.since for e in memory.store.keyed(draft.key, draft.owner) if e.state == "active"]
    return draft.model_copy(update={"valid_from": max(since, key=lambda t: seconds(t) or 0.0)})


def _embedded(memory: Parts, drafts: Sequence[Engram], progress: Progress | None) -> Vectors:
    vectors: list[Vectors] = []
    for at in range(0, len(drafts), 256):
        vectors.append(memory.embed([d.indexed for d in drafts[at : at + 256]]))
        if progress:
            progress("embedding", min(at + 256, len(drafts)), len(drafts))
    return np.concatenate(vectors)


def _placed(
    memory: Parts,
    updater: KeepMeUpdated,
    present: Present,
    drafts: Sequence[Engram],
    vectors: Vectors,
    progress: Progress | None,
) -> None:
    """Take in drafts one after the other, under the keys of what they replace."""
    for n, (draft, vector) in enumerate(zip(drafts, vectors, strict=True)):
        op = Op(kind="add", engram=draft) if draft.key else updater.place(present, draft, memory.embedder)
        present.keep(op, vector)
        if progress:
            progress("updating", n + 1, len(drafts))


def _taken(memory: Parts, present: Present, ops: Sequence[Op]) -> None:
    """Take in what an updater made of drafts; what it wrote anew gets an id and a vector of its own."""
    ops = [op if op.engram is None else op.model_copy(update={"engram": named(op.engram)}) for op in ops]
    vectors = memory.embed([op.engram.indexed if op.engram is not None else "" for op in ops])
    for op, vector in zip(ops, vectors, strict=True):
        present.keep(op, vector)


def _runs(memory: Parts, drafts: Sequence[Engram]) -> Iterator[tuple[int, int]]:
    """Parts to store one after the other, so that a fact that is told again after another is stored again.

    What holds when a part begins, or was told in it, would be taken for the same; what is another thing in the same
    words has the same id until the first of them is stored.
    """
    often = Counter((d.key, d.owner) for d in drafts if d.key is not None)
    lines = [memory.store.keyed(key, owner) for (key, owner), times in often.items() if times > 1 and key is not None]
    held = {digest(e) for line in lines for e in line if e.state == "active"}
    start, codes, places, ids = 0, set[bytes](), set[tuple[str, str | None]](), set[str]()
    for n, d in enumerate(drafts):
        code = digest(d)
        again = d.key is not None and (code in codes or (code in held and (d.key, d.owner) in places))
        if again or (code not in codes and d.id in ids):
            yield start, n
            held |= codes
            start, codes, places, ids = n, set(), set(), set()
        codes.add(code)
        ids.add(d.id)
        if d.key is not None:
            places.add((d.key, d.owner))
    yield start, len(drafts)


def _renamed(memory: Parts, drafts: Sequence[Engram]) -> tuple[list[Engram], dict[str, str]]:
    """Drafts whose ids, made of their text, are taken by history or by what is not the same get ids of all they are.

    Also what is told here without a key, and now with one: it makes way from the time on that the fact is told of.
    """
    known = memory.store.find([d.id for d in drafts])
    out: list[Engram] = []
    keyless: dict[str, str] = {}
    for d in drafts:
        holder = known.get(d.id)
        if holder is not None and (holder.state != "active" or digest(holder) != digest(d)):
            if (
                digest(holder) == digest(d.model_copy(update={"key": None, "valid_from": None}))
                and "weights" not in holder.forms
            ):
                keyless[holder.id] = d.since
            whole = [d.text, d.since, d.owner, d.key, d.speaker, d.valid_to]
            d = d.model_copy(update={"id": identity(json.dumps(whole), d.source, d.question, d.answer)})
        out.append(d)
    return out, keyless


def _reread(memory: Parts, source: Any, stored: Sequence[Engram]) -> None:
    """Passages that a file no longer has are history; those that it has stand where it has them."""
    given = source if isinstance(source, list | tuple) else [source]
    for name in {e.source for e in stored if e.source}:
        if not any(isinstance(g, str | Path) and Path(g).as_posix() == name for g in given):
            continue
        now = [e.id for e in stored if e.source == name]
        present = set(now)
        owners = {e.owner for e in stored if e.source == name}
        gone = [e.id for e in memory.store.all(source=name) if e.id not in present and e.owner in owners]
        if gone:
            memory.store.update(gone, state="superseded", valid_to=memory.now())
        for place, e in enumerate(e for e in stored if e.source == name):
            if e.position != place:
                memory.store.update([e.id], position=place)
