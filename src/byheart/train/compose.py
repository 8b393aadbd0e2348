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

    def idle_first(self) -> bool:
        return all(part.idle_first() for part in self.parts)

    def begin(self, stage: Stage) -> None:
        for position, part in enumerate(self.parts):
            part.position = position
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
        answers = [part.finished(step) for part in self.parts]  # no short-circuit: every part sees the step
        return any(answers)

    def keys(self) -> list[str]:
        """The key of each part's state, its position and its label: `0 replay`, `1 ewc`."""
        return [f"{position} {part.label()}" for position, part in enumerate(self.parts)]

    def state_dict(self) -> dict[str, Any]:
        """The state of each part under its key, also where it is empty."""
        return {key: part.state_dict() for key, part in zip(self.keys(), self.parts, strict=True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave, also in the earlier form (see `_states`).

        Raises `Conflict`, before anything is changed, for the state of a part that is not there, for a part
        whose state is missing, and for a state of a part that keeps none.
        """
        saved = {}
        for position, name, saved_state in _states(state):
            part = self.parts[position] if position < len(self.parts) else None
            name = part.label() if part is not None and name in _names(part) else name
            saved[f"{position} {name}"] = saved_state
        keys = self.keys()
        more, missing = [k for k in saved if k not in keys], [k for k in keys if k not in saved]
        if more or missing:
            what = f"it holds {', '.join(more) or 'nothing more'} and lacks {', '.join(missing) or 'nothing'}"
            raise Conflict(f"the saved state is of other strategies: {what}; start the stage again or restore the list")
        for key, part in zip(keys, self.parts, strict=True):
            if saved[key] and type(part).load_state_dict is Strategy.load_state_dict:
                what = f"it holds {', '.join(map(str, saved[key]))} of {key}, which keeps no state"
                raise Conflict(f"the saved state does not fit: {what}; start the stage again")
        for key, part in zip(keys, self.parts, strict=True):
            part.load_state_dict(saved[key])

    def carry(self, state: dict[str, Any], *, only: str = "") -> None:
        """Give parts the states that parts of the same name had in another composition, the n-th of a name to the n-th.

        With `only`, a label, just the parts of that label. A part that the other composition had not stays as it is.
        """
        saved = {position: (name, saved_state) for position, name, saved_state in _states(state)}
        for part in self.parts:
            at = next((n for n, (name, _) in saved.items() if name in _names(part)), None)
            if at is not None and only in ("", part.label()):
                part.load_state_dict(saved.pop(at)[1])


def _names(part: Strategy) -> tuple[str, str]:
    """What a saved state may call a strategy: its label, and its class in the earlier form."""
    return part.label(), type(part).__name__


def _states(state: dict[str, Any]) -> list[tuple[int, str, dict[str, Any]]]:
    """Positions, names and states of a saved composition's parts, in order.

    The form is `{"0 replay": state}`; earlier it was `{"parts": [{"name": "Replay", "state": state}]}`.
    """
    if "parts" in state:
        return [(n, p["name"], p["state"]) for n, p in enumerate(state["parts"])]
    keyed = [(*key.split(" ", 1), saved_state) for key, saved_state in state.items()]
    return sorted(((int(position), name, saved_state) for position, name, saved_state in keyed), key=lambda row: row[0])
