"""`learn` as a transaction: exam, train, exam, commit inside the budget or put everything back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput
from byheart.core.records import Engram, Learned, Result, Version
from byheart.exam import recall as exams
from byheart.exam.recall import ask
from byheart.memory import budget
from byheart.memory import recipe as recipes
from byheart.memory.lessons import Lesson
from byheart.memory.remembering import keep
from byheart.memory.versions import Weighing, pack_adapter, pack_state, room
from byheart.memory.wordings import examples

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

SHRINK = (1.0, 0.9, 0.8, 0.7, 0.6)


@dataclass
class Taught:
    """What one stage of teaching leaves behind, besides the live model's weights."""

    adapter: str | None = None
    state: str | None = None
    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def teach(
    weighing: Weighing,
    lessons: Sequence[Lesson],
    old: Sequence[Lesson],
    recipe: recipes.Recipe,
    *,
    state: str | None,
    index: int,
    work: Path,
    written: str | None = None,
    progress: Progress | None = None,
    save_every: float = 30.0,
) -> Taught:
    """Train the live model on lessons; killed and called again with the same arguments, it goes on.

    `state` is the blob with what the same strategies kept from the stage before, if any. `written` is
    one to take the text from that the untaught model wrote, so that it need not be written again.
    """
    from byheart.train.loop import train

    lm, composed = weighing.lm, recipe.composed
    if state is not None:
        _continue(composed, weighing, state, work)
    elif written is not None:
        _continue(composed, weighing, written, work, only="self-replay")
    settings = replace(recipe.settings, save_every=save_every)
    steps = settings.steps or 0
    shown = (lambda step, _: progress("learning", step.index + 1, steps)) if progress else None
    done = train(
        lm.model,
        examples(lm, lessons, copies=recipe.copies, seed=settings.seed),
        composed,
        settings,
        index=index,
        name="learn",
        old=examples(lm, old, copies=1, seed=settings.seed) if old else (),
        folder=work / "train",
        on_step=shown,
    )
    adapter = done.artifacts.get("adapter")
    learned = composed.state_dict()
    return Taught(
        adapter=weighing.weights.put_blob(pack_adapter(adapter)) if adapter else None,
        state=weighing.weights.put_blob(pack_state(learned, work)),
        steps=done.steps,
        seconds=done.seconds,
        tokens=done.tokens,
        history=done.history,
    )


def _continue(composed: Any, weighing: Weighing, state: str, work: Path, only: str = "") -> None:
    """Give strategies what those of the same name kept; with `only`, just those of this label."""
    from byheart.kit import state as states

    folder = work / "carried"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in weighing.weights.get_blob(state).items():
        (folder / name).write_bytes(data)
    saved = states.load(folder)
    shutil.rmtree(folder)
    composed.carry(saved, only=only)


