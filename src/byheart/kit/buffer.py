"""A buffer of examples by reservoir sampling, and examples to and from a state of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def dump(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Examples with the same keys as a state: one flat tensor per key instead of many small lists.

    >>> parse(dump([{"input_ids": [1, 2], "labels": 0}, {"input_ids": [3], "labels": 1}]))
    [{'input_ids': [1, 2], 'labels': 0}, {'input_ids': [3], 'labels': 1}]
    """
    columns: dict[str, Any] = {}
    for key in examples[0] if examples else ():
        values = [e[key] for e in examples]
        if all(isinstance(v, Tensor) and v.dim() for v in values):
            sizes = torch.tensor([len(v) for v in values])
            columns[key] = {"kind": "tensors", "sizes": sizes, "values": torch.cat([v.cpu() for v in values])}
        elif all(isinstance(v, list | tuple) and all(isinstance(x, int) for x in v) for v in values):
            sizes = torch.tensor([len(v) for v in values])
            columns[key] = {"kind": "lists", "sizes": sizes, "values": torch.tensor([x for v in values for x in v])}
        elif all(isinstance(v, dict) for v in values):
            columns[key] = {"kind": "dicts", "values": dump(values)}
        else:
            plain = [v.item() if isinstance(v, Tensor) else v for v in values]
            columns[key] = {"kind": "plain", "values": plain}
    return {"count": len(examples), "columns": columns}


def parse(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The inverse of `dump`."""
    out: list[dict[str, Any]] = [{} for _ in range(state["count"])]
    for key, column in state["columns"].items():
        values = column["values"]
        if column["kind"] == "dicts":
            values = parse(values)
        elif column["kind"] != "plain":
            values = values.split(column["sizes"].tolist())
        for example, value in zip(out, values, strict=True):
            example[key] = value.tolist() if column["kind"] == "lists" else value
    return out


def rows(inputs: dict[str, Tensor]) -> list[dict[str, Any]]:
    """The examples inside collated model inputs, right padding taken off: the inverse of collating."""
    if "input_ids" not in inputs:
        names = [k for k in inputs if k != "labels"]
        labels = inputs["labels"].tolist()
        return [{**{k: inputs[k][i].cpu() for k in names}, "labels": y} for i, y in enumerate(labels)]
    mask = inputs.get("attention_mask")
    out = []
    for i, ids in enumerate(inputs["input_ids"]):
        length = int(mask[i].sum()) if mask is not None else len(ids)
        example: dict[str, Any] = {"input_ids": ids[:length].tolist()}
        if "position_ids" in inputs and mask is None:
            example["position_ids"] = inputs["position_ids"][i].tolist()
        row = inputs["labels"][i]
        example["labels"] = row[:length].tolist() if row.dim() else row.item()
        out.append(example)
    return out


def pick(population: int, count: int, generator: torch.Generator) -> list[int]:
    """`count` different indices below `population`, or all of them in random order when it is smaller."""
    return torch.randperm(population, generator=generator)[:count].tolist()


class Reservoir:
    """A uniform sample of everything ever added (Vitter 1985, algorithm R).

    `generator(n)` gives the random generator for the n-th arrival, so that a resumed run agrees.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.seen = 0
        self.items: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: dict[str, Any], generator: Callable[[int], torch.Generator]) -> None:
        """Offer the next arrival. It is stored while there is room, then with probability capacity / seen."""
        if len(self.items) < self.capacity:
            self.items.append(item)
        elif self.capacity:
            slot = int(torch.randint(self.seen + 1, (1,), generator=generator(self.seen)))
            if slot < self.capacity:
                self.items[slot] = item
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "items": dump(self.items)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.items = state["seen"], parse(state["items"])
