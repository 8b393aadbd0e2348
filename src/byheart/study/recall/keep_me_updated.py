"""Bae et al. 2022, "Keep Me Updated! Memory Management in Long-term Conversations", arXiv:2210.08750."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byheart.core.records import Engram, Op
from byheart.models.embedder import load_embedder
from byheart.recall.update.keep_me_updated import KeepMeUpdated, Statements
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.facts.changes import Stream, changes


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    facts: int


class Updating(Study[Size]):
    """A memory that replaces outdated statements, beside a memory that only adds and a memory that misses no change.

    The paper annotates Korean dialogues of several sessions, trains a T5 to name the operation (PASS, APPEND, REPLACE,
    DELETE) for each pair of an old and a new memory sentence, and finds that its operations are mostly right (tables
    4 and 5) and that such a memory answers better than one that accumulates (section 5.3). Here: statements about
    people whose circumstances change, in wordings, slots and with names that the classifier was not made on (the half
    "test" of `world.facts.changes`); MiniLM; an outdated statement of a slot beside the current one counts as a
    contradiction. Each question is then answered by the most alike statement that is still active.

    Weights come from the half "dev", seeds 101 to 103; of the half "test", seed 100 was looked at while features were
    chosen (replacements right 0.95, found 0.90), and 1,000 facts with seed 0 were run through the store (latest first
    0.60, side by side 0.25) before the thresholds were set.

    Seeds 0 to 2 came first: all held but the last, answers of those with every operation right, which was 0.914 with
    limits of 0.886 and 0.941 (replacements right 0.956, changes found 0.898, answers beyond adding 0.459,
    contradictions left 0.158). Then five more seeds, with which its lower limit is 0.899; then twelve more,
    a number fixed before they ran. These alone are the result: nobody had looked at them.
    """

    claim = "operations on memory sentences are mostly right, and keeping current answers better than adding"
    quote = (
        "Experimental results show that our approach outperforms the baselines that leave the stored memory "
        "unchanged in terms of engagingness and humanness, with larger performance gap especially in the "
        "later sessions."
    )
    source = "sections 4 and 5, tables 4 and 5"
    primary = Criterion("over_adding", says="right answers beyond a memory that only adds", at_least=0.2)
    secondary = (
        Criterion("right", says="share of replacements that replace what is no longer so", at_least=0.9),
        Criterion("found", says="share of changes whose outdated statement is replaced", at_least=0.8),
        Criterion("contradictions", says="contradictions left, of those of a memory that adds", at_most=0.3),
        Criterion("of_perfect", says="right answers, of those with every operation right", at_least=0.9),
    )
    seeds = range(8, 20)
    scales = Scales(
        smoke=Size(facts=24),
        small=Size(facts=360),
        full=Size(facts=1000),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        """One stream in three memories."""
        stream = changes(size.facts, seed=seed, half="test")
        embedder = load_embedder("minilm")
        current, right, replaced, changed = _updated(stream, KeepMeUpdated(), embedder)
        everything = set(range(len(stream.statements)))
        perfect = everything - {n for s in stream.statements for n in s.replaces}
        answers = {
            name: _answered(stream, active, embedder)
            for name, active in (("kept", current), ("adding", everything), ("perfect", perfect))
        }
        return {
            "right": right / max(replaced, 1),
            "found": right / max(changed, 1),
            "over_adding": answers["kept"][0] - answers["adding"][0],
            "contradictions": answers["kept"][1] / max(answers["adding"][1], 1e-9),
            "of_perfect": answers["kept"][0] / max(answers["perfect"][0], 1e-9),
            **{f"answered_{name}": share for name, (share, _) in answers.items()},
        }


def _updated(stream: Stream, updater: KeepMeUpdated, embedder: Any) -> tuple[set[int], int, int, int]:
    """The statements active at the end; the numbers of right replacements, of replacements and of changes."""
    view = Statements([], embedder)
    right = replaced = changed = 0
    for n, s in enumerate(stream.statements):
        same = {i for i in map(int, view.active) if (stream.statements[i].subject, stream.statements[i].slot) == _of(s)}
        due = same if s.kind in ("change", "end", "again") else set()
        op = updater.place(view, Engram(id=str(n), text=s.text, created=s.at, at=s.at), embedder)
        if op.kind == "replace" and op.target is not None:
            replaced += 1
            right += int(op.target) in due
        changed += bool(due)
        view.keep(op if op.engram is not None else Op(kind="pass"))
    return set(map(int, view.active)), right, replaced, changed


def _answered(stream: Stream, active: set[int], embedder: Any) -> tuple[float, float]:
    """Shares of questions whose most similar active statement is right, and that have an outdated statement beside."""
    places = sorted(active)
    vectors = embedder.encode([stream.statements[n].text for n in places])
    queries = embedder.encode([q.question for q in stream.questions])
    best = (queries @ vectors.T).argmax(1)
    values: dict[tuple[str, str], set[str | None]] = {}
    for n in places:
        values.setdefault(_of(stream.statements[n]), set()).add(stream.statements[n].value)
    right = both = 0
    for q, place in zip(stream.questions, best.tolist(), strict=True):
        s = stream.statements[places[place]]
        right += (s.subject, s.slot, s.value) == (q.subject, q.slot, q.value)
        known = values.get((q.subject, q.slot), set())
        both += q.value in known and bool(known & set(q.stale))
    return right / len(stream.questions), both / len(stream.questions)


def _of(statement: Any) -> tuple[str, str]:
    return statement.subject, statement.slot
