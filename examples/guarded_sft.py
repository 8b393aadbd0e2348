"""TRL's SFTTrainer with and without strategies: the same facts, what each costs the rest.

python examples/guarded_sft.py [--model smollm2-135m] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from byheart.exam import general
from byheart.learn.kl import KL
from byheart.learn.self_replay import SelfReplay
from byheart.models import load
from byheart.models.lm import LanguageModel
from byheart.train.mixin import with_strategies
from byheart.world.facts.people import people


def tuned(model: str, trainer: type, folder: str, epochs: int) -> LanguageModel:
    """The model after ordinary fine-tuning on twenty facts with this trainer."""
    lm = load(model)
    lm.model.float()  # small steps are lost in bfloat16 weights; the trainer still computes in it
    facts = [f for person in people(2, seed=1) for f in person]
    rows = [lm.example([{"role": "user", "content": f.question}], f.answer) for f in facts]
    config = SFTConfig(
        output_dir=folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=10,
        learning_rate=1e-4,
        bf16=model != "tiny",
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    data = Dataset.from_list([{k: r[k] for k in ("input_ids", "labels")} for r in rows])
    trainer(model=lm.model, args=config, train_dataset=data, processing_class=lm.tokenizer).train()
    return lm


def main() -> None:
    """Both runs, and by how much general loss rose in each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    args = parser.parse_args()
    before = general.mean_loss(general.loss(load(args.model)))
    guarded = with_strategies(SFTTrainer, [SelfReplay(examples=64, length=48), KL(replace=True)])
    told = {"bench": "guarded-sft", "model": args.model, "facts": 20, "seed": 1, "epochs": args.epochs, "arms": {}}
    for name, trainer in (("SFTTrainer", SFTTrainer), ("with strategies", guarded)):
        with tempfile.TemporaryDirectory() as folder:
            lm = tuned(args.model, trainer, folder, args.epochs)
        after = general.mean_loss(general.loss(lm))
        asked = [([{"role": "user", "content": f.question}], f.answer) for person in people(2, seed=1) for f in person]
        loss = -sum(sum(s) / len(s) for s in lm.score(asked)) / len(asked)
        told["arms"][name] = {"general_rise": after / before - 1, "loss_of_answers": loss}
        print(f"{name}: general loss {after / before - 1:+.2%}, loss of the taught answers {loss:.2f} nats")
    if args.out:
        args.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
