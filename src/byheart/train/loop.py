"""The training loop: read it from top to bottom.

One optimizer step: fetch `accumulation` micro-steps of batches, read the model on each, add the
role objectives and the strategies' terms, go backward, let strategies change gradients, clip, step,
let strategies change parameters, maybe save. Losses are averaged over the scored positions of the
whole optimizer step and of all processes, so accumulation, bucketing and the number of processes do
not change the result.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Batch, Stage, Step, Strategy
from byheart.kit import state as states
from byheart.kit.modes import drawing
from byheart.kit.readout import Reader, Readout, Together
from byheart.train import objective, watch
from byheart.train import stream as streams
from byheart.train.compose import Strategies
from byheart.train.optimizer import MasterAdamW
from byheart.train.work import fingerprint, mark, refuse_other

_SAVING = 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train; every default is a plain one.

    Parameters
    ----------
    lr: peak learning rate of AdamW.
    epochs: passes over the examples; ignored when `steps` is given.
    steps: optimizer steps, or None.
    batch_size: examples per micro-step, over all processes.
    accumulation: micro-steps per optimizer step.
    clip: maximal gradient norm; 0 for none.
    warmup: share of the steps with a rising rate.
    schedule: what the rate does after the warm-up.
    weight_decay, betas: of AdamW.
    seed: of the order of examples, dropout, and everything strategies draw.
    share: read what the rows of a batch begin with alike once (see `kit.tree`).
    pack: fill rows of `max_length` with whole examples. bucket: batch examples of like length.
    max_length: tokens of an example; the rest is cut.
    precision: "as-is" trains in the model's own type (low-precision weights get float32 masters);
        "autocast" keeps float32 weights and computes in bfloat16.
    save_every: seconds between checkpoints (0: after each step), when a folder is given; longer where writing them
        would take more than a twentieth of the time.
    """

    lr: float = 1e-4
    epochs: float = 1.0
    steps: int | None = None
    batch_size: int = 8
    accumulation: int = 1
    clip: float = 1.0
    warmup: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    seed: int = 0
    share: bool = True
    pack: bool = False
    bucket: bool = True
    max_length: int = 1024
    precision: Literal["as-is", "autocast"] = "as-is"
    save_every: float = 30.0

    def rate(self, progress: float) -> float:
        """The factor on `lr` at this progress (0 to 1).

        >>> Settings(schedule="cosine", warmup=0.5).rate(0.25)
        0.5
        """
        if self.warmup and progress < self.warmup:
            return progress / self.warmup
        left = (1 - progress) / (1 - self.warmup) if self.warmup < 1 else 1.0
        if self.schedule == "linear":
            return left
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (1 - left)))
        return 1.0


