"""Pulling weights back to where they were, without the copies that autograd would make of every weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def quadratic(weights: Tensor, anchor: Tensor, importance: Tensor | None = None) -> Tensor:
    """The sum of importance (weights - anchor)^2 in float32, of tensors of one shape; importance 1 where None.

    Its gradient, 2 importance (weights - anchor), is known beforehand, so it takes one float32 copy of the weights.

    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> total = quadratic(w, torch.tensor([0.0, 4.0]), torch.tensor([1.0, 0.5]))
    >>> total.backward()
    >>> total.item(), w.grad
    (3.0, tensor([ 2., -2.]))
    """
    total: Tensor = _Quadratic.apply(weights, anchor, importance)  # type: ignore[no-untyped-call]
    return total


class _Quadratic(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, anchor: Tensor, importance: Tensor | None) -> Tensor:
        moved = weights.detach().float()
        start = anchor.to(moved.device)
        moved = moved - start if weights.dtype == torch.float32 else moved.sub_(start)
        pulled = moved if importance is None else moved * importance.to(moved.device)
        ctx.save_for_backward(pulled)
        ctx.dtype = weights.dtype
        return torch.dot(pulled.flatten(), moved.flatten())

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (pulled,) = ctx.saved_tensors
        return (pulled * (2 * slope)).to(ctx.dtype), None, None
