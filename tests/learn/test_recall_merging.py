"""RECALL's layer weights, its typical examples and what it reads, against numbers worked by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from subjects import BENCHES, llama
from torch import nn

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Stage
from byheart.kit.readout import Reader
from byheart.learn import recall_merging
from byheart.learn.lora import LoRA
from byheart.learn.recall_merging import RecallMerging, alike, centres
from byheart.train.loop import Settings, train
from byheart.train.stream import collate


def chain(*weights: float) -> nn.Sequential:
    """Two layers of one weight each."""
    built = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    set_to(built, *weights)
    return built


def set_to(model: nn.Module, *weights: float) -> None:
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.fill_(w)


def stage_of(model: nn.Module, examples: list[dict[str, Any]], index: int = 0) -> Stage:
    return Stage(model, examples, collate, lambda m, x: Reader(m)(x), index=index)


ONE = [{"input": torch.ones(1), "labels": 0}]


def test_a_layer_is_merged_by_how_alike_it_represents_the_new_examples() -> None:
    model, guard = chain(1.0, 1.0), RecallMerging(width=2.0)
    stage = stage_of(model, ONE)
    guard.begin(stage)
    set_to(model, 3.0, 2.0)  # the new model: 3, then 6; the old one: 1, then 1
    guard.end(stage)
    low = math.exp(-((1 - 3) ** 2) / (2 * 4 * 9))
    high = math.exp(-((1 - 6) ** 2) / (2 * 4 * 36))
    shares = [math.exp(s) / (math.exp(s) + math.exp(1.0)) for s in (low, high)]
    merged = [p.item() for p in model.parameters()]
    assert merged == pytest.approx([shares[0] * 1 + (1 - shares[0]) * 3, shares[1] * 1 + (1 - shares[1]) * 2])
    assert guard.likeness[0] == pytest.approx([low, high])
    assert guard.likeness[1] == pytest.approx([1.0, 1.0])


def test_models_of_all_stages_are_merged_before_and_not_after_they_were() -> None:
    model, guard = chain(1.0, 1.0), RecallMerging(width=math.inf)
    for index, new in enumerate((4.0, 7.0)):
        stage = stage_of(model, ONE, index)
        guard.begin(stage)
        set_to(model, new, new)
        guard.end(stage)
    assert [p.item() for p in model.parameters()] == pytest.approx([(1 + 4 + 7) / 3] * 2)
    alone, later = chain(1.0, 1.0), RecallMerging(width=math.inf, first=False, apart=True)
    for index, new in enumerate((4.0, 7.0)):
        stage = stage_of(alone, ONE, index)
        later.begin(stage)
        assert [p.item() for p in alone.parameters()] == [1.0, 1.0], "every stage starts where the first did"
        set_to(alone, new, new)
        later.end(stage)
    assert [p.item() for p in alone.parameters()] == pytest.approx([(4 + 7) / 2] * 2)


def test_what_lies_outside_the_layers_goes_with_the_nearest() -> None:
    groups, tops = recall_merging._layers(llama())
    assert tops == ["model.layers.0", "model.layers.1"]
    assert groups[0][0] == "model.embed_tokens.weight"
    assert groups[1][-1] == "model.norm.weight"
    assert sum(len(g) for g in groups) == len(list(llama().named_parameters()))


def test_representations_are_means_over_tokens_that_are_not_padding() -> None:
    model = llama()
    rows = [{"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8]}, {"input_ids": [9, 10], "labels": [-100, 10]}]
    stage = stage_of(model, rows)
    found = recall_merging._representations(stage, model, ["model.layers.0"], rows)[0]
    for row, got in zip(rows, found, strict=True):
        with torch.no_grad():
            out = model.model(input_ids=torch.tensor([row["input_ids"]]), output_hidden_states=True)
        assert torch.allclose(got, out.hidden_states[1][0].mean(0), atol=1e-5)


def test_typical_examples_are_one_of_each_cluster() -> None:
    places = [0.0, 0.2, 0.1, 10.0, 10.2, 10.1]
    examples = [{"input": torch.tensor([x]), "labels": 0} for x in places]
    stage = stage_of(chain(1.0, 1.0), examples)
    chosen = RecallMerging(typical=2)._typical(stage, ["0", "1"])
    assert sorted(float(e["input"]) for e in chosen) == pytest.approx([0.1, 10.1])
    found = centres(torch.tensor([[0.0], [1.0], [9.0], [11.0]]), 2, torch.Generator().manual_seed(0))
    assert sorted(found[:, 0].tolist()) == [0.5, 10.0]


def test_likeness_goes_by_the_length_of_the_newer() -> None:
    left, right = torch.tensor([[0.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0, 4.0], [0.0, 4.0]])
    assert alike(left, right, 0.5) == pytest.approx((math.exp(-16 / (2 * 0.25 * 16)) + 1) / 2)


def test_an_adapter_is_merged_before_the_model_is() -> None:
    tasks, settings = BENCHES["lm"].tasks, Settings(lr=1e-2, steps=2, batch_size=4)
    with pytest.raises(Conflict, match="list it before"):
        train(llama(), tasks[0], [LoRA(), RecallMerging()], settings)
    model, guard = llama(), RecallMerging(width=math.inf)
    start = copy.deepcopy(model.state_dict())
    train(model, tasks[0], [guard, LoRA()], settings)
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.allclose(model.state_dict()[name], (start[name] + guard.models[1][name]) / 2, atol=1e-6)
    assert not torch.equal(guard.models[1][name], start[name])


def test_bad_calls_say_what_to_do() -> None:
    with pytest.raises(BadInput, match="more than 0"):
        RecallMerging(width=0.0)
    guard = RecallMerging()
    guard.begin(stage_of(chain(1.0, 1.0), ONE))
    with pytest.raises(Conflict, match="other parameters"):
        guard.begin(stage_of(nn.Sequential(nn.Linear(1, 1)), ONE, index=1))