@dataclass
class Trained:
    """What a stage did: steps taken, tokens read, seconds, and the losses by step and name."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    artifacts: dict[str, Any] = field(default_factory=dict)


def train(
    model: nn.Module,
    examples: Sequence[dict[str, Any]],
    strategies: Sequence[Strategy] | Strategy = (),
    settings: Settings | None = None,
    *,
    index: int = 0,
    name: str = "",
    old: Sequence[dict[str, Any]] = (),
    folder: Path | str | None = None,
    on_step: Callable[[Step, dict[str, float]], None] | None = None,
) -> Trained:
    """Train `model` in place on `examples`, guarded by `strategies`.

    `index` and `name` tell strategies which stage this is, `old` are the earlier stages' examples.
    With `folder` the run saves itself there and, called again with the same arguments on the starting weights,
    continues to the same result bit for bit; `BadInput` where other work's checkpoint is there (`train.work`).
    `on_step` sees each optimizer step and its losses.
    """
    from accelerate import Accelerator

    if not examples:
        raise BadInput("no training examples; give at least one")
    settings = settings or Settings()
    strategy = strategies if isinstance(strategies, Strategies) else Strategies(_listed(strategies))
    home = None if folder is None else Path(folder)
    work = fingerprint(model, examples, strategy, settings, index=index, name=name, old=old) if home else ""
    refuse_other(home, work)
    if check_serves(strategy, examples[0]) == "lm":
        examples = [_cut(e, settings.max_length) for e in examples]
        if settings.pack:
            examples = streams.pack(examples, settings.max_length)
        old = [_cut(e, settings.max_length) for e in old]

    accelerator = Accelerator(cpu=next(model.parameters()).device.type == "cpu")
    accelerator.native_amp = False  # its precision is set once for a process, by whoever came first
    device = accelerator.device
    cast = partial(torch.autocast, device.type, torch.bfloat16, enabled=settings.precision == "autocast")
    model.to(device)
    own = Reader(model, share=settings.share and not sharded(accelerator))
    per_epoch = -(-len(examples) // settings.batch_size)
    steps = settings.steps or max(1, math.ceil(per_epoch * settings.epochs / settings.accumulation))

    def read(m: nn.Module, inputs: dict[str, Tensor]) -> Readout:
        with cast():
            return (own if m is model else Reader(m))(inputs)

    stage = Stage(
        model=model,
        examples=examples,
        collate=lambda chosen: streams.collate(chosen, device),
        read=read,
        index=index,
        name=name,
        seed=settings.seed + 7919 * index,
        steps=steps,
        batch_size=settings.batch_size,
        old=old,
    )
    moved = [(p, p.requires_grad) for p in model.parameters()]
    with drawing(stage.seed):
        strategy.begin(stage)
    factors = strategy.groups(model)
    freeze(model, factors)
    groups = _groups(model, factors, settings.lr)
    optimizer = MasterAdamW(groups, betas=settings.betas, weight_decay=settings.weight_decay, fused=True)
    reader = accelerator.prepare(Together(own))  # what strategies read outside a step is the same on every process
    model.train()

    done = Trained()
    if home is not None:
        _resume(home, model, optimizer, strategy, done)
    started, saved, pause = time.monotonic() - done.seconds, time.monotonic(), settings.save_every
    first = done.steps * settings.accumulation
    micro = strategy.batches(streams.stream(stage, start=first, bucket=settings.bucket), stage)
    while done.steps < steps:
        group = [_share(batches, accelerator) for _, batches in islice(micro, settings.accumulation)]
        progress = done.steps / steps
        factor = settings.rate(progress) * strategy.rate(progress)
        for g, base in zip(optimizer.param_groups, groups, strict=True):
            g["lr"] = base["lr"] * factor
        step = Step(stage, done.steps, progress, master=optimizer.master)
        optimizer.zero_grad()
        with drawing(stage.seed + 104729 * (done.steps + 1)):
            losses = _accumulate(step, group, strategy, reader, accelerator, cast)
            strategy.gradients(step)
            owned = strategy.owner("step") is not None
            if settings.clip:
                optimizer.clip(settings.clip, now=owned or sharded(accelerator))
            if owned:
                strategy.own_step(step, optimizer)
            else:
                optimizer.step()
            with torch.no_grad():
                strategy.parameters(step)
            if _touches(strategy):
                optimizer.publish()
        done.steps += 1
        done.tokens += sum(_size(b) for batches in group for b in batches) * accelerator.num_processes
        done.history.append(losses)
        done.seconds = time.monotonic() - started
        if on_step:
            on_step(step, losses)
        stop = strategy.finished(step)
        if home is not None and not stop and done.steps < steps and (began := time.monotonic()) - saved >= pause:
            _save(home, model, optimizer, strategy, done, work)
            saved = time.monotonic()
            pause = settings.save_every and max(settings.save_every, _SAVING * (saved - began))
        if stop:
            break
    optimizer.zero_grad()
    model.eval()
    for p, trained in moved:
        p.requires_grad_(trained)
    with drawing(stage.seed + 1):
        strategy.end(stage)
    done.artifacts = stage.artifacts
    watch.note(done)
    return done


def _listed(strategies: Sequence[Strategy] | Strategy) -> Sequence[Strategy]:
    return [strategies] if isinstance(strategies, Strategy) else strategies


def _cut(example: dict[str, Any], length: int) -> dict[str, Any]:
    """The example's first tokens; `BadInput` where nothing that is to be learned is among them."""
    if len(example["input_ids"]) <= length:
        return example
    cut = {k: v[:length] if isinstance(v, list) else v for k, v in example.items()}
    if isinstance(cut.get("labels"), list) and all(label == IGNORE for label in cut["labels"]):
        raise BadInput(
            f"an example of {len(example['input_ids'])} tokens has its answer after the {length} that are read; "
            "shorten its prompt, or raise max_length"
        )
    return cut


def check_serves(strategy: Strategies, example: dict[str, Any]) -> str:
    """Whether the example is of an "lm" or a "classifier"; raises `BadInput` when a strategy serves no such model."""
    serves = "lm" if "input_ids" in example and not isinstance(example.get("labels"), int) else "classifier"
    for part in strategy.parts:
        if serves not in part.serves:
            raise BadInput(f"{type(part).__name__} serves {sorted(part.serves)}, not a {serves}; leave it out")
    return serves


def freeze(model: nn.Module, factors: dict[str, float]) -> None:
    """Freeze the parameters whose factor is 0; raises `BadInput` for names the model does not have."""
    names = dict(model.named_parameters())
    for name, factor in factors.items():
        if name not in names:
            raise BadInput(
                f"a strategy sets the rate of {name!r}, which the model does not have; "
                f"take names from model.named_parameters()"
            )
        if factor == 0:
            names[name].requires_grad_(False)
    if not any(p.requires_grad for p in names.values()):
        raise BadInput("the strategies froze every parameter; leave one of them out")


