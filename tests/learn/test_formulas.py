"""One number of each method against one worked by hand."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from subjects import BENCHES, llama
from torch import Tensor, nn

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit import gradient
from byheart.kit.anatomy import layers, unit
from byheart.kit.buffer import Reservoir, dump, parse, rows
from byheart.kit.covariance import Covariances, split
from byheart.kit.projection import remove_conflict
from byheart.kit.readout import Reader
from byheart.kit.teacher import Teacher
from byheart.learn.agem import AGEM
from byheart.learn.derpp import DERpp
from byheart.learn.ewc import EWC
from byheart.learn.hft import HFT
from byheart.learn.kl import KL
from byheart.learn.l2_start import L2ToStart
from byheart.learn.lora import LoRA
from byheart.learn.lwf import LwF
from byheart.learn.null_space import NullSpace
from byheart.learn.olora import OLoRA
from byheart.learn.replay import Replay
from byheart.learn.self_replay import SelfReplay
from byheart.learn.spurious_forgetting import FreezeBottom
from byheart.learn.teach_lmm_skills import Selective
from byheart.learn.view_batch import ViewBatch
from byheart.models import tiny
from byheart.train.loop import Settings, stages, train
from byheart.train.stream import collate

LN3 = math.log(3)
KL_QUARTERS = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)  # KL((1/2, 1/2) || (3/4, 1/4)) = 0.1438


class Line(nn.Module):
    """Two logits, each a weight times the one input: a model of two parameters."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(weights))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w


def point(x: float, label: int) -> dict[str, Any]:
    return {"x": torch.tensor([x]), "labels": label}


def stage_of(model: nn.Module, examples: list[dict[str, Any]], **more: Any) -> Stage:
    reader = Reader(model)
    settings = {"steps": 10, **more}
    return Stage(model, examples, collate, lambda m, x: reader(x) if m is model else Reader(m)(x), **settings)


def step_of(stage: Stage, *batches: Batch) -> Step:
    return Step(stage, 0, 0.5, list(batches), [stage.read(stage.model, b.inputs) for b in batches])


def test_ewc_squares_the_gradient_of_each_example() -> None:
    # p = (1/2, 1/2): d log p_y / d w = x (1/2, -1/2) up to sign, squared x^2 / 4: 1 for x = 2, 4 for x = 4
    for labels in ("data", "model"):
        model, guard = Line(0.0, 0.0), EWC(importance=4.0, labels=labels)
        stage = stage_of(model, [point(2, 0), point(4, 1)])
        guard.end(stage)
        assert guard.anchors[0]["fisher"]["w"].tolist() == pytest.approx([2.5, 2.5])  # of the mean gradient: 0.25
        with torch.no_grad():
            model.w.copy_(torch.tensor([1.0, -2.0]))
        penalty = guard.terms(step_of(stage))["ewc"]
        assert penalty.item() == pytest.approx(4 / 2 * 2.5 * (1 + 4))
        assert torch.autograd.grad(penalty, model.w)[0].tolist() == pytest.approx([10.0, -20.0])


def test_ewc_draws_labels_from_the_model() -> None:
    # p(0) = 3/4: E_y (d log p_y / d w_0)^2 = 3/4 (1/4)^2 + 1/4 (3/4)^2 = 3/16; the label 0 alone gives 1/16
    found = {}
    for labels in ("data", "model"):
        guard = EWC(labels=labels, samples=None)
        guard.end(stage_of(Line(LN3, 0.0), [point(1, 0)] * 400))
        found[labels] = guard.anchors[0]["fisher"]["w"][0].item()
    assert found["data"] == pytest.approx(1 / 16)
    assert found["model"] == pytest.approx(3 / 16, abs=0.03)


