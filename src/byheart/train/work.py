"""What names a piece of training: a fingerprint of the model's weights, the examples, the strategies and the settings.

A checkpoint carries it, so that no run goes on from the checkpoint of another; `memory.learn` names its work folder by
it, so that it finds a killed lesson again.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence, Set
from hashlib import sha256
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Strategy
from byheart.kit import state as states

_MARK = "work.txt"
_SAMPLE = 256
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_WITHOUT_EFFECT = frozenset({"save_every"})


def fingerprint(
    model: nn.Module,
    examples: Sequence[dict[str, Any]],
    strategies: Sequence[Strategy] | Strategy,
    settings: Any,
    **more: Any,
) -> str:
    """20 hexadecimal digits, the same in every process, for what determines the outcome of training.

    Parameters
    ----------
    model: at its starting weights; each tensor counts by name, shape, type, the sum of its bits and 256 of its values.
    examples: in order, as given to `train`.
    strategies: as they are before the stage. Each counts by class and all that its constructor set, names or objects
        alike; what it learned in stages before counts too.
    settings: a dataclass; when to save does not count. more: whatever else counts.

    >>> from byheart.train.loop import Settings
    >>> model, examples = nn.Linear(2, 2), [{"input_ids": [1, 2], "labels": [1, 2]}]
    >>> slow, fast = (fingerprint(model, examples, (), Settings(lr=lr)) for lr in (1e-5, 1e-3))
    >>> slow == fast, fast == fingerprint(model, examples, (), Settings(lr=1e-3, save_every=0.0))
    (False, True)
    """
    effective = {k: v for k, v in vars(settings).items() if k not in _WITHOUT_EFFECT}
    return _Digest().add([model, list(examples), strategies, effective, more]).code.hexdigest()[:20]


def mark(checkpoint: Path, work: str) -> None:
    """Write into a checkpoint's folder which work it is of, and flush it to the disk."""
    (checkpoint / _MARK).write_text(work, encoding="utf-8")
    states.flush(checkpoint / _MARK)
    states.flush(checkpoint)


def refuse_other(folder: Path | None, work: str) -> None:
    """Raise `BadInput` where a folder's checkpoint is of other work, or of an earlier release that did not mark it."""
    for place in () if folder is None else (folder / "checkpoint", folder / "replaced"):
        if not (place / "tree.json").exists():
            continue
        other = (place / _MARK).read_text(encoding="utf-8") if (place / _MARK).exists() else "not given"
        if other != work:
            raise BadInput(
                f"{folder} holds a checkpoint of other work (fingerprint {other}, of this run {work}): the starting "
                f"weights, examples, strategies or settings differ; give another folder, or delete {place}"
            )


class _Digest:
    """A hash of nested values that depends on what they hold and not on where they lie."""

    def __init__(self) -> None:
        self.code = sha256()
        self.open: list[int] = []

    def add(self, value: Any) -> _Digest:
        """Take in a value after its kind, so that no two kinds are taken for each other."""
        if value is None or isinstance(value, bool | int | float | str | bytes | Path):
            self._write(type(value).__name__, repr(value))
        elif isinstance(value, Tensor | np.ndarray | np.generic):
            self._tensor(value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value)))
        elif id(value) in self.open:
            self._write("circle", str(self.open.index(id(value))))
        else:
            self.open.append(id(value))
            self._nested(value)
            self.open.pop()
        return self

    def _nested(self, value: Any) -> None:
        if isinstance(value, nn.Module):
            for name, tensor in [*value.named_parameters(), *value.named_buffers()]:
                self._write("weights", name)
                self._tensor(tensor)
        elif isinstance(value, list | tuple | range):
            self._write("list", str(len(value)))
            if value and all(type(v) is int for v in value):
                try:
                    self.code.update(array("q", value).tobytes())
                    return
                except OverflowError:
                    pass
            for v in value:
                self.add(v)
        elif isinstance(value, Mapping):
            self._write("dict", str(len(value)))
            for k in sorted(value, key=repr):
                self.add(k).add(value[k])
        elif isinstance(value, Set):
            self._write("set", " ".join(sorted(_Digest().add(v).code.hexdigest() for v in value)))
        elif isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType):
            self._write("name", f"{value.__module__}.{value.__qualname__}")
        else:
            self._write("object", f"{type(value).__module__}.{type(value).__qualname__}")
            self.add(dict(getattr(value, "__dict__", {})))

    def _tensor(self, tensor: Tensor) -> None:
        self._write("tensor", f"{tensor.dtype} {list(tensor.shape)}")
        flat = tensor.detach().reshape(-1)
        if flat.is_complex():
            flat = torch.view_as_real(flat).reshape(-1)
        bits = flat if flat.dtype == torch.bool else flat.view(_INTEGERS[flat.element_size()])
        self._write("bits", str(int(bits.sum(dtype=torch.int64))) if len(bits) else "")
        for v in bits[:: max(1, len(bits) // _SAMPLE)].tolist():
            self.code.update(b"%d," % v)

    def _write(self, kind: str, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.code.update(b"%b %d:" % (kind.encode(), len(data)))
        self.code.update(data)
