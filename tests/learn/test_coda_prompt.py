"""CODA-Prompt: weights, attention, penalty and local loss by hand; what is trained and what stays."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from subjects import llama, perceptron
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Step
from byheart.kit.prompting import Prompts, cosine, install, remove, shapes, unscoped
from byheart.kit.readout import Reader, Readout
from byheart.learn.coda_prompt import CodaPrompt, among, apart
from byheart.train.loop import Settings, stages, train
from byheart.train.stream import collate


class Glance(nn.Module):
    """One attention of one head of width one: every token's query is 1, its key 0, its value the token."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        value = input_ids.float()[:, None, :, None]
        seen = F.scaled_dot_product_attention(
            torch.ones_like(value), torch.zeros_like(value), value, is_causal=True, scale=1.0
        )
        return SimpleNamespace(last_hidden_state=seen[:, 0])


def rows(*texts: list[int]) -> list[dict[str, Any]]:
    return [{"input_ids": t, "labels": [IGNORE] * (len(t) - 1) + [t[-1]]} for t in texts]


def parts(key: list[list[float]], scope: list[list[float]], prompt: list[list[float]]) -> dict[str, Tensor]:
    """Components of a layer; `prompt` gives each one's key and value, of width one."""
    return {
        "key": torch.tensor(key),
        "scope": torch.tensor(scope),
        "prompt": torch.tensor(prompt)[:, None, :, None, None],
    }


def test_weights_are_the_cosine_of_the_scoped_query_and_the_key() -> None:
    given = parts([[1.0, 1.0], [0.0, 2.0]], [[1.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]] * 2)
    query = torch.tensor([[1.0, 1.0]])
    assert cosine(query, given)[0].tolist() == pytest.approx([1 / math.sqrt(2), 0.8])  # (1, 0) and (3, 4) to the keys
    assert unscoped(query, given)[0].tolist() == pytest.approx([1.0, 1 / math.sqrt(2)])


def test_a_prompt_is_attended_to_before_the_rest() -> None:
    # query 1 as the feature; keys 1 and -1 make weights 1 and -1: the prompt is (ln 3, 10) - (0, 2) = (ln 3, 8)
    given = parts([[1.0], [-1.0]], [[1.0], [1.0]], [[math.log(3), 10.0], [0.0, 2.0]])
    model = Glance()
    ids = torch.tensor([[2, 4, 9]])
    assert model(input_ids=ids).last_hidden_state[0, :, 0].tolist() == pytest.approx([2.0, 3.0, 5.0])
    prompts = Prompts({}, {0: given}, cosine)
    handles = install(model, prompts)
    seen = model(input_ids=ids).last_hidden_state[0, :, 0].tolist()
    # softmax of (ln 3, 0, ...): 3 to the prompt's 8, 1 to each token so far
    assert seen == pytest.approx([(24 + 2) / 4, (24 + 6) / 5, (24 + 15) / 6])
    assert prompts.query is not None
    assert prompts.query.tolist() == [[3.0]], "the token but one, without prompts"
    remove(model, handles)
    assert model(input_ids=ids).last_hidden_state[0, :, 0].tolist() == pytest.approx([2.0, 3.0, 5.0])
    assert not list(model.children())


def test_padding_and_company_do_not_change_what_a_row_says() -> None:
    guard, model = CodaPrompt(components=2), llama()
    examples = rows([5, 6, 7, 8, 9], [9, 8, 7], [3, 4, 5, 6])
    train(model, examples, [guard], Settings(lr=1e-1, steps=3))
    reader = Reader(model)
    with guard.reading(model):
        together = reader(collate(examples)).logits
        alone = torch.cat([reader(collate([e])).logits for e in examples])
    bare = reader(collate(examples)).logits
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together, bare, atol=1e-3)


def test_components_of_earlier_stages_stay_and_the_model_with_them() -> None:
    model, guard = llama(), CodaPrompt(components=2, layers=(1,))
    start = copy.deepcopy(model.state_dict())
    pools = []
    tasks = [rows([5, 6, 7], [6, 5, 8]), rows([5, 6, 9], [6, 5, 4])]
    for _ in stages(model, tasks, [guard], Settings(lr=1e-2, steps=3)):
        pools.append({n: t.clone() for n, t in guard.pool[1].items()})
    assert list(guard.pool) == [1]
    for name in ("key", "scope", "prompt"):
        assert len(pools[1][name]) == 4
        assert torch.equal(pools[1][name][:2], pools[0][name])
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, start[n])}
    assert changed == {"model.embed_tokens.weight", "lm_head.weight"}


def test_penalty_and_what_it_is_of() -> None:
    model, guard = llama(), CodaPrompt(components=2, layers=(0,), orthogonal=0.5)
    found: list[float] = []

    def look(step: Step, losses: dict[str, float]) -> None:
        assert guard.prompts is not None
        new: Any = guard.prompts.new["0"]
        with torch.no_grad():
            for p in new.values():
                p.zero_()
                p.view(2, -1)[:, 0] = 1.0  # twice the same row of length one: off the diagonal 1, on it 0
        found.append(losses["coda_prompt"])

    train(model, rows([5, 6, 7]), [guard], Settings(steps=2, lr=1e-9), on_step=look)
    assert found[0] == pytest.approx(0.0, abs=1e-6)
    assert found[1] == pytest.approx(0.5 * 3 * 2 / 4)


def test_classes_of_other_stages_have_no_say() -> None:
    read = Readout(torch.tensor([[math.log(3), 5.0, 0.0, 9.0]]), torch.tensor([0]), torch.tensor([0]))
    assert among(torch.tensor([0, 2]), read).item() == pytest.approx(-math.log(3 / 4))
    assert among(torch.tensor([2]), read).item() == pytest.approx(-math.log(3 / 4)), "a target always has"


def test_new_components_start_orthogonal_to_the_old() -> None:
    old = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    new = apart(3, (2, 3), old, torch.Generator().manual_seed(2))
    assert torch.allclose(new @ new.T, torch.eye(3), atol=1e-5)
    assert torch.allclose(new @ old.T, torch.zeros(3, 2), atol=1e-5)
    full = apart(5, (6,), old, torch.Generator().manual_seed(2))
    assert full.norm(dim=1).tolist() == pytest.approx([1.0] * 5)


def test_shapes_are_those_of_keys() -> None:
    assert shapes(llama()) == [(2, 8), (2, 8)]


def test_refuses() -> None:
    with pytest.raises(BadInput, match="give an even number"):
        CodaPrompt(length=3)
    with pytest.raises(BadInput, match="beyond the model's 2"):
        train(llama(), rows([5, 6, 7]), [CodaPrompt(layers=(2,))])
    with pytest.raises(BadInput, match="train at least one stage"), CodaPrompt().reading(llama()):
        pass
    blind = nn.Module()
    blind.forward = lambda **_: None  # type: ignore[method-assign]
    blind.weight = nn.Parameter(torch.zeros(1))
    with pytest.raises(BadInput, match="no attention"):
        shapes(blind)
    guard, model = CodaPrompt(components=1), llama()
    train(model, rows([5, 6, 7]), [guard])
    ids = torch.tensor([[5, 6]])
    past = model(input_ids=ids, use_cache=True).past_key_values
    with guard.reading(model), pytest.raises(BadInput, match="in parts"):
        model(input_ids=ids, past_key_values=past)
    with pytest.raises(BadInput, match="serves"):
        train(perceptron(), [{"x": torch.zeros(64), "labels": 0}], [CodaPrompt()])
