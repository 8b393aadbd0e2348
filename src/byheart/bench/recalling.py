"""`byheart bench recall`: evidence found in long dialogues by every retriever, on dialogues not learned from.

Every dialogue is put into a store of its own and asked through the same search that a memory uses. Weights that are
learned are those of the other dialogues (of four fifths of them where there are more than five), and so they are where
parts of `Ranked` are left out to see what each adds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from byheart.core.protocols import Embedder
from byheart.core.query import Query, Retriever
from byheart.core.records import Engram
from byheart.exam import retrieval
from byheart.models.embedder import Remembered
from byheart.recall.retrieve.hybrid import Hybrid
from byheart.recall.retrieve.ranked import PARTS, WEIGHTS, Ranked, Rated, fit, using
from byheart.store.sqlite import Store
from byheart.world.dialogue.dialogues import Dialogue, Probe

if TYPE_CHECKING:
    from byheart.memory.parts import Progress

MEASURES = {"recall": retrieval.recall, "all": retrieval.recall_all, "any": retrieval.recall_any}
PLAIN: Mapping[str, Hybrid] = {
    "bm25": Hybrid(dense=0.0, neighbours=0.0),
    "embedder": Hybrid(lexical=0.0, neighbours=0.0),
    "bm25 + embedder": Hybrid(neighbours=0.0, named=0.0),
    "hybrid": Hybrid(),
}
FOLDS = 5
COLUMNS = ("retriever", "questions", "recall@5", "recall@k", "all@k", "any@k", "NDCG@k", "sessions@k", "search ms")
PART_COLUMNS = ("part", "recall@5", "recall@k", "multi-hop@k", "without: @5", "without: @k", "without: multi-hop@k")
Questions = list[tuple[Rated, list[str]]]
"""Of one dialogue: every question's candidates, and the engrams that it should find."""


@dataclass
class Indexed:
    """A dialogue in a store: which engram each turn became."""

    dialogue: Dialogue
    store: Store
    ids: list[str] = field(default_factory=list)

    def wanted(self, probe: Probe) -> list[str]:
        """The engrams of the turns that hold the answer."""
        return list(dict.fromkeys(self.ids[t] for t in probe.turns))


def bench(
    dialogues: Sequence[Dialogue], embedder: Embedder, *, k: int = 10, progress: Progress | None = None
) -> dict[str, Any]:
    """Recall of turns and sessions by every retriever; see `table` for what is in it.

    "ranked" knows who speaks; the others, which do not, read the speaker's name before each turn.
    """
    once = Remembered(embedder)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        indexed = []
        for n, dialogue in enumerate(dialogues):
            indexed.append(_keep(dialogue, Path(folder) / f"{n}", once))
            if progress:
                progress("reading", n + 1, len(dialogues))
        stored, embedding = time.perf_counter() - started, once.seconds
        named = [_keep(d, Path(folder) / f"named-{n}", once, named=True) for n, d in enumerate(dialogues)]
        read, spent = len(once.known), once.seconds
        arms: dict[str, list[dict[str, Any]]] = {name: [] for name in (*PLAIN, "ranked")}
        learned, parts = _learned(indexed, once, k, progress)
        for n, entry in enumerate(indexed):
            ranker = Ranked(weights=learned[n % len(learned)])
            searchers: dict[str, tuple[Retriever, Indexed]] = {name: (s, named[n]) for name, s in PLAIN.items()}
            for name, (searcher, store) in {**searchers, "ranked": (ranker, entry)}.items():
                arms[name] += [_ask(store, probe, searcher, once, k) for probe in entry.dialogue.probes]
            if progress:
                progress("asking", n + 1, len(indexed))
        for entry in (*indexed, *named):
            entry.store.close()
    asking = (once.seconds - spent) / max(1, len(once.known) - read) * 1e3
    tables = {name: table(rows, k) for name, rows in arms.items()}
    return {
        "bench": "recall",
        "dialogues": len(dialogues),
        "turns": sum(len(d.turns) for d in dialogues),
        "questions": sum(len(d.probes) for d in dialogues),
        "k": k,
        "seconds_to_store": round(stored, 2),
        "seconds_of_these_embedding": round(embedding, 2),
        "ms_to_embed_a_question": round(asking, 2),
        "embedder_share_of_storing": round(embedding / stored, 4),
        "embedder_share_of_a_ranked_search": round(asking / max(asking + tables["ranked"].get("ms_p50", 0.0), 1e-9), 4),
        "arms": tables,
        "parts": parts,
        "weights": dict(learned[0]),
    }


def _keep(dialogue: Dialogue, path: Path, embedder: Remembered, *, named: bool = False) -> Indexed:
    """A dialogue in a store of its own, each turn's text with its speaker's name before it or not."""
    texts = [f"{t.speaker}: {t.text}" if named and t.speaker else t.text for t in dialogue.turns]
    engrams = [
        Engram(id=f"t{n}", text=x.strip() or "…", source=t.session, position=t.place, speaker=t.speaker, created="")
        for n, (t, x) in enumerate(zip(dialogue.turns, texts, strict=True))
    ]
    store = Store(path, dimension=embedder.dimension)
    return Indexed(dialogue, store, [e.id for e in store.add(engrams, embedder.encode([e.text for e in engrams]))])


