"""Li et al. 2025, "MemOS: A Memory OS for AI System", arXiv:2507.03724."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from byheart.exam.match import contains
from byheart.memory import Memory
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.facts.people import Fact, people

START, LATER, CHANGE = "2026-01-01", "2026-03-01", "2026-04-01"
Way = Literal["text", "weights", "scheduled"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    people: int
    often: int
    changed: int
    model: str


class Scheduled(Study[Size]):
    """One memory in two forms under one scheduler, beside text alone and weights alone.

    The paper keeps knowledge as text, activations and parameters in one system whose scheduler moves what is used often
    into the cheaper forms, with versions and a life cycle, and finds that answers are as good or better while less has
    to be read (sections 5 and 6). Here: facts about fictional people in SmolLM2-135M with MiniLM; text and weights, no
    activations. Some facts are queried often; `Memory.plan` proposes what goes into weights and `carry_out` teaches
    it. Every fact is then queried in a new wording: from text, from weights, and as scheduled (from weights where the
    best hit is in weights, else from text). Then some of the taught facts change. `read` is the number of prompt
    tokens, divided by that with text alone. The reader shows the model one sentence, so there is little to save; `read`
    is no criterion.

    Seed 100 was looked at before the thresholds were set. It showed a fault of the reader, which read pairs without
    their answers and is repaired (right from text 0.35 before, from weights 0.25, as scheduled 0.6).
    """

    claim = "one scheduler over text and weights answers as text does, better than weights alone, and stays current"
    quote = (
        "MemOS establishes a memory-centric system framework that brings controllability, plasticity, and "
        "evolvability to LLMs, laying the foundation for continual learning and personalized modeling."
    )
    source = "sections 5 and 6"
    primary = Criterion("over_weights", says="right answers beyond those from weights alone", at_least=0.3)
    secondary = (
        Criterion("planned", says="F1 of what is proposed for the weights against what is asked often", at_least=0.8),
        Criterion("over_text", says="right answers beyond those from text alone", at_least=-0.1),
        Criterion("current", says="right answers about what changed, beyond weights alone", at_least=0.5),
    )
    scales = Scales(
        smoke=Size(people=1, often=2, changed=1, model="tiny"),
        small=Size(people=2, often=6, changed=4, model="smollm2-135m"),
        full=Size(people=6, often=20, changed=10, model="smollm2-135m"),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        """One memory from its first question to its last."""
        rng = np.random.default_rng(seed)
        facts = [f for person in people(size.people, seed=seed) for f in person]
        facts = [facts[i] for i in rng.permutation(len(facts))]
        often, changed = facts[: size.often], facts[: size.changed]
        with tempfile.TemporaryDirectory() as home, Memory.open(Path(home), model=size.model) as memory:
            engrams = memory.remember([_lesson(f, f.answer, START) for f in facts])
            wanted = {e.id for e, f in zip(engrams, facts, strict=True) if f in often}
            for n in range(5):
                for f in often:
                    memory.recall((f.question, f.paraphrases[0])[n % 2], k=1)
            for f in facts[size.often :]:
                memory.recall(f.question, k=1)
            due = [p for p in memory.plan(LATER) if p.kind == "consolidate"]
            proposed = {i for p in due for i in p.engrams}
            memory.carry_out(due, seed=seed)
            text, full = _answers(memory, facts, "text")
            weights, _ = _answers(memory, facts, "weights")
            mixed, read = _answers(memory, facts, "scheduled")
            others = [f for person in people(size.people + 4, seed=seed + 1) for f in person]
            now = [
                (f, next(o.answer for o in others if o.relation == f.relation and o.answer != f.answer))
                for f in changed
            ]
            memory.remember([_lesson(f, answer, CHANGE) for f, answer in now])
            after = {
                way: _answers(memory, [f for f, _ in now], way, [a for _, a in now])[0]
                for way in ("scheduled", "weights")
            }
        return {
            "planned": 2 * len(proposed & wanted) / max(len(proposed) + len(wanted), 1),
            "over_text": mixed - text,
            "over_weights": mixed - weights,
            "read": read / max(full, 1),
            "current": after["scheduled"] - after["weights"],
            "right_text": text,
            "right_weights": weights,
            "right_scheduled": mixed,
            "right_after_change": after["scheduled"],
        }


def _lesson(fact: Fact, answer: str, at: str) -> dict[str, str]:
    return {"question": fact.question, "answer": answer, "key": f"{fact.subject}/{fact.relation}", "at": at}


def _answers(memory: Memory, facts: Sequence[Fact], way: Way, golds: Sequence[str] | None = None) -> tuple[float, int]:
    """Share of the facts answered right in the last wording, and the tokens that the model read for it."""
    lm = memory.at_head().lm
    read = right = 0
    generate = lm.generate

    def counted(prompts: Sequence[Any], **settings: Any) -> Any:
        nonlocal read
        read += sum(len(lm.tokens(p)) for p in prompts)
        return generate(prompts, **settings)

    lm.generate = counted  # type: ignore[method-assign]
    try:
        for fact, gold in zip(facts, golds or [f.answer for f in facts], strict=True):
            question = fact.paraphrases[-1]
            form: Literal["text", "weights"] = "weights" if way == "weights" else "text"
            if way == "scheduled":
                best = memory.store.get([memory.recall(question, k=1)[0].id])[0]
                form = "weights" if "weights" in best.forms else "text"
            right += contains(memory.ask(question, form=form).text, gold)
    finally:
        del lm.generate
    return right / len(facts), read
