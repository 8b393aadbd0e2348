"""Low-rank adapters put into a model in place and merged away again (through PEFT)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from byheart.core.errors import Conflict
from byheart.kit.anatomy import linears

NAME = "default"


def inject(model: nn.Module, *, rank: int, alpha: float, targets: Sequence[str] | None, dropout: float = 0.0) -> Any:
    """Put adapters beside the linear modules named by `targets` (None: all but the head); returns the PEFT config.

    The weights below are frozen. The model keeps its class; its linear modules are wrapped.
    """
    from peft import LoraConfig, inject_adapter_in_model

    language = getattr(model, "get_output_embeddings", lambda: None)() is not None
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]
        lora_dropout=dropout,
        target_modules=list(targets) if targets is not None else linears(model),
        task_type="CAUSAL_LM" if language else None,
    )
    inject_adapter_in_model(config, model, adapter_name=NAME)  # type: ignore[arg-type]
    return config


def adapters(model: nn.Module) -> dict[str, Any]:
    """The wrapped modules, by name."""
    from peft.tuners.lora import LoraLayer

    return {n: m for n, m in model.named_modules() if isinstance(m, LoraLayer)}


def factors(model: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """A (rank, in) and B (out, rank) of every wrapped module."""
    return {n: (m.lora_A[NAME].weight, m.lora_B[NAME].weight) for n, m in adapters(model).items()}


def refuse(model: nn.Module, guard: str) -> None:
    """Raise `Conflict` when the model wears adapters: its own weights are frozen then, so holding them is void."""
    if any("lora_A" in n for n, _ in model.named_parameters()):
        raise Conflict(f"{guard} holds the weights, which an adapter leaves frozen; leave one of them out")


@torch.no_grad()
def merge(model: nn.Module, config: Any) -> dict[str, Any]:
    """Add the adapters to the weights, put the original modules back, and return the adapter.

    `{"config": dict, "tensors": dict}`: saved as `adapter_config.json` and
    `adapter_model.safetensors`, `PeftModel.from_pretrained` on the stage's starting weights loads it.
    """
    tensors = {}
    for name, (a, b) in factors(model).items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = a.detach().cpu().clone()
        tensors[f"base_model.model.{name}.lora_B.weight"] = b.detach().cpu().clone()
    for name, module in adapters(model).items():
        module.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, module.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
    settings = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
    return {"config": {**settings, "inference_mode": True}, "tensors": tensors}
