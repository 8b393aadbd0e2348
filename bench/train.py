"""Training speed: byheart's loop beside a bare PyTorch loop and TRL's SFTTrainer, in one run.

The three train the same model from the same weights on the same batches (same examples, order, padding,
type and number of steps), taking turns so that a change in the machine's speed touches all alike.
`--data answers` scores the last quarter of long rows, `text` every token, and `chat` is what teaching is made
of: short questions and answers in the model's chat template, scored on the answers, as many to a batch as
given. Tokens are those of the examples, without padding.

    python bench/train.py --model smollm2-135m --steps 8 --out train.json
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

from byheart.exam.recall import ask
from byheart.models import load
from byheart.models.lm import LanguageModel
from byheart.study.base.peer import sft
from byheart.train.loop import Settings, train
from byheart.train.stream import collate
from byheart.world.facts.people import handbook, people


def examples(lm: Any, kind: str, rows: int, length: int) -> list[dict[str, Any]]:
    """`rows` examples: of exactly `length` tokens, or short ones in the chat template."""
    if kind == "chat":
        facts = [f for person in people(-(-rows // 10), seed=3) for f in person][:rows]
        return [lm.example(ask(f.question), f.answer) for f in facts]
    out = []
    text = handbook(people(rows * 2, seed=3))
    ids = lm.tokenizer(text)["input_ids"]
    while len(ids) < rows * length:
        ids += ids
    for n in range(rows):
        row = ids[n * length : (n + 1) * length]
        scored = length if kind == "text" else length // 4
        out.append({"input_ids": row, "labels": [-100] * (length - scored) + row[-scored:]})
    return out


def bare(lm: Any, data: list[dict[str, Any]], steps: int, batch: int) -> float:
    """The loop everybody writes: model(**batch, labels=...).loss, backward, clip, fused AdamW."""
    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    lm.model.train()
    started = time.perf_counter()
    for n in range(steps):
        at = n * batch % len(data)
        loss = lm.model(**collate(data[at : at + batch])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - started


def ours(lm: Any, data: list[dict[str, Any]], steps: int, batch: int) -> float:
    """byheart's loop without strategies, set-up included."""
    started = time.perf_counter()
    train(lm.model, data, (), Settings(lr=1e-5, steps=steps, batch_size=batch, bucket=False))
    return time.perf_counter() - started


def trl(lm: Any, data: list[dict[str, Any]], steps: int, batch: int) -> float:
    """SFTTrainer with its defaults but for gradient checkpointing, which would only slow it.

    On a copy: its forward wraps stay on the model, and would slow the others.
    """
    lm = LanguageModel(copy.deepcopy(lm.model), lm.tokenizer, lm.name)
    with tempfile.TemporaryDirectory() as folder:
        trainer = sft(
            lm,
            data,
            folder,
            per_device_train_batch_size=batch,
            max_steps=steps,
            learning_rate=1e-5,
            optim="adamw_torch_fused",
            max_length=None,
        )
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--data", choices=["answers", "text", "chat"], default="answers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", nargs="*", default=[], choices=["trl"])
    parser.add_argument("--out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lm = load(args.model)
    start = {n: p.detach().clone() for n, p in lm.model.named_parameters()}
    data = examples(lm, args.data, args.steps * args.batch, args.length)
    runs: dict[str, Callable[..., float]] = {"bare": bare, "byheart": ours, "trl": trl}
    for name in args.without:
        runs.pop(name)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(args.rounds + 1):
        for name, run in runs.items():
            with torch.no_grad():
                for n, p in lm.model.named_parameters():
                    p.copy_(start[n])
                    p.grad = None
            spent = run(lm, data, args.steps if round_ else 1, args.batch)
            if round_:
                seconds[name].append(spent)
    tokens = sum(len(e["input_ids"]) for e in data)
    speed = {name: tokens / statistics.median(s) for name, s in seconds.items()}
    result = {
        "bench": "train",
        **{k: v for k, v in vars(args).items() if k not in ("out", "without")},
        "dtype": str(lm.model.dtype),
        "tokens_per_second": {k: round(v, 1) for k, v in speed.items()},
        "seconds": {k: [round(x, 3) for x in v] for k, v in seconds.items()},
        "byheart_to_bare": round(speed["byheart"] / speed["bare"], 3),
    }
    if "trl" in speed:
        result["byheart_to_trl"] = round(speed["byheart"] / speed["trl"], 3)
    print(json.dumps(result, indent=2))
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
