"""Memento No More: put into the weights what a hint in the prompt makes the model do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import IGNORE, Batch, Stage, Step, Strategy
from byheart.kit.divergence import kl
from byheart.kit.sample import sample
from byheart.kit.teacher import Teacher

BATCH = 64


class MementoNoMore(Strategy):
    """Teaches the model to answer without a hint as it answers with one.

    The model that has the hint before it knows what to do; its whole distribution at every token of an answer of
    its own says more than the answer does. Trained to give the same distribution when the hint is left out, it
    needs no growing prompt, and no demonstrations were needed either.

    y ~ p_start(. | hint, x);  L = w T^2 KL(softmax(z_start(hint, x, y) / T) || softmax(z(x, y) / T)) + (1 - w) CE(y)

    The teacher is the model at the start of the stage, so that a stage is a round: correct what the last one got
    wrong with a new hint. An entry `hint` of an example, a list of tokens, goes into its prompt after the first `at`
    tokens. What comes before the first scored token is the prompt; the rest is replaced by what the teacher writes.

    Parameters
    ----------
    weight: w, 1; 0 fits the teacher's answers alone (the paper's cross-entropy variant).
    temperature: T, 2.
    dropout: how often the student does not see the hint, 0.9.
    length: the longest answer that the teacher may write; 0 takes the examples' own, written beforehand.
    sampling: temperature of the teacher's writing, 0.5; 0 is greedy.
    stop: the token that ends an answer; None takes the model's `eos_token_id`.
    hint: for examples that carry none. at: tokens of a prompt before the hint, such as a start marker.

    Every step reads what the teacher wrote, which is longer than the examples' own answers, and what the teacher would
    say at each of its tokens: beside short lessons three to four plain steps.

    The paper trains LoRA of rank 128 at a rate of 1e-5: list `LoRA` before this one.

    Departs from the paper: the factor T^2 of Hinton et al.; every token counts alike instead of every answer. The
    defaults are those of the authors' code.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import train
    >>> data = [{"input_ids": [5, 6], "labels": [-100, -100], "hint": [7, 8, 9]}]
    >>> done = train(model(), data, [MementoNoMore(length=3, dropout=1.0)])
    >>> done.history[0]["new"] > 0
    True

    References: Alakuijala et al. 2025, "Memento No More: Coaching AI Agents to Master Multiple Tasks via Hints
    Internalization", arXiv:2502.01562, section 3; Hinton et al. 2015, arXiv:1503.02531, section 2 (T^2).
    """

    name = "memento-no-more"
    paper = "memento-no-more"
    arxiv = "2502.01562"

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0, "length": 0}
    biting: ClassVar[dict[str, Any]] = {"hint": (5, 6, 7), "length": 6}

    def __init__(
        self,
        *,
        weight: float = 1.0,
        temperature: float = 2.0,
        dropout: float = 0.9,
        length: int = 64,
        sampling: float = 0.5,
        stop: int | None = None,
        hint: Sequence[int] | None = None,
        at: int = 1,
    ) -> None:
        if not 0 <= weight <= 1 or not 0 <= dropout <= 1:
            raise BadInput(f"weight={weight} and dropout={dropout} are no shares of a whole; give 0 to 1")
        if temperature <= 0:
            raise BadInput(f"temperature={temperature} softens nothing; give more than 0, such as 2")
        self.weight, self.temperature, self.dropout = weight, temperature, dropout
        self.length, self.sampling, self.stop = length, sampling, stop
        self.hint, self.at = tuple(hint or ()), at
        self.claims = frozenset({"objective:new"}) if weight else frozenset()
        self.plain: list[dict[str, Any]] = []
        self.hinted: list[dict[str, Any]] = []
        self.teacher: Teacher | None = None

    def begin(self, stage: Stage) -> None:
        self.teacher = None
        if not self.weight and not self.length:
            return
        prompts = [self._prompt(e) for e in stage.examples]
        if self.length:
            answers = self._answers(stage, [self._insert(p, e) for p, e in zip(prompts, stage.examples, strict=True)])
        else:
            answers = [
                (list(e["input_ids"])[len(p) :], list(e.get("labels", e["input_ids"]))[len(p) :])
                for p, e in zip(prompts, stage.examples, strict=True)
            ]
        self.plain, self.hinted = [], []
        for prompt, example, (answer, labels) in zip(prompts, stage.examples, answers, strict=True):
            for rows, question in ((self.plain, prompt), (self.hinted, self._insert(prompt, example))):
                rows.append({"input_ids": question + answer, "labels": [IGNORE] * len(question) + labels})
        stage.pools["new"] = [*self.plain, *self.hinted]
        if self.weight:
            self.teacher = Teacher(replace(stage, examples=self.hinted, pools={"new": self.hinted}), ("new",))

    def _prompt(self, example: dict[str, Any]) -> list[int]:
        """The tokens before the first scored one."""
        ids = list(example["input_ids"])
        labels = list(example.get("labels", ids))
        first = next((i for i, y in enumerate(labels) if i and y != IGNORE), len(ids))
        if self.at > first:
            raise BadInput(f"at={self.at} is beyond a prompt of {first} tokens; give a smaller one")
        return ids[:first]

    def _insert(self, prompt: list[int], example: dict[str, Any]) -> list[int]:
        """The prompt as the teacher sees it."""
        hint = list(example.get("hint", self.hint))
        if not hint:
            raise BadInput("an example has no hint; give it an entry 'hint' or MementoNoMore(hint=...) for all")
        return [*prompt[: self.at], *hint, *prompt[self.at :]]

    def _answers(self, stage: Stage, prompts: Sequence[list[int]]) -> list[tuple[list[int], list[int]]]:
        """What the teacher writes to each prompt, with the end where it came to one; all of it is scored."""
        stop = getattr(getattr(stage.model, "config", None), "eos_token_id", None) if self.stop is None else self.stop
        ends = [] if stop is None else [stop]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        written: list[tuple[list[int], list[int]]] = [([], [])] * len(prompts)
        for start in range(0, len(order), BATCH):
            keys = order[start : start + BATCH]
            rows, _ = sample(
                stage.model,
                [prompts[k] for k in keys],
                max_tokens=self.length,
                temperature=self.sampling,
                stop=ends,
                generator=self.generator(stage, "answers", start),
            )
            for key, row in zip(keys, rows, strict=True):
                answer = row if len(row) == self.length else [*row, *ends]
                written[key] = answer, answer
        return written

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        if not self.weight and not self.length:
            yield from stream
            return
        for number, batches in stream:
            generator = self.generator(stage, "hints", number)
            yield number, [self._shown(b, stage, generator) if b.role == "new" and b.keys else b for b in batches]

    def _shown(self, batch: Batch, stage: Stage, generator: torch.Generator) -> Batch:
        """The answers to a batch, most of them without the hint."""
        seen = (torch.rand(len(batch.keys), generator=generator) >= self.dropout).tolist()
        keys = [k + len(self.plain) * s for k, s in zip(batch.keys, seen, strict=True)]
        return stage.batch([stage.pools["new"][k] for k in keys], "new", keys)

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        if self.teacher is None or not batch.keys:
            raise Conflict(
                "batches of new examples come without keys, so without hints; leave out the strategy that changes them"
            )
        keys = [k % len(self.hinted) for k in batch.keys]
        hinted = step.stage.batch([self.hinted[k] for k in keys], "new", keys)
        apart = kl(self.teacher.logits(hinted, read), read.logits, self.temperature)
        return self.weight * apart + (1 - self.weight) * read.loss()

    def end(self, stage: Stage) -> None:
        self.teacher = None
        self.plain, self.hinted = [], []
