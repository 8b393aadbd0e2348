"""Rote learning: memorise facts by a meaningless key, then learn from a few what the key means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Batch, Stage, Step, Strategy
from byheart.kit.buffer import pick


class RoteLearning(Strategy):
    """Learns every fact behind a meaningless key first, then a few of them behind their real questions.

    A subject, a key and an object are short, so many facts are memorised cheaply. The key becomes a
    name for the relation; once a few real questions are tied to it, those of all facts are answered,
    other wordings among them.

    first:  L = CE(object | subject, key) on all examples
    then:   L = CE(answer | question) on `few` of them

    An example may bring `rote`, the tokens of its subject and of its relation's key; otherwise its own
    question followed by `key` stands for them. The answer is what is scored.

    Parameters
    ----------
    share: of the optimizer steps that are spent on memorising; 0 skips it.
    few: share of the examples (or, where they have a `fact`, of the facts) whose questions are learned.
    gentle: factor on the learning rate in the second phase.
    key: the token added to examples without `rote`.

    Departs from the paper: both phases are one stage with one optimizer.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import Settings, train
    >>> fact = {"input_ids": [5, 6, 7, 8], "labels": [-100, -100, -100, 8], "rote": [6, 9]}
    >>> train(model(), [fact], [RoteLearning()], Settings(steps=2)).tokens
    7

    References: Wu et al. 2025, "Rote Learning Considered Useful: Generalizing over Memorized Data in LLMs",
    arXiv:2507.21914, section 3.
    """

    name = "rote-learning"
    paper = "rote-learning"
    arxiv = "2507.21914"

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"share": 0.0, "few": 1.0}

    def __init__(self, *, share: float = 0.5, few: float = 0.1, gentle: float = 1.0, key: int = 0) -> None:
        if not 0 <= share <= 1 or not 0 < few <= 1:
            raise BadInput(f"share={share} and few={few} are no shares of a whole; give 0 to 1, and few above 0")
        self.share, self.few, self.gentle, self.key = share, few, gentle, key
        self.done = 0

    def begin(self, stage: Stage) -> None:
        self.done = 0
        if self.share or self.few < 1:
            stage.pools["new"] = []

    def chosen(self, stage: Stage) -> list[int]:
        """The examples whose own questions are learned from."""
        facts = [str(e["fact"]) if "fact" in e else str(i) for i, e in enumerate(stage.examples)]
        names = list(dict.fromkeys(facts))
        count = max(1, round(self.few * len(names)))
        chosen = {names[i] for i in pick(len(names), count, self.generator(stage, "few"))}
        return [i for i, f in enumerate(facts) if f in chosen]

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        few = self.chosen(stage) if self.few < 1 else []
        for number, batches in stream:
            rote = self.done < self.share * stage.steps
            out = []
            for b in batches:
                if b.role == "new" and b.keys and rote:
                    b = stage.batch([self.rote(stage.examples[k]) for k in b.keys], "new")
                elif b.role == "new" and b.keys and few:
                    drawn = torch.randint(len(few), (len(b.keys),), generator=self.generator(stage, "batch", number))
                    b = stage.batch([stage.examples[few[int(i)]] for i in drawn], "new")
                out.append(b)
            yield number, out

    def rote(self, example: dict[str, Any]) -> dict[str, Any]:
        """Subject, key and answer, of which the answer is scored."""
        ids = list(example["input_ids"])
        labels = list(example.get("labels", ids))
        first = next((i for i, y in enumerate(labels) if i and y != IGNORE), len(ids))
        prompt = list(example.get("rote") or [*ids[:first], self.key])
        return {"input_ids": prompt + ids[first:], "labels": [IGNORE] * len(prompt) + labels[first:]}

    def rate(self, progress: float) -> float:
        return 1.0 if progress < self.share else self.gentle

    def finished(self, step: Step) -> bool:
        self.done = step.index + 1
        return False

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