def learn(
    memory: Parts,
    drafts: Sequence[Engram],
    lessons: Sequence[Lesson],
    *,
    strategy: Any,
    spare: float,
    least: float,
    general: Sequence[str] | None,
    seed: int,
    progress: Progress | None,
) -> Learned:
    """The transaction; `spare` is the budget, `least` the least gain.

    Holds the folder's lock from the first exam to the commit.

    The work folder is named by the fingerprint of the work, so a killed call goes on in it when it is made again, and a
    call for other work starts in a folder of its own. Strategy objects are copied: what they learn is in the version.
    """
    from byheart.train.work import fingerprint

    if not spare >= 0:
        raise BadInput(f"budget is {spare}; give a share of what is old that may be lost, such as 0.01")
    if not lessons:
        raise BadInput("found nothing to ask about in that source; give question/answer pairs, or fuller sentences")
    with memory.store.lock("learn"), room(memory.folder.path):
        weighing = memory.at_head()
        parent = memory.head
        lm = weighing.lm
        recipe = recipes.make(strategy, lm, lessons, general=general, seed=seed)
        _vet(lm, lessons, recipe.settings.max_length)
        old = memory.lessons_of(parent)
        index = len(memory.store.versions())
        work = memory.folder.work / fingerprint(
            lm.model, [vars(x) for x in lessons], recipe.composed, recipe.settings, old=[vars(x) for x in old],
            copies=recipe.copies, index=index, parent=parent.id, state=parent.state,
        )  # fmt: skip
        for stale in memory.folder.work.iterdir():
            if stale != work:
                shutil.rmtree(stale, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        before = budget.examine(memory, old, parent.id, "before", progress)
        base = budget.as_it_came(memory, parent, before, progress)
        sitting = _Sitting(base, before, budget.new(memory, lessons, parent.id))
        snapshot = weighing.snapshot()
        started = time.monotonic()
        try:
            taught = teach(
                weighing,
                lessons,
                old,
                recipe,
                state=parent.state,
                index=index,
                work=work,
                progress=progress,
                save_every=memory.save_every,
            )
            seconds = time.monotonic() - started
            name = memory.next_version()
            figures, verdict = _settle(memory, lessons, old, sitting, snapshot, (spare, least), name, progress)
        except BaseException:
            memory.reload()
            raise
        report = {**figures, "seconds": round(seconds, 3), "steps": taught.steps, "tokens": taught.tokens}
        if verdict:
            weighing.restore(snapshot)
            shutil.rmtree(work, ignore_errors=True)
            memory.tidy()
            gone = exams.lost(before, sitting.after)
            return Learned(version=None, committed=False, lost=_engrams(old, gone), reason=verdict, report=report)
        manifest = weighing.write(snapshot)
        version = Version(
            id=name,
            parent=parent.id,
            created=memory.now(),
            message=_message(drafts, lessons),
            strategy=recipes.label(strategy),
            weights=manifest,
            adapter=taught.adapter,
            state=taught.state,
            recipe={**recipe.spec, "seed": seed, "index": index, "alpha": figures["alpha"]},
            taught=tuple(dict.fromkeys(x.engram for x in lessons)),
            summary=report,
        )
        return _commit(memory, version, drafts, lessons, old, sitting, work)


def _commit(
    memory: Parts,
    version: Version,
    drafts: Sequence[Engram],
    lessons: Sequence[Lesson],
    old: Sequence[Lesson],
    sitting: _Sitting,
    work: Path,
) -> Learned:
    store = memory.store
    vectors = memory.embed([d.indexed for d in drafts])
    with store.transaction():
        stored = keep(memory, drafts, vectors)
        renamed = {d.id: s.id for d, s in zip(drafts, stored, strict=True)}
        lessons = [replace(x, engram=renamed.get(x.engram, x.engram)) for x in lessons]
        taught = tuple(dict.fromkeys(x.engram for x in lessons))
        version = version.model_copy(update={"taught": taught})
        store.put_version(version)
        store.put_lessons(version.id, [(x.engram, x.payload) for x in lessons])
        store.put_items(version.id, [i for x in lessons for i in (x.item, *x.held_back)])
        store.put_results(memory.lineage(version)[0].id, sitting.base)
        store.put_results(version.id, [*sitting.after, *sitting.fresh])
        for engram in store.get(list(taught)):
            forms = tuple(dict.fromkeys((*engram.forms, "weights")))
            store.update([engram.id], forms=forms, version=version.id)
        store.set_head(version.id)
    shutil.rmtree(work, ignore_errors=True)
    gone = exams.lost(sitting.before, sitting.after)
    return Learned(
        version=version.id, committed=True, taught=taught, lost=_engrams(old, gone), report=dict(version.summary)
    )


def _vet(lm: Any, lessons: Sequence[Lesson], most: int) -> None:
    """Raise `BadInput` for a lesson that is longer than what training reads of an example."""
    for x in lessons:
        size = len(lm.example(ask(x.question), x.answer)["input_ids"]) if len(x.question) + len(x.answer) > most else 0
        if size > most:
            raise BadInput(
                f"the lesson {x.question[:60]!r}... has {size} tokens, of which {most} are read; ask shorter"
            )


@dataclass
class _Sitting:
    """The exams of one call: of the untaught model, before and after teaching; `fresh` are of the new lessons."""

    base: list[Result]
    before: list[Result]
    untaught: list[Result]
    after: list[Result] = field(default_factory=list)
    fresh: list[Result] = field(default_factory=list)


def _settle(
    memory: Parts,
    lessons: Sequence[Lesson],
    old: Sequence[Lesson],
    sitting: _Sitting,
    snapshot: dict[str, Any],
    limits: tuple[float, float],
    name: str,
    progress: Progress | None,
) -> tuple[dict[str, float], str]:
    """Exam after training; when the budget is exceeded, try to walk part of the way back.

    Between the old weights and the new lie models that keep most of both (Wortsman et al. 2022,
    arXiv:2109.01903): the shares of `SHRINK` are tried in order until one is inside the budget while
    it recalls no less than 95% of what full training recalls. `limits` are the budget and the least gain. Gives the
    figures and the reason for a rollback ("" to commit).
    """
    weighing = memory.live
    full = weighing.snapshot()
    best, (spare, least) = 0.0, limits
    figures: dict[str, float] = {}
    for n, share in enumerate(SHRINK):
        if n:
            weighing.restore(full)
            weighing.interpolate(snapshot, share)
        fresh = budget.new(memory, lessons, name)
        right = budget.learned(lessons, fresh)
        recalled = sum(right) / len(right)
        best = recalled if n == 0 else best
        if n and recalled < 0.95 * best:
            break
        sitting.fresh, sitting.after = fresh, budget.examine(memory, old, name, "after", progress)
        found = budget.figures(sitting.base, sitting.before, sitting.after, lessons, sitting.untaught, fresh)
        figures = {"alpha": share, **found}
        if too_little := budget.too_little(figures, least):
            return figures, too_little
        if not budget.over(figures, spare):
            return figures, ""
    return figures, budget.over(figures, spare)


def _engrams(old: Sequence[Lesson], items: Sequence[str]) -> tuple[str, ...]:
    owners = {x.item.id: x.engram for x in old}
    return tuple(dict.fromkeys(owners[i] for i in items if i in owners))


def _message(drafts: Sequence[Engram], lessons: Sequence[Lesson]) -> str:
    sources = list(dict.fromkeys(d.source for d in drafts if d.source))
    where = f" from {', '.join(sources[:3])}" if sources else ""
    return f"{len(lessons)} lesson{'s' if len(lessons) != 1 else ''}{where}"
