"""Learned keys and values in front of a frozen model's own, weighed anew for every input.

The prompts hang on the decoder as a module while they are in use. Each of its attention layers goes
through `scaled_dot_product_attention`; there the keys and values of the prompt are put first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from byheart.core.errors import BadInput
from byheart.kit.anatomy import decoder
from byheart.kit.modes import evaluating

NAME = "prompts"
Parts = dict[str, Tensor]
"""Of one layer: `key` and `scope` (M, D), and `prompt` (M, L, 2, heads, width of a head): L keys and values."""


class Prompts(nn.Module):
    """For each layer, M components of which every input gets its own weighted sum.

    `old[layer]` are components that stay, `new[layer]` are trained. `weigh(query, parts)` gives the weight of
    every component (B, M) for the queries (B, D), which are what the decoder makes of the input without prompts
    at its last token but one (the last is only to be predicted); `query` holds the latest.
    """

    def __init__(self, old: dict[int, Parts], new: dict[int, Parts], weigh: Callable[[Tensor, Parts], Tensor]) -> None:
        super().__init__()
        self.old, self.weigh = old, weigh
        self.new = nn.ModuleDict(
            {str(layer): nn.ParameterDict({n: t.clone() for n, t in parts.items()}) for layer, parts in new.items()}
        )
        self.asking = False
        self.query: Tensor | None = None
        self.mode: Any = None

    def parts(self, layer: int) -> Parts:
        """All components of a layer, old first."""
        fresh: Any = self.new[str(layer)]
        old = self.old.get(layer)
        if old is None:
            return dict(fresh.items())
        return {n: torch.cat([old[n].to(p), p]) for n, p in fresh.items()}

    def assemble(self, query: Tensor) -> dict[int, Tensor]:
        """The prompt of every input (B, L, 2, heads, width of a head), by layer."""
        made = {}
        for layer in map(int, self.new):
            parts = self.parts(layer)
            made[layer] = torch.einsum("bm,mlkhd->blkhd", self.weigh(query, parts), parts["prompt"])
        return made


class _Prefix(TorchFunctionMode):
    """Puts prompts before the keys and values of the n-th attention, or notes their shapes when there are none."""

    def __init__(self, prompts: dict[int, Tensor] | None) -> None:
        super().__init__()
        self.prompts, self.count = prompts, 0
        self.shapes: list[torch.Size] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") != "scaled_dot_product_attention":
            return func(*args, **kwargs)
        layer, self.count = self.count, self.count + 1
        self.shapes.append(args[1].shape)
        prompt = (self.prompts or {}).get(layer)
        return func(*args, **kwargs) if prompt is None else _attend(func, prompt, *args, **kwargs)


def _attend(
    func: Any,
    prompt: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **more: Any,
) -> Tensor:
    """Attention with the prompt's keys and values first; no position is masked from them."""
    repeats = key.shape[1] // prompt.shape[3]
    first = prompt.repeat_interleave(repeats, 3).permute(2, 0, 3, 1, 4).to(key)  # (2, B, heads, L, width)
    if is_causal:
        attn_mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=key.device).tril()
    if attn_mask is not None:
        shape = (*attn_mask.shape[:-1], first.shape[3])
        open_ = attn_mask.new_ones(shape) if attn_mask.dtype == torch.bool else attn_mask.new_zeros(shape)
        attn_mask = torch.cat([open_, attn_mask], -1)
    keys, values = torch.cat([first[0], key], 2), torch.cat([first[1], value], 2)
    return func(query, keys, values, attn_mask=attn_mask, dropout_p=dropout_p, **more)


@torch.no_grad()
def shapes(model: nn.Module) -> list[tuple[int, int]]:
    """Heads and width of a head of every attention layer, from a pass over two tokens."""
    inner = decoder(model)
    device = next(model.parameters()).device
    with evaluating(model), _Prefix(None) as mode:
        inner(input_ids=torch.zeros(1, 2, dtype=torch.long, device=device), use_cache=False)
    if not mode.shapes:
        raise BadInput(
            f"{type(model).__name__} has no attention that prompts could be put before; use attn_implementation='sdpa'"
        )
    return [(s[1], s[3]) for s in mode.shapes]


def install(model: nn.Module, prompts: Prompts) -> list[Any]:
    """Hang prompts on a model; returns the handles that `remove` takes."""
    inner = decoder(model)
    inner.add_module(NAME, prompts)
    return [
        inner.register_forward_pre_hook(_enter, with_kwargs=True),
        inner.register_forward_hook(_leave, always_call=True),
    ]


def remove(model: nn.Module, handles: Collection[Any]) -> None:
    """Take the prompts off again."""
    for handle in handles:
        handle.remove()
    delattr(decoder(model), NAME)


def _enter(inner: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
    prompts: Any = inner.get_submodule(NAME)
    if prompts.asking:
        return
    if kwargs.get("past_key_values") is not None:
        raise BadInput(
            "prompts are chosen for a whole input, which cannot be read in parts; call the model without a cache"
        )
    prompts.asking = True
    try:
        with torch.no_grad():
            hidden = inner(*args, **kwargs).last_hidden_state
    finally:
        prompts.asking = False
    prompts.query = _query(hidden, kwargs.get("attention_mask"))
    prompts.mode = _Prefix(prompts.assemble(prompts.query))
    prompts.mode.__enter__()


def _leave(inner: nn.Module, args: Any, output: Any) -> None:
    prompts: Any = inner.get_submodule(NAME)
    if not prompts.asking and prompts.mode is not None:
        prompts.mode.__exit__(None, None, None)
        prompts.mode = None


def _query(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Features (B, T, D) at the last token but one of every row: (B, D)."""
    rows, width, _ = hidden.shape
    sizes = mask.sum(1) if mask is not None and mask.dim() == 2 else torch.full((rows,), width)
    at = (sizes.to(hidden.device) - 2).clamp(min=0)
    return hidden[torch.arange(rows, device=hidden.device), at].detach()


def cosine(query: Tensor, parts: Parts) -> Tensor:
    """How well each input's scoped query fits each key: cos(q * scope, key), (B, M)."""
    scoped = query.to(parts["key"])[:, None] * parts["scope"]
    return F.cosine_similarity(scoped, parts["key"][None], dim=-1)


def unscoped(query: Tensor, parts: Parts) -> Tensor:
    """The same without scopes: cos(q, key)."""
    return F.cosine_similarity(query.to(parts["key"])[:, None], parts["key"][None], dim=-1)
