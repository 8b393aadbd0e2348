"""Li et al. 2025, "Context-Efficient Retrieval with Factual Decomposition", arXiv:2503.19574."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from byheart.core.query import Query
from byheart.core.records import Engram
from byheart.exam.match import contains
from byheart.models.embedder import Remembered, load_embedder
from byheart.recall.retrieve.hybrid import Hybrid
from byheart.recall.write.atomic_facts import AtomicFacts
from byheart.recall.write.chunks import Chunks
from byheart.store.sqlite import Store
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.facts.people import Fact, people

BUDGETS = (20, 40, 80)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    persons: int
    embedder: str


class Facts(Study[Size]):
    """Share of answers within a few retrieved words: a memory of atomic facts against memories of passages.

    The paper has a language model turn NarrativeQA, Qasper and QuALITY into entity-description pairs and finds that a
    reader answers more from them than from passages when little text may be retrieved.
    Here: running text about people who do not exist, a paragraph each, with pronouns and joined clauses and without
    headings; facts by rule; questions in wordings that the text does not have; MiniLM's cosine. Pieces are retrieved
    best first while they fit into the budget of words; the first piece is cut to fit. A question counts as answered
    where a retrieved piece holds both the answer and the person's name, so no reader is needed. This favours passages:
    the answer of a neighbouring sentence counts too. Facts are compared with the best of three sizes of passages: the
    defaults of `Chunks`, at most 30 words, and single sentences. `headed` is the same text with the name as a heading
    over each paragraph,
    which `Chunks` puts before every passage. It measures the gain that is left when passages name their subject too.
    Thresholds are well below the figures of seeds 100 and 101; no setting was chosen on them.
    """

    claim = "atomic facts hold more answers than passages of any size within the same few retrieved words"
    quote = (
        "More specifically, we demonstrate that our particular form of atomic facts improves performance on "
        "various question answering tasks when the amount of retrieved text is limited."
    )
    source = "abstract"
    primary = Criterion("over_best_20", says="answered in 20 words, above the best passages", at_least=0.2)
    secondary = (
        Criterion("over_best_40", says="answered in 40 words, above the best passages", at_least=0.1),
        Criterion("headed_over_best_20", says="the same in 20 words under headings", at_least=0.05),
        Criterion("quarter", says="facts in 20 words above default passages in 80", at_least=0.0),
    )
    scales = Scales(
        smoke=Size(persons=4, embedder="hash"),
        small=Size(persons=30, embedder="minilm"),
        full=Size(persons=200, embedder="minilm"),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        encoder = Remembered(load_embedder(size.embedder))
        rng = np.random.default_rng(seed)
        world = people(size.persons, seed=seed)
        paragraphs = [(facts[0].subject, paragraph(facts, rng)) for facts in world]
        questions = [facts[i] for facts in world for i in rng.permutation(len(facts))[:4]]
        out = _compared("\n\n".join(text for _, text in paragraphs), questions, encoder)
        headed = _compared("\n\n".join(f"## {name}\n\n{text}" for name, text in paragraphs), questions, encoder)
        return out | {f"headed_{name}": value for name, value in headed.items()}


def _compared(text: str, facts: Sequence[Fact], encoder: Remembered) -> dict[str, float]:
    """Shares answered from each memory of a text within each budget, and the gain of facts over the best passages."""
    arms = {
        "passages": Chunks().write(text),
        "short": Chunks(enough=15, longest=30).write(text),
        "sentences": Chunks(enough=1, longest=1).write(text),
        "facts": [op.engram for op in AtomicFacts().write(text) if op.engram],
    }
    out: dict[str, float] = {}
    for name, engrams in arms.items():
        out[f"{name}_words"] = fmean(len(e.text.split()) for e in engrams)
        retrieved = _retrieved(engrams, [f.paraphrases[0] for f in facts], encoder)
        for budget in BUDGETS:
            out[f"{name}_{budget}"] = fmean(
                any(contains(t, f.answer) and contains(t, f.subject) for t in within(texts, budget))
                for f, texts in zip(facts, retrieved, strict=True)
            )
    for budget in BUDGETS:
        best = max(out[f"{name}_{budget}"] for name in ("passages", "short", "sentences"))
        out[f"over_best_{budget}"] = out[f"facts_{budget}"] - best
    return out | {"quarter": out["facts_20"] - out["passages_80"]}


def paragraph(facts: Sequence[Fact], rng: np.random.Generator) -> str:
    """A person's facts in random order: the name once, then pronouns, every other sentence of two clauses.

    >>> paragraph(people(1, seed=1)[0][:3], np.random.default_rng(0)).count(people(1, seed=1)[0][0].subject)
    1
    """
    ordered = [facts[i] for i in rng.permutation(len(facts))]
    name, they, their = ordered[0].subject, *(("She", "Her"), ("He", "His"))[int(rng.integers(2))]
    out = ""
    for n, fact in enumerate(ordered):
        sentence = fact.statement.rstrip(".")
        own = sentence.startswith(name)
        rest = sentence.removeprefix(f"{name} ") if own else sentence.removeprefix("The ").replace(f" of {name}", "")
        if n == 0:
            out = sentence
        elif n % 2:
            out += f" and {rest}" if own else f", and {their.lower()} {rest}"
        else:
            out += f". {they if own else their} {rest}"
    return out + "."


def within(texts: Sequence[str], budget: int) -> list[str]:
    """The first texts that together have at most `budget` words; the first text is cut to fit.

    >>> within(["a b", "c d e", "f"], 4), within(["a b c"], 2)
    (['a b'], ['a b'])
    """
    out: list[str] = []
    for text in texts:
        words = text.split()
        if out and len(words) > budget:
            break
        out.append(" ".join(words[:budget]))
        budget -= len(words)
    return out


def _retrieved(engrams: Sequence[Engram], queries: Sequence[str], encoder: Remembered) -> list[list[str]]:
    """For each query the texts of the best engrams by cosine."""
    search = Hybrid(lexical=0, neighbours=0)
    with tempfile.TemporaryDirectory() as folder, Store(f"{folder}/told", dimension=encoder.dimension) as store:
        store.add(engrams, encoder.encode([e.text for e in engrams]))
        return [[h.text for h in search.search(Query(q, store, encoder, k=max(BUDGETS) // 2))] for q in queries]
