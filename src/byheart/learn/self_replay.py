"""Self-replay: rehearse text that the model itself wrote before it was taught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Batch, Stage, Strategy
from byheart.kit.buffer import dump, parse, pick
from byheart.kit.sample import sample

BATCH = 128


class SelfReplay(Strategy):
    """Samples general text from the model before its first stage and rehearses it in every stage.

    Text sampled at temperature 1 follows the model's own distribution, so keeping its likelihood
    there (or, with `KL(replace=True)`, the whole distribution) keeps the model where it was without
    any corpus. The text is drawn once and stored in the state: later stages rehearse the first model.

    x ~ p_0, L = CE(new) + CE(x)

    Parameters
    ----------
    examples: how many texts to draw. length: tokens of each. temperature: of the sampling.
    batch: texts added to each micro-step; 0 for none.
    start: the tokens that sampling starts from, or several beginnings to take turns (the openings of
        questions, say, so that answering is rehearsed too); None is the model's `bos_token_id`. What
        is given is context alone: only sampled tokens are rehearsed.
    texts: token lists or tokenised examples to rehearse instead of sampling.

    Departs from the paper: LAMOL samples pseudo-examples of each earlier task, from a token trained
    to mean that task, and draws them anew before every stage; here general text of the first model.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import train
    >>> keep = SelfReplay(examples=2, length=4)
    >>> sorted(train(model(), [{"input_ids": [5, 6, 7]}], [keep]).history[0])
    ['new', 'replay']
    >>> [len(e["input_ids"]) for e in keep.examples]
    [5, 5]

    References: Sun et al. 2020, "LAMOL: LAnguage MOdeling for Lifelong Language Learning",
    arXiv:1909.03329, section 3.
    """

    name = "self-replay"

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"batch": 0}

    def __init__(
        self,
        *,
        examples: int = 64,
        length: int = 64,
        temperature: float = 1.0,
        batch: int = 4,
        start: int | Sequence[Sequence[int]] | None = None,
        texts: Sequence[Sequence[int] | dict[str, Any]] | None = None,
    ) -> None:
        self.count, self.length, self.temperature = examples, length, temperature
        self.batch, self.start = batch, start
        self.examples: list[dict[str, Any]] = [
            dict(t) if isinstance(t, dict) else {"input_ids": list(t), "labels": list(t)} for t in texts or ()
        ]
        self.first = 0

    def begin(self, stage: Stage) -> None:
        if self.batch and not self.examples:
            self.examples = self._write(stage)
        self.first = stage.offer("replay", self.examples) if self.batch else 0

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        per_pass = -(-len(self.examples) // self.batch) if self.batch else 1
        for number, batches in stream:
            if self.batch:
                order = pick(len(self.examples), len(self.examples), self.generator(stage, "order", number // per_pass))
                at = number % per_pass * self.batch
                keys = order[at : at + self.batch]
                chosen = [self.examples[k] for k in keys]
                batches = [*batches, stage.batch(chosen, "replay", [self.first + k for k in keys])]
            yield number, batches

    def _write(self, stage: Stage) -> list[dict[str, Any]]:
        start = self.start
        if start is None:
            start = getattr(getattr(stage.model, "config", None), "bos_token_id", None)
        if start is None or start == []:
            raise BadInput("the model names no bos_token_id to start sampling from; give start=<token id> or texts=")
        starts = [[start]] if isinstance(start, int) else [list(s) for s in start]
        generator = self.generator(stage, "text")
        heads = [starts[n % len(starts)] for n in range(self.count)]
        heads.sort(key=len)
        written: list[dict[str, Any]] = []
        for at in range(0, len(heads), BATCH):
            part = heads[at : at + BATCH]
            rows, _ = sample(
                stage.model, part, max_tokens=self.length, temperature=self.temperature, generator=generator
            )
            for head, row in zip(part, rows, strict=True):
                written.append({"input_ids": [*head, *row], "labels": [*[IGNORE] * len(head), *row]})
        return written

    def state_dict(self) -> dict[str, Any]:
        return {"examples": dump(self.examples)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.examples = parse(state["examples"])
