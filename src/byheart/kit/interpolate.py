"""Models on the straight line between two others."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def place(
    parameters: Mapping[str, Tensor], start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float
) -> None:
    """Put parameters at `share` of the way from `start` to `end`, in float32; at 1 exactly at its end.

    >>> p = {"w": torch.zeros(1)}
    >>> place(p, {"w": torch.tensor([2.0])}, {"w": torch.tensor([4.0])}, 0.25)
    >>> p["w"]
    tensor([2.5000])
    """
    for name, p in parameters.items():
        if share == 1.0:
            p.copy_(end[name])
        else:
            first = start[name].float()
            p.copy_(first + share * (end[name].float() - first))