def _groups(model: nn.Module, factors: dict[str, float], lr: float) -> list[dict[str, Any]]:
    """Parameter groups by learning-rate factor."""
    grouped: dict[float, list[Tensor]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            grouped.setdefault(factors.get(name, 1.0), []).append(p)
    return [{"params": ps, "lr": lr * factor} for factor, ps in sorted(grouped.items())]


def _accumulate(
    step: Step, group: list[list[Batch]], strategy: Strategies, reader: nn.Module, accelerator: Any, cast: Any
) -> dict[str, float]:
    """Forward and backward over the micro-steps of one optimizer step; returns the named losses."""
    counts = objective.counts(group)
    if accelerator.num_processes > 1:
        counts = {key: accelerator.reduce(c) for key, c in counts.items()}
    losses: dict[str, float] = {}
    for n, batches in enumerate(group):
        last = n == len(group) - 1
        with _noop() if last or accelerator.num_processes == 1 else accelerator.no_sync(reader):
            with cast():
                step.batches, step.reads = batches, reader([b.inputs for b in batches])
                parts = objective.parts(step, strategy, counts, len(group), accelerator.num_processes)
            accelerator.backward(objective.total(parts))
        for name, part in parts.items():
            losses[name] = losses.get(name, 0.0) + part.item()
    return losses


def _size(batch: Batch) -> int:
    return next(iter(batch.inputs.values())).shape[:2].numel() if "input_ids" in batch.inputs else len(batch)


def _share(batches: list[Batch], accelerator: Any) -> list[Batch]:
    """This process's rows of every batch."""
    if accelerator.num_processes == 1:
        return batches
    rank, world = accelerator.process_index, accelerator.num_processes
    out = []
    for b in batches:
        own = [i for i in range(len(b)) if i // b.group % world == rank]
        keys = tuple(b.keys[i] for i in own) if b.keys else ()
        out.append(replace(b, inputs={k: v[own] for k, v in b.inputs.items()}, keys=keys))
    return out


def _touches(strategy: Strategies) -> bool:
    return any(type(p).parameters is not Strategy.parameters or "step" in p.claims for p in strategy.parts)


def sharded(accelerator: Any) -> bool:
    """Whether processes hold parts of the model and must call its modules equally often."""
    return str(accelerator.distributed_type).rsplit(".", 1)[-1] in ("FSDP", "DEEPSPEED", "MEGATRON_LM")


class _noop:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def _save(home: Path, model: nn.Module, optimizer: MasterAdamW, strategy: Strategies, done: Trained, work: str) -> None:
    """Write a checkpoint beside the last one, then switch to it by one rename."""
    new, live, old = home / "saving", home / "checkpoint", home / "replaced"
    for stale in (new, old):
        shutil.rmtree(stale, ignore_errors=True)
    states.save(
        {
            "model": _moving(model),
            "masters": [m for _, m in optimizer.pairs],
            "optimizer": optimizer.state_dict()["state"],
            "strategy": strategy.state_dict(),
            "done": {"steps": done.steps, "tokens": done.tokens, "seconds": done.seconds, "history": done.history},
        },
        new,
    )
    mark(new, work)
    if live.exists():
        os.rename(live, old)
    os.rename(new, live)
    states.flush(home)
    shutil.rmtree(old, ignore_errors=True)


def _resume(home: Path, model: nn.Module, optimizer: MasterAdamW, strategy: Strategies, done: Trained) -> None:
    home.mkdir(parents=True, exist_ok=True)
    live, old = home / "checkpoint", home / "replaced"
    if not live.exists() and (old / "tree.json").exists():
        os.rename(old, live)
    if not live.exists():
        return
    state = states.load(live)
    targets = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, value in state["model"].items():
            targets[name].copy_(value)
        for (_, master), value in zip(optimizer.pairs, state["masters"], strict=True):
            master.copy_(value)
    optimizer.load_state_dict({"state": state["optimizer"], "param_groups": optimizer.state_dict()["param_groups"]})
    strategy.load_state_dict(state["strategy"])
    for key, value in state["done"].items():
        setattr(done, key, value)


def _moving(model: nn.Module) -> dict[str, Tensor]:
    """Everything training may change: trainable parameters and buffers that are saved."""
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    saved = set(model.state_dict())
    return parameters | {n: b for n, b in model.named_buffers() if n in saved}


def stages(
    model: nn.Module,
    tasks: Sequence[Sequence[dict[str, Any]]],
    strategies: Sequence[Strategy] | Strategy = (),
    settings: Settings | None = None,
) -> Iterator[Trained]:
    """Train on several tasks one after the other with the same strategies, yielding after each."""
    composed = strategies if isinstance(strategies, Strategies) else Strategies(_listed(strategies))
    old: list[dict[str, Any]] = []
    for index, task in enumerate(tasks):
        yield train(model, task, composed, settings, index=index, name=f"task {index}", old=old)
        old.extend(task)
