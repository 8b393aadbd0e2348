"""Layer discovery on several families, built from configurations without weights of anyone."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from byheart.kit.anatomy import embeddings, layers, linears, unit
from byheart.learn.hft import HFT
from byheart.learn.lora import LoRA
from byheart.learn.spurious_forgetting import FreezeBottom
from byheart.learn.teach_lmm_skills import Selective
from byheart.train.loop import Settings, train

SIZE: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4)),
    "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZE, intermediate_size=64)),
    "opt": lambda: OPTForCausalLM(OPTConfig(**SIZE, ffn_dim=64, word_embed_proj_dim=32)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**SIZE, intermediate_size=64, pad_token_id=0)),
}
MATRICES = {
    "gpt2": {"qkv": 1, "o": 1, "up": 1, "down": 1, "norm": 2},
    "neox": {"qkv": 1, "o": 1, "up": 1, "down": 1, "norm": 2},
    "opt": {"q": 1, "k": 1, "v": 1, "o": 1, "up": 1, "down": 1, "norm": 2},
    "phi3": {"qkv": 1, "o": 1, "gate_up": 1, "down": 1, "norm": 2},
}
TEXT = [{"input_ids": [5, 6, 7, 8]}, {"input_ids": [9, 10, 11]}]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_part_of_every_layer_is_known(name: str) -> None:
    model = MODELS[name]()
    found = layers(model)
    assert len(found) == 2
    for names in found:
        assert Counter(kind for _, kind in {unit(n) for n in names}) == MATRICES[name]
    assert embeddings(model)
    assert not {n for group in found for n in group} & set(embeddings(model))


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("guard", [HFT(), FreezeBottom(layers=1, after=0), Selective(part="gate_up"), LoRA(rank=2)])
def test_partial_training_runs_on_every_family(name: str, guard: Any) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    start = copy.deepcopy(model.state_dict())
    train(model, TEXT, [guard], Settings(lr=1e-2, steps=2))
    after = model.state_dict()
    assert list(after) == list(start)
    moved = {n for n in start if not torch.equal(after[n], start[n])}
    assert moved
    assert moved < set(start), "nothing was held"


def test_encoders_and_perceptrons_have_layers_too() -> None:
    bert = BertForSequenceClassification(BertConfig(**SIZE, intermediate_size=64, num_labels=3))
    assert len(layers(bert)) == 2
    assert {unit(n)[1] for n in layers(bert)[0]} == {"q", "k", "v", "o", "up", "down", "norm"}
    assert layers(nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})) == [
        ["a.weight", "a.bias"],
        ["b.weight", "b.bias"],
    ]
    assert linears(nn.Sequential(nn.Linear(2, 2), nn.ReLU())) == ["0"]
