"""A model's output layer and the features it sees, also where the model does not show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.kit.readout import Readout


def head(model: nn.Module) -> Any:
    """The output layer: what `get_output_embeddings` gives, else the linear module that was registered last.

    >>> head(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)))
    Linear(in_features=3, out_features=2, bias=True)
    """
    given = getattr(model, "get_output_embeddings", lambda: None)()
    if given is not None:
        return given
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise BadInput(f"{type(model).__name__} has no linear output layer; use a model that ends in nn.Linear")
    return linear[-1]


def head_names(model: nn.Module) -> list[str]:
    """Names of the output layer's parameters.

    >>> head_names(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)))
    ['1.weight', '1.bias']
    """
    own = {id(p) for p in head(model).parameters()}
    return [n for n, p in model.named_parameters() if id(p) in own]


def features(
    model: nn.Module, read: Callable[[nn.Module, dict[str, Tensor]], Readout], inputs: dict[str, Tensor], given: Readout
) -> Tensor:
    """What the output layer saw at the scored positions, (N, D), of a batch already read as `given`.

    A classifier that shows no features is run once more to catch them.
    """
    if given.hidden is not None:
        return given.hidden
    seen: list[Tensor] = []

    def catch(_: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        seen.append(args[0] if args else next(iter(named.values())))

    handle = head(model).register_forward_pre_hook(catch, with_kwargs=True)
    try:
        read(model, inputs)
    finally:
        handle.remove()
    if len(seen) != 1 or seen[0].dim() != 2 or len(seen[0]) != len(given.targets):
        raise BadInput(
            f"the output layer of {type(model).__name__} was not fed one row for each example; "
            f"use a model that returns hidden_states"
        )
    return seen[0]
