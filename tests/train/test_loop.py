"""The loop's arithmetic: what must not change the result does not, and what must be refused is."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.readout import Reader
from byheart.models import tiny
from byheart.train import loop
from byheart.train.compose import Strategies
from byheart.train.loop import Settings, train
from byheart.train.optimizer import MasterAdamW
from byheart.train.stream import collate, order, pack, stream


def texts(count: int = 12, seed: int = 0, low: int = 4, high: int = 12) -> list[dict[str, Any]]:
    g = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        ids = torch.randint(3, 259, (int(torch.randint(low, high, (1,), generator=g)),), generator=g).tolist()
        rows.append({"input_ids": ids, "labels": [-100, *ids[1:]]})
    return rows


def llama(**more: Any) -> nn.Module:
    return tiny.model(0, width=32, **more)


def distance(left: nn.Module, right: nn.Module) -> float:
    a, b = left.state_dict(), right.state_dict()
    return max((a[n].float() - b[n].float()).abs().max().item() for n in a)


def same(left: nn.Module, right: nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return list(a) == list(b) and all(torch.equal(a[n], b[n]) for n in a)


def trained(examples: list[dict[str, Any]], model: nn.Module | None = None, **settings: Any) -> nn.Module:
    model = model or llama()
    train(model, examples, (), Settings(lr=1e-3, **settings))
    return model


def test_accumulation_equals_a_bigger_batch() -> None:
    data = texts(16)
    whole = trained(data, batch_size=8, bucket=False)
    parts = trained(data, batch_size=2, accumulation=4, bucket=False)
    assert distance(whole, llama()) > 1e-3
    assert distance(whole, parts) < 1e-6


def test_loss_is_the_mean_over_scored_tokens_of_the_whole_step() -> None:
    data, model = texts(6), llama()
    want = Reader(model)(collate(data)).loss().item()
    for settings in ({"batch_size": 6}, {"batch_size": 1, "accumulation": 6}, {"batch_size": 4, "accumulation": 2}):
        done = train(copy.deepcopy(model), data, (), Settings(steps=1, bucket=False, **settings))
        assert done.history[0]["new"] == pytest.approx(want, rel=1e-5)


def test_packed_examples_do_not_see_each_other() -> None:
    model, data = llama().eval(), texts(9)
    rows = pack(data, 24)
    assert len(rows) < len(data)
    assert sum(len(r["input_ids"]) for r in rows) == sum(len(e["input_ids"]) for e in data)
    apart, together = Reader(model)(collate(data)), Reader(model)(collate(rows))
    assert model.config._attn_implementation == "sdpa"
    assert together.loss().item() == pytest.approx(apart.loss().item(), rel=1e-6)
    assert torch.allclose(together.losses().sort().values, apart.losses().sort().values, atol=1e-5)

    leaky = [{k: v for k, v in r.items() if k != "position_ids"} for r in rows]
    assert abs(Reader(model)(collate(leaky)).loss().item() - apart.loss().item()) > 1e-4, "this test cannot fail"


def test_packed_gradients_are_those_of_unpacked_examples() -> None:
    model, data = llama(), texts(9)
    grads = []
    for rows in (data, pack(data, 24)):
        grads.append(torch.autograd.grad(Reader(model)(collate(rows)).loss(), list(model.parameters())))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


def test_changing_one_packed_example_leaves_the_others_alone() -> None:
    model = llama().eval()
    data = [{"input_ids": [5, 6, 7, 8]}, {"input_ids": [9, 10, 11, 12]}]
    (row,) = pack(data, 8)
    other = {**row, "input_ids": [50, 60, 70, 80, *row["input_ids"][4:]]}
    a, b = (Reader(model)(collate([r])).logits for r in (row, other))
    assert torch.equal(a[3:], b[3:])
    assert not torch.allclose(a[:3], b[:3])


def test_packing_in_the_loop_reads_every_token_once() -> None:
    data = texts(20)
    done = train(llama(), data, (), Settings(pack=True, max_length=32, batch_size=1))
    packed = pack(data, 32)
    assert done.steps == len(packed)
    assert done.tokens == sum(len(e["input_ids"]) for e in data)


def test_masters_take_steps_too_small_for_bfloat16() -> None:
    p = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = MasterAdamW([{"params": [p], "lr": 1e-4}], weight_decay=0.0)
    for n in range(100):
        p.grad = torch.ones_like(p)
        optimizer.step()
        if n == 0:
            assert p.tolist() == [1.0, 1.0, 1.0]  # the first step is lost on the weight, not on the master
    assert optimizer.pairs[0][1].tolist() == pytest.approx([0.99] * 3, abs=1e-5)
    assert p.tolist() == pytest.approx([0.99] * 3, abs=2**-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clipping_within_the_step_is_clipping_before_it(dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(0)
    start, grad = (torch.randn(40, generator=g).to(dtype) for _ in range(2))
    ends = []
    for within in (True, False):
        p = nn.Parameter(start.clone())
        optimizer = MasterAdamW([{"params": [p], "lr": 0.1}], weight_decay=0.1, fused=True)
        for n in range(3):
            p.grad = grad.clone() * 10**n
            optimizer.clip(5.0, now=not within)
            optimizer.step()
            assert optimizer.grad_scale is None
            assert float(p.grad.norm()) <= 5.1 or (within and dtype is torch.bfloat16)
        ends.append(optimizer.master(p).detach().clone())
    assert torch.allclose(*ends, atol=1e-6 if dtype is torch.float32 else 2e-3)
    free = nn.Parameter(start.clone())
    optimizer = MasterAdamW([{"params": [free], "lr": 0.1}], weight_decay=0.1, fused=True)
    for n in range(3):
        free.grad = grad.clone() * 10**n
        optimizer.step()
    assert not torch.allclose(optimizer.master(free).detach(), ends[0], atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_strategy_changes_parameters_in_full_precision(dtype: torch.dtype) -> None:
    class Creep(Strategy):
        """Adds to every parameter less than bfloat16 can tell from nothing."""

        @torch.no_grad()
        def parameters(self, step: Step) -> None:
            for p in step.model.parameters():
                step.master(p).add_(2**-12)

    class Owns(Creep):
        claims = frozenset({"step"})

        def own_step(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
            Creep.parameters(self, step)

    for strategy, expected in ((Creep(), 1 + 32 / 2**12), (Owns(), 1 + 64 / 2**12)):
        model = nn.Linear(2, 2).to(dtype)
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(1.0)
        data = [{"input": torch.zeros(2, dtype=dtype), "labels": 0}]
        train(model, data, [strategy], Settings(steps=32, lr=0.0))
        assert model.weight.flatten().tolist() == [expected] * 4


def test_bfloat16_training_stays_near_float32() -> None:
    data = texts(12)
    full = llama()
    half = copy.deepcopy(full).to(torch.bfloat16)
    settings = Settings(lr=1e-3, epochs=4, batch_size=4)
    a, b = (train(m, data, (), settings).history[-1]["new"] for m in (full, half))
    assert next(half.parameters()).dtype == torch.bfloat16
    assert a == pytest.approx(b, rel=0.02)


class _Killed(Exception):
    pass


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("at", [0, 1, 4])
def test_resume_is_bit_for_bit(dtype: torch.dtype, at: int, tmp_path: Path) -> None:
    data, start = texts(10), llama().to(dtype)
    settings = Settings(lr=1e-3, epochs=2.5, batch_size=3, accumulation=2, schedule="cosine", save_every=0.0)
    unbroken = copy.deepcopy(start)
    whole = train(unbroken, data, (), settings)

    def kill(step: Step, losses: dict[str, float]) -> None:
        if step.index == at:
            raise _Killed

    with pytest.raises(_Killed):
        train(copy.deepcopy(start), data, (), settings, folder=tmp_path, on_step=kill)
    resumed = copy.deepcopy(start)
    done = train(resumed, data, (), settings, folder=tmp_path)
    assert same(unbroken, resumed)
    assert done.history == whole.history
    assert (done.steps, done.tokens) == (whole.steps, whole.tokens)


def test_checkpoints_that_take_long_are_written_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second, a checkpoint three: the first after five seconds, the others sixty after the last."""
    now, at = [0.0], []

    def save(*_: object) -> None:
        at.append(now[0])
        now[0] += 3.0

    def step(*_: object) -> None:
        now[0] += 1.0

    monkeypatch.setattr(loop, "_save", save)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    settings = Settings(steps=130, batch_size=3, save_every=5.0)
    data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    train(nn.Linear(2, 2), data, (), settings, folder=tmp_path, on_step=step)
    assert at == [5.0, 68.0, 131.0]


