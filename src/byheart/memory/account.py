"""Giving account: exams of a version, what changed between two, and the report."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput
from byheart.core.records import Engram, Item, Version
from byheart.exam import general as ability
from byheart.exam import recall as exams
from byheart.exam.account import Curve, Fact, Gone, ReportData, Scored, Trade
from byheart.exam.interval import summary
from byheart.exam.report import render

if TYPE_CHECKING:
    from byheart.memory.lessons import Lesson
    from byheart.memory.parts import Parts, Progress


def exam(
    memory: Parts, questions: Sequence[dict[str, Any]] | None = None, *, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """All exams of the current version; results are stored, the summary is given, and those of the user's questions."""
    version = memory.head
    lm = memory.at_head().lm
    lessons = memory.lessons_of(version)
    direct = [x.item for x in lessons]
    held = {e.id: e for e in memory.store.get(list({x.engram for x in lessons}))}
    items = [*direct, *(i for x in lessons for i in _probes(held[x.engram], x))]

    def tell(done: int) -> None:
        if progress:
            progress("exam", done, 7)

    tell(0)
    results = exams.recall(lm, items, version=version.id, seed=seed)
    tell(1)
    results += exams.recognition(lm, direct, version=version.id, seed=seed)
    tell(2)
    results += ability.loss(lm, version=version.id)
    tell(3)
    results += ability.common(lm, version=version.id)
    tell(4)
    results += ability.open_book(lm, version=version.id)
    tell(5)
    if version.weights:
        results += ability.drift(_base(memory), lm, version=version.id)
    tell(6)
    own = exams.recall(lm, _own(questions or ()), version=version.id, seed=seed)
    tell(7)
    with memory.store.transaction():
        memory.store.put_items(version.id, items[len(direct) :])
        memory.store.put_results(version.id, results)
    figures = summary([*results, *own])
    if "general/loss" in figures:
        figures["general/loss"]["mean"] = ability.mean_loss([r for r in results if r.exam == "general/loss"])
    replies = [{"question": q["question"], "answer": q["answer"], "reply": r.detail["said"], "right": r.value == 1.0}
            for q, r in zip(questions or (), own, strict=True)]  # fmt: skip
    return {
        "version": version.id,
        "seed": seed,
        "exams": figures,
        **({"own": replies} if questions is not None else {}),
    }


def _own(questions: Sequence[dict[str, Any]]) -> list[Item]:
    return [
        Item(id=f"own-{n}", question=q["question"], answer=q["answer"], accept=tuple(q.get("accept", ())), probe="own")
        for n, q in enumerate(questions)
    ]


def _base(memory: Parts) -> Any:
    """The model as it came, beside the live one."""
    from byheart.models.lm import LanguageModel

    weighing = memory.live
    model = copy.deepcopy(weighing.lm.model)
    own = dict(model.named_parameters())
    for name in weighing.current:
        own[name].data.copy_(weighing.original[name])
    return LanguageModel(model, weighing.lm.tokenizer, weighing.lm.name)


def _probes(engram: Engram, lesson: Lesson) -> list[Item]:
    """Questions kept for exams, never trained on: the wordings held back, and a pair's `paraphrases` and `reverse`."""
    item, metadata = lesson.item, engram.metadata
    out = lesson.held_back
    if not out:
        wordings = metadata.get("paraphrases", metadata.get("paraphrase", ()))
        out = replace(lesson, held=(wordings,) if isinstance(wordings, str) else tuple(wordings)).held_back
    reverse = metadata.get("reverse")
    if isinstance(reverse, dict) and {"question", "answer"} <= reverse.keys():
        given = {"question": reverse["question"], "answer": reverse["answer"]}
        out.append(item.model_copy(update={"id": f"{item.id}-r", "probe": "reversed", **given}))
    return out


def diff(memory: Parts, a: str, b: str) -> dict[str, Any]:
    """What `b` recalls and `a` does not, and the other way round, by the results stored with each."""
    first, second = memory.store.version(a), memory.store.version(b)
    was, now = _recalled(memory, first.id), _recalled(memory, second.id)
    items = {i.id: i for i in memory.store.items()}

    def facts(ids: Sequence[str]) -> list[dict[str, str | None]]:
        chosen = [items[i] for i in sorted(ids) if i in items]
        return [{"engram": i.engram, "question": i.question, "answer": i.answer} for i in chosen]

    right = {i for i, v in was.items() if v}
    still = {i for i, v in now.items() if v}
    untold = [i for i in right if i not in now]
    return {
        "a": first.id,
        "b": second.id,
        "gained": facts(list(still - right)),
        "lost": facts([i for i in right - still if i in now]),
        "not_examined": facts(untold),
        "tensors_changed": sum(first.weights.get(n) != second.weights.get(n) for n in first.weights | second.weights),
        "general_loss": [_figure(memory, first.id, "general/loss"), _figure(memory, second.id, "general/loss")],
    }


