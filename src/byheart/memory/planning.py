"""What is due: facts to put into weights, to teach again, to put away, to merge, each with the reason.

Text fades with disuse, as Ebbinghaus measured of people and MemoryBank (arXiv:2305.10250) does for assistants: after t
days since it was last used, and u uses, retention is

    R = exp(-t / (FIRST * 2^u))

so every use doubles the time until it is due. Weights do not fade with time but with what is taught after: the rate is
measured on the exams of this very memory,

    R = exp(-m * rate / 2^s),  rate = (lost + PRIOR_LOST) / (lessons between exams, over all pairs of exams + PRIOR)

with m lessons taught since an item was last examined and s exams in a row that it passed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from byheart.core.records import Engram, Learned, Proposal
from byheart.memory.lessons import Lesson, lessons_in
from byheart.recall.read.evidence import content
from byheart.store.base import AnyStore
from byheart.store.events import seconds

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

FIRST = 30.0
FADED = 0.1
HELD = 0.9
OFTEN, SETTLED = 3, 7.0
ALIKE, NEWEST = 0.97, 500
PRIOR_LOST, PRIOR = 1.0, 100.0
DAY = 86_400.0
Uses = dict[str, tuple[int, str]]


class Acting(Protocol):
    """What `carry_out` needs of a memory: its store, and the verbs that proposals are made of."""

    store: AnyStore

    def archive(self, ids: Sequence[str], /) -> list[Engram]: ...

    def merge(self, ids: Sequence[str], text: str, /) -> Engram: ...

    def learn(self, source: Sequence[Engram], /, *, seed: int, progress: Progress | None) -> Learned: ...


def plan(memory: Parts, at: str | None) -> list[Proposal]:
    """Everything that is due, the most pressing kind first; see `Memory.plan`."""
    memory.note_uses()
    now = seconds(at or memory.now()) or 0.0
    uses = memory.store.uses()
    weights = [] if memory.owner is not None else [*_rehearse(memory), *_consolidate(memory, uses, now)]
    loose = _loose(memory)
    return [*weights, *_merge(memory, loose), *_archive(loose, uses, now)]


def carry_out(
    memory: Acting, proposals: Sequence[Proposal], seed: int, progress: Progress | None = None
) -> list[Engram | Learned]:
    """Do what is proposed: all lessons in one `learn`, and the rest one by one; gives what came of it."""
    done: list[Engram | Learned] = []
    for n, p in enumerate(proposals, 1):
        if p.kind == "archive":
            done += memory.archive(p.engrams)
        elif p.kind == "merge":
            texts = [e.text for e in memory.store.get(p.engrams)]
            done.append(memory.merge(p.engrams, max(texts, key=len)))
        if progress:
            progress("carrying out", n, len(proposals))
    lessons = [i for p in proposals if p.kind in ("rehearse", "consolidate") for i in p.engrams]
    if lessons:
        done.append(memory.learn(memory.store.get(list(dict.fromkeys(lessons))), seed=seed, progress=progress))
    return done


def retention(days: float, uses: int) -> float:
    """How well a text is kept in mind after so many days without use.

    >>> round(retention(30, 0), 3), round(retention(30, 1), 3), retention(0, 0)
    (0.368, 0.607, 1.0)
    """
    return math.exp(-max(days, 0.0) / (FIRST * 2 ** min(uses, 60)))


def _rehearse(memory: Parts) -> list[Proposal]:
    """Lessons that the last exam found lost, or that much has been taught after since they were examined."""
    head = memory.head
    lessons = memory.lessons_of(head)
    if not lessons:
        return []
    chain = [v.id for v in memory.lineage(head)]
    counts = [len(memory.store.lessons(v)) for v in chain]
    taught = dict(zip(chain, (sum(counts[: n + 1]) for n in range(len(counts))), strict=True))
    exams = _exams(memory, taught)
    rate = _rate(exams)
    out = []
    for engram, items in _by_engram(lessons).items():
        histories = [exams[i] for i in items if exams.get(i)]
        if not histories:
            continue
        last = max(e[-1][0] for e in histories)
        if any(not e[-1][1] for e in histories):
            out.append(Proposal(kind="rehearse", engrams=(engram,), reason="lost at its last exam", retention=0.0))
            continue
        row = min(_passed(e) for e in histories)
        since = taught[head.id] - last
        left = math.exp(-since * rate / 2 ** min(row, 60))
        if left < HELD:
            reason = f"{since} lessons were taught since its last exam; of such, {left:.0%} are expected to be kept"
            out.append(Proposal(kind="rehearse", engrams=(engram,), reason=reason, retention=round(left, 4)))
    return sorted(out, key=lambda p: p.retention or 0.0)


def _exams(memory: Parts, taught: dict[str, int]) -> dict[str, list[tuple[int, bool]]]:
    """For each item its exams on this line of versions: lessons taught until then, and whether it was recalled."""
    exams: dict[str, dict[int, bool]] = {}
    for r in memory.store.results(exam="recall/direct"):
        if r.version in taught:
            exams.setdefault(r.item, {})[taught[r.version]] = r.value == 1.0
    return {item: sorted(history.items()) for item, history in exams.items()}


def _rate(exams: dict[str, list[tuple[int, bool]]]) -> float:
    """How much a lesson taught later costs one that was known, by all pairs of exams of the same item in a row.

    >>> _rate({"a": [(10, True), (60, True)], "b": [(10, True), (60, False)]})
    0.01
    """
    lost, between = PRIOR_LOST, PRIOR
    for history in exams.values():
        for (before, known), (after, still) in pairwise(history):
            if known:
                lost += not still
                between += after - before
    return lost / between


def _passed(history: Sequence[tuple[int, bool]]) -> int:
    """How many exams in a row were passed, up to the last."""
    row = 0
    for _, known in reversed(history):
        if not known:
            break
        row += 1
    return row


def _by_engram(lessons: Sequence[Lesson]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for x in lessons:
        grouped.setdefault(x.engram, []).append(x.item.id)
    return grouped


def _consolidate(memory: Parts, used: Uses, now: float) -> list[Proposal]:
    """Texts that are used often, have not changed for a while and can be asked about."""
    uses = {i: u for i, u in used.items() if u[0] >= OFTEN}
    out = []
    for e in memory.store.find(list(uses)).values():
        days = (now - (seconds(e.since) or 0.0)) / DAY
        if e.state != "active" or "weights" in e.forms or days < SETTLED or not lessons_in([e]):
            continue
        reason = f"used {uses[e.id][0]} times and unchanged for {days:.0f} days"
        out.append(Proposal(kind="consolidate", engrams=(e.id,), reason=reason))
    return sorted(out, key=lambda p: -uses[p.engrams[0]][0])


def _loose(memory: Parts) -> list[Engram]:
    """Texts of this owner that are neither current under a key nor in weights too, in the order they were added."""
    texts = memory.store.all(forms="text")
    return [e for e in texts if memory.owner in (None, e.owner) and e.key is None and "weights" not in e.forms]


def _archive(loose: Sequence[Engram], uses: Uses, now: float) -> list[Proposal]:
    """Texts out of use."""
    out = []
    for e in loose:
        times, last = uses.get(e.id, (0, e.created))
        days = (now - max(seconds(last) or 0.0, seconds(e.created) or 0.0)) / DAY
        left = retention(days, times)
        if left < FADED:
            since = datetime.fromisoformat(last).date()
            reason = f"used {times} times, last on {since}" if times else f"never used since {since}"
            out.append(Proposal(kind="archive", engrams=(e.id,), reason=reason, retention=round(left, 4)))
    return sorted(out, key=lambda p: p.retention or 0.0)


def _merge(memory: Parts, loose: Sequence[Engram]) -> list[Proposal]:
    """Among the newest texts, pairs of one owner with the same content words; each text in one pair at most.

    Alike vectors are not enough: "at nine" and "at ten" are alike.
    """
    newest = loose[-NEWEST:]
    if memory.store.dimension is None or len(newest) < 2:
        return []
    out: list[Proposal] = []
    taken: set[str] = set()
    vectors = memory.embed([e.indexed for e in newest])
    for e, vector in zip(newest, vectors, strict=True):
        near = memory.store.dense(vector, 4, where={"owner": e.owner})
        others = memory.store.find([i for i, score in near if score >= ALIKE and i != e.id])
        for i, o in others.items():
            if o.key is not None or "weights" in o.forms or taken & {e.id, i} or content(o.text) != content(e.text):
                continue
            taken |= {e.id, i}
            out.append(Proposal(kind="merge", engrams=(i, e.id), reason="they say the same in almost the same words"))
    return out
