"""Several strategies as one: hooks run in list order, conflicting claims are refused at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from byheart.core.errors import Conflict
from byheart.core.strategy import Batch, Stage, Step, Strategy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Strategies(Strategy):
    """Composes strategies in list order.

    >>> class Own(Strategy):
    ...     claims = frozenset({"step"})
    >>> Strategies([Own(), Own()])
    Traceback (most recent call last):
    byheart.core.errors.Conflict: Own and Own both claim 'step'; leave one of them out
    """

    def __init__(self, parts: Iterable[Strategy] = ()) -> None:
        self.parts: list[Strategy] = []
        for part in parts:
            self.parts.extend(part.parts if isinstance(part, Strategies) else [part])
        owners: dict[str, Strategy] = {}
        for part in self.parts:
            for claim in sorted(part.claims):
                if claim in owners:
                    names = f"{type(owners[claim]).__name__} and {type(part).__name__}"
                    raise Conflict(f"{names} both claim {claim!r}; leave one of them out")
                owners[claim] = part
        self.owners = owners
        self.claims = frozenset(owners)

    def owner(self, claim: str) -> Strategy | None:
        """The strategy that holds this claim, if any."""
        return self.owners.get(claim)

    def begin(self, stage: Stage) -> None:
        for part in self.parts:
            part.begin(stage)

    def end(self, stage: Stage) -> None:
        for part in reversed(self.parts):
            part.end(stage)

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for part in self.parts:
            stream = part.batches(stream, stage)
        return stream

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        owner = self.owners.get(f"objective:{batch.role}")
        return owner.objective(step, batch, read) if owner else read.loss()

    def terms(self, step: Step) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for part in self.parts:
            for name, value in part.terms(step).items():
                if name in terms:
                    raise Conflict(f"two strategies give a loss term named {name!r}; leave one of them out")
                terms[name] = value
        return terms

    def gradients(self, step: Step) -> None:
        for part in self.parts:
            part.gradients(step)

    def own_step(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        self.owners["step"].own_step(step, optimizer)

    def parameters(self, step: Step) -> None:
        for part in self.parts:
            part.parameters(step)

    def groups(self, model: nn.Module) -> dict[str, float]:
        merged: dict[str, float] = {}
        for part in self.parts:
            for name, factor in part.groups(model).items():
                merged[name] = merged.get(name, 1.0) * factor
        return merged

    def rate(self, progress: float) -> float:
        factor = 1.0
        for part in self.parts:
            factor *= part.rate(progress)
        return factor

    def finished(self, step: Step) -> bool:
        answers = [part.finished(step) for part in self.parts]  # every part is asked
        return any(answers)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [{"name": type(p).__name__, "state": p.state_dict()} for p in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        parts = state.get("parts", [])
        if [p["name"] for p in parts] != [type(p).__name__ for p in self.parts]:
            raise Conflict("the saved state is of other strategies; start the stage again or restore the list")
        for part, saved in zip(self.parts, parts, strict=True):
            part.load_state_dict(saved["state"])
