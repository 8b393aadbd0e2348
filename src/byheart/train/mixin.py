"""The same strategies inside `transformers.Trainer` and TRL's trainers.

    Guarded = with_strategies(SFTTrainer, [Replay(), EWC()])
    Guarded(model=model, args=args, train_dataset=first).train()
    Guarded(model=model, args=args, train_dataset=second, stage=1, old=first).train()

The trainer keeps its data loading, scheduler, callbacks, logging and checkpoints; the strategies see
the hooks that our own loop gives them, in the same order and with the same arithmetic.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput, Conflict
from byheart.core.strategy import Batch, Stage, Step, Strategy
from byheart.kit import state as states
from byheart.kit.modes import drawing, evaluating
from byheart.kit.readout import Reader, Readout
from byheart.train import objective
from byheart.train.compose import Strategies
from byheart.train.loop import check_serves, freeze, sharded

T = TypeVar("T")
_Base: Any = object


def with_strategies(trainer: type[T], strategies: Sequence[Strategy] | Strategy) -> type[T]:
    """A subclass of a trainer that trains under these strategies.

    The subclass takes two more keyword arguments: `stage`, the number of this stage of training
    (0 is the first), and `old`, the examples of earlier stages in the trainer's own format. The
    strategies' state lives in the objects given here and in every checkpoint, so the next stage is
    another instance of the same class; for another process save `strategies.state_dict()` of the class
    (`byheart.kit.state`) after a stage, and give it to `strategies.load_state_dict` of the class made there.
    `artifacts` holds what the strategies left (an adapter). A first stage in which none of the strategies
    has anything to do yet (EWC, replay) is warned of.

    The loss is averaged over the scored positions of the whole optimizer step, which is what
    transformers does where it can. The trainer's own `compute_loss` still serves evaluation, so a
    custom loss or label smoothing does not reach training.

    Raises `Conflict` for strategies that own the optimizer's step, `BadInput` for streamed data,
    padding-free batches and `model_init`.
    """
    composed = strategies if isinstance(strategies, Strategies) else Strategies(_listed(strategies))
    owner = composed.owner("step")
    if owner is not None:
        raise Conflict(f"{type(owner).__name__} owns the optimizer's step, which a trainer keeps; use byheart's loop")
    return type(f"Guarded{trainer.__name__}", (_Guarded, trainer), {"strategies": composed})


class _Guarded(_Base):
    """What `with_strategies` puts before the trainer in the order of methods."""

    strategies: Strategies
    optimizer: Any
    lr_scheduler: Any
    _reader: Reader | None = None
    loss_is_scaled_for_ga = True  # compute_loss below averages over the whole optimizer step

    def __init__(self, *args: Any, stage: int = 0, old: Sequence[dict[str, Any]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.model_init is not None:
            raise BadInput("model_init would replace the model that strategies look at; pass model= instead")
        if not hasattr(self.train_dataset, "__len__"):
            raise BadInput("strategies need the examples of a stage by number; pass a dataset with a length")
        if stage == 0 and not old and self.strategies.parts and self.strategies.idle_first():
            warnings.warn(_idle(self.strategies), stacklevel=2)
        self.artifacts: dict[str, Any] = {}
        self._index, self._old = stage, old
        self._number = 0
        self._queue: deque[dict[str, Tensor]] = deque()
        self._pending: deque[list[Batch]] = deque()
        self._live: list[Batch] | None = None
        self._sums: dict[str, float] = {}
        self._logged = 0
        self.add_callback(_bridge(self))

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        self._stage = stage = self._open()
        moved = [(p, p.requires_grad) for p in self.model.parameters()]
        with drawing(stage.seed):
            self.strategies.begin(stage)
        self._factors = self.strategies.groups(self.model)
        freeze(self.model, self._factors)
        self._number = 0
        if resume_from_checkpoint:
            resume_from_checkpoint = self._restore(resume_from_checkpoint)
        self._micro = self.strategies.batches(self._feed(), stage)
        own = self.optimizer is None
        out = super().train(resume_from_checkpoint, *args, **kwargs)
        self.model.zero_grad()
        if own:  # it refers to parameters that an adapter takes with it
            self.optimizer = self.lr_scheduler = None
        for p, trained in moved:
            p.requires_grad_(trained)
        with drawing(stage.seed + 1), evaluating(self.model):
            self.strategies.end(stage)
        self.artifacts = stage.artifacts
        return out

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        optimizer = super().create_optimizer(*args, **kwargs)
        scaled = {f for f in self._factors.values() if f not in (0, 1)}
        names = dict(self.model.named_parameters())
        for factor in sorted(scaled):
            chosen = {id(names[n]) for n, f in self._factors.items() if f == factor}
            for group in list(optimizer.param_groups):
                taken = [p for p in group["params"] if id(p) in chosen]
                if taken:
                    group["params"] = [p for p in group["params"] if id(p) not in chosen]
                    optimizer.add_param_group({**group, "params": taken, "lr": group["lr"] * factor})
        return optimizer

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list, Any]:
        samples, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._queue.extend(_tensors(self._prepare_inputs(s)) for s in samples)
        group = [next(self._micro)[1] for _ in samples]
        totals = objective.counts(group)
        if self.accelerator.num_processes > 1:
            totals = {key: self.accelerator.reduce(c) for key, c in totals.items()}
        self._pending, self._totals, self._size = deque(group), totals, len(group)
        index = self.state.global_step
        self._step = Step(self._stage, index, index / max(1, self.state.max_steps))
        return samples, items

    def training_step(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        self._live = self._pending.popleft()
        loss = super().training_step(model, inputs, *args, **kwargs)
        if self.accelerator.sync_gradients:
            self.strategies.gradients(self._step)
        return loss

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self._live is None:  # evaluation
            return super().compute_loss(model, inputs, *args, **kwargs)
        batches, self._live = self._live, None
        step = self._step
        with self.accelerator.autocast():
            step.batches, step.reads = batches, self._reading(model).together([b.inputs for b in batches])
            parts = objective.parts(step, self.strategies, self._totals, self._size, self.accelerator.num_processes)
        for name, part in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + part.item()
        return objective.total(parts)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            steps = max(1, self.state.global_step - self._logged)
            logs |= {f"loss/{name}": value / steps for name, value in self._sums.items()}
            self._sums, self._logged = {}, self.state.global_step
        super().log(logs, *args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save and folder.exists():
            states.save({"strategies": self.strategies.state_dict(), "micro": self._number}, folder / "strategies")

    def _restore(self, wanted: str | bool) -> str:
        """Load the strategies' state of a checkpoint, and return its path."""
        from transformers.trainer_utils import get_last_checkpoint

        path = get_last_checkpoint(self.args.output_dir) if wanted is True else str(wanted)
        if path is None or not (Path(path) / "strategies" / "tree.json").exists():
            raise BadInput(f"no checkpoint with strategies in {path or self.args.output_dir}; train from the start")
        state = states.load(Path(path) / "strategies")
        self.strategies.load_state_dict(state["strategies"])
        self._number = state["micro"]
        return path

    def _open(self) -> Stage:
        """The stage as the strategies see it: examples are the dataset's rows, the collator the trainer's."""
        args, examples = self.args, self.train_dataset
        if hasattr(examples, "column_names"):
            examples = self._remove_unused_columns(examples, description="training")
        check_serves(self.strategies, examples[0])
        each = args.train_batch_size
        per_epoch = -(-len(examples) // (each * args.world_size))
        per_epoch = max(1, -(-per_epoch // args.gradient_accumulation_steps))
        return Stage(
            model=self.model,
            examples=examples,
            collate=lambda chosen: _tensors(self._prepare_inputs(self.data_collator([dict(e) for e in chosen]))),
            read=self._read,
            index=self._index,
            name=f"stage {self._index}",
            seed=args.seed + 7919 * self._index,
            steps=args.max_steps if args.max_steps > 0 else int(per_epoch * args.num_train_epochs),
            batch_size=each,
            old=self._old,
            pools={"new": []},  # a data loader does not tell which rows it took
        )

    def _read(self, model: nn.Module, inputs: dict[str, Tensor]) -> Readout:
        with self.accelerator.autocast():
            return self._reading(model)(inputs)

    def _reading(self, model: nn.Module) -> Reader:
        if self._reader is None or self._reader.model is not model:
            self._reader = Reader(model, share=not sharded(self.accelerator))
        return self._reader

    def _feed(self) -> Iterator[tuple[int, list[Batch]]]:
        while True:
            self._number += 1
            yield self._number - 1, [Batch(self._queue.popleft())]


def _tensors(inputs: Any) -> dict[str, Tensor]:
    if "cu_seq_lens_q" in inputs:
        raise BadInput("padding-free batches have no batch axis for strategies to see; set padding_free=False")
    return {k: v for k, v in inputs.items() if isinstance(v, Tensor)}


def _bridge(trainer: Any) -> Any:
    """A callback that calls the hooks around the optimizer's step."""
    from transformers import TrainerCallback

    class Bridge(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.rates = [g["lr"] for g in trainer.optimizer.param_groups]
            factor = trainer.strategies.rate(trainer._step.progress)
            for g in trainer.optimizer.param_groups:
                g["lr"] *= factor

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            for g, rate in zip(trainer.optimizer.param_groups, self.rates, strict=True):
                g["lr"] = rate
            with torch.no_grad():
                trainer.strategies.parameters(trainer._step)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if trainer.strategies.finished(trainer._step):
                control.should_training_stop = True

    return Bridge()


def _idle(strategies: Strategies) -> str:
    names = " and ".join(part.label() for part in strategies.parts)
    return (
        f"nothing for {names} to do in a first stage (stage=0), where there is nothing yet to protect: this trains as "
        "the bare trainer does; the second stage is guarded, by another trainer of this same class with stage=1 and "
        "old= the rows of this stage (in another process, load strategies.state_dict() of this class into that one's)"
    )


def _listed(strategies: Sequence[Strategy] | Strategy) -> Sequence[Strategy]:
    return [strategies] if isinstance(strategies, Strategy) else strategies
