"""`engram bench recall`: evidence found in long dialogues by every retriever, on dialogues not learned from.

Every dialogue is put into a store of its own and asked through the same search that a memory uses. Weights that are
learned are those of the other dialogues (of four fifths of them where there are more than five).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from engram.core.protocols import Embedder
from engram.core.records import Engram, Hit
from engram.exam import retrieval
from engram.models.embedder import Remembered
from engram.recall.retrieve.hybrid import Hybrid
from engram.recall.retrieve.ranked import Ranked, fit
from engram.store.sqlite import Store
from engram.world.dialogues import Dialogue, Probe

Told = Callable[[str, int, int], None]
MEASURES = {"recall": retrieval.recall, "all": retrieval.recall_all, "any": retrieval.recall_any}
PARTS: Mapping[str, Hybrid] = {
    "bm25": Hybrid(dense=0.0, neighbours=0.0),
    "embedder": Hybrid(lexical=0.0, neighbours=0.0),
    "bm25 + embedder": Hybrid(neighbours=0.0),
    "hybrid": Hybrid(),
}
FOLDS = 5
COLUMNS = ("retriever", "questions", "recall@5", "recall@k", "all@k", "any@k", "NDCG@k", "sessions@k", "search ms")


@dataclass
class Kept:
    """A dialogue in a store: which engram each turn became."""

    dialogue: Dialogue
    store: Store
    ids: list[str] = field(default_factory=list)

    def wanted(self, probe: Probe) -> list[str]:
        """The engrams of the turns that hold the answer."""
        return list(dict.fromkeys(self.ids[t] for t in probe.turns))


def bench(
    dialogues: Sequence[Dialogue], embedder: Embedder, *, k: int = 10, told: Told | None = None
) -> dict[str, Any]:
    """Recall of turns and sessions by every retriever; see `table` for what is in it."""
    once = Remembered(embedder)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        kept = []
        for n, dialogue in enumerate(dialogues):
            kept.append(_keep(dialogue, Path(folder) / f"{n}.db", once))
            if told:
                told("reading", n + 1, len(dialogues))
        stored, embedding = time.perf_counter() - started, once.seconds
        arms: dict[str, list[dict[str, Any]]] = {name: [] for name in (*PARTS, "ranked")}
        learned = _learned(kept, once, told)
        for n, one in enumerate(kept):
            for name, searcher in {**PARTS, "ranked": learned[n]}.items():
                arms[name] += [_ask(one, probe, searcher, once, k) for probe in one.dialogue.probes]
            if told:
                told("asking", n + 1, len(kept))
        for one in kept:
            one.store.close()
    questions = max(1, sum(len(d.probes) for d in dialogues))
    asking = (once.seconds - embedding) / questions * 1e3
    return {
        "bench": "recall",
        "dialogues": len(dialogues),
        "turns": sum(len(d.turns) for d in dialogues),
        "questions": questions,
        "k": k,
        "seconds_to_store": round(stored, 2),
        "seconds_of_these_embedding": round(embedding, 2),
        "ms_to_embed_a_question": round(asking, 2),
        "arms": {name: table(rows, k) for name, rows in arms.items()},
        "weights": learned[0].weights,
    }


def _keep(dialogue: Dialogue, path: Path, embedder: Remembered) -> Kept:
    engrams = [
        Engram(
            id=f"t{n}", text=t.text.strip() or "…", source=t.session, position=t.place, speaker=t.speaker, created=""
        )
        for n, t in enumerate(dialogue.turns)
    ]
    store = Store(path, dimension=embedder.dimension)
    return Kept(dialogue, store, [e.id for e in store.add(engrams, embedder.encode([e.text for e in engrams]))])


def _learned(kept: Sequence[Kept], embedder: Remembered, told: Told | None) -> list[Ranked]:
    """For each dialogue a ranker whose weights come from others; the one shipped where there are none."""
    if len(kept) == 1:
        return [Ranked()]
    asked = []
    for n, one in enumerate(kept):
        asked.append([(Ranked().asked(one.store, embedder, p.text), one.wanted(p)) for p in one.dialogue.probes])
        if told:
            told("learning", n + 1, len(kept))
    folds = min(FOLDS, len(kept))
    made = [Ranked(weights=fit([q for n, a in enumerate(asked) if n % folds != f for q in a])) for f in range(folds)]
    return [made[n % folds] for n in range(len(kept))]


def _ask(one: Kept, probe: Probe, searcher: Any, embedder: Remembered, k: int) -> dict[str, Any]:
    """One question by one retriever: every measure of turns and of sessions, and the milliseconds without embedding."""
    started, embedded = time.perf_counter(), embedder.seconds
    hits: list[Hit] = searcher.search(one.store, embedder, probe.text, max(4 * k, 40))
    ms = (time.perf_counter() - started - embedder.seconds + embedded) * 1e3
    turns, sessions = [h.id for h in hits], list(dict.fromkeys(h.source or "" for h in hits))
    row: dict[str, Any] = {"category": probe.category, "ms": ms}
    for what, ranked, wanted in (("turn", turns, one.wanted(probe)), ("session", sessions, probe.sessions)):
        if wanted:
            for size in sorted({5, k}):
                row |= {f"{what}_{name}@{size}": measure(ranked, wanted, size) for name, measure in MEASURES.items()}
            row[f"{what}_ndcg@{k}"] = retrieval.ndcg(ranked, wanted, k)
    return row


def table(rows: Sequence[Mapping[str, Any]], k: int) -> dict[str, Any]:
    """Means over all questions, and by category: `turn_recall@k` is the share of evidence turns among the first k."""
    names = [n for n in dict.fromkeys(n for r in rows for n in r) if n not in ("category", "ms")]

    def means(some: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        some = list(some)
        found = {n: [r[n] for r in some if n in r] for n in names}
        return {n: round(fmean(v), 4) for n, v in found.items() if v}

    by = {c: [r for r in rows if r["category"] == c] for c in sorted({r["category"] for r in rows})}
    return {
        **means(rows),
        "ms_p50": round(median(r["ms"] for r in rows), 2) if rows else 0.0,
        "by_category": {c: {"questions": len(part), **means(part)} for c, part in by.items()},
    }


def cells(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of the printed table: every retriever, and the last by category."""
    k = found["k"]
    names = [
        "turn_recall@5",
        *(f"{n}@{k}" for n in ("turn_recall", "turn_all", "turn_any", "turn_ndcg", "session_recall")),
    ]

    def row(title: str, questions: int, of: Mapping[str, Any]) -> tuple[str, ...]:
        figures = (f"{of[n]:.1%}" if n in of else "" for n in names)
        return title, str(questions), *figures, f"{of['ms_p50']:.1f}" if "ms_p50" in of else ""

    for name, arm in found["arms"].items():
        yield row(name, found["questions"], arm)
    for category, part in found["arms"]["ranked"]["by_category"].items():
        yield row(f"  {category}", part["questions"], part)
