"""The audit after `forget`: every promise of the certificate is one check, with its figure and limit."""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from byheart.core.errors import BadInput
from byheart.core.records import Check, Engram, Item, Result, Version
from byheart.exam import general as ability
from byheart.exam import membership
from byheart.exam import recall as exams
from byheart.exam.leak import leak
from byheart.exam.match import contains, normal
from byheart.memory import access
from byheart.memory.lessons import Lesson
from byheart.memory.redact import Gone, beside, tells
from byheart.memory.wordings import SMALL
from byheart.store import trace
from byheart.store.backup import BACKUPS, unfinished
from byheart.store.events import seconds
from byheart.store.folder import files as own

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

LEAK_MARGIN = 0.02
MEMBER_MARGIN = 1.0
RELEARN_RATIO = 0.7
KEPT_SHARE = 0.95
RELEARN_STEPS = 5
CONTROLS = 12
STAND_INS = (
    "Orbek Hantle", "Wilda Pruss", "Quarin Stellow", "Febba Cordane", "Ulmo Trevane", "Isgard Poole", "Renka Mabbit",
    "Dorvik Asher", "Tessaly Wrenn", "Brannoc Idle", "Mirel Vashti", "Corwin Pelt",
)  # fmt: skip


class Findings(NamedTuple):
    """What the audit of the weights shows: the certificate's checks, and the version's summary."""

    checks: list[Check]
    figures: dict[str, float]


def secrets(memory: Parts, gone: Sequence[Gone], query: str | None) -> list[str]:
    """What may stand in no file afterwards: texts, pieces of them, answers, keys, speakers, names nobody else bears.

    The name of a source too, where it says what was asked to be forgotten.

    What another engram says too is no secret, nor are the words that records are made of.
    """
    ids = {g.engram.id for g in gone}
    others = [e for e in memory.store.all(state=None) if e.id not in ids] + [g.rest for g in gone if g.rest]
    left = " ".join([*(e.to_json() for e in others), *(i.question for i in ability.quiz()), Version.__doc__ or ""])
    words = set(normal(left).split()) | SMALL | {n for r in (Engram, Version, Result) for n in r.model_fields}
    strings: dict[str, None] = {}
    for e in (g.engram for g in gone):
        source = e.source if query and contains(e.source or "", query) else None
        for text in (e.text, e.question, e.answer, e.key, e.speaker, source):
            if text:
                strings[text] = None
        for at in range(0, max(1, len(e.text) - 24), 24):
            strings[e.text[at : at + 24]] = None
        for name in re.findall(r"\b[A-Z][\w'-]+(?: [A-Z][\w'-]+)+", f"{e.text}\n{beside(e)}"):
            if not words.issuperset(normal(name).split()):
                strings[name] = None
    return [s for s in strings if len(s.strip()) >= 3 and not contains(left, s) and s not in left]


def scan(folder: Path, strings: Sequence[str]) -> list[tuple[Path, str]]:
    """Where these strings stand in any file or file name of a memory's folder, in UTF-8 or UTF-16.

    A match inside a longer word or number does not count, so that 1939 is not found in a checksum.
    """
    places = []
    forms = trace.forms(strings)
    for path in own(folder):
        content = path.read_bytes()
        for text, form in forms:
            if text in path.name or trace.stands(content, form):
                places.append((path, text))
    return places


def files(memory: Parts, gone: Sequence[Engram], query: str | None, strings: Sequence[str]) -> list[Check]:
    """The folder after the erasure: searches, bytes, versions, copies elsewhere."""
    ids = [e.id for e in gone]
    hits = _left(memory, gone, query)
    places = scan(memory.folder.path, strings)
    where = ", ".join(sorted({p.name for p, _ in places})[:5])
    checks = [
        Check(name="search returns none of it", passed=not hits, measured=len(hits), limit=0),
        Check(
            name="bytes of it in files of the folder", passed=not places, measured=len(places), limit=0, detail=where
        ),
    ]
    if memory.store.place != str(memory.folder.path):
        checks.append(_server(memory, strings))
    stale = [v.id for v in memory.store.versions() if not v.erased and set(ids) & set(v.taught)]
    checks.append(
        Check(
            name="versions that still know it", passed=not stale, measured=len(stale), limit=0, detail=" ".join(stale)
        )
    )
    erased = {v.id for v in memory.store.versions() if v.erased}
    copies = {p: v for p, v in memory.store.setting("copies", {}).items() if v in erased and Path(p).exists()}
    if copies:
        named = ", ".join(sorted(copies))
        checks.append(
            Check(
                name="exported copies that may know it",
                passed=False,
                measured=len(copies),
                limit=0,
                detail=f"delete {named}, then ask for the audit again",
            )
        )
    held = _backups(memory, gone)
    if held:
        checks.append(
            Check(
                name="backups that may hold it",
                passed=False,
                measured=len(held),
                limit=0,
                detail=f"delete {', '.join(held)}, then ask for the audit again",
            )
        )
    broken = memory.store.check()
    checks.append(Check(name="folder is sound", passed=not broken, measured=len(broken), limit=0))
    return checks