def test_ewc_sums_log_likelihood_over_tokens() -> None:
    model = llama()
    example = {"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8]}
    guard = EWC(labels="data")
    guard.end(stage_of(model, [example]))
    read = Reader(model)(collate([example]))
    (grad,) = torch.autograd.grad(read.losses().sum(), [model.model.norm.weight])
    assert torch.allclose(guard.anchors[0]["fisher"]["model.norm.weight"], grad.square())


def test_online_ewc_decays_the_fisher_and_keeps_one_anchor() -> None:
    model, guard = Line(0.0, 0.0), EWC(online=True, gamma=0.5, labels="data")
    guard.end(stage_of(model, [point(2, 0)]))
    guard.end(stage_of(model, [point(4, 0)]))
    assert len(guard.anchors) == 1
    assert guard.anchors[0]["fisher"]["w"].tolist() == pytest.approx([0.5 * 1 + 4] * 2)


@pytest.mark.parametrize("guard", [EWC, L2ToStart, NullSpace])
def test_what_holds_weights_refuses_an_adapter_before_the_first_step(guard: type[Strategy]) -> None:
    for order in ([LoRA(), guard()], [guard(), OLoRA()]):
        taken: list[Step] = []
        with pytest.raises(Conflict, match="leave one of them out"):
            train(llama(), BENCHES["lm"].tasks[0], order, on_step=lambda s, _, seen=taken: seen.append(s))
        assert taken == []


def test_agem_projection() -> None:
    g = [torch.tensor([3.0]), torch.tensor([4.0])]
    assert remove_conflict(g, [torch.tensor([-1.0]), torch.tensor([0.0])])
    assert [x.item() for x in g] == [0.0, 4.0]
    assert not remove_conflict(g, [torch.tensor([1.0]), torch.tensor([1.0])])
    assert [x.item() for x in g] == [0.0, 4.0]


def test_agem_reference_is_the_mean_over_positions_of_all_chunks() -> None:
    model, bench = llama(), BENCHES["lm"]
    stage = stage_of(model, bench.tasks[1], old=bench.tasks[0], batch_size=3)
    live = list(model.parameters())
    got = gradient.mean(stage, list(bench.tasks[0]), live)
    want = torch.autograd.grad(Reader(model)(collate(bench.tasks[0])).loss(), live)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(got, want, strict=True))


def test_agem_leaves_no_gradient_against_the_past() -> None:
    model = Line(0.0, 0.0)
    stage = stage_of(model, [point(1, 1)], old=[point(1, 0)], batch_size=1)
    guard = AGEM()
    guard.begin(stage)
    model.w.grad = torch.tensor([0.5, -0.5])  # of CE on label 1; on the old label 0 it is (-1/2, 1/2)
    guard.gradients(step_of(stage))
    assert model.w.grad.tolist() == [0.0, 0.0]
    assert guard.projected == 1


def test_kl_to_the_start() -> None:
    model = Line(0.0, 0.0)
    stage = stage_of(model, [point(1, 0)])
    guard = KL(weight=2.0)
    guard.begin(stage)
    with torch.no_grad():
        model.w[0] = LN3
    batch = stage.batch(stage.examples, "new", [0])
    assert guard.terms(step_of(stage, batch))["kl"].item() == pytest.approx(2 * KL_QUARTERS, rel=1e-5)


def test_kl_with_replace_only_distils_replayed_text() -> None:
    model = Line(0.0, 0.0)
    stage = stage_of(model, [point(1, 0)], old=[point(2, 1)])
    replay, guard = Replay(), KL(replace=True)
    replay.begin(stage)
    guard.begin(stage)
    with torch.no_grad():
        model.w[0] = LN3 / 2
    step = step_of(stage, stage.batch(stage.old, "replay", [0]))
    assert guard.terms(step) == {}
    assert guard.objective(step, step.batches[0], step.reads[0]).item() == pytest.approx(KL_QUARTERS, rel=1e-5)


@pytest.mark.parametrize("width", [1, 4])
def test_teacher_from_features_equals_a_frozen_copy(width: int) -> None:
    model, bench = llama(), BENCHES["lm"]
    start = copy.deepcopy(model)
    stage = stage_of(model, bench.tasks[0], batch_size=width)
    stage.steps = 20
    teacher = Teacher(stage, ("new",))
    assert teacher.reader is None, "it copied the whole model"
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    batch = stage.batch([stage.examples[k] for k in (7, 2, 4)], "new", (7, 2, 4))
    read = stage.read(model, batch.inputs)
    assert torch.allclose(teacher.logits(batch, read), Reader(start)(batch.inputs).logits, atol=1e-5)


def test_teacher_copies_when_the_pool_is_larger_than_the_stage_visits() -> None:
    bench = BENCHES["lm"]
    stage = stage_of(llama(), bench.tasks[0], batch_size=2)
    stage.steps = 1
    teacher = Teacher(stage, ("new",))
    assert teacher.reader is not None
    batch = stage.batch(stage.examples[:2], "new", (0, 1))
    read = stage.read(stage.model, batch.inputs)
    assert torch.allclose(teacher.logits(batch, read), read.logits, atol=1e-5)


