"""LoKI's attribution and selection against numbers worked by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from subjects import BENCHES, llama

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Stage
from byheart.kit.readout import Reader
from byheart.learn import loki
from byheart.learn.loki import LoKI, attributions, owed
from byheart.learn.lora import LoRA
from byheart.train.loop import Settings, train
from byheart.train.stream import collate

DOWN = "model.layers.1.mlp.down_proj"


def test_attribution_is_the_integrated_gradient_of_the_answers_probability() -> None:
    model = llama()
    inputs = collate([{"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, -100]}])
    found = attributions(model, inputs, steps=3)[f"{DOWN}.weight"]
    assert found.shape == (1, 32)
    layer = model.model.layers[1]
    seen: dict[str, Any] = {}
    hooks = [
        layer.mlp.register_forward_pre_hook(lambda m, a: None),
        layer.mlp.down_proj.register_forward_hook(lambda m, a, z: seen.update(z=z.detach())),
        layer.post_attention_layernorm.register_forward_pre_hook(lambda m, a: seen.update(stream=a[0].detach())),
    ]
    with torch.no_grad():
        model(input_ids=inputs["input_ids"])
    for h in hooks:
        h.remove()
    z, stream = seen["z"][0, 1], seen["stream"][0, 1]  # the token at place 2 is told from place 1, the last layer
    total = torch.zeros(32)
    for k in (1, 2, 3):
        scaled = (z * k / 3).requires_grad_()
        chance = model.lm_head(model.model.norm(stream + scaled)).softmax(-1)[7]
        total += torch.autograd.grad(chance, scaled)[0]
    assert torch.allclose(found[0], z * total / 3, atol=1e-6)


def test_the_rows_most_often_among_the_lowest_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.full((3, 32), 9.0)
    scores[:, [11, 20]] = 10.0
    scores[0, [4, 7]] = 0.0
    scores[1, [4, 9]] = -1.0
    scores[2, [9, 4]] = 0.5
    monkeypatch.setattr(loki, "attributions", lambda model, inputs, steps: {f"{DOWN}.weight": scores})
    model, guard = llama(), LoKI(share=2 / 32, examples=[{"input_ids": [3, 4]}] * 3)
    guard.begin(Stage(model, [], collate, lambda m, x: Reader(m)(x)))
    assert guard.rows[f"{DOWN}.weight"].tolist() == [4, 9]
    assert owed([{"a": scores}], 2 / 32, most=True)["a"].tolist() == [11, 20]


def test_strongly_negative_rows_are_low_only_where_signs_count() -> None:
    scores = [{"a": torch.tensor([[-9.0, 0.1, 5.0, -0.2]])}]
    assert owed(scores, 0.5)["a"].tolist() == [1, 3]
    assert owed(scores, 0.5, signed=True)["a"].tolist() == [0, 3]
    assert owed(scores, 0.25, most=True)["a"].tolist() == [0]


def test_unbalanced_the_lowest_of_all_layers_are_chosen_wherever_they_are() -> None:
    low = {"a": torch.tensor([[5.0, 1.0, 7.0]]), "b": torch.tensor([[0.0, 2.0, 9.0]])}
    assert {n: r.tolist() for n, r in owed([low], 1 / 3, balanced=False).items()} == {"a": [1], "b": [0]}
    assert {n: r.tolist() for n, r in owed([low], 0.5, balanced=False).items()} == {"a": [1], "b": [0, 1]}
    assert {n: r.tolist() for n, r in owed([low], 1 / 6, most=True, balanced=False).items()} == {"b": [2]}


def test_rows_found_before_are_trained_and_those_of_another_model_refused() -> None:
    model, rows = llama(), {f"{DOWN}.weight": torch.tensor([3])}
    start = copy.deepcopy(model.state_dict())
    train(model, BENCHES["lm"].tasks[1], [LoKI(chosen=rows)], Settings(lr=1e-2, steps=2, batch_size=4))
    moved = {n: (v != start[n]).reshape(len(v), -1).any(1) for n, v in model.state_dict().items()}
    assert {n: m.nonzero()[:, 0].tolist() for n, m in moved.items() if m.any()} == {f"{DOWN}.weight": [3]}
    with pytest.raises(BadInput, match=r"has no other\.weight; give rows"):
        LoKI(chosen={"other.weight": torch.tensor([0])}).begin(Stage(model, [], collate, None))


def test_nothing_but_the_chosen_rows_moves_not_even_by_weight_decay() -> None:
    model = llama()
    start, chosen = copy.deepcopy(model.state_dict()), {}
    guard = LoKI(share=0.1, examples=BENCHES["lm"].tasks[0])

    def note(step: Any, losses: Any) -> None:
        chosen.update({n: r.tolist() for n, r in guard.rows.items()})

    settings = Settings(lr=1e-2, steps=3, batch_size=4, weight_decay=0.5)
    train(model, BENCHES["lm"].tasks[1], [guard], settings, on_step=note)
    assert len(chosen) == 2
    assert all(len(rows) == 3 for rows in chosen.values())
    for name, value in model.state_dict().items():
        moved = (value != start[name]).reshape(len(value), -1).any(1).nonzero()[:, 0].tolist()
        assert moved == chosen.get(name, []), name


def test_bad_calls_say_what_to_do() -> None:
    with pytest.raises(BadInput, match="give 0 to 1"):
        LoKI(share=3)
    with pytest.raises(BadInput, match="no down-projections"):
        attributions(torch.nn.Linear(2, 2), {"labels": torch.zeros(1, 2, dtype=torch.long)})
    with pytest.raises(Conflict, match="leave one of them out"):
        train(llama(), BENCHES["lm"].tasks[0], [LoRA(), LoKI(examples=BENCHES["lm"].tasks[0])])