def test_resume_after_a_kill_between_the_two_renames(tmp_path: Path) -> None:
    data, start = texts(10), llama()
    settings = Settings(lr=1e-3, epochs=2, batch_size=3, save_every=0.0)
    unbroken = copy.deepcopy(start)
    train(unbroken, data, (), settings)

    def kill(step: Step, losses: dict[str, float]) -> None:
        if step.index == 4:
            raise _Killed

    with pytest.raises(_Killed):
        train(copy.deepcopy(start), data, (), settings, folder=tmp_path, on_step=kill)
    (tmp_path / "checkpoint").rename(tmp_path / "replaced")
    resumed = copy.deepcopy(start)
    steps: list[int] = []
    train(resumed, data, (), settings, folder=tmp_path, on_step=lambda s, _: steps.append(s.index))
    assert steps[0] == 4
    assert same(unbroken, resumed)


def test_dropout_is_repeatable_and_leaves_the_callers_generator_alone() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer, self.drop = nn.Linear(4, 3), nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.drop(x))

    data = [{"x": torch.eye(4)[i], "labels": i % 3} for i in range(4)]
    runs = [Dropping(), Dropping()]
    train(runs[0], data, (), Settings(lr=0.1, epochs=3))
    torch.manual_seed(77)
    before = torch.get_rng_state()
    train(runs[1], data, (), Settings(lr=0.1, epochs=3))
    assert torch.equal(before, torch.get_rng_state())
    assert same(*runs)


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize("count", [1, 7, 64, 150])
def test_every_epoch_covers_every_example_once(bucket: bool, count: int) -> None:
    data = texts(count)
    stage = Stage(nn.Linear(1, 1), data, collate, None, batch_size=4, seed=1)
    per_epoch = -(-count // 4)
    it = stream(stage, bucket=bucket)
    orders = []
    for _ in range(3):
        keys = [k for _ in range(per_epoch) for k in next(it)[1][0].keys]
        assert sorted(keys) == list(range(count))
        orders.append(tuple(keys))
    if count > 4:
        assert len(set(orders)) == 3, "the same order every epoch"


def test_bucketing_saves_padding_and_a_stream_may_start_anywhere() -> None:
    lengths = [len(e["input_ids"]) for e in texts(256, low=4, high=200)]
    padded = {}
    for bucket in (True, False):
        batches = order(lengths, 8, torch.Generator().manual_seed(0), bucket)
        padded[bucket] = sum(8 * max(lengths[k] for k in b) for b in batches)
    assert padded[True] < 0.75 * padded[False]
    stage = Stage(nn.Linear(1, 1), texts(30), collate, None, batch_size=4)
    whole = stream(stage)
    for _ in range(11):
        next(whole)
    late = stream(stage, start=11)
    for _ in range(12):
        (n, (a,)), (m, (b,)) = next(whole), next(late)
        assert n == m
        assert a.keys == b.keys


def test_freezing_is_undone_and_the_callers_own_is_kept() -> None:
    class Freezes(Strategy):
        def groups(self, model: nn.Module) -> dict[str, float]:
            return {n: 0.0 for n, _ in model.named_parameters() if "layers.0" in n}

    model = llama()
    model.model.norm.weight.requires_grad_(False)
    start = copy.deepcopy(model)
    train(model, texts(), [Freezes()], Settings(lr=1e-2))
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["model.norm.weight"]
    still = {n for n, p in model.named_parameters() if torch.equal(p, start.state_dict()[n])}
    assert still == {n for n, _ in model.named_parameters() if "layers.0" in n or n == "model.norm.weight"}
    assert not model.training


def test_groups_multiply_over_strategies() -> None:
    class Slow(Strategy):
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def groups(self, model: nn.Module) -> dict[str, float]:
            return {"weight": self.factor}

    model = nn.Linear(2, 2)
    before = copy.deepcopy(model.state_dict())
    data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    train(model, data, [Slow(0.5), Slow(0.2)], Settings(lr=0.1, steps=1))
    moved = {n: (p - before[n]).abs().max().item() for n, p in model.named_parameters()}
    assert moved["weight"] == pytest.approx(0.1 * 0.1, rel=1e-3)  # Adam's first step is the rate


class Guard(Strategy):
    """Does what it is told, wrongly."""

    def __init__(self, **told: Any) -> None:
        self.claims = frozenset(told.get("claims", ()))
        self.told = told

    def groups(self, model: nn.Module) -> dict[str, float]:
        return self.told.get("groups", {})

    def terms(self, step: Step) -> dict[str, Tensor]:
        return {n: next(step.model.parameters()).sum() * 0 for n in self.told.get("terms", ())}


def test_mistakes_are_named() -> None:
    with pytest.raises(Conflict, match="Guard and Guard both claim 'objective:replay'"):
        Strategies([Guard(claims=["objective:replay"]), Strategies([Guard(claims=["objective:replay"])])])
    with pytest.raises(BadInput, match="sets the rate of 'no_such_weight'"):
        train(llama(), texts(), [Guard(groups={"no_such_weight": 0.5})])
    with pytest.raises(BadInput, match="froze every parameter"):
        train(llama(), texts(), [Guard(groups={n: 0.0 for n, _ in llama().named_parameters()})])
    with pytest.raises(Conflict, match="two strategies give a loss term named 'x'"):
        train(llama(), texts(), [Guard(terms=["x"]), Guard(terms=["x"])])
    with pytest.raises(BadInput, match="no training examples"):
        train(llama(), [])
    with pytest.raises(Conflict, match="other strategies"):
        Strategies([Guard()]).load_state_dict({"parts": [{"name": "EWC", "state": {}}]})


def test_long_examples_are_cut_old_ones_too() -> None:
    seen: list[int] = []

    class Look(Strategy):
        def begin(self, stage: Stage) -> None:
            seen.extend(len(e["input_ids"]) for e in [*stage.examples, *stage.old])

    train(llama(), texts(2, low=20, high=21), [Look()], Settings(max_length=8), old=texts(2, low=30, high=31))
    assert seen == [8, 8, 8, 8]


def test_autocast_keeps_float32_weights() -> None:
    data, model = texts(), llama()
    done = train(model, data, (), Settings(lr=1e-3, precision="autocast"))
    exact = train(llama(), data, (), Settings(lr=1e-3))
    assert next(model.parameters()).dtype == torch.float32
    assert done.history[-1]["new"] == pytest.approx(exact.history[-1]["new"], rel=0.01)
    assert done.history != exact.history


def test_a_trainer_in_bfloat16_before_does_not_change_our_precision() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    data, plain = texts(), llama()
    train(plain, data, (), Settings(lr=1e-3))
    AcceleratorState._reset_state()
    try:
        Accelerator(mixed_precision="bf16", cpu=True)
        after = llama()
        train(after, data, (), Settings(lr=1e-3))
    finally:
        AcceleratorState._reset_state()
    assert same(plain, after)
