"""The budget of `learn`: what the model could do as it came, before this call and after it, and if that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from byheart.core.records import Item, Result, Version
from byheart.exam import general as ability
from byheart.exam import recall as exams
from byheart.exam.interval import fallen
from byheart.memory.lessons import Lesson

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress

OLD_ITEMS = 200
LOSS, QUIZ, READING, DIRECT, HELD = "general/loss", "recall/quiz", "reading", "recall/direct", "recall/paraphrase"
ABILITY = (LOSS, QUIZ, READING)


def examine(memory: Parts, old: Sequence[Lesson], version: str, when: str, progress: Progress | None) -> list[Result]:
    """What must not get worse: loss on general text, the quiz, reading with the text there, what was taught earlier."""
    lm = memory.live.lm

    def tell(done: int) -> None:
        if progress:
            progress(f"exam {when}", done, 4)

    tell(0)
    results = ability.loss(lm, version=version)
    tell(1)
    results += ability.common(lm, version=version)
    tell(2)
    results += ability.open_book(lm, version=version)
    tell(3)
    results += exams.recall(lm, _sample([x.item for x in old], OLD_ITEMS), version=version)
    tell(4)
    return results


def as_it_came(memory: Parts, parent: Version, before: Sequence[Result], progress: Progress | None) -> list[Result]:
    """The untaught model's results in the exams of ability: stored, those of `before`, or measured now."""
    root = memory.lineage(parent)[0]
    if parent.id == root.id:
        return [r for r in before if r.exam in ABILITY]
    stored = [r for exam in ABILITY for r in memory.store.results(root.id, exam)]
    asked = {(r.exam, r.item) for r in before if r.exam in ABILITY}
    if asked <= {(r.exam, r.item) for r in stored}:
        return stored
    weighing = memory.live
    weighing.apply(root.weights)
    try:
        return examine(memory, (), root.id, "of the untaught model", progress)
    finally:
        weighing.apply(parent.weights)


def new(memory: Parts, lessons: Sequence[Lesson], version: str) -> list[Result]:
    """The new lessons, each as it is taught and in the wordings that are held back."""
    lm = memory.live.lm
    direct = exams.recall(lm, [x.item for x in lessons], version=version)
    return direct + exams.recall(lm, [i for x in lessons for i in x.held_back], version=version)


def learned(lessons: Sequence[Lesson], results: Sequence[Result]) -> list[bool]:
    """Which lessons are answered in all wordings held back; where none is held back, as taught."""
    right = {r.item for r in results if r.value == 1.0}
    return [all(i.id in right for i in (x.held_back or [x.item])) for x in lessons]


def figures(
    base: Sequence[Result], before: Sequence[Result], after: Sequence[Result],
    lessons: Sequence[Lesson], untaught: Sequence[Result], taught: Sequence[Result],
) -> dict[str, float]:  # fmt: skip
    """The report's figures; `general_rise`, `quiz_fall` and `reading_fall` are against the model as it came.

    The falls are lower 95% limits. `recall` is the share of the lessons that are answered in wordings never trained on,
    `verbatim` of those answered as they were taught.
    """

    def share(results: Sequence[Result], exam: str) -> float:
        values = [r.value for r in results if r.exam == exam]
        return sum(values) / len(values) if values else 0.0

    came, was, now = (ability.mean_loss(_of(r, LOSS)) for r in (base, before, after))
    known = [r for r in _of(before, DIRECT) if r.value == 1.0]
    gone = exams.lost(_of(before, DIRECT), _of(after, DIRECT))
    right = learned(lessons, taught)
    return {
        "recall": sum(right) / len(right),
        "recall_before": sum(learned(lessons, untaught)) / len(right),
        "verbatim": share(taught, DIRECT),
        "held_back": sum(bool(x.held) for x in lessons),
        "general_base": came,
        "general_before": was,
        "general_after": now,
        "general_rise": now / came - 1 if came else 0.0,
        "general_rise_here": now / was - 1 if was else 0.0,
        "lost_share": len(gone) / len(known) if known else 0.0,
        "known_before": len(known),
        "quiz_base": share(base, QUIZ),
        "quiz_before": share(before, QUIZ),
        "quiz_after": share(after, QUIZ),
        "quiz_fall": fallen(_of(base, QUIZ), _of(after, QUIZ)),
        "reading_base": share(base, READING),
        "reading_before": share(before, READING),
        "reading_after": share(after, READING),
        "reading_fall": fallen(_of(base, READING), _of(after, READING)),
    }


def over(figures: dict[str, float], budget: float) -> str:
    """Why these figures are over the budget; "" where they are inside it."""
    limits = ("general_rise", "lost_share", "quiz_fall", "reading_fall")
    if max(figures[name] for name in limits) <= budget:
        return ""
    f = figures
    return (
        f"rolled back: against the model as it came, general loss would rise by {f['general_rise']:.2%} (by "
        f"{f['general_rise_here']:.2%} in this call), the quiz of common knowledge fall from {f['quiz_base']:.0%} to "
        f"{f['quiz_after']:.0%} (by {f['quiz_fall']:.1%} at least) and reading from {f['reading_base']:.0%} to "
        f"{f['reading_after']:.0%} (by {f['reading_fall']:.1%} at least); {f['lost_share']:.1%} of what was known is "
        f"lost. The budget is {budget:.2%}; raise it, give general=, or teach less at once"
    )


def too_little(figures: dict[str, float], least: float) -> str:
    """Why too little was learned; "" where enough was, and of a model that answered nothing as it came."""
    if not (figures["quiz_base"] or figures["reading_base"]):
        return ""
    gain = figures["recall"] - figures["recall_before"]
    if gain >= least or figures["recall"] >= 1 - least:
        return ""
    return (
        f"rolled back: {figures['recall']:.0%} of the lessons are answered in wordings that were not trained on, "
        f"{figures['recall_before']:.0%} were before, and a gain of {least:.0%} is the least (verbatim: "
        f"{figures['verbatim']:.0%}); give more wordings, lower least=, or name another strategy"
    )


def _of(results: Sequence[Result], exam: str) -> list[Result]:
    return [r for r in results if r.exam == exam]


def _sample(items: Sequence[Item], most: int) -> list[Item]:
    """At most this many items, evenly spread, the same ones every time."""
    if len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]
