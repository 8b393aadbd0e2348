"""From examples to an endless, seeded, resumable stream of batches: shuffling, bucketing, packing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from byheart.core.strategy import IGNORE, Batch, Stage


def collate(examples: Sequence[dict[str, Any]], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Stack examples: token lists are right-padded (labels with -100), everything else is stacked.

    >>> collate([{"input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [7], "labels": [7]}])["labels"]
    tensor([[-100,    6],
            [   7, -100]])
    """
    if "input_ids" not in examples[0]:
        return {k: torch.stack([torch.as_tensor(e[k]) for e in examples]).to(device) for k in examples[0] if k != "key"}
    width = max(len(e["input_ids"]) for e in examples)
    fill = {"input_ids": 0, "labels": IGNORE, "attention_mask": 0, "position_ids": 0}
    out: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    packed = "position_ids" in examples[0]
    out["position_ids" if packed else "attention_mask"] = []
    for e in examples:
        n = len(e["input_ids"])
        labels = e.get("labels", e["input_ids"])
        rows = {"input_ids": e["input_ids"], "labels": labels, "attention_mask": [1] * n}
        if packed:
            rows["position_ids"] = e["position_ids"]
        if isinstance(labels, int):
            rows.pop("labels")
        for k in out:
            if k in rows:
                out[k].append(list(rows[k]) + [fill[k]] * (width - n))
    tensors = {k: torch.tensor(v, device=device) for k, v in out.items() if v}
    if isinstance(examples[0].get("labels"), int):
        tensors["labels"] = torch.tensor([e["labels"] for e in examples], device=device)
    return tensors


def pack(examples: Sequence[dict[str, Any]], length: int) -> list[dict[str, Any]]:
    """Fill rows of at most `length` tokens with whole examples, first-fit by decreasing size.

    Positions restart with every example, which is how transformers keeps packed examples from
    attending to one another; the first token of each is not a target.
    """
    order = sorted(range(len(examples)), key=lambda i: (-len(examples[i]["input_ids"]), i))
    rows: list[list[int]] = []
    room: list[int] = []
    for i in order:
        n = min(len(examples[i]["input_ids"]), length)
        for r, free in enumerate(room):
            if n <= free:
                rows[r].append(i)
                room[r] -= n
                break
        else:
            rows.append([i])
            room.append(length - n)
    packed = []
    for row in rows:
        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        for i in row:
            tokens = list(examples[i]["input_ids"])[:length]
            targets = list(examples[i].get("labels", tokens))[:length]
            ids += tokens
            labels += [IGNORE, *targets[1:]]
            positions += range(len(tokens))
        packed.append({"input_ids": ids, "labels": labels, "position_ids": positions})
    return packed


def order(lengths: Sequence[int], batch_size: int, generator: torch.Generator, bucket: bool) -> list[list[int]]:
    """One epoch's batches of indices: shuffled, and (if `bucket`) of like length within a batch."""
    shuffled = torch.randperm(len(lengths), generator=generator).tolist()
    if bucket:
        pool = 16 * batch_size
        shuffled = [
            i
            for start in range(0, len(shuffled), pool)
            for i in sorted(shuffled[start : start + pool], key=lambda i: lengths[i])
        ]
    batches = [shuffled[i : i + batch_size] for i in range(0, len(shuffled), batch_size)]
    if bucket:
        batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return batches


def stream(stage: Stage, *, start: int = 0, bucket: bool = True) -> Iterator[tuple[int, list[Batch]]]:
    """Micro-step number and its batch of role `new`, from number `start`, for ever.

    The order of an epoch depends on the stage's seed and the epoch alone, so a stream that starts in
    the middle continues as the unbroken one would.
    """
    lengths = [len(e["input_ids"]) if "input_ids" in e else 1 for e in stage.examples]
    per_epoch = -(-len(lengths) // stage.batch_size)
    number = start
    while True:
        epoch = number // per_epoch
        batches = order(lengths, stage.batch_size, stage.generator("stream", epoch), bucket)
        for keys in batches[number - epoch * per_epoch :]:
            yield number, [stage.batch([stage.examples[k] for k in keys], "new", keys)]
            number += 1