def _learned(
    indexed: Sequence[Indexed], embedder: Remembered, k: int, progress: Progress | None
) -> tuple[Sequence[Mapping[str, float]], dict[str, Any]]:
    """The ranker's weights for every fold, and its recall with its parts added one by one and with each left out.

    A dialogue's fold is its number modulo the number of folds; weights come from dialogues of other folds. Where there
    are none, they are those shipped.
    """
    if len(indexed) == 1:
        return [WEIGHTS], {}
    order = list(PARTS)
    chosen = [("added", part, order[: n + 1]) for n, part in enumerate(order)]
    chosen += [("left out", part, [p for p in order if p != part]) for part in order]
    tables: dict[str, Any] = {"added": {}, "left out": {}}
    questions: dict[tuple[bool, ...], list[Questions]] = {}
    whole: list[dict[str, float]] = []
    for n, (how, part, parts) in enumerate(chosen):
        names = using(parts)
        looked = tuple(p in parts for p in ("words", "meaning", "speaker"))
        if looked not in questions:
            ranker = Ranked(weights={name: float(name in names) for name in WEIGHTS})
            questions[looked] = [_questions(entry, ranker, embedder) for entry in indexed]
        weights = _folded(questions[looked], names)
        rows = [
            _recalled(entry, probe, list(candidates.best(weights[d % len(weights)], max(5, k))), k)
            for d, entry in enumerate(indexed)
            for probe, (candidates, _) in zip(entry.dialogue.probes, questions[looked][d], strict=True)
        ]
        tables[how][part] = table(rows, k)
        whole = weights if parts == order else whole
        if progress:
            progress("learning", n + 1, len(chosen))
    return whole, tables


def _questions(entry: Indexed, ranker: Ranked, embedder: Remembered) -> Questions:
    return [(ranker.rated(Query(p.text, entry.store, embedder)), entry.wanted(p)) for p in entry.dialogue.probes]


def _folded(questions: Sequence[Questions], names: Sequence[str]) -> list[dict[str, float]]:
    """Weights for every fold of the dialogues, of these names alone, learned from the others."""
    folds = min(FOLDS, len(questions))
    return [fit([q for n, a in enumerate(questions) if n % folds != f for q in a], names=names) for f in range(folds)]


def _recalled(entry: Indexed, probe: Probe, turns: Sequence[str], k: int) -> dict[str, Any]:
    """Recall of turns by what was found, best first."""
    wanted = entry.wanted(probe)
    recalled = {f"turn_recall@{n}": retrieval.recall(turns, wanted, n) for n in sorted({5, k})} if wanted else {}
    return {"category": probe.category, **recalled}


def _ask(entry: Indexed, probe: Probe, searcher: Retriever, embedder: Remembered, k: int) -> dict[str, Any]:
    """One question by one retriever: every measure of turns and of sessions, and the milliseconds without embedding."""
    started, embedded = time.perf_counter(), embedder.seconds
    hits = searcher.search(Query(probe.text, entry.store, embedder, k=max(4 * k, 40)))
    ms = (time.perf_counter() - started - embedder.seconds + embedded) * 1e3
    turns, sessions = [h.id for h in hits], list(dict.fromkeys(h.source or "" for h in hits))
    row: dict[str, Any] = {"category": probe.category, "ms": ms}
    for what, ranked, wanted in (("turn", turns, entry.wanted(probe)), ("session", sessions, probe.sessions)):
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
        **({"ms_p50": round(median(timed), 2)} if (timed := [r["ms"] for r in rows if "ms" in r]) else {}),
        "by_category": {c: {"questions": len(part), **means(part)} for c, part in by.items()},
    }


def cells(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of the printed table: every retriever, and the last by category."""
    k = result["k"]
    names = [
        "turn_recall@5",
        *(f"{n}@{k}" for n in ("turn_recall", "turn_all", "turn_any", "turn_ndcg", "session_recall")),
    ]

    def row(title: str, questions: int, of: Mapping[str, Any]) -> tuple[str, ...]:
        figures = (f"{of[n]:.1%}" if n in of else "" for n in names)
        return title, str(questions), *figures, f"{of['ms_p50']:.1f}" if "ms_p50" in of else ""

    for name, arm in result["arms"].items():
        yield row(name, result["questions"], arm)
    for category, part in result["arms"]["ranked"]["by_category"].items():
        yield row(f"  {category}", part["questions"], part)


def part_cells(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of the second table: recall with this part and those above it, and with all but this part."""
    names = ("turn_recall@5", f"turn_recall@{result['k']}")

    def figures(of: Mapping[str, Any]) -> tuple[str, ...]:
        several = of["by_category"].get("multi-hop", {})
        return tuple(
            f"{row[n]:.1%}" if n in row else "" for row, n in ((of, names[0]), (of, names[1]), (several, names[1]))
        )

    for part, added in result["parts"].get("added", {}).items():
        yield part, *figures(added), *figures(result["parts"]["left out"][part])