def test_kl_listed_before_the_replay_it_should_guard_says_so() -> None:
    with pytest.raises(Conflict, match="after the one"):
        BENCHES["lm"].run([KL(roles=("replay",)), Replay()])


def test_lwf_squares_the_temperature() -> None:
    model, guard = Line(0.0, 0.0), LwF()
    stage = stage_of(model, [point(1, 0)], index=1)
    guard.begin(stage)
    with torch.no_grad():
        model.w[0] = 2 * LN3  # softened by T = 2: ln 3
    batch = stage.batch(stage.examples, "new", [0])
    assert guard.terms(step_of(stage, batch))["lwf"].item() == pytest.approx(4 * KL_QUARTERS, rel=1e-5)


def test_l2_to_start() -> None:
    model, guard = Line(1.0, 1.0), L2ToStart(strength=0.5)
    stage = stage_of(model, [point(1, 0)])
    guard.begin(stage)
    with torch.no_grad():
        model.w.copy_(torch.tensor([3.0, 0.0]))
    assert guard.terms(step_of(stage))["l2_start"].item() == pytest.approx(0.5 / 2 * (4 + 1))


def test_derpp_terms() -> None:
    model, guard = Line(0.0, 0.0), DERpp(alpha=0.1, beta=0.5)
    stage = stage_of(model, [point(1, 0)])
    step = step_of(stage, stage.batch(stage.examples, "new", [0]))
    guard.terms(step)
    guard.gradients(step)
    with torch.no_grad():
        model.w.copy_(torch.tensor([1.0, 3.0]))  # logits were (0, 0): squared errors 1 and 9
    ((_, batches),) = guard.batches(iter([(0, [step.batches[0]])]), stage)
    later = step_of(stage, *batches)
    got = {b.draw: guard.objective(later, b, r).item() for b, r in later.of("replay")}
    assert got["logits"] == pytest.approx(0.1 * (1 + 9) / 2)
    assert got["labels"] == pytest.approx(0.5 * math.log(1 + math.e**2))


def test_derpp_keeps_the_largest_logits_of_a_language_model() -> None:
    model, guard, bench = llama(), DERpp(top=5), BENCHES["lm"]
    stage = stage_of(model, bench.tasks[0])
    step = step_of(stage, stage.batch(stage.examples[:3], "new", (0, 1, 2)))
    guard.terms(step)
    guard.gradients(step)
    assert [i["example"] for i in guard.memory.items] == [dict(e) for e in stage.examples[:3]]
    read = step.reads[0]
    assert torch.equal(torch.cat([i["values"] for i in guard.memory.items]), read.logits.topk(5).values.detach())
    batch = stage.batch(stage.examples[:3], "replay", (0, 1, 2), "logits")
    assert guard.objective(step, batch, read).item() == pytest.approx(0.0, abs=1e-10)


def test_derpp_averages_each_draw_apart() -> None:
    class Fixed(Strategy):
        """Two draws of role replay whose losses are 1 and 10, with one and three examples."""

        claims = frozenset({"objective:replay"})

        def batches(self, stream: Any, stage: Stage) -> Any:
            for number, batches in stream:
                more = [stage.batch([point(1, 0)] * n, "replay", (), d) for n, d in ((1, "a"), (3, "b"))]
                yield number, [*batches, *more]

        def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
            return read.logits.sum() * 0 + (1.0 if batch.draw == "a" else 10.0)

    done = train(Line(0.0, 0.0), [point(1, 0)] * 4, [Fixed()], Settings(batch_size=2, accumulation=2))
    assert done.history[0] == pytest.approx({"new": math.log(2), "a": 1.0, "b": 10.0})


def test_olora_measures_the_overlap_of_new_and_old() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    guard = OLoRA(rank=1, orthogonal=0.5, decay=0.1)
    stage = stage_of(model, [point(1, 0)], index=1)
    guard.begin(stage)
    guard.past = {"0": torch.tensor([[1.0, 2.0]])}
    a, b = model[0].lora_A["default"].weight, model[0].lora_B["default"].weight
    with torch.no_grad():
        a.copy_(torch.tensor([[3.0, -4.0]]))
        b.copy_(torch.tensor([[6.0], [8.0]]))
    terms = guard.terms(Step(stage, 0, 0.0))
    assert terms["olora"].item() == pytest.approx(0.5 * 5)  # |3 - 8|
    assert terms["olora_decay"].item() == pytest.approx(0.1 * (5 + 10))
    assert torch.autograd.grad(terms["olora"], a)[0].tolist() == [[-0.5, -1.0]]


