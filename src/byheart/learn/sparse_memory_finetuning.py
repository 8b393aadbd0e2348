"""Sparse memory finetuning: write only to the memory slots that the new data uses and other text does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.anatomy import unit
from byheart.kit.buffer import pick
from byheart.kit.modes import evaluating


class SparseMemory(Strategy):
    """Updates, in every step, the few memory slots that are most specific to its batch, and nothing else.

    A memory layer reads a handful of many slots for each token. Slots that a batch reads often and that
    few batches of general text read at all hold what is new; writing to them alone leaves the rest be.

    score_i = c_i / sum_j c_j log((|B| + 1) / (sum_{b in B} 1[i in b] + 1)), c_i reads of slot i by the batch;
    values_i <- values_i - lr grad_i for the `slots` of highest score

    Memory layers are modules with `values` (slots, width) and the latest pass's `slots`
    (`nets.product_keys`). Without any, feed-forward blocks are read as memories: a hidden unit is a slot, read
    where it is among the `top` most active, its value the column of the down-projection.

    Parameters
    ----------
    slots: how many are written to in each memory in a step, 500 for facts and 10,000 for documents in the
        paper; 0 trains everything with the ordinary optimizer.
    background: examples of general text; None takes the earlier stages'. Without any, scores are the reads alone.
    batches: |B|, 1,000. top: for feed-forward blocks alone.

    Plain gradient descent; the paper's rate is 2 (`Settings(lr=2.0)`). Feed-forward blocks bear less: `Memory.learn`
    takes 0.1, at which SmolLM2-135M recalls seven of ten facts (none at 0.03; three at 2, and general loss has
    doubled). A step is cheap, but the background is read in `batches` batches at every stage's start: 279 s of
    SmolLM2-135M on one thread, as much as 240 steps.

    Departs from the paper: feed-forward blocks as memories, where there are no others.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import Settings, train
    >>> net = model(width=32, vocabulary=16)
    >>> before = net.model.layers[0].mlp.down_proj.weight.detach().clone()
    >>> done = train(net, [{"input_ids": [5, 6, 7]}], [SparseMemory(slots=3)], Settings(lr=1.0))
    >>> int((net.model.layers[0].mlp.down_proj.weight != before).any(0).sum())
    3

    References: Lin et al. 2025, "Continual Learning via Sparse Memory Finetuning", arXiv:2510.15103, section 3.
    """

    name = "sparse-memory-finetuning"
    paper = "sparse-memory-finetuning"
    arxiv = "2510.15103"

    claims = frozenset({"step"})
    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"slots": 0}
    biting: ClassVar[dict[str, Any]] = {"slots": 4, "batches": 10}
    taught_at: ClassVar[float | None] = 0.1

    def __init__(
        self,
        *,
        slots: int = 500,
        background: Sequence[dict[str, Any]] | None = None,
        batches: int = 1000,
        top: int = 8,
    ) -> None:
        self.slots, self.background, self.count, self.top = slots, background, batches, top
        self.memories: dict[str, nn.Module] = {}
        self.reads: dict[str, Tensor] = {}
        self.common: dict[str, Tensor] = {}
        self.seen = 0
        self.handles: list[Any] = []
        self.training = True

    def begin(self, stage: Stage) -> None:
        if not self.slots:
            return
        self.end(stage)
        self.memories = memories(stage.model)
        if not self.memories:
            raise BadInput(f"{type(stage.model).__name__} has no memory; install nets.product_keys or leave it out")
        for name, module in self.memories.items():
            self.handles.append(module.register_forward_hook(lambda m, x, y, n=name: self._read(n, m, x[0])))
        self._survey(stage)

    def _read(self, name: str, module: nn.Module, x: Tensor) -> None:
        """Count the slots of a pass, in training or while surveying."""
        if module.training != self.training:
            return
        values = self._values(name, module)
        at = module.slots if hasattr(module, "slots") else x.detach().abs().topk(min(self.top, len(values)), -1).indices
        counts = torch.bincount(torch.as_tensor(at).flatten(), minlength=len(values)).cpu()
        self.reads[name] = self.reads.get(name, 0) + counts

    @staticmethod
    def _values(name: str, module: Any) -> Tensor:
        """The memory as (slots, width)."""
        return module.values if hasattr(module, "values") else module.weight.T

    @torch.no_grad()
    def _survey(self, stage: Stage) -> None:
        """In how many batches of general text each slot is read."""
        pool = stage.old if self.background is None else self.background
        self.seen = self.count if pool else 0
        self.common = {n: torch.zeros(len(self._values(n, m))) for n, m in self.memories.items()}
        self.training = False
        with evaluating(stage.model) as model:
            for b in range(self.seen):
                keys = pick(len(pool), stage.batch_size, self.generator(stage, "background", b))
                self.reads = {}
                stage.read(model, stage.collate([pool[k] for k in keys]))
                for name, counts in self.reads.items():
                    self.common[name] += counts > 0
        self.training, self.reads = True, {}

    def scores(self, name: str) -> Tensor:
        """How specific each slot of a memory is to what has been read since the last step."""
        reads = self.reads[name].float()
        rare = ((self.seen + 1) / (self.common[name] + 1)).log() if self.seen else torch.ones(())
        return reads / reads.sum().clamp(min=1) * rare

    def groups(self, model: nn.Module) -> dict[str, float]:
        if not self.slots:
            return {}
        own = {f"{n}.values" if hasattr(m, "values") else f"{n}.weight" for n, m in self.memories.items()}
        return {n: 0.0 for n, _ in model.named_parameters() if n not in own}

    @torch.no_grad()
    def own_step(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        if not self.slots:
            optimizer.step()
            return
        rate = optimizer.param_groups[0]["lr"]
        for name, module in self.memories.items():
            dense = not hasattr(module, "values")
            weight: Any = module.weight if dense else module.values
            if weight.grad is None or name not in self.reads:
                continue
            scores = self.scores(name)
            best = scores.topk(min(self.slots, int((self.reads[name] > 0).sum()))).indices.to(weight.device)
            master = step.master(weight)
            if dense:
                master[:, best] -= rate * weight.grad[:, best].to(master.dtype)
            else:
                master[best] -= rate * weight.grad[best].to(master.dtype)
        self.reads = {}

    def end(self, stage: Stage) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles, self.memories, self.reads = [], {}, {}


def memories(model: nn.Module) -> dict[str, nn.Module]:
    """The memory layers of a model by name, or else the down-projections of its feed-forward blocks."""
    layers = {n: m for n, m in model.named_modules() if hasattr(m, "values") and hasattr(m, "slots")}
    return layers or {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and unit(n) == (n, "down")}
