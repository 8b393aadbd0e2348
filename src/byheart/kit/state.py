"""Nested states to disk without pickle: tensors in one safetensors file, the rest in JSON beside them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def flatten(state: Any, tensors: dict[str, torch.Tensor], path: str = "") -> Any:
    """Move every tensor into `tensors` and leave `{"tensor": name}` in its place."""
    if isinstance(state, torch.Tensor):
        name = path or "state"
        tensors[name] = state.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(state, dict):
        keys = [[k, flatten(v, tensors, f"{path}/{k}")] for k, v in state.items()]
        return {"dict": keys}
    if isinstance(state, list | tuple):
        return {"list": [flatten(v, tensors, f"{path}/{i}") for i, v in enumerate(state)]}
    if state is None or isinstance(state, bool | int | float | str):
        return {"value": state}
    raise TypeError(f"a state holds {type(state).__name__} at {path or 'its root'}; use tensors, numbers, strings")


def restore(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The inverse of `flatten` (tuples come back as lists)."""
    if "tensor" in tree:
        return tensors[tree["tensor"]]
    if "dict" in tree:
        return {k: restore(v, tensors) for k, v in tree["dict"]}
    if "list" in tree:
        return [restore(v, tensors) for v in tree["list"]]
    return tree["value"]


def save(state: Any, folder: Path) -> None:
    """Write a state to `folder` (created) and flush it to the disk."""
    tensors: dict[str, torch.Tensor] = {}
    tree = flatten(state, tensors)
    held: set[int] = set()
    for name, tensor in tensors.items():  # the format wants each in memory of its own
        place, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        if place in held or size != tensor.nbytes:
            tensors[name] = tensor.clone()
        held.add(place)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "tensors.safetensors")
    (folder / "tree.json").write_text(json.dumps(tree), encoding="utf-8")
    for path in (folder / "tensors.safetensors", folder / "tree.json", folder):
        flush(path)


def load(folder: Path) -> Any:
    """Read a state that `save` wrote.

    Tensors lie in memory of their own, aligned as torch aligns it: where a file happens to put one, a product with it
    may round otherwise, and a resumed run would not be the unbroken one bit for bit.
    """
    tensors = {name: t.clone() for name, t in load_file(folder / "tensors.safetensors").items()}
    return restore(json.loads((folder / "tree.json").read_text(encoding="utf-8")), tensors)


def flush(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
