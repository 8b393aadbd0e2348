"""TRL's SFTTrainer as the benchmarks run it: its own defaults, but for what would only slow it or write files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from byheart.core.errors import BadInput


def sft(lm: Any, rows: Sequence[dict[str, Any]], folder: str, *, lora: bool = False, **settings: Any) -> Any:
    """A trainer of these rows, ready for `train()`; with `lora`, rank 16 and alpha 32 on all linear layers.

    Gradient checkpointing is off, which makes it faster; `settings` are those of `SFTConfig`.
    """
    try:
        from datasets import Dataset
        from peft import LoraConfig
        from trl import SFTConfig, SFTTrainer
    except ImportError:
        raise BadInput("trl is not installed; run: pip install 'byheart[trl]', or leave its arms out") from None
    config = SFTConfig(
        output_dir=folder,
        bf16=lm.model.dtype == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_steps=10**6,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **settings,
    )
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM") if lora else None
    data = Dataset.from_list(list(rows))
    return SFTTrainer(
        model=lm.model, args=config, train_dataset=data, processing_class=lm.tokenizer, peft_config=adapter
    )
