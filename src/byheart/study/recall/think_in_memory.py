"""Liu et al. 2023, "Think-in-Memory: Recalling and Post-thinking Enable LLMs with Long-Term Memory", 2311.08719."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from byheart.core.query import Query
from byheart.core.records import Engram, Op
from byheart.models.embedder import Remembered, load_embedder
from byheart.recall.retrieve.lsh import LSH, Buckets
from byheart.recall.update.think_in_memory import ThinkInMemory
from byheart.store.sqlite import Store
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.facts.biographies import Biographies


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    people: int
    embedder: str
    buckets: int = 16


class Thoughts(Study[Size]):
    """Thoughts searched in a single bucket of a hash, and old thoughts deleted where a new thought contradicts them.

    The paper stores a sentence for each relation in a dialogue. Looking only into the query's bucket, it retrieves the
    right sentence among ten for 97.3% of queries on KdConv, in less time than by comparing all. A language model
    deletes what is contradicted.
    Here: sentences about people who do not exist, by MiniLM, with questions in wordings that no sentence has. A
    question counts as a hit when its sentence is among ten. Then every person gets another job and town, stated in
    another wording; triples come with the sentences, so only the bucket decides whether the old one is noticed. The
    paper does not say how many buckets there are; of 8, 16 and 32, on seeds 100 and 101, one bucket keeps 0.40, 0.40
    and 0.30 of what comparing all finds, and 16 compare less than 8.

    It compares a tenth of the thoughts and loses two thirds of what is looked for; of old thoughts it notices 37%.
    Tried: opening more buckets. Two keep 0.55 of what comparing all finds, four 0.73 with 37% of the thoughts compared,
    and with four 76% of what is contradicted is noticed, so it is the border between buckets and not the rule that
    fails. Fewer and larger buckets (8) keep no more in one, as half of all questions stand 49 degrees or more
    from their sentence, where even four axes part them. KdConv's queries may stand nearer to their thoughts.
    """

    claim = "one bucket of a hash holds what a query looks for, and forgetting within it keeps thoughts current"
    quote = (
        "Furthermore, we introduce Locality-Sensitive Hashing into TiM to achieve efficient retrieval for the "
        "long-term conversations."
    )
    source = "abstract; sections on the hash and on organising the memory; 0.973 among ten on KdConv"
    primary = Criterion("kept", says="found in one bucket, of what comparing all finds", at_least=0.9)
    secondary = (
        Criterion("compared", says="share of thoughts compared", at_most=0.2),
        Criterion("current_gain", says="new found and old not, above adding alone", at_least=0.5),
    )
    scales = Scales(
        smoke=Size(people=8, embedder="hash"),
        small=Size(people=80, embedder="minilm"),
        full=Size(people=400, embedder="minilm"),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        encoder = Remembered(load_embedder(size.embedder))
        world = Biographies(size.people, seed=seed)
        thoughts = [_thought(world, p, a, n) for p in range(size.people) for n, a in enumerate(world.attributes)]
        questions = [
            (world.question(p, a, held_out=True), f"{p} {a}") for p in range(size.people) for a in world.attributes
        ]
        questions = [questions[i] for i in np.random.default_rng(seed).permutation(len(questions))[: 3 * size.people]]
        out: dict[str, float] = {}
        with tempfile.TemporaryDirectory() as folder:
            with Store(f"{folder}/all", dimension=encoder.dimension) as store:
                store.add(thoughts, encoder.encode([e.text for e in thoughts]))
                everything = LSH(buckets=2, probes=2)
                arms = {"exact": everything} | {
                    f"probes_{n}": LSH(buckets=size.buckets, probes=n, fill=False, seed=seed) for n in (1, 2, 4)
                }
                for name, searcher in arms.items():
                    hits = [
                        wanted in [h.id for h in searcher.search(Query(query, store, encoder))]
                        for query, wanted in questions
                    ]
                    out[name] = fmean(hits)
                out |= _opened(encoder, thoughts, [q for q, _ in questions], size.buckets, seed)
            new = [_moved(world, p, a, seed) for p in range(size.people) for a in ("job", "town")]
            for name, updater in (
                ("added", None),
                ("current", ThinkInMemory(buckets=size.buckets, seed=seed)),
                ("current_probes_4", ThinkInMemory(buckets=size.buckets, probes=4, seed=seed)),
            ):
                with Store(f"{folder}/{name}", dimension=encoder.dimension) as store:
                    store.add(thoughts, encoder.encode([e.text for e in thoughts]))
                    _carry_out(store, encoder, new, updater)
                    out[name] = fmean(_current(everything, store, encoder, _question(world, e), e) for e in new)
                    out[f"{name}_kept"] = store.count() / len(thoughts)
        return out | {
            "kept": out["probes_1"] / max(out["exact"], 1e-9),
            "kept_4": out["probes_4"] / max(out["exact"], 1e-9),
            "current_gain": out["current"] - out["added"],
        }


def _thought(world: Biographies, person: int, attribute: str, wording: int) -> Engram:
    """A fact as a thought with its triple."""
    triple = {"head": world.name(person), "relation": attribute, "tail": world.value(person, attribute)}
    text = world.statement(person, attribute, wording)
    return Engram(id=f"{person} {attribute}", text=text, created="", metadata=triple)


def _moved(world: Biographies, person: int, attribute: str, seed: int) -> Engram:
    """A later thought about the same person, in another wording, with another value."""
    old = _thought(world, person, attribute, 0)
    values = [v for v in world.attributes[attribute].values if v != old.metadata["tail"]]
    tail = values[int(np.random.default_rng([seed, person, len(attribute)]).integers(len(values)))]
    text = world.attributes[attribute].statements[3].format(s=old.metadata["head"], o=tail)
    return Engram(id=f"new {person} {attribute}", text=text, created="", metadata={**old.metadata, "tail": tail})


def _question(world: Biographies, thought: Engram) -> str:
    _, person, attribute = thought.id.split()
    return world.question(int(person), attribute, held_out=True)


def _current(searcher: LSH, store: Store, encoder: Remembered, query: str, new: Engram) -> bool:
    """Whether the new thought is among ten and the thought that it contradicts is not."""
    hits = {h.id for h in searcher.search(Query(query, store, encoder))}
    return new.id in hits and new.id.removeprefix("new ") not in hits


def _opened(
    encoder: Remembered, thoughts: Sequence[Engram], queries: Sequence[str], buckets: int, seed: int
) -> dict[str, float]:
    """Share of all thoughts that a query is compared with in one bucket and in four."""
    hashed = Buckets(encoder.dimension, buckets, seed=seed)
    of = hashed.order(encoder.encode([e.text for e in thoughts]))[:, 0]
    order = hashed.order(encoder.encode(list(queries)))
    shares = {n: fmean(float(np.isin(of, row[:n]).mean()) for row in order) for n in (1, 4)}
    return {"compared": shares[1], "compared_4": shares[4]}


def _carry_out(store: Store, encoder: Remembered, new: Sequence[Engram], updater: ThinkInMemory | None) -> None:
    """Add new thoughts one by one, as the updater proposes."""
    for engram in new:
        op = Op(kind="add", engram=engram)
        for step in [op] if updater is None else updater.reconcile(store, [op], encoder):
            if step.kind == "delete" and step.target:
                store.update([step.target], state="superseded")
            elif step.kind == "add" and step.engram:
                store.add([step.engram], encoder.encode([step.engram.text]))
