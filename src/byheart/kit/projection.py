"""Projections of gradients, as lists of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Inner product over all tensors, in float32."""
    return torch.stack([(a.float() * b.float()).sum() for a, b in zip(left, right, strict=True)]).sum()


@torch.no_grad()
def remove_conflict(gradients: Sequence[Tensor], reference: Sequence[Tensor]) -> bool:
    """Where g . r < 0, change g in place to g - (g . r / r . r) r; returns whether it did.

    >>> g = [torch.tensor([1.0, -2.0])]
    >>> remove_conflict(g, [torch.tensor([0.0, 1.0])]), g[0].tolist()
    (True, [1.0, 0.0])
    """
    along = dot(gradients, reference)
    if along >= 0:
        return False
    factor = along / dot(reference, reference)
    for g, r in zip(gradients, reference, strict=True):
        g.sub_((factor * r.float()).to(g.dtype))
    return True
