"""Null-space training: which columns may move, worked by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from line import stage_of, step_of
from subjects import BENCHES, llama
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Step
from byheart.kit.covariance import Covariances, split
from byheart.kit.readout import Reader
from byheart.learn.null_space import NullSpace
from byheart.learn.replay import Replay
from byheart.learn.teach_lmm_skills import Selective
from byheart.train.loop import Settings, stages, train
from byheart.train.stream import collate


class Fed(nn.Module):
    """Two outputs of two inputs, without bias."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.line = nn.Linear(2, 2, bias=False, dtype=dtype)
        with torch.no_grad():
            self.line.weight.copy_(torch.tensor([[0.5, -0.25], [0.125, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x)


def vectors(*rows: tuple[float, float], dtype: torch.dtype = torch.float32) -> list[dict[str, Any]]:
    return [{"x": torch.tensor(row, dtype=dtype), "labels": n % 2} for n, row in enumerate(rows)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("every", [1, 3])
def test_null_space_leaves_the_column_of_the_guarded_inputs_alone(dtype: torch.dtype, every: int) -> None:
    # guarded inputs lie along e1, new ones along (1, 1): column 1 may not move, column 2 must
    model, guard = Fed(dtype), NullSpace(every=every)
    start = model.line.weight.detach().clone()
    old, new = vectors((1, 0), (-2, 0), dtype=dtype), vectors((1, 1), (1, -1), (2, 1), dtype=dtype)
    masters: list[Tensor] = []
    settings = Settings(lr=0.01, steps=10, batch_size=3)
    look = lambda step, _: masters.append(step.master(model.line.weight).detach().clone())  # noqa: E731
    train(model, new, [Replay(), guard], settings, old=old, on_step=look)
    assert torch.equal(model.line.weight[:, 0], start[:, 0])
    assert (model.line.weight[:, 1] != start[:, 1]).all()
    still = [torch.equal(m[:, 0], start[:, 0].float()) for m in masters]
    assert still == [(n + 1) % every == 0 for n in range(10)]
    assert masters[0].dtype == torch.float32

    free = Fed(dtype)
    train(free, new, [Replay()], settings, old=old)
    assert (free.line.weight[:, 0] != start[:, 0]).all(), "this test cannot fail"


def test_null_space_of_a_slanted_input() -> None:
    # inputs along (3, 4) / 5: P = I - v v^T = [[16, -12], [-12, 9]] / 25; a step of (1, 1) becomes (4, -3) / 25
    model, guard = Fed(), NullSpace()
    stage = stage_of(model, vectors((1, 0)), pools={"replay": vectors((3, 4), (-6, -8))})
    start = model.line.weight.detach().clone()
    guard.begin(stage)
    guard.batches(iter([]), stage)
    assert guard.covariances.sums["line"].tolist() == [[9 + 36, 12 + 48], [12 + 48, 16 + 64]]
    with torch.no_grad():
        model.line.weight += torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        guard.parameters(step_of(stage))
    moved = (model.line.weight - start).detach()
    assert torch.allclose(moved, torch.tensor([[4 / 25, -3 / 25], [0.0, 0.0]]), atol=1e-6)
    x = torch.tensor([3.0, 4.0])
    assert torch.allclose(model.line.weight @ x, start @ x, atol=1e-6)


def test_null_space_keeps_the_fewest_directions_that_hold_the_energy() -> None:
    covariance = torch.diag(torch.tensor([1.0, 6.0, 3.0]))
    for energy, count in ((0.5, 1), (0.6, 1), (0.61, 2), (0.9, 2), (0.91, 3), (1.0, 3)):
        leading, rest = split(covariance, energy)
        assert leading.shape == (3, count), energy
        assert rest.shape == (3, 3 - count)
    assert split(covariance, 0.9)[0].square().sum(1).tolist() == pytest.approx([0, 1, 1])
    with pytest.raises(BadInput, match=r"energy=90 is no share"):
        NullSpace(energy=90)


def test_null_space_measures_each_token_once_and_shares_what_is_fed_alike() -> None:
    model, rows = llama(), [{"input_ids": [5, 6, 7, 8]}, {"input_ids": [9, 10]}]
    reader, kept = Reader(model), Covariances()
    inputs = collate(rows)
    names = [f"model.layers.0.{n}" for n in ("self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj")]
    kept.add(model, lambda m, x: reader(x), inputs, names, inputs["attention_mask"])
    assert kept.tokens == 6
    first = "model.layers.0.self_attn.q_proj"
    assert set(kept.sums) == {first, "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.down_proj"}
    assert kept.of(names[0]) is kept.of(names[1]) is kept.of(first)
    assert kept.of("model.layers.0.self_attn.o_proj") is None
    assert "lm_head" not in kept.owners, "tied to the embedding"
    x = model.model.layers[0].input_layernorm(model.model.embed_tokens(torch.tensor([5, 6, 7, 8, 9, 10])))
    assert torch.allclose(kept.sums[first], x.T @ x, atol=1e-5)


def test_null_space_protects_earlier_stages_too_and_forgets_them_when_told() -> None:
    tasks = [vectors((1, 0), (2, 0)), vectors((0, 1), (0, 2)), vectors((1, 1), (1, -1))]
    for remember, moving in ((True, [[True, False], [False, True], [False, False]]), (False, None)):
        model, guard = Fed(), NullSpace(energy=1.0, remember=remember)
        before, moved = model.line.weight.detach().clone(), []
        for _ in stages(model, tasks, [guard], Settings(lr=0.01, steps=3)):
            now = model.line.weight.detach().clone()
            moved.append((now != before).any(0).tolist())
            before = now
        assert moved == (moving or [[True, False], [False, True], [True, True]])
        assert guard.covariances.tokens == (6 if remember else 0)


def test_null_space_holds_only_what_is_trained_and_keeps_to_its_tokens() -> None:
    bench = BENCHES["lm"]
    model, guard = llama(), NullSpace(tokens=20)
    stage = stage_of(model, bench.tasks[1], pools={"replay": bench.tasks[0]})
    for name, p in model.named_parameters():
        p.requires_grad_("layers.1.mlp" in name)
    guard.begin(stage)
    guard.batches(iter([]), stage)
    assert {type(m).__name__ for m, *_ in guard.closed} == {"Linear"}
    assert len(guard.closed) == 3
    assert len(guard.covariances.sums) == 2
    assert 20 <= guard.covariances.tokens < 20 + 12


def test_null_space_does_not_measure_again_when_a_stage_goes_on(tmp_path: Path) -> None:
    bench, start = BENCHES["lm"], llama()
    settings = Settings(lr=1e-2, steps=4, batch_size=4, save_every=0.0)

    class Killed(Exception):
        pass

    def kill(step: Step, losses: dict[str, float]) -> None:
        if step.index == 2:
            raise Killed

    def run(**more: Any) -> tuple[nn.Module, int]:
        model, guard = copy.deepcopy(start), NullSpace()
        train(model, bench.tasks[1], [Replay(), guard], settings, old=bench.tasks[0], **more)
        return model, guard.covariances.tokens

    whole, tokens = run()
    assert tokens == sum(len(e["input_ids"]) for task in bench.tasks for e in task)
    with pytest.raises(Killed):
        run(folder=tmp_path, on_step=kill)
    resumed, again = run(folder=tmp_path)
    assert again == tokens
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_null_space_of_transposed_weights() -> None:
    from transformers.pytorch_utils import Conv1D

    model = nn.Sequential(Conv1D(3, 2))  # weight (2 in, 3 out)
    guard = NullSpace()
    old = [{"input": torch.tensor([0.0, 1.0]), "labels": 0}]
    stage = stage_of(model, old, pools={"replay": old})
    start = model[0].weight.detach().clone()
    guard.begin(stage)
    guard.batches(iter([]), stage)
    with torch.no_grad():
        model[0].weight += 1.0
        guard.parameters(step_of(stage))
    assert torch.allclose(model[0].weight - start, torch.tensor([[1.0] * 3, [0.0] * 3]), atol=1e-6)


def test_null_space_keeps_guarded_predictions_closer() -> None:
    bench, start = BENCHES["lm"], llama()
    moved = {}
    for name, energy in {"free": 0.0, "closed": 0.9}.items():
        model = copy.deepcopy(start)
        guards = [Selective(part="gate_up"), Replay(ratio=1e-9), NullSpace(energy=energy)]
        train(model, bench.tasks[1], guards, Settings(lr=3e-3, steps=20, batch_size=4), old=bench.tasks[0])
        reads = [Reader(m)(collate(bench.tasks[0])).logits.log_softmax(-1) for m in (start, model)]
        moved[name] = (reads[0].exp() * (reads[0] - reads[1])).sum(-1).mean().item()
    assert moved["closed"] < 0.5 * moved["free"]
