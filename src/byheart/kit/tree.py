"""The rows of a batch read as one tree, with gradients: what several begin with alike is read once, padding never.

Examples in a chat template open with the same system text, and copies of a lesson with the same question; in short
questions and answers that is more than half of all tokens. Every distinct beginning becomes a node, which attends to
its ancestors (tree attention, as in Miao et al. 2023, arXiv:2305.09781, where it serves decoding). A node's gradient is
the sum over the rows that go through it, so training is the same but for rounding (and for dropout, drawn once for
what is shared); weights get one gradient a batch, where reading a prefix apart and keeping its cache gives two.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.kit.modes import evaluating

WORTHWHILE = 0.9
ATTENDED = 1000  # so many pairs of tokens cost what the rest of the model costs for one


class Tree(NamedTuple):
    """N nodes, parents before children.

    tokens (N,), depths (N,) from 0, parents (N,) with -1 for none, at (B, T) the node of each token of each row; 0 for
    padding.
    """

    tokens: NDArray[np.int64]
    depths: NDArray[np.int64]
    parents: NDArray[np.int64]
    at: NDArray[np.int64]

    def seen(self) -> NDArray[np.bool_]:
        """Who attends to whom, (N, N): each node to its ancestors and itself."""
        seen = np.eye(len(self.tokens), dtype=bool)
        ends = np.flatnonzero(np.diff(self.depths, append=self.depths[-1] + 1)) + 1
        for start, end in pairwise(ends):
            seen[start:end] |= seen[self.parents[start:end]]
        return seen


def plan(ids: Tensor, mask: Tensor) -> Tree | None:
    """The rows (B, T) of right-padded ids as a tree; None where that would save less than a tenth of the work.

    >>> tree = plan(torch.tensor([[7, 8, 1, 2], [7, 8, 1, 3], [7, 8, 4, 0], [7, 8, 5, 6]]), torch.ones(4, 4).tril(3))
    >>> tree.tokens.tolist(), tree.parents.tolist()
    ([7, 8, 1, 4, 5, 2, 3, 0, 6], [-1, 0, 1, 1, 1, 2, 2, 3, 4])
    >>> tree.at[1].tolist()
    [0, 1, 2, 6]
    """
    rows, width = ids.shape
    whole, real = ids.cpu().numpy().astype(np.int64), mask.cpu().numpy().astype(bool)
    if rows < 2 or (real[:, 1:] > real[:, :-1]).any():
        return None
    base = int(whole.max()) + 1
    at = np.zeros((rows, width), np.int64)
    node = np.full(rows, -1, np.int64)
    keys: list[NDArray[np.int64]] = []
    count = 0
    for t in range(width):
        live = real[:, t]
        distinct, which = np.unique((node[live] + 1) * base + whole[live, t], return_inverse=True)
        at[live, t] = node[live] = count + which
        keys.append(distinct)
        count += len(distinct)
    if _work(count, count) > WORTHWHILE * _work(rows * width, width):
        return None
    every = np.concatenate(keys)
    return Tree(every % base, np.repeat(np.arange(width), [len(k) for k in keys]), every // base - 1, at)


def _work(tokens: int, width: int) -> float:
    """What reading so many tokens costs that attend to so many, in tokens that attend to none."""
    return tokens * (1 + width / ATTENDED)


def inputs(tree: Tree, decoder: nn.Module) -> dict[str, Tensor]:
    """What a decoder is given for it: ids and positions (1, N), and the mask of attention (1, 1, N, N)."""
    parameter = next(decoder.parameters())
    seen: Tensor = torch.from_numpy(tree.seen())[None, None].to(parameter.device)
    config: Any = decoder.config
    if config._attn_implementation != "sdpa":
        seen = torch.zeros(seen.shape, dtype=parameter.dtype, device=parameter.device).masked_fill(
            ~seen, torch.finfo(parameter.dtype).min
        )
    return {
        "input_ids": torch.from_numpy(tree.tokens)[None].to(parameter.device),
        "position_ids": torch.from_numpy(tree.depths)[None].to(parameter.device),
        "attention_mask": seen,
    }


@torch.no_grad()
def works(decoder: nn.Module, vocabulary: int) -> bool:
    """Whether a decoder gives the same features either way, tried on a few tokens.

    Low precision tells the same text apart from itself, row by row or in a batch; a tree may do so four times as much.
    """
    ids = ((torch.arange(12) + 1) * vocabulary // 14).repeat(3, 1)  # the first of a vocabulary are special ones
    ids[1, 8:] += 1
    ids[2] = ids[2].flip(0)
    ids = ids.to(next(decoder.parameters()).device)
    mask = (torch.arange(12, device=ids.device)[None] < torch.tensor([[12], [12], [4]], device=ids.device)).long()
    tree = plan(ids, mask)
    if tree is None:
        return False
    try:
        with evaluating(decoder):
            whole = _features(decoder, input_ids=ids, attention_mask=mask)[mask.bool()]
            alone = torch.cat(
                [_features(decoder, input_ids=r[None, : int(m.sum())]) for r, m in zip(ids, mask, strict=True)], 1
            )
            apart = _features(decoder, **inputs(tree, decoder))[0, torch.from_numpy(tree.at).to(ids.device)]
        rounding = max(0.001, 2 * torch.finfo(next(decoder.parameters()).dtype).eps)
        return _distance(apart[mask.bool()], whole) <= max(rounding, 4 * _distance(alone[0], whole))
    except (TypeError, AttributeError, RuntimeError, ValueError, IndexError, BadInput):
        return False


def _features(decoder: nn.Module, **given: Tensor) -> Tensor:
    features: Tensor = decoder(**given, use_cache=False).last_hidden_state.float()
    return features


def _distance(rows: Tensor, others: Tensor) -> float:
    """The median distance of features (N, D) from others, in lengths of the others."""
    return float(((rows - others).norm(dim=-1) / others.norm(dim=-1)).median())
