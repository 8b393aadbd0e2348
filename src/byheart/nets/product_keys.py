"""A memory layer: many value vectors, a few of which are looked up for each token by product keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.kit.modes import drawing


class ProductKeyMemory(nn.Module):
    """`side` squared slots, of which every head of every token reads the `top` that match its query best.

    A slot's key is a pair of half keys, so the best of all pairs are among the best `top` halves
    of each kind: y = sum_i softmax(q k_i) v_i over the chosen slots, out = W2 (y * silu(W1 x)). Takes and
    gives (..., width), like the feed-forward block it stands in for; drawn from `seed`.

    `values` (side^2, width) is the memory; `slots` (..., heads, top) the slots of the latest pass.

    Lample et al. 2019, arXiv:1907.05242 (product keys); Berges et al. 2024, arXiv:2412.09764 (gate).

    >>> memory = ProductKeyMemory(8, side=4, top=2, heads=1)
    >>> memory(torch.zeros(3, 8)).shape, memory.slots.shape, len(memory.values)
    (torch.Size([3, 8]), torch.Size([3, 1, 2]), 16)
    """

    slots: Tensor

    def __init__(self, width: int, *, side: int = 32, top: int = 8, heads: int = 2, seed: int = 0) -> None:
        super().__init__()
        if top > side:
            raise BadInput(f"top={top} slots cannot be chosen among {side} half keys; give top={side} or less")
        self.side, self.top, self.heads, self.key_width = side, top, heads, max(width // 2, 1)
        with drawing(seed):
            self.query = nn.Linear(width, 2 * heads * self.key_width, bias=False)
            self.norm = nn.LayerNorm(self.key_width)
            self.keys = nn.Parameter(torch.randn(2, heads, side, self.key_width) * self.key_width**-0.5)
            self.values = nn.Parameter(torch.randn(side * side, width) * width**-0.5)
            self.gate = nn.Linear(width, width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
        self.slots = torch.empty(0, dtype=torch.long)

    def forward(self, x: Tensor) -> Tensor:
        q = self.norm(self.query(x).unflatten(-1, (2, self.heads, self.key_width)))
        scores = torch.einsum("...phd,phsd->...phs", q, self.keys)
        best, at = scores.topk(self.top, -1)  # (..., 2, heads, top)
        pairs = best[..., 0, :, :, None] + best[..., 1, :, None, :]
        places = at[..., 0, :, :, None] * self.side + at[..., 1, :, None, :]
        scores, chosen = pairs.flatten(-2).topk(self.top, -1)
        self.slots = places.flatten(-2).gather(-1, chosen).detach()
        weights = scores.softmax(-1)
        read = (weights[..., None] * F.embedding(self.slots, self.values)).sum((-2, -3))
        return self.out(read * F.silu(self.gate(x)))


def install(model: Any, layer: int, **settings: Any) -> Any:
    """Put a memory in place of the feed-forward block of one layer of a Llama; returns the model."""
    block = model.model.layers[layer]
    block.mlp = ProductKeyMemory(model.config.hidden_size, **settings)
    return model
