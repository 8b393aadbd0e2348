"""Strategies inside transformers' and TRL's trainers: the same weights as in our loop, and nothing lost."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from trl import SFTConfig, SFTTrainer

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit import state as states
from byheart.learn.agem import AGEM
from byheart.learn.derpp import DERpp
from byheart.learn.ewc import EWC
from byheart.learn.hft import HFT
from byheart.learn.kl import KL
from byheart.learn.lora import LoRA
from byheart.learn.null_space import NullSpace
from byheart.learn.plain import Plain
from byheart.learn.replay import Replay
from byheart.learn.self_replay import SelfReplay
from byheart.learn.view_batch import ViewBatch
from byheart.models import tiny
from byheart.train.loop import Settings, train
from byheart.train.mixin import with_strategies
from byheart.train.stream import collate, order

RATE, SIZE, ACCUMULATION, EPOCHS = 3e-3, 4, 2, 2


def tasks() -> list[list[dict[str, Any]]]:
    g = torch.Generator().manual_seed(7)
    made = []
    for _ in range(2):
        rows = []
        for _ in range(16):
            ids = torch.randint(3, 259, (int(torch.randint(6, 12, (1,), generator=g)),), generator=g).tolist()
            rows.append({"input_ids": ids, "labels": [-100, -100, *ids[2:]]})
        made.append(rows)
    return made


def in_our_loop(strategies: list[Strategy]) -> nn.Module:
    model, old = tiny.model(0, width=32), []
    settings = Settings(lr=RATE, epochs=EPOCHS, batch_size=SIZE, accumulation=ACCUMULATION, bucket=False)
    for index, task in enumerate(tasks()):
        train(model, task, strategies, settings, index=index, old=old)
        old = [*old, *task]
    return model


class OurOrder(torch.utils.data.Sampler):
    """The order of examples that our loop takes in this stage."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.epoch = size, 0
        self.stage = Stage(nn.Linear(1, 1), [], None, None, seed=seed)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Any:
        batches = order([1] * self.size, SIZE, self.stage.generator("stream", self.epoch), bucket=False)
        self.epoch += 1
        return iter([k for batch in batches for k in batch])


def arguments(cls: type, folder: Path, **more: Any) -> Any:
    extra = {"gradient_checkpointing": False, "max_length": None, "bf16": False} if cls is SFTConfig else {}
    if cls is SFTConfig:
        extra["dataset_kwargs"] = {"skip_prepare_dataset": True}
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": SIZE,
        "gradient_accumulation_steps": ACCUMULATION,
        "num_train_epochs": EPOCHS,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "seed": 0,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 1,
        "use_cpu": True,
        "disable_tqdm": True,
        **extra,
    }
    return cls(**{**settings, **more})


def build(base: type, strategies: list[Strategy], ours: bool = True) -> Callable[..., Any]:
    """Make a guarded trainer for a stage, in our loop's order of examples."""
    guarded = with_strategies(base, strategies)

    class Ordered(guarded):  # type: ignore[misc, valid-type]
        def _get_train_sampler(self, *args: Any) -> Any:
            if not ours:
                return super()._get_train_sampler(*args)
            return OurOrder(len(self.train_dataset), self.args.seed + 7919 * self._index)

    def make(model: nn.Module, folder: Path, stage: int = 0, **more: Any) -> Any:
        task = tasks()
        config = SFTConfig if issubclass(base, SFTTrainer) else TrainingArguments
        extra = {"processing_class": tiny.tokenizer()} if config is SFTConfig else {"data_collator": collate}
        return Ordered(
            model=model,
            args=arguments(config, folder, **more),
            train_dataset=Dataset.from_list(task[stage]),
            stage=stage,
            old=task[0] if stage else (),
            **extra,
        )

    return make


def in_a_trainer(base: type, strategies: list[Strategy], folder: Path) -> nn.Module:
    model, make = tiny.model(0, width=32), build(base, strategies)
    for stage in (0, 1):
        make(model, folder, stage).train()
    return model


def distance(left: nn.Module, right: nn.Module) -> float:
    a, b = left.state_dict(), right.state_dict()
    assert list(a) == list(b)
    return max((a[n] - b[n]).abs().max().item() for n in a)


