"""The logits of a model as it was at an earlier moment."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from byheart.core.errors import Conflict
from byheart.core.strategy import Batch, Stage
from byheart.kit.modes import evaluating
from byheart.kit.readout import Reader, Readout

MAX_CLASSES = 4096


class Teacher:
    """Remembers what `stage.model` says now, as cheaply as it can.

    For a role whose batches come from a pool, one pass over the pool keeps the features at the
    scored positions (D numbers each, not the vocabulary's 49,152), from which a copy of the output
    layer makes the logits again; classifiers' logits are stored as they are. Where there is no pool,
    no feature, or fewer visits than examples, a frozen copy of the whole model answers instead.
    Bound by the stage's start: nothing needs saving, for a resumed stage begins again.
    """

    def __init__(self, stage: Stage, roles: Sequence[str]) -> None:
        self.memos: dict[str, list[Tensor]] = {}
        self.head: nn.Module | None = None
        self.reader: Reader | None = None
        visits = stage.steps * stage.batch_size
        for role in roles:
            pool = stage.pools.get(role)
            if pool is None:
                continue
            memo = self._memo(stage, role) if 0 < len(pool) <= visits else None
            if memo is not None:
                self.memos[role] = memo
            elif self.reader is None:
                frozen = copy.deepcopy(stage.model).eval().requires_grad_(False)
                self.reader = Reader(frozen)

    @torch.no_grad()
    def logits(self, batch: Batch, read: Readout) -> Tensor:
        """The teacher's logits (N, V) at the N scored positions of `read`, which is of `batch`."""
        memo = self.memos.get(batch.role)
        if memo is not None and batch.keys and not batch.draw:
            outputs = torch.cat([memo[k] for k in batch.keys])
            if len(outputs) == len(read.targets):
                return self.head(outputs) if self.head is not None else outputs
        if self.reader is None:
            raise Conflict(
                f"no teacher for batches of role {batch.role!r}: list the strategy that distils after the one "
                f"that adds or changes them"
            )
        return self.reader(batch.inputs).logits

    @torch.no_grad()
    def _memo(self, stage: Stage, role: str) -> list[Tensor] | None:
        """Features (or a classifier's logits) of every example of a pool, or None when there are none to keep."""
        model, pool = stage.model, stage.pools[role]
        order = sorted(range(len(pool)), key=lambda i: len(pool[i].get("input_ids", ())))
        memo: list[Tensor] = [torch.empty(0)] * len(pool)
        with evaluating(model):
            for start in range(0, len(order), stage.batch_size):
                keys = order[start : start + stage.batch_size]
                read = stage.read(model, stage.collate([pool[k] for k in keys]))
                if read.hidden is None and read.logits.shape[-1] > MAX_CLASSES:
                    return None
                outputs = read.logits if read.hidden is None else read.hidden
                for row, key in enumerate(keys):
                    memo[key] = outputs[read.rows == row].clone()
                if read.hidden is not None and self.head is None:
                    output = getattr(model, "get_output_embeddings", lambda: None)()
                    if output is None:
                        return None
                    self.head = copy.deepcopy(output).requires_grad_(False)
        return memo
