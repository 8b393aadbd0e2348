"""`forget` as a transaction: out of the weights, out of the files, then the audit."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput, Unknown
from byheart.core.records import Certificate, Check, Engram, Version
from byheart.exam import recall as exams
from byheart.exam.match import contains
from byheart.memory import access, audit
from byheart.memory import recipe as recipes
from byheart.memory.learning import teach
from byheart.memory.lessons import Lesson
from byheart.memory.pairs import is_pairs, pairs_of
from byheart.memory.redact import Gone, redacted, tells
from byheart.memory.versions import room
from byheart.memory.wordings import examples

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

METHODS = ("auto", "relearn", "npo")


@dataclass
class Removal:
    """What takes the place of versions that saw the forgotten."""

    start: Version
    versions: list[Version] = field(default_factory=list)
    lessons: list[list[Lesson]] = field(default_factory=list)


def select(memory: Parts, what: Any) -> tuple[list[Engram], str | None]:
    """The engrams meant by a query, ids, pairs or engrams, in any state; and the query, if it was one."""
    known = access.visible(memory, memory.store.all(state=None))
    by_id = {e.id: e for e in known}
    if isinstance(what, str):
        ids = [what] if what in by_id else [i.strip() for i in what.split(",")]
        if ids and all(i in by_id for i in ids):
            return _with_kin([by_id[i] for i in ids], by_id), None
        if not what.strip():
            raise BadInput("asked to forget an empty text; give a query, ids, or question/answer pairs")
        chosen = [e for e in known if tells(e, what)]
        if not chosen:
            raise Unknown(f"nothing here says {what!r} word for word; look with recall, then forget by id")
        return chosen, what
    wanted = list(what) if isinstance(what, Sequence) else [what]
    if is_pairs(wanted):
        pairs = {(p["question"].strip(), p["answer"].strip()) for p in pairs_of(wanted)}
        chosen = [e for e in known if (e.question, e.answer) in pairs]
        missing = pairs - {(e.question, e.answer) for e in chosen}
        if missing:
            raise Unknown(f"no engram asks {sorted(missing)[0][0]!r} with that answer; look with recall")
        return chosen, None
    names = [w.id if hasattr(w, "id") else str(w) for w in wanted]
    for name in names:
        if name not in by_id:
            raise Unknown.name("engram", name, by_id, "byheart recall QUERY")
    if not names:
        raise BadInput("asked to forget nothing; give a query, ids, or question/answer pairs")
    return _with_kin([by_id[n] for n in dict.fromkeys(names)], by_id), None


def _with_kin(chosen: list[Engram], by_id: dict[str, Engram]) -> list[Engram]:
    """These, and what they were made from or went into, where one says the other word for word."""
    members = {e.id: e for e in chosen}
    kin: dict[str, set[str]] = {}
    for e in by_id.values():
        for parent in e.parents:
            kin.setdefault(e.id, set()).add(parent)
            kin.setdefault(parent, set()).add(e.id)
    left = list(chosen)
    while left:
        engram = left.pop()
        for e in (by_id[i] for i in kin.get(engram.id, ()) if i in by_id and i not in members):
            if contains(e.text, engram.text) or (engram in chosen and contains(engram.text, e.text)):
                members[e.id] = e
                left.append(e)
    return list(members.values())


def forget(memory: Parts, what: Any, *, method: str, k: int, seed: int, progress: Progress | None) -> Certificate:
    """The transaction; see `Memory.forget`."""
    if method not in METHODS:
        raise Unknown.name("method", method, METHODS, "byheart forget --help")
    with memory.store.lock("forget"), room(memory.folder.path):
        started = time.monotonic()
        chosen, query = select(memory, what)
        access.changeable(memory, chosen)
        gone = {g.engram.id: g for g in redacted(chosen, query, memory.now())}
        ids = list(gone)
        secrets = audit.secrets(memory, list(gone.values()), query)
        seen = _seen(memory.store.versions(), set(ids))
        chain = memory.lineage(memory.head)
        checks: list[Check] = []
        removal: Removal | None = None
        used = "text only"
        if any(v.id in seen for v in chain):
            used = "npo" if method == "npo" else "relearn"
            removal, checks = _unteach(memory, chain, seen, gone, used, k=k, seed=seed, progress=progress)
            if used == "npo" and any(c.passed is False for c in checks):
                memory.at_head()
                return _certificate(
                    memory, checks, (), f"{used}: refused, nothing was changed; try method='relearn'", started
                )
        _commit(memory, gone, seen, removal)
        finish(memory)
        if progress:
            progress("audit of files", 0, 1)
        checks = [*audit.files(memory, chosen, query, secrets), *checks]
        if progress:
            progress("audit of files", 1, 1)
        certificate = _certificate(memory, checks, tuple(ids), used, started)
        memory.store.put_certificate(certificate)
        _rewrite_reports(memory)
        return certificate


def _certificate(
    memory: Parts, checks: Sequence[Check], ids: tuple[str, ...], method: str, started: float
) -> Certificate:
    return Certificate(
        passed=bool(checks) and all(c.passed for c in checks),
        checks=tuple(checks),
        forgotten=ids,
        method=method,
        version=memory.head.id,
        created=memory.now(),
        seconds=round(time.monotonic() - started, 2),
    )


def _seen(versions: Sequence[Version], ids: set[str]) -> set[str]:
    """Versions, on any branch, whose weights saw one of these engrams."""
    seen: set[str] = set()
    for v in versions:
        if not v.erased and (ids & set(v.taught) or v.parent in seen):
            seen.add(v.id)
    return seen


def _unteach(
    memory: Parts,
    chain: list[Version],
    seen: set[str],
    gone: dict[str, Gone],
    method: str,
    *,
    k: int,
    seed: int,
    progress: Progress | None,
) -> tuple[Removal, list[Check]]:
    """New weights that do not know the forgotten, and what the audit of them shows."""
    from byheart.forget.relearn import Relearn

    ids = set(gone)
    weighing = memory.at_head()
    lessons = [[Lesson(e, **p) for e, p in memory.store.lessons(v.id)] for v in chain]
    left = [[fate(x, gone) or x for x in stage] for stage in lessons]
    retained = [x for stage in left for x in stage if x.engram not in ids]
    lost = [x for stage in left for x in stage if x.engram in ids]
    before = exams.recall(weighing.lm, [x.item for x in retained])
    start, stages = Relearn(forgotten=ids).plan(chain, [[(x.engram, x) for x in stage] for stage in left])
    job = ["forget", memory.head.id, memory.head.weights, sorted(ids), method, seed]
    work = memory.folder.work / hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:20]
    for stale in memory.folder.work.iterdir():
        if stale != work:
            shutil.rmtree(stale, ignore_errors=True)
    removal = Removal(start)
    if method == "relearn":
        weighing.apply(start.weights)
        for n, stage in enumerate(stages):
            again = [x for _, x in stage.lessons]
            _repeat(memory, removal, stage.version, again, work / f"stage-{n}", progress)
    else:
        _unlearn(memory, removal, retained, lost, work, seed, progress)
    if not lost:
        return removal, []
    findings = audit.weights(memory, retained, lost, before, start, k=k, seed=seed, progress=progress)
    if removal.versions and retained:
        removal.versions[-1] = removal.versions[-1].model_copy(update={"summary": findings.figures})
    return removal, findings.checks


def _repeat(
    memory: Parts,
    removal: Removal,
    version: Version,
    lessons: list[Lesson],
    work: Path,
    progress: Progress | None,
) -> None:
    """Teach one stage again; a stage that was finished before a kill is taken from its mark."""
    weighing = memory.live
    parent = removal.versions[-1] if removal.versions else removal.start
    old = [*memory.lessons_of(removal.start), *(x for stage in removal.lessons for x in stage)]
    name = f"v{int(memory.next_version()[1:]) + len(removal.versions)}"
    mark = work / "done.json"
    if mark.exists():
        done: dict[str, Any] = json.loads(mark.read_text(encoding="utf-8"))
        weighing.apply(done["weights"])
    else:
        work.mkdir(parents=True, exist_ok=True)
        seed = int(version.recipe.get("seed", 0))
        spec = version.recipe.get("strategies") or "default"
        recipe = recipes.make(spec, weighing.lm, lessons, seed=seed)
        snapshot = weighing.snapshot()
        index = int(version.recipe.get("index", 1))
        clean = version.parent == removal.start.id  # its text was written by a model that never saw the forgotten
        taught = teach(
            weighing,
            lessons,
            old,
            recipe,
            state=parent.state,
            written=version.state if clean else None,
            index=index,
            work=work,
            progress=progress,
            save_every=memory.save_every,
        )
        weighing.interpolate(snapshot, float(version.recipe.get("alpha", 1.0)))
        manifest = weighing.write(snapshot)
        done = {"weights": manifest, "adapter": taught.adapter, "state": taught.state}
        mark.write_text(json.dumps(done), encoding="utf-8")
    removal.versions.append(
        Version(
            id=name,
            parent=parent.id,
            created=memory.now(),
            message=f"{len(lessons)} lessons of {version.id}, learned again without what was forgotten",
            strategy=version.strategy,
            recipe=version.recipe,
            taught=tuple(dict.fromkeys(x.engram for x in lessons)),
            **done,
        )
    )
    removal.lessons.append(lessons)


def _unlearn(
    memory: Parts,
    removal: Removal,
    retained: Sequence[Lesson],
    lost: Sequence[Lesson],
    work: Path,
    seed: int,
    progress: Progress | None,
) -> None:
    """NPO on the current weights, retaining the other lessons."""
    from byheart.forget.npo import NPO
    from byheart.learn.kl import KL
    from byheart.learn.self_replay import SelfReplay
    from byheart.learn.teach_lmm_skills import Selective
    from byheart.train.loop import Settings, train

    weighing = memory.at_head()
    lm = weighing.lm
    snapshot = weighing.snapshot()
    steps = max(20, 4 * len(lost))
    retain = examples(lm, retained, copies=2, seed=seed) if retained else [lm.text_example("Yes.")]
    strategies = [
        SelfReplay(examples=64, length=64, batch=4, start=lm.start),
        NPO(examples=examples(lm, lost, copies=4, seed=seed), batch=8),
        KL(roles=("replay",), weight=1.0, replace=True),
        Selective(part="gate_up"),
    ]
    settings = Settings(lr=1e-4, steps=steps, batch_size=8, warmup=0.1, seed=seed, save_every=memory.save_every)
    shown = (lambda step, _: progress("unlearning", step.index + 1, steps)) if progress else None
    train(lm.model, retain, strategies, settings, folder=work / "train", on_step=shown)
    head = memory.head
    manifest = weighing.write(snapshot)
    removal.versions.append(
        Version(
            id=memory.next_version(),
            parent=removal.start.id,
            created=memory.now(),
            message=f"{head.id} with {len(lost)} lessons unlearned",
            strategy="npo",
            weights=manifest,
            recipe=head.recipe,
            taught=tuple(dict.fromkeys(x.engram for x in retained)),
        )
    )
    own = set(memory.lessons_of(removal.start))
    removal.lessons.append([x for x in retained if x not in own])


def fate(lesson: Lesson, gone: dict[str, Gone]) -> Lesson | None:
    """A lesson as it stands after forgetting; None when it goes."""
    return gone[lesson.engram].fate(lesson) if lesson.engram in gone else lesson


def _commit(memory: Parts, gone: dict[str, Gone], seen: set[str], removal: Removal | None) -> None:
    """Everything that changes, in one transaction; `finish` may be repeated."""
    store, ids = memory.store, list(gone)
    rests = [g.rest for g in gone.values() if g.rest is not None]
    vectors = memory.embed([r.indexed for r in rests]) if rests else None
    with store.transaction():
        names = {r.id: s.id for r, s in zip(rests, store.add(rests, vectors), strict=True)}
        if removal is not None:
            for version, originals in zip(removal.versions, removal.lessons, strict=True):
                lessons = [replace(x, engram=names.get(x.engram, x.engram)) for x in originals]
                taught = tuple(dict.fromkeys(x.engram for x in lessons))
                store.put_version(version.model_copy(update={"taught": taught}))
                store.put_lessons(version.id, [(x.engram, x.payload) for x in lessons])
                store.put_items(version.id, [i for x in lessons for i in (x.item, *x.held_back)])
                for engram in store.get(list(taught)):
                    forms = tuple(dict.fromkeys((*engram.forms, "weights")))
                    store.update([engram.id], forms=forms, version=version.id)
            store.set_head(removal.versions[-1].id if removal.versions else removal.start.id)
        for v in store.versions():
            if v.id in seen:
                blank: dict[str, Any] = {
                    "weights": {},
                    "adapter": None,
                    "state": None,
                    "erased": True,
                    "taught": (),
                    "summary": {},
                }
                store.put_lessons(v.id, [])
                store.put_version(v.model_copy(update={**blank, "message": f"erased: {v.message}"}))
        store.erase(ids)
        store.set_setting("purge", True)


def finish(memory: Parts) -> None:
    """Delete what no longer may be on disk; runs again on opening when a kill came in between."""
    memory.store.scrub()
    shutil.rmtree(memory.folder.work, ignore_errors=True)
    memory.folder.prepare()
    memory.tidy()
    _rewrite_reports(memory)
    memory.store.set_setting("purge", False)


def _rewrite_reports(memory: Parts) -> None:
    """Write exported reports anew, so that none still shows what was forgotten."""
    from byheart.memory import account

    for page in [Path(p) for p in memory.store.setting("reports", [])]:
        if page.exists():
            account.report(memory, page)