GUARDS: dict[str, Callable[[], list[Strategy]]] = {
    "plain": lambda: [Plain()],
    "replay": lambda: [Replay(ratio=0.5)],
    "kl": lambda: [KL()],
    "self-replay, distilled": lambda: [SelfReplay(examples=8, length=6, batch=2), KL(replace=True)],
    "ewc": lambda: [EWC(samples=8)],
    "a-gem": lambda: [AGEM(examples=8)],
    "der++": lambda: [DERpp(capacity=8)],
    "lora": lambda: [LoRA(rank=2)],
    "hft": lambda: [HFT()],
    "null-space": lambda: [NullSpace(energy=0.5)],
    "view-batch": lambda: [ViewBatch(views=2)],
}
# On new examples our loop's teacher answers from kept features and the trainer's from a frozen copy (a
# data loader tells no keys); Adam scales their rounding up where the gradient is nil, so both run in float64.
PRECISE = {"kl"}


@pytest.fixture
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param in PRECISE:
        made = tiny.model
        monkeypatch.setattr(tiny, "model", lambda *given, **more: made(*given, **more).double())
    return request.param


@pytest.mark.parametrize("name", sorted(GUARDS), indirect=True)
def test_trainer_reaches_the_weights_of_our_loop(name: str, tmp_path: Path) -> None:
    ours, start = in_our_loop(GUARDS[name]()), tiny.model(0, width=32)
    theirs = in_a_trainer(Trainer, GUARDS[name](), tmp_path)
    assert distance(ours, start) > 1e-3
    assert distance(ours, theirs) < 1e-6
    if name != "plain":
        assert distance(ours, in_our_loop([])) > 1e-4, "the strategy did nothing"


@pytest.mark.parametrize("name", ["plain", "replay", "kl", "ewc"], indirect=True)
def test_sft_trainer_reaches_the_weights_of_our_loop(name: str, tmp_path: Path) -> None:
    theirs = in_a_trainer(SFTTrainer, GUARDS[name](), tmp_path)
    assert distance(in_our_loop(GUARDS[name]()), theirs) < 1e-6


