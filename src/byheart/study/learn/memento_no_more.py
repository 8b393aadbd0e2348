"""Alakuijala et al. 2025, "Memento No More: Coaching AI Agents ... via Hints Internalization", arXiv:2502.01562."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from byheart.learn.memento_no_more import MementoNoMore
from byheart.models import tiny
from byheart.study.base.answers import exact, given
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings, train
from byheart.world.stream.skills import WORDS, problems
from byheart.world.words import Vocabulary

KNOWN = ("reverse", "next", "swap", "largest", "first", "last")
CODES = tuple("bim dov fen gop hux jal kip lud mev nar pib quo rof syl tev wug".split())
LENGTH = 3


@dataclass(frozen=True)
class _Problem:
    """A question under a code word, its answer, and the skill that the code stands for."""

    code: str
    skill: str
    question: str
    answer: str

    @property
    def hint(self) -> str:
        return f"{self.code} {self.skill}"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    steps: int
    tasks: int
    examples: int
    test: int
    each: int
    rounds: int
    width: int
    lr: float = 3e-4
    dropout: float = 0.5


class Hints(Study[Size]):
    """Distilling what a hint in the prompt says, round after round, and what the distilled model does without it.

    The paper coaches a Llama 3.1 of 70 billion weights in three rounds on ToolQA and OfficeBench. A teacher that is
    given the hints of the task at hand acts, a student with LoRA is distilled to act alike without them; in the
    next rounds hints are given where the student went wrong. Without hints the student does as well as the teacher
    with them, and better after each round; it loses nothing on GSM8K and HumanEval.
    Here: a Llama of 4 layers that has learned six skills on lists of letters by their names, and by code words
    that a hint in the prompt explains, another meaning each time. Four codes are then given one skill each for
    good. A round takes the training problems that the student gets wrong and as many others, or half of all; its
    teacher is the student of the round before. The six skills by name must not be lost. All weights are trained,
    and the teacher writes greedily. The rate (of 1e-4, 2e-4, 3e-4; 3e-4 and 1e-3 with LoRA), the dropout of hints
    (of 0.5 and 0.9) and the steps of a round were chosen on seed 100. The paper's comparison with all hints
    in one prompt is left out: in 1,500 steps this model did not learn to pick one of several hints (0.19 right).
    Tried on seed 100, three rounds: with LoRA of rank 16 the student is right 0.63 to 0.73 of the time and keeps 0.63
    of the skills by name, of 1.00; with all weights and a dropout of 0.9 it is right 0.75 to 0.87 and keeps 0.80 to
    0.82, with 0.5 and three times the problems 0.92 to 0.97, and keeps 0.88 to 0.91. Fitting the teacher's right
    answers by cross-entropy, as long and at the same rate, keeps 0.61.
    """

    claim = "distilled from its hinted self, a model does without hints what it did with them, and loses nothing else"
    quote = (
        "Our approach employs an iterative process where the agent collects new experiences, receives "
        "corrective feedback from humans in the form of hints, and integrates this feedback into its weights "
        "via a context distillation training procedure."
    )
    source = "abstract; sections 3 and 4"
    primary = Criterion("internalised", says="accuracy without hints after, of the teacher's with", at_least=0.9)
    secondary = (
        Criterion("rounds", says="accuracy of the last round beyond the first", at_least=0.02),
        Criterion("kept", says="accuracy on skills by name, after beside before", at_least=-0.05),
    )
    preconditions = (Criterion("needed", says="accuracy with the hint beyond that without, before", at_least=0.4),)
    scales = Scales(
        smoke=Size(steps=4, tasks=2, examples=8, test=8, each=2, rounds=2, width=32),
        small=Size(steps=1200, tasks=4, examples=300, test=50, each=100, rounds=3, width=96),
        full=Size(steps=10000, tasks=6, examples=400, test=200, each=400, rounds=3, width=128),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        words = Vocabulary((), (*WORDS, *CODES))
        base = pretrained(words, seed=seed, steps=size.steps, width=size.width)
        rng = np.random.default_rng([seed, 1])
        codes = [CODES[i] for i in rng.permutation(len(CODES))[: size.tasks]]
        skills = [KNOWN[i] for i in rng.permutation(len(KNOWN))[: size.tasks]]
        made = [problems_as(c, s, size.examples + size.test, seed + 1000) for c, s in zip(codes, skills, strict=True)]
        learned, unseen = [p for m in made for p in m[size.test :]], [p for m in made for p in m[: size.test]]
        named = [words.pair(q, a) for s in KNOWN for q, a in problems(s, size.test, length=LENGTH, seed=seed + 1000)]
        bare, alone = examples(words, unseen), examples(words, unseen, hinted=True)

        student, after = copy.deepcopy(base), []
        for n in range(size.rounds):
            chosen = to_correct(student, words, learned, rng) if n else learned
            rows = [{**examples(words, [p])[0], "hint": words.encode(p.hint)} for p in chosen]
            settings = Settings(lr=size.lr, steps=size.each, batch_size=32, seed=seed)
            coach = MementoNoMore(length=LENGTH + 2, sampling=0.0, dropout=size.dropout)
            train(student, rows, [coach], settings, index=n)
            after.append(exact(student, bare))

        fitted = copy.deepcopy(base)
        hinted_rows = examples(words, learned, hinted=True)
        right = [
            p
            for p, (predicted, right_tokens) in zip(learned, given(base, hinted_rows), strict=True)
            if predicted == right_tokens
        ]
        settings = Settings(lr=size.lr, steps=size.each * size.rounds, batch_size=32, seed=seed)
        train(fitted, examples(words, right or learned), (), settings)
        without, teacher = exact(base, bare), exact(base, alone)
        before, named_after = exact(base, named), exact(student, named)
        return {
            "without": without,
            "teacher": teacher,
            **{f"round_{n + 1}": a for n, a in enumerate(after)},
            "with_hint_after": exact(student, alone),
            "cross_entropy": exact(fitted, bare),
            "named_before": before,
            "named_after": named_after,
            "named_cross_entropy": exact(fitted, named),
            "needed": teacher - without,
            "internalised": after[-1] / max(teacher, 1e-9),
            "rounds": after[-1] - after[0],
            "kept": named_after - before,
        }


def pretrained(words: Vocabulary, *, seed: int, steps: int, width: int) -> nn.Module:
    """A model of the skills by name, and by codes that a hint in the prompt explains, another meaning each time."""
    rng = np.random.default_rng([seed, 0])
    pools = {s: problems(s, min(600, 8 * steps), length=LENGTH, seed=seed) for s in KNOWN}
    rows = []
    for _ in range(min(20000, 32 * steps)):
        skill = KNOWN[int(rng.integers(len(KNOWN)))]
        question, answer = pools[skill][int(rng.integers(len(pools[skill])))]
        code = CODES[int(rng.integers(len(CODES)))]
        phrased = f"{code} {skill} {code} {question.removeprefix(skill)}" if rng.random() < 0.7 else question
        rows.append(words.pair(phrased, answer))
    model = tiny.model(seed, width=width, layers=4, vocabulary=len(words))
    train(model, rows, (), Settings(lr=3e-3, steps=steps, batch_size=32, schedule="cosine", warmup=0.05, seed=seed))
    return model


def problems_as(code: str, skill: str, count: int, seed: int) -> list[_Problem]:
    """Problems of a skill under a code word."""
    rows = problems(skill, count, length=LENGTH, seed=seed)
    return [_Problem(code, skill, q.removeprefix(skill).removesuffix("=").strip(), a) for q, a in rows]


def examples(words: Vocabulary, rows: Sequence[_Problem], *, hinted: bool = False) -> list[dict[str, Any]]:
    """Problems under their codes, after their hints if `hinted`."""
    return [words.pair(f"{p.hint if hinted else ''} {p.code} {p.question} =", p.answer) for p in rows]


def to_correct(
    model: nn.Module, words: Vocabulary, learned: Sequence[_Problem], rng: np.random.Generator
) -> list[_Problem]:
    """The problems that a model gets wrong without hints, and as many others, or half of all."""
    wrong = [predicted != right for predicted, right in given(model, examples(words, learned))]
    missed = [p for p, w in zip(learned, wrong, strict=True) if w]
    others = [p for p, w in zip(learned, wrong, strict=True) if not w]
    return [*missed, *(others[i] for i in rng.permutation(len(others))[: max(len(missed), len(learned) // 2)])]
