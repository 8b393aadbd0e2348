"""SiATL: what the second loss is of, how it fades, and when each part wakes."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from subjects import llama
from torch import nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import Batch, Stage, Step
from byheart.kit.readout import Reader
from byheart.learn.siatl import SiATL
from byheart.nets.text_classifier import TextClassifier
from byheart.train.loop import Settings, train
from byheart.train.stream import collate

TEXTS: list[dict[str, Any]] = [
    {"input_ids": [5, 6, 7, 8], "labels": 0},
    {"input_ids": [9, 10], "labels": 1},
    {"input_ids": [11, 12, 13], "labels": 1},
]


def step_of(model: nn.Module, examples: list[dict[str, Any]], guard: SiATL, index: int = 0) -> Step:
    stage = Stage(model, examples, collate, lambda m, x: Reader(m)(x), steps=10, batch_size=len(examples))
    guard.begin(stage)
    batch = Batch(collate(examples), "new", tuple(range(len(examples))))
    return Step(stage, index, 0.5, [batch], [stage.read(model, batch.inputs)])


def test_gamma_falls_exponentially_and_stays() -> None:
    guard = SiATL(first=math.exp(-1.6), last=math.exp(-2.3))
    found = [math.log(guard.weight(n)) for n in (1, 2, 8, 15, 40)]
    assert found == pytest.approx([-1.6, -1.65, -1.95, -2.3, -2.3])


def test_every_word_of_a_text_is_foretold_and_no_padding() -> None:
    guard, model = SiATL(first=0.4, last=0.1, epochs=3), TextClassifier(llama(), classes=2)
    losses = []
    for text in TEXTS:
        ids = torch.tensor(text["input_ids"])
        losses += [F.cross_entropy(model.lm(input_ids=ids[None]).logits[0, :-1], ids[1:], reduction="none")]
    wanted = 0.2 * torch.cat(losses).mean()  # the second of three epochs: the root of 0.4 times 0.1
    assert len(torch.cat(losses)) == 6
    assert guard.terms(step_of(model, TEXTS, guard, index=1))["siatl"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_language_model_foretells_the_question_beside_the_answer() -> None:
    model, guard = llama(), SiATL(first=0.5, last=0.5)
    pair = {"input_ids": [5, 6, 7, 8], "labels": [-100, -100, -100, 8]}
    ids = torch.tensor([5, 6, 7, 8])
    wanted = 0.5 * F.cross_entropy(model(input_ids=ids[None]).logits[0, :2], ids[1:3])
    assert guard.terms(step_of(model, [pair], guard))["siatl"].item() == pytest.approx(wanted.item(), rel=1e-5)
    whole = {"input_ids": [5, 6, 7, 8]}
    assert guard.terms(step_of(model, [whole], guard)) == {}


def test_the_parts_wake_from_the_top_down() -> None:
    model = TextClassifier(llama(), classes=2)
    seen = [copy.deepcopy(model.state_dict())]
    settings = Settings(steps=10, batch_size=2, lr=1e-3)  # two steps an epoch
    train(model, TEXTS, [SiATL()], settings, on_step=lambda s, _: seen.append(copy.deepcopy(s.model.state_dict())))

    def epochs(*names: str) -> list[bool]:
        return [any(not torch.equal(seen[n][x], seen[n + 2][x]) for x in names) for n in range(0, 10, 2)]

    assert epochs("classes.weight", "recurrent.weight_ih_l0", "attention.weight") == [True] * 5
    assert epochs(*[n for n in seen[0] if n.startswith("lm.model.layers")]) == [False] + [True] * 4
    assert epochs("lm.model.norm.weight") == [False] + [True] * 4
    assert epochs("lm.model.embed_tokens.weight") == [False] * 4 + [True]


def test_what_was_pretrained_learns_more_slowly() -> None:
    model, guard = TextClassifier(llama(), classes=2), SiATL(gentle=0.25)
    step_of(model, TEXTS, guard)
    assert guard.groups(model) == {n: 0.25 for n, _ in model.named_parameters() if n.startswith("lm.")}


def test_a_model_without_text_wakes_its_output_layer_first() -> None:
    model, guard = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), SiATL(gentle=1.0)
    step = step_of(model, [{"input": torch.ones(2), "labels": 0}], guard)
    assert guard.terms(step) == {}
    step.reads[0].loss().backward()
    guard.gradients(step)
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]


def test_it_says_what_it_needs() -> None:
    with pytest.raises(BadInput, match="give two above 0, or 0, 0"):
        SiATL(last=0.0)

    class Bag(nn.Module):
        """The mean of word vectors, and a class from it."""

        def __init__(self) -> None:
            super().__init__()
            self.vectors, self.out = nn.Embedding(20, 4), nn.Linear(4, 2)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.out(self.vectors(input_ids).mean(1))

    with pytest.raises(BadInput, match="no language model inside"):
        train(Bag(), TEXTS, [SiATL()])
    train(Bag(), TEXTS, [SiATL(first=0.0, last=0.0)])
