"""CaMeLS: what a token's weight is, and the way back to it through the steps that it weighs."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from subjects import llama
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step
from byheart.kit.readout import Reader
from byheart.learn.camels import CaMeLS
from byheart.train.loop import Settings, train
from byheart.train.stream import collate

ASK = {"input_ids": [40, 41, 7], "labels": [-100, -100, 7]}
FIRST = {"input_ids": [1, 5, 6, 7, 9], "labels": [-100, 5, 6, 7, 9], "asked": [ASK]}
SECOND = {"input_ids": [1, 12, 7], "labels": [-100, 12, 7], "asked": [{"input_ids": [50, 9], "labels": [-100, 9]}]}
EVEN = math.log(2) / 3
"""softplus with beta 3 at 0: what every token weighs at first."""


def stage_of(model: nn.Module, examples: list[dict[str, Any]], **more: Any) -> Stage:
    return Stage(model, examples, collate, lambda m, x: Reader(m)(x), **{"steps": 1, **more})


def losses(model: nn.Module, example: dict[str, Any]) -> Tensor:
    """Cross-entropy of every scored token, from the logits."""
    ids, labels = torch.tensor([example["input_ids"]]), torch.tensor(example["labels"])
    logits = model(input_ids=ids).logits[0, :-1]
    return F.cross_entropy(logits, labels[1:], reduction="none", ignore_index=-100)[labels[1:] != -100]


def after_reading(start: nn.Module, documents: list[dict[str, Any]], weight: float, rate: float) -> nn.Module:
    """The model after a step of plain gradient descent on each document, all tokens weighing the same."""
    model = copy.deepcopy(start)
    for d in documents:
        live = list(model.parameters())
        found = torch.autograd.grad(weight * losses(model, d).mean(), live)
        with torch.no_grad():
            for p, g in zip(live, found, strict=True):
                p -= rate * g
    return model


def slope_of(guard: CaMeLS, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> float:
    """The gradient that the bias before the softplus gets in the first round."""
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, lr: torch.optim.SGD(parameters, lr=1.0))
    guard.begin(stage)
    return -guard.learned["out.bias"].item()


@pytest.mark.parametrize("locality", [0.0, 5.0])
def test_a_weight_is_worth_its_token_s_gradient_along_the_questions(
    locality: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rate = llama(), 2.0
    live = list(model.parameters())
    after = after_reading(model, [FIRST], EVEN, rate)
    ids = torch.tensor([FIRST["input_ids"]])
    p, q = (m(input_ids=ids).logits[0, :-1].log_softmax(-1) for m in (model, after))
    outer = losses(after, ASK).mean() + locality * (p.exp() * (p - q)).sum(-1).mean()
    along = torch.autograd.grad(outer, list(after.parameters()))
    wanted = 0.0
    for loss in losses(model, FIRST):  # theta' = theta - rate / 4 sum_i w_i g_i, and dw / db = 1/2
        own = torch.autograd.grad(loss, live, retain_graph=True)
        wanted -= 0.5 * rate / 4 * sum(float((g * v).sum()) for g, v in zip(own, along, strict=True))
    guard = CaMeLS(rounds=1, documents=1, segments=1, inner=rate, locality=locality)
    assert slope_of(guard, stage_of(model, [FIRST]), monkeypatch) == pytest.approx(wanted, rel=5e-3)
    assert abs(wanted) > 1e-3


def test_the_way_back_leads_through_both_of_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rate, move = 2.0, 1e-5
    exact = llama().double()

    def outer(weight: float) -> float:
        after = after_reading(exact, [FIRST, SECOND], weight, rate)
        answers = [losses(after, q) for d in (FIRST, SECOND) for q in d["asked"]]
        return torch.cat(answers).mean().item()

    guard = CaMeLS(rounds=1, documents=2, segments=1, inner=rate, locality=0.0)
    for seed in range(20):  # until the first document is drawn first
        stage = stage_of(llama(), [FIRST, SECOND], seed=seed)
        if torch.randperm(2, generator=guard.generator(stage, "documents", 0)).tolist() == [0, 1]:
            break
    wanted = 0.5 * (outer(EVEN + move) - outer(EVEN - move)) / (2 * move)
    assert slope_of(guard, stage, monkeypatch) == pytest.approx(wanted, rel=5e-3)


def test_a_token_weighs_its_own_loss() -> None:
    model = llama()
    guard = CaMeLS(rounds=1, documents=1, segments=1)
    stage = stage_of(model, [FIRST, SECOND])
    guard.begin(stage)
    assert guard.weigh(collate([FIRST]))[0].tolist() == pytest.approx([EVEN] * 5, abs=1e-3)
    batch = stage.batch(stage.examples, "new", (0, 1))
    step = Step(stage, 0, 0.0, [batch], [stage.read(model, batch.inputs)])
    guard.weigh = lambda inputs: inputs["input_ids"].float()  # type: ignore[method-assign]
    worth = torch.tensor([5.0, 6, 7, 9, 12, 7])  # a token's number, wherever it is
    wanted = (worth * torch.cat([losses(model, FIRST), losses(model, SECOND)])).mean()
    assert guard.objective(step, batch, step.reads[0]).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_what_is_asked_for_comes_to_weigh_more_than_noise() -> None:
    def document(n: int) -> dict[str, Any]:
        noise, value = 20 + n % 7, 40 + n % 5
        ask = {"input_ids": [4, value], "labels": [-100, value]}
        return {"input_ids": [1, 5, noise, 4, value], "labels": [-100, 5, noise, 4, value], "asked": [ask]}

    guard = CaMeLS(rounds=40, documents=3, segments=1, inner=0.3, outer=3e-3)
    model = llama()
    before = copy.deepcopy(model.state_dict())
    guard.begin(stage_of(model, [document(20)], old=[document(n) for n in range(10)], seed=1))
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items()), "it changed the model"
    worth = guard.weigh(collate([document(3)]))[0]
    assert worth[4] > 2 * worth[2]


def test_the_weights_are_learned_once_and_from_documents_with_questions() -> None:
    guard, bare = CaMeLS(rounds=1, documents=1, segments=1, outer=1e-2), {"input_ids": [1, 5, 6]}
    guard.begin(stage_of(llama(), [bare], old=[bare, FIRST]))
    other = CaMeLS(rounds=1, documents=1, segments=1, outer=1e-2)
    other.begin(stage_of(llama(), [FIRST]))
    assert all(torch.equal(v, other.learned[n]) for n, v in guard.learned.items() if n.startswith("decoder"))
    learned = copy.deepcopy(guard.learned)
    train(llama(), [SECOND], [guard], Settings(steps=2), index=1)
    assert all(torch.equal(v, learned[n]) for n, v in guard.learned.items())


def test_it_says_what_it_needs() -> None:
    with pytest.raises(BadInput, match="give 1 or more"):
        CaMeLS(documents=0)
    with pytest.raises(BadInput, match="use a transformers model"):
        CaMeLS().begin(stage_of(nn.Linear(1, 1), [FIRST]))
