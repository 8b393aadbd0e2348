"""What the rows of a batch begin with alike is read once for all of them, with gradients.

Examples in a chat template open with the same system text: in short questions and answers that is half
of all tokens. The keys and values of one copy serve every row; the gradient reaches that copy summed over
the rows, so training is the same but for rounding (and for dropout, drawn once for the shared part).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engram.core.errors import BadInput
from engram.core.strategy import IGNORE
from engram.kit.modes import evaluating

WORTHWHILE = 0.9


def plan(ids: Tensor, labels: Tensor, mask: Tensor) -> tuple[int, int, Tensor] | None:
    """Which prefix to share: its length, a row that has it, and which rows do, (B,) bool.

    `ids`, `labels` and `mask` (B, T) are right-padded. None when less than a tenth of the batch would be
    saved. A shared token scores nothing, and every row keeps at least one token of its own.

    >>> ids = torch.tensor([[7, 7, 7, 7, 1, 2], [7, 7, 7, 7, 3, 4], [9, 1, 2, 3, 0, 0], [7, 7, 7, 7, 5, 6]])
    >>> length, donor, same = plan(ids, torch.where(torch.arange(6) < 5, IGNORE, ids), (ids > 0).long())
    >>> length, donor, same.tolist()
    (4, 0, [True, True, False, True])
    """
    rows, width = ids.shape
    if rows < 2 or (mask.cummin(1).values != mask).any():
        return None
    sizes = mask.sum(1)
    scored = (labels != IGNORE) & mask.bool()
    scored[:, 0] = False
    first = torch.where(scored.any(1), scored.int().argmax(1), width)
    most = torch.minimum(first, sizes) - 1
    donor = int((ids[:, None, :4] == ids[None, :, :4]).all(-1).sum(1).argmax())
    alike = torch.minimum((ids == ids[donor]).long().cumprod(1).sum(1), most)
    best: tuple[int, int] | None = None
    for length in sorted({int(a) for a in alike if a > 0}):
        cost = length + rows * int((sizes - length * (alike >= length)).max())
        if best is None or cost < best[0]:
            best = cost, length
    if best is None or best[0] >= WORTHWHILE * rows * width:
        return None
    same = alike >= best[1]
    return best[1], int(same.int().argmax()), same


def split(inputs: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor] | None:
    """The shared prefix (1, L), the model inputs for what is left of each row, and its labels; None if not worth it.

    The inputs left over expect a cache of the prefix, repeated for every row; rows that do not begin
    with it are masked from it.
    """
    if set(inputs) != {"input_ids", "attention_mask"} or labels.shape != inputs["input_ids"].shape:
        return None
    ids, mask = inputs["input_ids"], inputs["attention_mask"].long()
    planned = plan(ids, labels, mask)
    if planned is None:
        return None
    length, donor, same = planned
    offsets = length * same.long()
    sizes = mask.sum(1)
    width = int((sizes - offsets).max())
    at = torch.arange(width, device=ids.device)[None] + offsets[:, None]
    inside = at < sizes[:, None]
    index = at.clamp(max=ids.shape[1] - 1)
    rest = {
        "input_ids": ids.gather(1, index),
        "attention_mask": torch.cat([same[:, None].expand(-1, length), inside], 1).long(),
        "position_ids": at,
    }
    return ids[donor : donor + 1, :length], rest, labels.gather(1, index).masked_fill(~inside, IGNORE)


def cache(decoder: nn.Module, ids: Tensor, rows: int) -> Any:
    """Keys and values of a prefix (1, L), repeated for each of the rows."""
    past = decoder(input_ids=ids, use_cache=True).past_key_values
    past.batch_repeat_interleave(rows)
    return past


@torch.no_grad()
def works(decoder: nn.Module, vocabulary: int) -> bool:
    """Whether a decoder gives the same features either way, tried on a few tokens."""
    ids = torch.arange(12).remainder(max(vocabulary - 1, 1)).repeat(3, 1)
    ids[1, 8:] += 1
    ids[2] = ids[2].flip(0)
    ids = ids.to(next(decoder.parameters()).device)
    at = torch.arange(12, device=ids.device)[None]
    mask = (at < torch.tensor([[12], [12], [4]], device=ids.device)).long()
    labels = ids.masked_fill((at < torch.tensor([[9], [9], [1]], device=ids.device)) | (mask == 0), IGNORE)
    inputs = {"input_ids": ids, "attention_mask": mask}
    parts = split(inputs, labels)
    if parts is None:
        return False
    head, rest, kept = parts
    try:
        with evaluating(decoder):
            whole = decoder(**inputs, use_cache=False).last_hidden_state[labels != IGNORE].float()
            past = cache(decoder, head, len(ids))
            apart = decoder(**rest, past_key_values=past, use_cache=False).last_hidden_state[kept != IGNORE].float()
        if whole.shape != apart.shape:
            return False
        wrong = (whole - apart).norm(dim=-1) / whole.norm(dim=-1)
        return float(wrong.median()) < 0.05  # in low precision a few tokens of such a text may be far off by chance
    except (TypeError, AttributeError, RuntimeError, ValueError, BadInput):
        return False
