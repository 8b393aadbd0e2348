"""What learning costs: compute, memory and storage, counted the same way for every method.

Compute is counted in examples passed through the model, so that it depends on neither machine nor
implementation: one forward pass of an example is 1, a backward pass 2 (Kaplan et al. 2020,
arXiv:2001.08361, section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a stage.

    `read` examples went forward without gradients, `trained` forward and backward; `held` bytes were in
    memory beyond the data (weights, gradients, moments, what the method holds); `stored` bytes must be
    held for the next stage (weights, the method's state, examples).
    """

    read: int = 0
    trained: int = 0
    held: int = 0
    stored: int = 0


def compute(costs: Iterable[Cost]) -> int:
    """Forward passes of an example that the stages cost in all, a backward pass counting as two.

    >>> compute([Cost(read=10, trained=5), Cost(trained=5)])
    40
    """
    return sum(c.read + 3 * c.trained for c in costs)


def relative(costs: Sequence[Cost], other: Sequence[Cost]) -> dict[str, float]:
    """Costs as multiples of another's: compute in all, memory at its highest, storage in the end.

    >>> relative([Cost(trained=6, held=8, stored=2)], [Cost(trained=3, held=4, stored=4)])
    {'compute': 2.0, 'memory': 2.0, 'storage': 0.5}
    """
    if not costs or not other:
        raise BadInput("no stages to compare; give the costs of at least one on either side")
    pairs = {
        "compute": (compute(costs), compute(other)),
        "memory": (max(c.held for c in costs), max(c.held for c in other)),
        "storage": (costs[-1].stored, other[-1].stored),
    }
    return {name: mine / theirs if theirs else float("inf") for name, (mine, theirs) in pairs.items()}


def size(held: Any, leave: Iterable[Any] = ()) -> int:
    """Bytes of all tensors, and 8 for every number, within nested containers, modules and plain objects.

    What is reached twice counts once; the objects in `leave` count nothing.

    >>> size({"a": torch.zeros(3), "b": [1, torch.zeros(2, dtype=torch.int8)]})
    22
    """
    return _size(held, {id(x) for x in leave})


def _size(held: Any, seen: set[int]) -> int:
    if isinstance(held, int | float):
        return 8
    if held is None or isinstance(held, str | bytes | type) or id(held) in seen:
        return 0
    seen.add(id(held))
    if isinstance(held, Tensor):
        return held.numel() * held.element_size()
    parts: Iterable[Any] = ()
    if isinstance(held, Mapping):
        parts = held.values()
    elif isinstance(held, list | tuple | set | frozenset):
        parts = held
    elif isinstance(held, nn.Module):
        parts = [*held.parameters(), *held.buffers()]
        seen.update(id(m) for m in held.modules())
    elif is_dataclass(held):
        parts = [getattr(held, f.name) for f in fields(held)]
    elif not callable(held) and hasattr(held, "__dict__"):
        parts = vars(held).values()
    return sum(_size(p, seen) for p in parts)


class Meter:
    """Counts the examples that pass through a model and through copies made of it while it watches.

    >>> model = nn.Linear(2, 1)
    >>> with Meter().watch(model) as meter:
    ...     _ = model(torch.zeros(5, 2))
    ...     with torch.no_grad():
    ...         _ = model(torch.zeros(3, 2))
    >>> meter.trained, meter.read
    (5, 3)
    """

    def __init__(self) -> None:
        self.read, self.trained, self.on = 0, 0, True

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator[Meter]:
        """Count from here to the end of the block."""

        def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            rows = len(next(x for x in [*args, *kwargs.values()] if isinstance(x, Tensor)))
            learns = torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
            if self.on:
                self.trained += rows * learns
                self.read += rows * (not learns)

        handle = model.register_forward_pre_hook(count, with_kwargs=True)
        try:
            yield self
        finally:
            handle.remove()

    def pausing(self, measure: Callable[..., float]) -> Callable[..., float]:
        """The same measure, its passes not counted."""

        def paused(*given: Any, **more: Any) -> float:
            before, self.on = self.on, False
            try:
                return measure(*given, **more)
            finally:
                self.on = before

        return paused
