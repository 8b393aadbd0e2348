"""SiATL: a classifier on a language model that goes on being one, and wakes from the top."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Stage, Step, Strategy
from byheart.kit.anatomy import embeddings
from byheart.kit.head import head_names


class SiATL(Strategy):
    """Trains a classifier and its language model's loss on the same texts together, unfreezing from the top down.

    A new output layer sends large random gradients into what was pretrained, and few labels say little about the
    language. So the new layers learn alone at first, and the texts themselves, which need no labels, keep the
    features about language while the classes are learned.

    L = CE(classes) + gamma_t CE(next tokens), gamma_t = first (last / first)^(t / (epochs - 1)) in epoch t, then last;
    from the first epoch the new layers learn, later the language model's, at last its embeddings

    What is new is everything outside the language model in a classifier; where there is no language model inside, the
    output layer. A language model itself is a classifier whose classes are words: its second loss is that of the tokens
    that are not scored, the question of a question and answer, say.

    Parameters
    ----------
    first, last: gamma in the first epoch and from the last of so many `epochs` on; 0.2, 0.1 and 15 in the
        paper's code.
    hidden, embedding: the epoch, counted from 1, in which the language model's layers and its embeddings
        begin to learn; 2 and 5 in the paper's code, 1 at once.
    gentle: factor on the learning rate of all that was pretrained.

    Departs from the paper: one optimizer with two rates, not Adam above and averaged SGD with a small rate below; the
    language model reads the texts a second time for its loss.

    >>> from byheart.models.tiny import model
    >>> from byheart.nets.text_classifier import TextClassifier
    >>> from byheart.train.loop import Settings, train
    >>> texts = [{"input_ids": [5, 6, 7], "labels": 0}, {"input_ids": [7, 6, 5], "labels": 1}]
    >>> done = train(TextClassifier(model(), classes=2), texts, [SiATL()], Settings(steps=1))
    >>> sorted(done.history[0])
    ['new', 'siatl']

    References: Chronopoulou et al. 2019, "An Embarrassingly Simple Approach for Transfer Learning from Pretrained
    Language Models", arXiv:1902.10547, section 3.
    """

    name = "siatl"
    paper = "siatl"
    arxiv = "1902.10547"

    neutral: ClassVar[dict[str, Any]] = {"first": 0.0, "last": 0.0, "hidden": 1, "embedding": 1, "gentle": 1.0}

    def __init__(
        self,
        *,
        first: float = 0.2,
        last: float = 0.1,
        epochs: int = 15,
        hidden: int = 2,
        embedding: int = 5,
        gentle: float = 0.1,
    ) -> None:
        if first < 0 or last < 0 or (first > 0) != (last > 0):
            raise BadInput(
                f"first={first} and last={last} have no exponential decay between; give two above 0, or 0, 0"
            )
        self.first, self.last, self.epochs = first, last, epochs
        self.hidden, self.embedding, self.gentle = hidden, embedding, gentle
        self.language: nn.Module | None = None
        self.wakes: dict[str, int] = {}

    def begin(self, stage: Stage) -> None:
        path, self.language = _language_model(stage.model)
        if self.first and self.language is None and "input_ids" in stage.examples[0]:
            raise BadInput(
                f"{type(stage.model).__name__} has no language model inside that could keep its loss; "
                f"use nets.text_classifier.TextClassifier, or give first=0, last=0"
            )
        names = [n for n, _ in stage.model.named_parameters()]
        fresh = {n for n in names if not n.startswith(f"{path}.")} if path else set(head_names(stage.model))
        lowest = set(embeddings(stage.model))
        self.wakes = {n: self.embedding if n in lowest else self.hidden for n in names if n not in fresh}

    def groups(self, model: nn.Module) -> dict[str, float]:
        return {} if self.gentle == 1 else dict.fromkeys(self.wakes, self.gentle)

    def weight(self, epoch: int) -> float:
        """Gamma in this epoch, counted from 1."""
        if not self.first:
            return 0.0
        share = min((epoch - 1) / max(self.epochs - 1, 1), 1.0)
        return self.first * (self.last / self.first) ** share

    def terms(self, step: Step) -> dict[str, Tensor]:
        gamma = self.weight(_epoch(step))
        if not gamma or self.language is None:
            return {}
        parts = []
        for batch, read in step.of("new"):
            texts = _as_texts(batch.inputs)
            if texts is not None and len(read.targets):
                parts.append(step.stage.read(self.language, texts).loss() * len(read.targets))
        return {"siatl": gamma * step.mean(torch.stack(parts).sum(), "new")} if parts else {}

    def gradients(self, step: Step) -> None:
        epoch = _epoch(step)
        for name, p in step.model.named_parameters():
            if self.wakes.get(name, 1) > epoch:
                p.grad = None


def _language_model(model: nn.Module) -> tuple[str, nn.Module | None]:
    """The outermost module with a vocabulary as its output, and its path ("" when it is the whole model)."""
    for path, module in model.named_modules():
        output = getattr(module, "get_output_embeddings", lambda: None)()
        if output is not None:
            return path, module
    return "", None


def _epoch(step: Step) -> int:
    """The pass over the examples that a step is in, counted from 1."""
    per_epoch = -(-len(step.stage.examples) // step.stage.batch_size)
    return 1 + step.index * step.micro // per_epoch


def _as_texts(inputs: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The texts of a batch with every token as a target that is none yet; None when there is no such token."""
    if "input_ids" not in inputs:
        return None
    labels = inputs["input_ids"].clone()
    if "attention_mask" in inputs:
        labels[inputs["attention_mask"] == 0] = IGNORE
    if "position_ids" in inputs:  # packed texts begin anew
        labels[inputs["position_ids"] == 0] = IGNORE
    if inputs["labels"].dim() == 2:
        labels[inputs["labels"] != IGNORE] = IGNORE
    if bool((labels[:, 1:] == IGNORE).all()):
        return None
    return {**inputs, "labels": labels}