def _left(memory: Parts, gone: Sequence[Engram], query: str | None) -> set[str]:
    """Ids of engrams that are still there or still found: forgotten by id, or saying what was to be forgotten.

    Looks at every engram in any state and of any owner, so at the history of every key too, and at all that the
    indexes give for the query (or for each forgotten question or text), now and when it held. Counts no use. Of engrams
    that say the query, only those count that may be read here: others' are neither forgotten nor told of.
    """
    ids, store = {e.id for e in gone}, memory.store
    engrams = store.all(state=None)
    left = {e.id for e in engrams if e.id in ids}
    if query:
        left |= {e.id for e in access.visible(memory, engrams) if tells(e, query)}
    searches: dict[tuple[str, str | None], None] = {}
    for e in gone:
        text = (query or e.question or e.text[:200]).encode("utf-8", "ignore").decode()
        searches |= dict.fromkeys((text, at) for at in (None, e.since) if at is None or _is_time(at))
    texts = list(dict.fromkeys(text for text, _ in searches))
    vectors = dict(zip(texts, memory.embed(texts), strict=True))
    most = len(engrams) + len(ids)
    for text, at in searches:
        ranked = [*store.lexical(text, most, at), *(store.dense(vectors[text], most, at) if store.dimension else ())]
        left |= ids & {i for i, _ in ranked}
    return left


def _is_time(text: str) -> bool:
    try:
        return seconds(text) is not None
    except BadInput:
        return False


def _server(memory: Parts, strings: Sequence[str]) -> Check:
    """The database server's files and log, as far as they can be read from here."""
    places, unseen = memory.store.traces(strings), memory.store.unseen()
    where = ", ".join(sorted({place for place, _ in places})[:5])
    passed = False if places else None if unseen else True
    return Check(
        name="bytes of it in files of the server", passed=passed, measured=len(places), limit=0,
        detail="; ".join([where, *unseen] if where else unseen),
    )  # fmt: skip


def _backups(memory: Parts, gone: Sequence[Engram]) -> list[str]:
    """Backups that are still there and were not made before all of this was stored."""
    paths: list[str] = []
    for name, made in sorted(memory.store.setting(BACKUPS, {}).items()):
        there = [p for p in (Path(name), unfinished(Path(name))) if p.exists()]
        if there and any(_since(e) <= (seconds(made) or 0.0) for e in gone):
            paths += map(str, there)
    return paths


def _since(e: Engram) -> float:
    """When an engram was stored, in seconds since 1970; 0 where what is stored is no time."""
    try:
        return seconds(e.created) or 0.0
    except BadInput:
        return 0.0


