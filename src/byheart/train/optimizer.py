"""AdamW that keeps full-precision masters of low-precision parameters.

Training SmolLM2 in bfloat16 is 2.7 times faster than in float32 on a CPU that has bfloat16
instructions, but a bfloat16 weight cannot take a step smaller than 1/256 of itself. The master takes
it; the model sees the rounded master, so what is committed is exactly what was trained and examined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class MasterAdamW(torch.optim.AdamW):
    """AdamW over float32 masters (a float32 parameter is its own master).

    Parameters
    ----------
    groups: parameter groups, each `{"params": [...], "lr": ...}`.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], **options: Any) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = []
        self.own: list[Tensor] = []  # those that are their own masters
        mastered = []
        for group in groups:
            masters = []
            for p in group["params"]:
                low = p.dtype in (torch.bfloat16, torch.float16)
                master = p.detach().float().requires_grad_(True) if low else p
                masters.append(master)
                if low:
                    self.pairs.append((p, master))
                else:
                    self.own.append(p)
            mastered.append({**group, "params": masters})
        self.masters = {id(p): master for p, master in self.pairs}
        self.grad_scale: Tensor | None = None  # what the fused kernel divides gradients by
        super().__init__(mastered, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for p, master in self.pairs:
            if p.grad is None:
                master.grad = None
            elif master.grad is None:
                master.grad = p.grad.float()
            else:  # fresh memory for every gradient would cost more than the step
                master.grad.copy_(p.grad)
        super().step(closure)
        self.grad_scale = None
        self.publish()

    @torch.no_grad()
    def clip(self, most: float, *, now: bool = False) -> None:
        """Scale the gradients to a norm of at most `most`: in place if `now`, else as the next step sees them.

        Of low-precision parameters the fused kernel scales them as it reads their masters', in full precision; in
        place that takes as long as half of the kernel. Those of others are scaled in place in any case, as every
        trainer does.
        """
        low = [p for p, _ in self.pairs]
        if now or self.own:
            torch.nn.utils.clip_grad_norm_([*low, *self.own], most)
            return
        norm = torch.nn.utils.get_total_norm([p.grad for p in low if p.grad is not None])
        self.grad_scale = (norm.float() + 1e-6).clamp(min=most) / most

    def master(self, parameter: Tensor) -> Tensor:
        """The tensor that a step changes for this parameter."""
        return self.masters.get(id(parameter), parameter)

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the model."""
        if self.pairs:
            torch._foreach_copy_([p for p, _ in self.pairs], [master for _, master in self.pairs])

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in [*self.own, *(low for low, _ in self.pairs)]:
            p.grad = None  # a master's gradient is written over by the next step
