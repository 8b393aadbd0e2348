"""What linear layers are fed: sums of x x^T over tokens, and the directions that hold most of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from byheart.kit.modes import evaluating


def fed(model: nn.Module) -> dict[str, Any]:
    """The linear modules by name, without an output layer that is tied to the embedding."""
    tied = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) or transposed(m)}
    return {n: m for n, m in linear.items() if id(m.weight) not in tied}


def transposed(module: nn.Module) -> bool:
    """Whether a linear module's weight is (in, out), as transformers' Conv1D keeps it."""
    return type(module).__name__ == "Conv1D"


@dataclass
class Covariances:
    """Uncentred covariances of linear modules' inputs, as sums over tokens.

    `sums[owner]` (d, d) float32 is the sum of x x^T; modules that are fed the same tensor (query, key
    and value; gate and up) share the one of the first of them, their owner in `owners`. `tokens`
    counts the positions read.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    tokens: int = 0

    def of(self, name: str) -> Tensor | None:
        """The sum for the inputs of a module, if any was taken."""
        return self.sums.get(self.owners.get(name, ""))

    @torch.no_grad()
    def add(
        self,
        model: nn.Module,
        read: Callable[[nn.Module, dict[str, Tensor]], Any],
        inputs: dict[str, Tensor],
        names: Collection[str],
        mask: Tensor | None = None,
    ) -> None:
        """Run the model on a batch and add what the modules called `names` are fed.

        `mask` (B, T) leaves out positions where it is 0, and any (B', T', d) of another shape, which is
        not this batch but a trial run of the reader's; (N, d) counts as it is.
        """
        last: list[Any] = [None, "", False]  # the tensor met last, who met it first, whether it was added
        handles = [
            m.register_forward_pre_hook(partial(self._meet, n, n in names, mask, last)) for n, m in fed(model).items()
        ]
        try:
            with evaluating(model):
                read(model, inputs)
        finally:
            for handle in handles:
                handle.remove()
        self.tokens += int(mask.sum()) if mask is not None else len(next(iter(inputs.values())))

    def _meet(self, name: str, wanted: bool, mask: Tensor | None, last: list[Any], module: Any, args: Any) -> None:
        x = args[0]
        if x is not last[0]:
            last[:] = [x, name, False]
        owner = self.owners[name] = last[1]
        if not wanted or last[2] or (mask is not None and x.dim() == 3 and x.shape[:-1] != mask.shape):
            return
        last[2] = True
        rows = x[mask.bool()] if mask is not None and x.dim() == 3 else x.reshape(-1, x.shape[-1])
        with torch.autocast(x.device.type, enabled=False):
            rows = rows.float()
            total = rows.T @ rows
        before = self.sums.get(owner)
        self.sums[owner] = total if before is None else before.to(total.device) + total

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "owners": self.owners, "tokens": self.tokens}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums, self.owners, self.tokens = dict(state["sums"]), dict(state["owners"]), state["tokens"]


def split(covariance: Tensor, energy: float) -> tuple[Tensor, Tensor]:
    """Eigenvectors (d, r) of the fewest leading directions that hold `energy` of the trace, and the others (d, d - r).

    >>> leading, rest = split(torch.diag(torch.tensor([1.0, 9.0])), 0.9)
    >>> leading.abs().tolist(), rest.abs().tolist()
    ([[0.0], [1.0]], [[1.0], [0.0]])
    """
    values, vectors = torch.linalg.eigh(covariance)
    held = values.flip(0).clamp(min=0).double().cumsum(0)
    r = int((held < energy * held[-1] * (1 - 1e-9)).sum()) + 1
    d = len(values)
    return vectors[:, d - r :].contiguous(), vectors[:, : d - r].contiguous()
