"""Where things are in a model: its layers from the bottom up, and what each parameter is for.

Names differ between families (`q_proj`, `c_attn`, `query_key_value`, `fc1`); a method that speaks of
"the value matrix of layer 3" asks here.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn

_KINDS: tuple[tuple[str, str], ...] = (
    ("norm", r"(.*norm.*|ln_\w+|ln\d*)"),
    ("qkv", r"(c_attn|query_key_value|qkv(_proj)?|Wqkv|in_proj)"),
    ("gate_up", r"(gate_up_proj|w12)"),
    ("q", r"(q_proj|q_lin|query|wq)"),
    ("k", r"(k_proj|k_lin|key|wk)"),
    ("v", r"(v_proj|v_lin|value|wv)"),
    ("o", r"(o_proj|out_proj|out_lin|wo)"),
    ("gate", r"(gate_proj|w1|linear_v)"),
    ("up", r"(up_proj|fc1|c_fc|fc_in|dense_h_to_4h|w3|lin1)"),
    ("down", r"(down_proj|fc2|fc_out|dense_4h_to_h|w2|lin2)"),
    ("embedding", r"(embed\w*|wte|wpe|\w*embeddings?)"),
    ("head", r"(lm_head|score|classifier|embed_out)"),
)
ATTENTION = ("q", "k", "v", "qkv", "o")
FEEDFORWARD = ("gate", "up", "gate_up", "down")


def unit(name: str) -> tuple[str, str]:
    """The module that a parameter belongs to as a method would name it, and what that is for.

    >>> unit("model.layers.3.self_attn.v_proj.lora_A.default.weight")
    ('model.layers.3.self_attn.v_proj', 'v')
    >>> unit("transformer.h.0.attn.c_proj.bias"), unit("0.weight")
    (('transformer.h.0.attn.c_proj', 'o'), ('0', 'other'))
    """
    pieces = name.split(".")
    for n in range(len(pieces) - 1, -1, -1):
        path = ".".join(pieces[: n + 1])
        if pieces[n] in ("c_proj", "dense"):
            above = "up" if "intermediate" in pieces else "down"
            return path, "o" if any("att" in p for p in pieces) else above
        for kind, pattern in _KINDS:
            if re.fullmatch(pattern, pieces[n], re.IGNORECASE):
                return path, kind
    return name.rpartition(".")[0], "other"


def kind(name: str) -> str:
    """What a parameter is for, by its name; "other" when the name says nothing.

    >>> kind("model.layers.0.post_attention_layernorm.weight"), kind("model.layers.1.mlp.gate_proj.weight")
    ('norm', 'gate')
    """
    return unit(name)[1]


def layers(model: nn.Module) -> list[list[str]]:
    """Parameter names of each layer, bottom first; embeddings, final norm and head are in none.

    The layers are the children of the module list that holds most parameters; a model without one
    (a perceptron) has one layer per module that owns parameters.

    >>> layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)))
    [['0.weight', '0.bias'], ['2.weight', '2.bias']]
    """
    lists = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) > 1]
    if lists:
        prefix, chosen = max(lists, key=lambda pair: sum(p.numel() for p in pair[1].parameters()))
        tops = [f"{prefix}.{i}" for i in range(len(chosen))]
    else:
        tops = [n for n, m in model.named_modules() if n and next(m.parameters(recurse=False), None) is not None]
    names = [n for n, _ in model.named_parameters()]
    grouped = [[n for n in names if n.startswith(f"{top}.")] for top in tops]
    return [group for group in grouped if group]


def decoder(model: Any) -> Any:
    """The part of a causal language model below its output layer; the model itself where it has no such part."""
    prefix = getattr(model, "base_model_prefix", "")
    return getattr(model, prefix) if prefix and hasattr(model, prefix) else model


def embeddings(model: nn.Module) -> list[str]:
    """Names of the embedding parameters (a head tied to them goes by the same name)."""
    inside = {n for group in layers(model) for n in group}
    return [n for n, _ in model.named_parameters() if n not in inside and kind(n) == "embedding"]


def linears(model: nn.Module) -> list[str]:
    """Last name parts of the linear modules below a language model's output layer, in order."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    names: dict[str, None] = {}
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if linear and module is not head:
            names[name.rsplit(".", 1)[-1]] = None
    return list(names)