def weights(
    memory: Parts,
    retained: Sequence[Lesson],
    lost: Sequence[Lesson],
    before: Sequence[Result],
    start: Version,
    *,
    k: int,
    seed: int,
    progress: Progress | None,
) -> Findings:
    """The live model against the last version that never saw the forgotten.

    A membership score says little by itself: training on other facts moves it. So each forgotten
    question is set beside the same question about people who do not exist: a model that does not
    know the fact holds the answer no likelier for the one than for the others.
    """
    live = memory.live
    items = [x.item for x in lost]
    own, others = _controls(items, seed)

    def tell(what: str, done: int) -> None:
        if progress:
            progress(f"audit: {what}", done, 6)

    tell("what others recall", 0)
    after = exams.recall(live.lm, [x.item for x in retained])
    loss = ability.mean_loss(ability.loss(live.lm))
    tell(f"leak@{k}", 1)
    leaked = leak(live.lm, items, k=k, max_tokens=16, seed=seed)
    tell("membership", 2)
    scores = _membership(live.lm, own, others)
    tell("relearning", 3)
    ratio = _relearning(live.lm, lost, own, others, seed)
    tell("the version that never saw it", 4)
    current = dict(live.current)
    live.apply(start.weights)
    reference = leak(live.lm, items, k=k, max_tokens=16, seed=seed)
    reference_loss = ability.mean_loss(ability.loss(live.lm))
    references = _membership(live.lm, own, others)
    live.apply(current)
    tell("done", 6)

    out = mean(r.value for r in leaked)
    base = mean(r.value for r in reference)
    against = f"{base:.3f} for the version that never saw it"
    checks = [
        Check(
            name=f"leak@{k}", passed=out <= base + LEAK_MARGIN, measured=round(out, 4),
            limit=round(base + LEAK_MARGIN, 4), detail=against,
        )
    ]  # fmt: skip
    margin = MEMBER_MARGIN + 1.64 / math.sqrt(len(items))
    for name, (value, share) in scores.items():
        was, was_share = references[name]
        detail = (
            f"standard deviations above people who do not exist (AUC {share:.2f}); "
            f"{was:.2f} (AUC {was_share:.2f}) where it was never seen"
        )
        limit = round(max(0.0, was) + margin, 3)
        checks.append(
            Check(
                name=f"membership by {name}",
                passed=value <= limit,
                measured=round(value, 3),
                limit=limit,
                detail=detail,
            )
        )
    checks.append(
        Check(
            name="relearning speed",
            passed=ratio >= RELEARN_RATIO,
            measured=round(ratio, 3),
            limit=RELEARN_RATIO,
            detail=f"loss over {RELEARN_STEPS} steps of relearning, beside that of facts about people who do not exist",
        )
    )
    right = {r.item for r in before if r.value}
    still = sum(r.value for r in after if r.item in right)
    share = still / len(right) if right else 1.0
    if right:
        checks.append(
            Check(name="what else was known is kept", passed=share >= KEPT_SHARE, measured=round(share, 4),
                  limit=KEPT_SHARE, detail=f"{int(still)} of {len(right)}")
        )  # fmt: skip
    rise = loss / reference_loss - 1
    checks.append(
        Check(name="general loss beside that version", passed=rise <= 0.05, measured=round(rise, 4), limit=0.05)
    )
    figures = {
        "recall": mean(r.value for r in after) if after else 0.0,
        "lost_share": 1.0 - share,
        "general_before": reference_loss,
        "general_after": loss,
        "general_rise": rise,
    }
    return Findings(checks, figures)


def _controls(items: Sequence[Item], seed: int) -> tuple[list[tuple[Any, str]], list[tuple[Any, str]]]:
    """(question, answer) of each item, and of the same about `CONTROLS` people who do not exist."""
    draw = random.Random(seed)
    own = [(exams.ask(i.question), i.answer) for i in items]
    others = []
    for i in items:
        for name in draw.sample(STAND_INS, CONTROLS):
            others.append((exams.ask(_rename(i.question, name)), i.answer))
    return own, others


def _rename(question: str, name: str) -> str:
    """The question about somebody else: its longest run of capitalised words after the first is replaced.

    >>> _rename("Where was Marta Kask born?", "Ulmo Trevane")
    'Where was Ulmo Trevane born?'
    """
    runs = re.findall(r"(?<=\s)(?:[A-Z0-9][\w-]*)(?:\s+[A-Z0-9][\w-]*)*", question)
    if not runs:
        return f"About {name}: {question}"
    return question.replace(max(runs, key=len), name)


def _membership(lm: Any, own: list[tuple[Any, str]], others: list[tuple[Any, str]]) -> dict[str, tuple[float, float]]:
    """By score, how far each forgotten answer stands above its own controls: mean z-score, and mean AUC."""
    out = {}
    for name, values in membership.both(lm, [*own, *others]).items():
        mine, theirs = values[: len(own)], values[len(own) :]
        groups = [theirs[n * CONTROLS : (n + 1) * CONTROLS] for n in range(len(mine))]
        pairs = list(zip(mine, groups, strict=True))
        apart = [(m - mean(g)) / max(stdev(g), 1e-6) for m, g in pairs]
        out[name] = mean(apart), mean(membership.auc([m], g) for m, g in pairs)
    return out


def _relearning(
    lm: Any, lost: Sequence[Lesson], own: list[tuple[Any, str]], others: list[tuple[Any, str]], seed: int
) -> float:
    """Loss summed over a few steps of relearning the forgotten, over that of learning the controls.

    Knowledge that is hidden, not gone, comes back in fewer steps (Lynch et al. 2024,
    arXiv:2402.16835): the ratio falls towards 0. It is near 1 when both are equally new.
    """
    control = [others[n * CONTROLS] for n in range(len(own))]
    spent = [_area(lm, [lm.example(p, a) for p, a in pairs], seed) for pairs in (own, control)]
    return spent[0] / max(spent[1], 1e-9)


def _area(lm: Any, examples: list[dict[str, Any]], seed: int) -> float:
    from byheart.train.loop import Settings, train

    model = copy.deepcopy(lm.model)
    settings = Settings(lr=1e-4, steps=RELEARN_STEPS, batch_size=min(16, len(examples)), seed=seed, bucket=False)
    return sum(h["new"] for h in train(model, examples, (), settings).history)