def test_olora_penalty_is_not_always_zero_and_falls() -> None:
    bench = BENCHES["lm"]
    first, second = stages(llama(), bench.tasks, [OLoRA(rank=2)], Settings(lr=1e-2, steps=30, batch_size=4))
    assert "olora" not in first.history[0]
    overlap = [h["olora"] for h in second.history]
    assert overlap[0] > 1.0
    assert overlap[-1] < overlap[0] / 2


def test_olora_drops_a_tenth_of_what_the_new_pair_is_fed() -> None:
    fed = []
    for dropout in (None, 0.0):
        model = nn.Sequential(nn.Linear(1000, 1))
        guard = OLoRA(rank=1) if dropout is None else OLoRA(rank=1, dropout=dropout)
        guard.begin(stage_of(model, []))
        kept = model[0].lora_dropout["default"].train()(torch.ones(10_000))
        fed.append((kept == 0).float().mean().item())
    assert fed == [pytest.approx(0.1, abs=0.02), 0.0]


def test_olora_keeps_the_rows_of_every_earlier_stage() -> None:
    guard = OLoRA(rank=2)
    BENCHES["lm"].run([guard])
    assert guard.past["model.layers.0.self_attn.q_proj"].shape == (4, 32)


def test_lora_changes_weights_by_its_rank_and_exports_a_peft_adapter(tmp_path: Path) -> None:
    from peft import PeftModel

    bench, start = BENCHES["lm"], llama()
    model = copy.deepcopy(start)
    done = train(model, bench.tasks[0], [LoRA(rank=2)], bench.settings)
    moved = model.model.layers[0].mlp.up_proj.weight - start.model.layers[0].mlp.up_proj.weight
    assert torch.linalg.matrix_rank(moved, rtol=1e-4) == 2
    assert torch.equal(model.model.embed_tokens.weight, start.model.embed_tokens.weight)

    artifact = done.artifacts["adapter"]
    (tmp_path / "adapter_config.json").write_text(json.dumps(artifact["config"]))
    save_file(artifact["tensors"], tmp_path / "adapter_model.safetensors")
    loaded = PeftModel.from_pretrained(start, tmp_path).eval()
    ids = torch.arange(3, 20)[None]
    assert torch.allclose(loaded(ids).logits, model(ids).logits, atol=1e-5)


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


def test_hft_freezes_half_of_every_category() -> None:
    model, guard = tiny.model(0, width=32, layers=4), HFT()
    drawn = []
    for seed in range(3):
        guard.begin(stage_of(model, [], seed=seed))
        frozen = guard.groups(model)
        drawn.append(set(frozen))
        feedforward = []
        for names in layers(model):
            kinds = Counter(unit(n)[1] for n in names if n in frozen)
            assert sum(kinds[k] for k in ("q", "k", "v", "o")) == 2
            assert kinds["norm"] == 1
            feedforward.append(sum(kinds[k] for k in ("gate", "up", "down")))
        assert sorted(feedforward) == [1, 1, 2, 2]
        assert "model.embed_tokens.weight" not in frozen
        sizes = {n: p.numel() for n, p in model.named_parameters() if n.startswith("model.layers")}
        assert sum(sizes[n] for n in frozen) / sum(sizes.values()) == pytest.approx(0.5, abs=0.06)
    assert len(set(map(frozenset, drawn))) == 3, "the same half every time"


def test_hft_leaves_the_frozen_half_bit_for_bit() -> None:
    model = llama()
    start, guard = copy.deepcopy(model.state_dict()), HFT()
    train(model, BENCHES["lm"].tasks[0], [guard], BENCHES["lm"].settings)
    still = {n for n, _ in model.named_parameters() if torch.equal(model.state_dict()[n], start[n])}
    guard.begin(stage_of(model, [], seed=0))
    assert still == set(guard.groups(model))