def test_plain_is_what_the_bare_trainer_does(tmp_path: Path) -> None:
    class Bare(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            return OurOrder(len(self.train_dataset), 0)

    bare = tiny.model(0, width=32)
    data = Dataset.from_list(tasks()[0])
    well = {"adam_epsilon": 1e-5}  # else a gradient of nothing but rounding moves a weight as far as any other
    given = arguments(TrainingArguments, tmp_path, **well)
    Bare(model=bare, args=given, train_dataset=data, data_collator=collate).train()
    guarded = tiny.model(0, width=32)
    build(Trainer, [Plain()])(guarded, tmp_path, **well).train()
    assert distance(bare, guarded) < 1e-6


def test_each_loss_is_logged_and_callbacks_and_evaluation_run(tmp_path: Path) -> None:
    model, make = tiny.model(0, width=32), build(Trainer, [Replay(), EWC(samples=4)])
    make(model, tmp_path).train()
    trainer = make(model, tmp_path, 1, logging_steps=2)
    trainer.eval_dataset, trainer.args.eval_strategy = Dataset.from_list(tasks()[0]), IntervalStrategy.EPOCH
    seen: list[int] = []

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append(state.global_step)

    trainer.add_callback(Watch())
    trainer.train()
    assert seen == [1, 2, 3, 4]
    logs = [h for h in trainer.state.log_history if "loss" in h]
    assert len(logs) == 2
    for h in logs:
        assert h["loss"] == pytest.approx(h["loss/new"] + h["loss/replay"] + h["loss/ewc"], rel=1e-4)
    assert next(h["eval_loss"] for h in trainer.state.log_history if "eval_loss" in h) > 0


@pytest.mark.parametrize("name", ["replay", "ewc", "der++", "lora", "null-space"])
def test_resuming_from_a_checkpoint_keeps_the_strategies_state(name: str, tmp_path: Path) -> None:
    def second_stage(folder: Path, resume: bool) -> nn.Module:
        model, strategies = tiny.model(0, width=32), GUARDS[name]()
        make = build(Trainer, strategies, ours=False)
        make(model, tmp_path / "first").train()
        trainer = make(model, folder, 1, save_strategy="steps", save_steps=3)
        trainer.train(resume_from_checkpoint=resume)
        return model

    unbroken = second_stage(tmp_path / "run", resume=False)
    (tmp_path / "run/checkpoint-4").rename(tmp_path / "gone")
    assert (tmp_path / "run/checkpoint-3/strategies/tree.json").exists()
    assert distance(unbroken, second_stage(tmp_path / "run", resume=True)) == 0


def test_resuming_from_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(BadInput, match="no checkpoint with strategies"):
        build(Trainer, [Plain()])(tiny.model(0, width=32), tmp_path).train(resume_from_checkpoint=True)


def test_rates_groups_and_early_stopping_reach_the_trainer(tmp_path: Path) -> None:
    class Shaped(Strategy):
        def groups(self, model: nn.Module) -> dict[str, float]:
            return {n: 0.0 if "embed" in n else 0.5 for n, _ in model.named_parameters() if "mlp" not in n}

        def rate(self, progress: float) -> float:
            return 1.0 - progress

        def finished(self, step: Step) -> bool:
            return step.index == 2

    settings = Settings(lr=RATE, epochs=EPOCHS, batch_size=SIZE, accumulation=ACCUMULATION, bucket=False)
    ours = tiny.model(0, width=32)
    assert train(ours, tasks()[0], [Shaped()], settings).steps == 3
    theirs, start = tiny.model(0, width=32), tiny.model(0, width=32)
    trainer = build(Trainer, [Shaped()])(theirs, tmp_path)
    trainer.train()
    assert trainer.state.global_step == 3
    assert distance(ours, theirs) < 1e-6
    assert torch.equal(theirs.model.embed_tokens.weight, start.model.embed_tokens.weight)
    assert all(p.requires_grad for p in theirs.parameters())


def test_adapter_is_left_in_artifacts_and_the_model_is_whole(tmp_path: Path) -> None:
    model = tiny.model(0, width=32)
    names = [n for n, _ in model.named_parameters()]
    trainer = build(SFTTrainer, [LoRA(rank=2)])(model, tmp_path)
    trainer.train()
    assert [n for n, _ in model.named_parameters()] == names
    assert trainer.artifacts["adapter"]["config"]["r"] == 2


def test_what_a_trainer_cannot_host_is_refused(tmp_path: Path) -> None:
    class Own(Strategy):
        claims = frozenset({"step"})

    with pytest.raises(Conflict, match="Own owns the optimizer's step"):
        with_strategies(Trainer, [Own()])
    with pytest.raises(Conflict, match="both claim"):
        with_strategies(Trainer, [KL(replace=True), DERpp()])
    model = tiny.model(0, width=32)
    with pytest.raises(BadInput, match="model_init"):
        with_strategies(Trainer, [])(
            model_init=lambda: copy.deepcopy(model),
            args=arguments(TrainingArguments, tmp_path),
            train_dataset=Dataset.from_list(tasks()[0]),
        )


def test_a_first_stage_in_which_nothing_acts_is_warned_of(tmp_path: Path) -> None:
    make = build(Trainer, [EWC(), Replay()])
    with pytest.warns(UserWarning, match=r"nothing for ewc and replay to do in a first stage .*stage=1 and old="):
        make(tiny.model(0, width=32), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        make(tiny.model(0, width=32), tmp_path, 1)
        build(Trainer, [SelfReplay(examples=4, length=6), EWC()])(tiny.model(0, width=32), tmp_path)
        build(Trainer, [])(tiny.model(0, width=32), tmp_path)


def test_the_next_stage_may_be_of_another_process(tmp_path: Path) -> None:
    """What the warning says: the state of one class, loaded into another, guards as the same objects do."""
    first, again = tiny.model(0, width=32), EWC(importance=1e4)
    one = with_strategies(Trainer, [EWC(importance=1e4)])
    other = with_strategies(Trainer, [again])
    task = [Dataset.from_list(rows) for rows in tasks()]
    settings = {"args": arguments(TrainingArguments, tmp_path), "data_collator": collate}
    with pytest.warns(UserWarning, match="first stage"):
        one(model=first, train_dataset=task[0], **settings).train()
    second = copy.deepcopy(first)
    states.save(one.strategies.state_dict(), tmp_path / "state")
    other.strategies.load_state_dict(states.load(tmp_path / "state"))
    one(model=first, train_dataset=task[1], stage=1, **settings).train()
    guarded = other(model=second, train_dataset=task[1], stage=1, **settings)
    guarded.train()
    assert again.anchors
    assert any("loss/ewc" in line for line in guarded.state.log_history)
    assert distance(first, second) == 0
