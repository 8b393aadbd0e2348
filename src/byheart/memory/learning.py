"""`learn` as a transaction: exam, train, exam, commit inside the budget or put everything back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput
from byheart.core.records import Engram, Item, Learned, Result, Version
from byheart.exam import general as ability
from byheart.exam import recall as exams
from byheart.exam.interval import fallen, summary
from byheart.memory import recipe as recipes
from byheart.memory.lessons import Lesson
from byheart.memory.remembering import keep
from byheart.memory.versions import Weighing, pack_adapter, pack_state, room
from byheart.memory.wordings import examples

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

OLD_ITEMS = 200
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
    from dataclasses import replace

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
    budget: float,
    general: Sequence[str] | None,
    seed: int,
    progress: Progress | None,
) -> Learned:
    """The transaction. Holds the folder's lock from the first exam to the commit.

    The work folder is named by the fingerprint of the work, so a killed call goes on in it when it is made again, and a
    call for other work starts in a folder of its own. Strategy objects are copied: what they learn is in the version.
    """
    from byheart.train.work import fingerprint

    if not budget >= 0:
        raise BadInput(f"budget is {budget}; give a share of what is old that may be lost, such as 0.01")
    if not lessons:
        raise BadInput("found nothing to ask about in that source; give question/answer pairs, or fuller sentences")
    with memory.store.lock("learn"), room(memory.folder.path):
        weighing = memory.at_head()
        parent = memory.head
        lm = weighing.lm
        recipe = recipes.make(strategy, lm, lessons, general=general, seed=seed)
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
        before = _examine(memory, old, parent.id, "before", progress)
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
            after, figures, fresh, verdict = _settle(memory, lessons, old, before, snapshot, budget, name, progress)
        except BaseException:
            memory.reload()
            raise
        report = {**figures, "seconds": round(seconds, 3), "steps": taught.steps, "tokens": taught.tokens}
        if verdict:
            weighing.restore(snapshot)
            shutil.rmtree(work, ignore_errors=True)
            memory.tidy()
            gone = exams.lost(before, after)
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
        return _commit(memory, version, drafts, lessons, old, [*before, *after, *fresh], before, after, work)


def _commit(
    memory: Parts,
    version: Version,
    drafts: Sequence[Engram],
    lessons: Sequence[Lesson],
    old: Sequence[Lesson],
    results: Sequence[Result],
    before: Sequence[Result],
    after: Sequence[Result],
    work: Path,
) -> Learned:
    store = memory.store
    vectors = memory.embed([d.indexed for d in drafts])
    with store.transaction():
        stored = keep(memory, drafts, vectors)
        renamed = {d.id: s.id for d, s in zip(drafts, stored, strict=True)}
        lessons = [Lesson(renamed.get(x.engram, x.engram), x.question, x.answer) for x in lessons]
        taught = tuple(dict.fromkeys(x.engram for x in lessons))
        version = version.model_copy(update={"taught": taught})
        store.put_version(version)
        store.put_lessons(version.id, [(x.engram, x.payload) for x in lessons])
        store.put_items(version.id, [x.item for x in lessons])
        store.put_results(version.id, results)
        for engram in store.get(list(taught)):
            forms = tuple(dict.fromkeys((*engram.forms, "weights")))
            store.update([engram.id], forms=forms, version=version.id)
        store.set_head(version.id)
    shutil.rmtree(work, ignore_errors=True)
    gone = exams.lost(before, after)
    return Learned(
        version=version.id, committed=True, taught=taught, lost=_engrams(old, gone), report=dict(version.summary)
    )


def _settle(
    memory: Parts,
    lessons: Sequence[Lesson],
    old: Sequence[Lesson],
    before: Sequence[Result],
    snapshot: dict[str, Any],
    budget: float,
    name: str,
    progress: Progress | None,
) -> tuple[list[Result], dict[str, Any], list[Result], str]:
    """Exam after training; when the budget is exceeded, try to walk part of the way back.

    Between the old weights and the new lie models that keep most of both (Wortsman et al. 2022,
    arXiv:2109.01903): the shares of `SHRINK` are tried in order until one is inside the budget while
    it recalls no less than 95% of what full training recalls. Returns the results, the figures and
    the reason for a rollback ("" to commit).
    """
    weighing = memory.live
    full = weighing.snapshot()
    items = [x.item for x in lessons]
    best = 0.0
    for n, share in enumerate(SHRINK):
        if n:
            weighing.restore(full)
            weighing.interpolate(snapshot, share)
        tried = exams.recall(weighing.lm, items, version=name)
        recalled = sum(r.value for r in tried) / len(tried)
        best = recalled if n == 0 else best
        if n and recalled < 0.95 * best:
            break
        after = _examine(memory, old, name, "after", progress)
        figures = {"alpha": share, "recall": recalled, **_figures(before, after)}
        worst = max(figures["general_rise"], figures["lost_share"], figures["quiz_fall"])
        results, fresh = after, tried
        if worst <= budget:
            return results, figures, fresh, ""
    reason = (
        f"rolled back: general loss rose by {figures['general_rise']:.2%}, {figures['lost_share']:.1%} of what was "
        f"known is lost and the quiz of common knowledge fell from {figures['quiz_before']:.0%} to "
        f"{figures['quiz_after']:.0%} (by {figures['quiz_fall']:.1%} at least), over the budget of "
        f"{budget:.2%}; raise the budget, give general=, or teach less at once"
    )
    return results, figures, fresh, reason


def _examine(memory: Parts, old: Sequence[Lesson], version: str, when: str, progress: Progress | None) -> list[Result]:
    """What must not get worse: loss on general text, the quiz, and what was taught earlier."""
    lm = memory.live.lm
    if progress:
        progress(f"exam {when}", 0, 3)
    results = ability.loss(lm, version=version)
    if progress:
        progress(f"exam {when}", 1, 3)
    results += ability.common(lm, version=version)
    if progress:
        progress(f"exam {when}", 2, 3)
    results += exams.recall(lm, _sample([x.item for x in old], OLD_ITEMS), version=version)
    if progress:
        progress(f"exam {when}", 3, 3)
    return results


def _sample(items: Sequence[Item], most: int) -> list[Item]:
    """At most this many items, evenly spread, the same ones every time."""
    if len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]


def _figures(before: Sequence[Result], after: Sequence[Result]) -> dict[str, float]:
    def of(results: Sequence[Result], exam: str) -> list[Result]:
        return [r for r in results if r.exam == exam]

    was = ability.mean_loss(of(before, "general/loss"))
    now = ability.mean_loss(of(after, "general/loss"))
    known = [r for r in of(before, "recall/direct") if r.value == 1.0]
    gone = exams.lost(of(before, "recall/direct"), of(after, "recall/direct"))
    quiz = summary([*of(before, "recall/quiz")]).get("recall/quiz", {}).get("mean", 0.0)
    quiz_now = summary([*of(after, "recall/quiz")]).get("recall/quiz", {}).get("mean", 0.0)
    return {
        "general_before": was,
        "general_after": now,
        "general_rise": now / was - 1 if was else 0.0,
        "lost_share": len(gone) / len(known) if known else 0.0,
        "known_before": len(known),
        "quiz_before": quiz,
        "quiz_after": quiz_now,
        "quiz_fall": fallen(of(before, "recall/quiz"), of(after, "recall/quiz")),
    }


def _engrams(old: Sequence[Lesson], items: Sequence[str]) -> tuple[str, ...]:
    owners = {x.item.id: x.engram for x in old}
    return tuple(dict.fromkeys(owners[i] for i in items if i in owners))


def _message(drafts: Sequence[Engram], lessons: Sequence[Lesson]) -> str:
    sources = list(dict.fromkeys(d.source for d in drafts if d.source))
    where = f" from {', '.join(sources[:3])}" if sources else ""
    return f"{len(lessons)} lessons{where}"