def test_freeze_bottom_moves_only_what_is_above() -> None:
    model = llama()
    start = copy.deepcopy(model.state_dict())
    train(model, BENCHES["lm"].tasks[0], [FreezeBottom(layers=1, after=0)], BENCHES["lm"].settings)
    still = {n for n, _ in model.named_parameters() if torch.equal(model.state_dict()[n], start[n])}
    assert still == {n for n, _ in model.named_parameters() if "layers.0." in n or "embed" in n}
    with pytest.raises(BadInput, match="cannot freeze 2 of 2 layers; give layers=1"):
        train(model, BENCHES["lm"].tasks[0], [FreezeBottom(layers=2)], BENCHES["lm"].settings)


@pytest.mark.parametrize(("part", "moving"), [("attention", "self_attn"), ("gate_up", "gate_proj|up_proj")])
def test_selective_trains_one_part(part: Any, moving: str) -> None:
    model = llama()
    start = copy.deepcopy(model.state_dict())
    train(model, BENCHES["lm"].tasks[0], [Selective(part=part)], BENCHES["lm"].settings)
    moved = {n for n, _ in model.named_parameters() if not torch.equal(model.state_dict()[n], start[n])}
    assert moved == {n for n, _ in model.named_parameters() if any(m in n for m in moving.split("|"))}


def test_view_batch_rests_a_sample_for_v_times_as_long() -> None:
    examples = [point(float(i), 0) for i in range(12)]
    stage = stage_of(Line(0.0, 0.0), examples, batch_size=4)
    guard = ViewBatch(views=2, strength=0.0)
    guard.begin(stage)
    stream = ((n, [stage.batch(examples[:4], "new", range(4))]) for n in range(12))
    seen: dict[float, list[int]] = {}
    for number, (batch,) in guard.batches(stream, stage):
        values = batch.inputs["x"][:, 0].tolist()
        assert values[0::2] == values[1::2]  # two views of two samples
        for v in set(values):
            seen.setdefault(v, []).append(number)
    assert all(len(times) == 2 for times in seen.values())
    assert sum(b - a for a, b in seen.values()) / 12 == pytest.approx(6)  # 3 without views


def test_view_batch_makes_views_agree_with_the_first() -> None:
    model, guard = Line(LN3, 0.0), ViewBatch(views=2, weight=2.0)
    stage = stage_of(model, [], batch_size=4)
    inputs = {"x": torch.tensor([[0.0], [1.0], [1.0], [1.0]]), "labels": torch.tensor([0, 0, 1, 1])}
    term = guard.terms(step_of(stage, Batch(inputs)))["views"]
    assert term.item() == pytest.approx(2 * (KL_QUARTERS + 0) / 2, rel=1e-5)


def test_view_batch_compares_the_same_tokens() -> None:
    model, bench = llama(), BENCHES["lm"]
    guard = ViewBatch(views=2, after=0.0, strength=0.5)
    stage = stage_of(model, bench.tasks[0], batch_size=4)
    ((_, (batch,)),) = guard.batches(iter([(0, [])]), stage)
    step = step_of(stage, batch)
    log = step.reads[0].logits.log_softmax(-1)
    row = step.reads[0].rows
    pairs = [(log[row == 0], log[row == 1]), (log[row == 2], log[row == 3])]
    want = torch.cat([(a.exp() * (a - b)).sum(-1) for a, b in pairs]).mean()
    assert guard.terms(step)["views"].item() == pytest.approx(want.item(), rel=1e-4)
    clean, changed = batch.inputs["input_ids"][::2], batch.inputs["input_ids"][1::2]
    assert (clean != changed).any()
    assert torch.equal(batch.inputs["labels"][::2], batch.inputs["labels"][1::2])


def test_replay_draws_its_ratio_and_keys_find_the_examples() -> None:
    old = [point(float(i), 0) for i in range(20)]
    stage = stage_of(Line(0.0, 0.0), [point(0, 0)] * 4, old=old, batch_size=2)
    stage.offer("replay", [point(-1, 0)] * 3)  # somebody else's
    guard = Replay(ratio=0.25)
    guard.begin(stage)
    counts = []
    stream = ((n, [stage.batch(stage.examples[:2], "new", (0, 1))]) for n in range(400))
    for _, batches in guard.batches(stream, stage):
        replayed = [b for b in batches if b.role == "replay"]
        counts.append(sum(len(b) for b in replayed))
        for b in replayed:
            assert [float(stage.pools["replay"][k]["x"]) for k in b.keys] == b.inputs["x"][:, 0].tolist()
    assert sum(counts) / len(counts) == pytest.approx(0.5, abs=0.08)
    assert max(counts) == 1


