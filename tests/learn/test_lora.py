"""LoRA's rank and its adapter in PEFT's format; what holds weights refuses adapters."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from subjects import BENCHES, llama

from byheart.core.errors import Conflict
from byheart.core.strategy import Step, Strategy
from byheart.learn.ewc import EWC
from byheart.learn.l2_start import L2ToStart
from byheart.learn.lora import LoRA
from byheart.learn.null_space import NullSpace
from byheart.learn.olora import OLoRA
from byheart.train.loop import train


@pytest.mark.parametrize("guard", [EWC, L2ToStart, NullSpace])
def test_what_holds_weights_refuses_an_adapter_before_the_first_step(guard: type[Strategy]) -> None:
    for order in ([LoRA(), guard()], [guard(), OLoRA()]):
        taken: list[Step] = []
        with pytest.raises(Conflict, match="leave one of them out"):
            train(llama(), BENCHES["lm"].tasks[0], order, on_step=lambda s, _, seen=taken: seen.append(s))
        assert taken == []


def test_lora_changes_weights_by_its_rank_and_exports_a_peft_adapter(tmp_path: Path) -> None:
    from peft import PeftModel

    bench, start = BENCHES["lm"], llama()
    model = copy.deepcopy(start)
    done = train(model, bench.tasks[0], [LoRA(rank=2)], bench.settings)
    moved = model.model.layers[0].mlp.up_proj.weight - start.model.layers[0].mlp.up_proj.weight
    assert torch.linalg.matrix_rank(moved, rtol=1e-4) == 2
    assert torch.equal(model.model.embed_tokens.weight, start.model.embed_tokens.weight)

    artifact = done.artifacts["adapter"]
    (tmp_path / "adapter_config.json").write_text(json.dumps(artifact["config"]))
    save_file(artifact["tensors"], tmp_path / "adapter_model.safetensors")
    loaded = PeftModel.from_pretrained(start, tmp_path).eval()
    ids = torch.arange(3, 20)[None]
    assert torch.allclose(loaded(ids).logits, model(ids).logits, atol=1e-5)
