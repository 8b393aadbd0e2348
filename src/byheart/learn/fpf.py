"""FPF: fine-tune only the modules that forget, on a small memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.anatomy import unit
from byheart.kit.buffer import Reservoir, pick, rows


class FPF(Strategy):
    """Repairs a network after (or a few times during) training by tuning its forgetting-prone modules alone.

    Most weights settle while the first tasks are learned and are shared by later ones; a few modules,
    above all the output layer, then the norms and the first layer, move with every task, and with
    them goes what was known. They are small, so a short burst on a memory brings them back.

    theta_m <- theta_m - rate grad CE(memory batch), `steps` times, for the modules m alone

    The memory is a reservoir of what optimizer steps saw. With no other method and `every`, this is k-FPF.

    Parameters
    ----------
    modules: names of the modules to tune; empty finds the `count` most sensitive ones: those whose
        parameters moved most on average in the last stage.
    count: 2 here. capacity: examples stored, 500 in the paper's middle setting.
    steps, rate, batch: of a burst: 100 steps of plain gradient descent at 0.05 on 32 examples here.
    every: optimizer steps between bursts during a stage; 0 for one at the end of each stage alone.

    A burst is as long whatever the stage: 214 s of SmolLM2-135M on one thread, as much as 180 of its steps.

    Departs from the paper: a burst follows every stage, since any may be the last; modules are ranked by their
    move over a stage instead of by the change of that move between tasks' epochs.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> guard = FPF(count=1, steps=1)
    >>> for _ in stages(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)), tasks, [guard]):
    ...     print(len(guard.memory), len(guard.chosen))
    1 1
    2 1

    References: Zhao et al. 2023, "Does Continual Learning Equally Forget All Parameters?",
    arXiv:2304.04158, section 3, equation 1 and algorithm 1.
    """

    name = "fpf"
    paper = "fpf"
    arxiv = "2304.04158"

    neutral: ClassVar[dict[str, Any]] = {"steps": 0}

    def __init__(
        self,
        *,
        modules: Sequence[str] = (),
        count: int = 2,
        capacity: int = 500,
        steps: int = 100,
        rate: float = 0.05,
        batch: int = 32,
        every: int = 0,
    ) -> None:
        self.modules, self.count, self.steps = tuple(modules), count, steps
        self.learning_rate, self.batch, self.every = rate, batch, every
        self.memory = Reservoir(capacity)
        self.chosen: list[str] = list(modules)
        self.start: dict[str, Tensor] = {}
        self.fresh: list[dict[str, Any]] = []

    def begin(self, stage: Stage) -> None:
        self.fresh = []
        known = units(stage.model)
        for name in self.modules:
            if name not in known:
                raise BadInput(f"no module {name!r} with parameters of its own; give one of {', '.join(known)}")
        if self.steps:
            self.start = {n: p.detach().clone() for n, p in stage.model.named_parameters()}

    def terms(self, step: Step) -> dict[str, Tensor]:
        if self.steps and self.memory.capacity:
            self.fresh += [example for batch, _ in step.of("new") for example in rows(batch.inputs)]
        return {}

    def gradients(self, step: Step) -> None:
        for example in self.fresh:
            self.memory.add(example, lambda n: self.generator(step.stage, "memory", n))
        self.fresh = []

    def parameters(self, step: Step) -> None:
        if self.every and self.steps and self.chosen and (step.index + 1) % self.every == 0:
            self._burst(step.stage, step.index, step.master)

    def end(self, stage: Stage) -> None:
        if not self.steps:
            return
        if not self.modules:
            moved = sensitivity(stage.model, self.start)
            self.chosen = sorted(moved, key=lambda name: -moved[name])[: self.count]
        self._burst(stage, stage.steps, lambda parameter: parameter)
        self.start = {}

    def _burst(self, stage: Stage, at: int, master: Callable[[Tensor], Tensor]) -> None:
        """Tune the chosen modules on the memory."""
        names = {n for module in self.chosen for n in units(stage.model).get(module, ())}
        live = [p for n, p in stage.model.named_parameters() if n in names and p.requires_grad]
        if not live or not len(self.memory):
            return
        for number in range(self.steps):
            keys = pick(len(self.memory), self.batch, self.generator(stage, "batch", at, number))
            with torch.enable_grad():
                read = stage.read(stage.model, stage.collate([self.memory.items[k] for k in keys]))
                gradients = torch.autograd.grad(read.loss(), live, allow_unused=True)
            with torch.no_grad():
                for p, g in zip(live, gradients, strict=True):
                    if g is not None:
                        master(p).sub_((self.learning_rate * g).to(master(p).dtype))
                        if master(p) is not p:
                            p.copy_(master(p))

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.state_dict(), "chosen": self.chosen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory.load_state_dict(state["memory"])
        self.chosen = list(state["chosen"])


def units(model: nn.Module) -> dict[str, list[str]]:
    """Parameter names by the module they belong to.

    >>> units(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)))
    {'0': ['0.weight', '0.bias'], '2': ['2.weight', '2.bias']}
    """
    grouped: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        grouped.setdefault(unit(name)[0], []).append(name)
    return grouped


@torch.no_grad()
def sensitivity(model: nn.Module, start: dict[str, Tensor]) -> dict[str, float]:
    """By module: mean absolute move of its parameters since `start`."""
    own = dict(model.named_parameters())
    out = {}
    for module, names in units(model).items():
        moved = sum(float((own[n] - start[n]).abs().sum()) for n in names)
        out[module] = moved / sum(own[n].numel() for n in names)
    return out