def test_replay_from_its_own_reservoir_needs_no_old_examples() -> None:
    bench = BENCHES["classifier"]
    guard, model = Replay(capacity=3), bench.build()
    histories = [train(model, t, [guard], bench.settings, index=i).history[0] for i, t in enumerate(bench.tasks)]
    assert [sorted(h) for h in histories] == [["new"], ["new", "replay"]]
    assert len(guard.memory) == 3
    assert guard.memory.seen == 20


def test_reservoir_is_uniform() -> None:
    counts = torch.zeros(10)
    for seed in range(2000):
        kept = Reservoir(3)
        for n in range(10):
            kept.add({"n": n}, lambda i, s=seed: torch.Generator().manual_seed(s * 100 + i))
        for item in kept.items:
            counts[item["n"]] += 1
    assert counts.tolist() == pytest.approx([600] * 10, abs=80)


def test_examples_survive_dumping_and_uncollating() -> None:
    nested = [
        {"example": {"input_ids": [1, 2]}, "values": torch.ones(2, 3)},
        {"example": {"input_ids": [3]}, "values": torch.zeros(1, 3)},
    ]
    back = parse(dump(nested))
    assert [b["example"] for b in back] == [{"input_ids": [1, 2]}, {"input_ids": [3]}]
    assert torch.equal(back[0]["values"], torch.ones(2, 3))
    for bench in BENCHES.values():
        again = rows(collate(bench.tasks[0]))
        for a, b in zip(again, bench.tasks[0], strict=True):
            assert list(a) == list(b)
            assert all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)


def test_self_replay_is_the_models_own_text_and_the_same_each_time() -> None:
    def written(seed: int) -> list[dict[str, Any]]:
        guard = SelfReplay(examples=40, length=6)
        guard.begin(stage_of(llama(), [{"input_ids": [5, 6]}], seed=seed))
        return guard.examples

    texts = written(1)
    assert texts == written(1)
    assert texts != written(2)
    assert {tuple(e["input_ids"][:1]) for e in texts} == {(1,)}
    assert {len(e["input_ids"]) for e in texts} == {7}
    assert len({tuple(e["input_ids"]) for e in texts}) > 30, "not drawn independently"


def test_self_replay_keeps_its_text_over_stages_and_visits_all_of_it() -> None:
    guard = SelfReplay(examples=5, length=4, batch=2)
    stage = stage_of(llama(), BENCHES["lm"].tasks[0])
    guard.begin(stage)
    before = list(guard.examples)
    keys = [k for _, (b,) in guard.batches(((n, []) for n in range(3)), stage) for k in b.keys]
    assert sorted(keys) == [0, 1, 2, 3, 4]
    guard.begin(stage_of(tiny.model(9, width=32, vocabulary=64), BENCHES["lm"].tasks[1], index=1))
    assert guard.examples == before


def test_self_replay_takes_text_from_outside() -> None:
    guard = SelfReplay(texts=[[1, 2, 3], {"input_ids": [4, 5], "labels": [-100, 5]}])
    stage = stage_of(llama(), [{"input_ids": [5, 6]}])
    guard.begin(stage)
    assert stage.pools["replay"] == [
        {"input_ids": [1, 2, 3], "labels": [1, 2, 3]},
        {"input_ids": [4, 5], "labels": [-100, 5]},
    ]


def test_self_replay_with_distillation_keeps_the_model_closer() -> None:
    bench = BENCHES["lm"]
    settings = Settings(lr=3e-3, steps=30, batch_size=4)
    start = llama()
    held_out = {"input_ids": torch.randint(3, 64, (8, 16), generator=torch.Generator().manual_seed(4))}
    moved = {}
    for name, guards in {"plain": [], "kept": [SelfReplay(examples=32, length=16), KL(replace=True)]}.items():
        model = copy.deepcopy(start)
        train(model, bench.tasks[0], guards, settings)
        p, q = (m(**held_out).logits.log_softmax(-1) for m in (start, model))
        moved[name] = (p.exp() * (p - q)).sum(-1).mean().item()
    assert moved["kept"] < moved["plain"]
