"""Wang et al. 2024, "In-Memory Learning: A Declarative Learning Framework for Large Language Models", 2403.02757."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from byheart.core.protocols import Subject
from byheart.core.records import Engram, Op
from byheart.models.embedder import HashEmbedder
from byheart.models.lm import load
from byheart.recall.update.in_memory_learning import InMemoryLearning
from byheart.store.sqlite import Store
from byheart.study.base.carrying import carry_out, scratch
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.facts.creatures import Creature, Creatures


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    worlds: int
    rounds: int
    tested: int
    model: str | None = None
    batch: int = 10
    momentum: float = 0.95


class Notes(Study[Size]):
    """Guesses that get better by notes on earlier guesses, without labels.

    The paper has language models classify things of four kinds by ten attributes, lets them write notes on what they
    met, revise them with momentum and guess again; accuracy rises over the rounds, more for abler models, with local
    minima.
    Here: creatures of four kinds and ten signs, each sign the other way round with a chance of 0.1; ten guesses a
    batch; notes are counted, and `notes` are the mean of the last three batches on creatures never guessed at. Of a
    guess the world shows whether it was right, which is less than a label. `unrewarded` hears nothing and takes itself
    to be right, `last_batch` has notes of the last batch alone (momentum 0), `none` guesses at random, `table` knows
    the kinds. Of momentum 0.8, 0.9, 0.95 and 1 on seed 100 (0.72, 0.69, 0.80, 0.80) 0.95 was chosen. At "full", a model
    writes and reads the notes (`written`, four batches of two worlds).
    """

    claim = (
        "notes that an agent inducts from its own guesses and revises make it better, batch by batch, without labels"
    )
    quote = (
        "The agents adeptly distill insights from past experiences, refining and updating existing notes to "
        "enhance their performance in the environment."
    )
    source = "abstract; induction, revision and inference; momentum"
    primary = Criterion("over_none", says="accuracy on new things above an agent without notes", at_least=0.3)
    secondary = (
        Criterion("risen", says="the same above what it was after the first batch", at_least=0.15),
        Criterion("over_last_batch", says="the same above notes without momentum", at_least=0.1),
    )
    scales = Scales(
        smoke=Size(worlds=1, rounds=4, tested=20),
        small=Size(worlds=20, rounds=20, tested=100),
        full=Size(worlds=60, rounds=40, tested=200, model="smollm2-135m"),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        arms = {
            "notes": _Agent(InMemoryLearning(momentum=size.momentum), size.batch),
            "last_batch": _Agent(InMemoryLearning(momentum=0.0), size.batch),
            "unrewarded": _Agent(InMemoryLearning(momentum=size.momentum), size.batch, rewarded=False),
        }
        made = [Creatures(seed=100 * seed + n) for n in range(size.worlds)]
        out: dict[str, float] = {}
        for name, agent in arms.items():
            curves = [agent.learn(w, size.rounds, size.tested) for w in made]
            out |= {f"{name}_first": fmean(c[0] for c in curves), f"{name}_half": fmean(c[1] for c in curves)}
            out[name] = fmean(fmean(c[2:]) for c in curves)
        tests = [(w, w.draw(size.tested, seed=0)) for w in made]
        out["none"] = fmean(fmean(c.kind == w.kinds[n % len(w.kinds)] for n, c in enumerate(t)) for w, t in tests)
        out["table"] = fmean(fmean(w.nearest(c) == c.kind for c in t) for w, t in tests)
        if size.model is not None:
            writer = _Agent(InMemoryLearning(momentum=size.momentum), size.batch, subject=load(size.model))
            out["written"] = fmean(fmean(writer.learn(w, 4, 20)[2:]) for w in made[:2])
        return out | {
            "over_none": out["notes"] - out["none"],
            "risen": out["notes"] - out["notes_first"],
            "over_last_batch": out["notes"] - out["last_batch"],
        }


class _Agent:
    """Guesses by its notes, learns whether a guess was right, and takes notes on each batch."""

    def __init__(
        self, learner: InMemoryLearning, batch: int, *, rewarded: bool = True, subject: Subject | None = None
    ) -> None:
        self.learner, self.batch, self.rewarded, self.subject = learner, batch, rewarded, subject

    def learn(self, world: Creatures, rounds: int, tested: int) -> list[float]:
        """Accuracy on creatures never guessed at: after the first batch, half of them, and each of the last three."""
        embedder, rng = HashEmbedder(), np.random.default_rng(world.seed)
        reported = (1, rounds // 2, rounds - 2, rounds - 1, rounds)
        curve: dict[int, float] = {}
        with scratch(embedder) as store:
            for n in range(1, rounds + 1):
                seen = world.draw(self.batch, seed=n)
                guesses = self.guesses(world, store, seen, rng)
                ops = [
                    _guess(f"{n} {i}", c, guess, self.rewarded)
                    for i, (c, guess) in enumerate(zip(seen, guesses, strict=True))
                ]
                carry_out(store, embedder, self.learner.reconcile(store, ops, embedder, self.subject))
                if n in reported:
                    test = world.draw(tested, seed=0)
                    answers = self.guesses(world, store, test, rng)
                    curve[n] = fmean(a == c.kind for a, c in zip(answers, test, strict=True))
        return [curve[n] for n in reported]

    def guesses(self, world: Creatures, store: Store, seen: Sequence[Creature], rng: np.random.Generator) -> list[str]:
        """The likeliest kind of each; of equals one at random."""
        out = []
        for c in seen:
            scores = np.array(self.learner.infer(store, c.text, world.kinds, self.subject))
            out.append(world.kinds[int(rng.choice(np.flatnonzero(scores >= scores.max() - 1e-9)))])
        return out


def _guess(name: str, creature: Creature, guess: str, rewarded: bool) -> Op:
    """A guess and whether it was right. An unrewarded agent takes itself to be right."""
    record = {"guess": guess, "right": guess == creature.kind or not rewarded}
    return Op(kind="add", engram=Engram(id=name, text=creature.text, created="", metadata=record))