def _recalled(memory: Parts, version: str) -> dict[str, bool]:
    return {r.item: r.value == 1.0 for r in memory.store.results(version, "recall/direct")}


def _figure(memory: Parts, version: str, name: str, items: set[str] | None = None) -> float | None:
    results = [r for r in memory.store.results(version, name) if items is None or r.item in items]
    if not results:
        return None
    return ability.mean_loss(results) if name == "general/loss" else sum(r.value for r in results) / len(results)


def data(memory: Parts) -> ReportData:
    """Everything the report shows, from what is stored."""
    store = memory.store
    versions = store.versions()
    live = [v for v in versions if not v.erased]
    taught = {v.id: {i.id for i in store.items(version=v.id) if i.probe == "direct"} for v in live}
    scored, curves, trades = [], [], []
    earlier: set[str] = set()
    for v in live:
        after = next((w.summary for w in live if w.parent == v.id and "general_before" in w.summary), {})
        scored.append(_scored(memory, v, earlier, after))
        earlier |= taught[v.id]
    for n, v in enumerate(live):
        points = [(w.id, _figure(memory, w.id, "recall/direct", taught[v.id])) for w in live[n:]]
        known = tuple((w, p) for w, p in points if p is not None)
        if taught[v.id] and known:
            curves.append(Curve(label=v.id, points=known))
        if "recall" in v.summary:
            stability = 1.0 - max(
                v.summary.get("lost_share", 0.0), min(1.0, max(0.0, v.summary.get("general_rise", 0.0)))
            )
            trades.append(Trade(label=v.id, plasticity=v.summary["recall"], stability=stability, strategy=v.strategy))
    head = memory.head
    now, ever, lost = _outcomes(memory, head)
    facts = [
        Fact(
            id=e.id,
            question=i.question,
            answer=i.answer,
            version=e.version,
            recalled=now.get(i.id),
            ever=ever.get(i.id),
            lost=lost.get(i.id),
            source=e.source,
        )
        for i in store.items()
        if i.probe == "direct" and i.engram
        for e in store.get([i.engram])
    ]
    certificates = store.certificates()
    gone = [Gone(id=i, at=c.created, method=c.method) for c in certificates for i in c.forgotten]
    return ReportData(
        title=memory.folder.path.resolve().name,
        model=memory.model_name,
        created=memory.now(),
        engrams=store.count(),
        current=head.id,
        base_loss=next((v.summary["general_before"] for v in live if "general_before" in v.summary), None),
        versions=tuple(scored),
        curves=tuple(curves),
        trades=tuple(trades),
        facts=tuple(facts),
        forgotten=tuple(gone),
        certificates=tuple(certificates),
    )


def _outcomes(memory: Parts, head: Version) -> tuple[dict[str, bool], dict[str, bool], dict[str, str]]:
    """By item: whether `head` recalls it, whether it or an ancestor did, and the version that no longer did."""
    now: dict[str, bool] = {}
    ever: dict[str, bool] = {}
    lost: dict[str, str] = {}
    for v in memory.lineage(head):
        now = _recalled(memory, v.id)
        for item, right in now.items():
            if right:
                lost.pop(item, None)
            elif ever.get(item):
                lost.setdefault(item, v.id)
            ever[item] = ever.get(item, False) or right
    return now, ever, {item: v for item, v in lost.items() if item in now}


def _scored(memory: Parts, v: Version, earlier: set[str], after: dict[str, Any]) -> Scored:
    """A version's figures; `after` is the summary of the next, whose exam before teaching was of this one."""

    def share(name: str, items: set[str] | None = None) -> float | None:
        return _figure(memory, v.id, name, items)

    return Scored(
        id=v.id,
        created=v.created,
        parent=v.parent,
        message=v.message,
        strategy=v.strategy,
        taught=len(v.taught),
        recall=share("recall/direct"),
        paraphrase=share("recall/paraphrase"),
        reversed=share("recall/reversed"),
        recognition=share("recognition"),
        retention=share("recall/direct", earlier) if earlier else None,
        loss=after.get("general_before") if (loss := share("general/loss")) is None else loss,
        kl=share("general/kl"),
        quiz=after.get("quiz_before") if (quiz := share("recall/quiz")) is None else quiz,
    )


def report(memory: Parts, path: Path) -> Path:
    """Write the page; its place is remembered, so that `forget` can write it anew."""
    page = render(data(memory))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}; give another path") from error
    pages = memory.store.setting("reports", [])
    if str(path.resolve()) not in pages:
        memory.store.set_setting("reports", [*pages, str(path.resolve())])
    return path
