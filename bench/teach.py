"""Teaching 40 facts that no model has met: what is learned, what it costs the rest, how long it takes.

Four people with ten facts each, made from `--seed`. Every arm gets the same 40 question/answer pairs and
nothing else; paraphrases are only asked. WikiText-2 (or, without `--data`, the exam's passages) and TOFU's
questions about the real world (`--facts`) are only measured. One row per arm: the default of `Memory.learn`,
plain fine-tuning through the same front door, and TRL's SFTTrainer with LoRA.

Recipes are tuned with `--split valid` on seeds of 100 and more, and reported with `--split test` on seeds below;
TOFU's questions are looked at for reports alone.

    python bench/teach.py --data ../shared/data/wikitext2 --facts ../shared/data/tofu --seeds 1 2 3 \
        --out bench/results/teach.json
    python bench/teach.py --arms default --forget     # then forget one of the four
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from byheart import Memory
from byheart.bench.teaching import quiz, share
from byheart.exam import general
from byheart.exam.leak import leak
from byheart.exam.recall import ask
from byheart.memory import audit
from byheart.models import load
from byheart.study.base.peer import sft
from byheart.world import public
from byheart.world.facts.people import Fact, people

RECALL_GOAL, PARAPHRASE_GOAL, RISE_GOAL, SECONDS_GOAL = 0.95, 0.75, 0.005, 240.0


def passages(folder: Path | None, split: Any = "test", blocks: int = 40) -> list[str]:
    """Evenly spread pieces of a split of WikiText-2, about 250 tokens each; the exam's passages without a folder."""
    return list(general.passages()) if folder is None else public.pieces(public.wikitext2(folder, split), blocks)


def real_world(folder: Path | None) -> list[tuple[str, str]]:
    """Questions about real authors and the world with their short answers, from TOFU's files."""
    parts = ("real_authors_perturbed", "world_facts_perturbed") if folder else ()
    return [(q.text, q.answers[0]) for part in parts for q in public.tofu(folder or Path(), part)]


def known(lm: Any, asked: list[tuple[str, str]]) -> dict[str, float]:
    """What is left of common knowledge: the built-in quiz, and the real-world questions if given."""
    out = {"quiz": quiz(lm)}
    if asked:
        out["real_world"] = share(lm, asked)
    return out


def measure(lm: Any, facts: list[Fact], args: argparse.Namespace) -> dict[str, float]:
    loss = general.mean_loss(general.loss(lm, args.texts))
    return {
        "direct": share(lm, [(f.question, f.answer) for f in facts]),
        "paraphrase": share(lm, [(p, f.answer) for f in facts for p in f.paraphrases]),
        "general_rise": loss / args.base_loss - 1,
        **known(lm, args.asked),
    }


def front_door(args: argparse.Namespace, strategy: str, facts: list[Fact]) -> dict[str, Any]:
    """`Memory.learn` in a fresh folder; the seconds are those of the whole call, exams included."""
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder, model=args.model) as memory:
        started = time.perf_counter()
        learned = memory.learn(
            [f.pair for f in facts], strategy=strategy, budget=args.budget if strategy == "default" else 10
        )
        seconds = time.perf_counter() - started
        told = {k: learned.report[k] for k in ("steps", "alpha", "quiz_fall")}
        row: dict[str, Any] = {"seconds": seconds, "committed": learned.committed, **told}
        row |= measure(memory.at_head().lm, facts, args)
        if args.forget and strategy == "default":
            row["forget"] = forget(memory, facts)
    return row


def forget(memory: Memory, facts: list[Fact]) -> dict[str, Any]:
    """Forget the first person; measured here apart from the certificate."""
    gone = [f for f in facts if f.subject == facts[0].subject]
    kept = [f for f in facts if f.subject != facts[0].subject]
    others = [(f.question, f.answer) for f in kept]
    before = share(memory.at_head().lm, others)
    items = [x.item for x in memory.lessons_of(memory.head) if any(x.question == f.question for f in gone)]
    started = time.perf_counter()
    certificate = memory.forget([f.pair for f in gone])
    seconds = time.perf_counter() - started
    after = share(memory.at_head().lm, others)
    leaked = statistics.mean(r.value for r in leak(memory.at_head().lm, items, k=32, seed=11))
    memory.revert("v0")
    never = statistics.mean(r.value for r in leak(memory.at_head().lm, items, k=32, seed=11))
    living = {f.answer for f in kept}
    found = audit.scan(memory.folder.path, [f.answer for f in gone if f.answer not in living])
    return {
        "passed": certificate.passed,
        "seconds": seconds,
        "leak@32": leaked,
        "leak@32_never_taught": never,
        "others_before": before,
        "others_after": after,
        "answers_found_in_files": len(found),
        "checks": [c.model_dump() for c in certificate.checks],
    }


def trl_lora(args: argparse.Namespace, facts: list[Fact]) -> dict[str, Any]:
    """SFTTrainer with LoRA (rank 16, alpha 32, all linear layers, 2e-4), as many exposures as the default."""
    lm = load(args.model)
    rows = [{"prompt": ask(f.question), "completion": [{"role": "assistant", "content": f.answer}]} for f in facts]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        trainer = sft(
            lm,
            rows,
            folder,
            lora=True,
            per_device_train_batch_size=20,
            num_train_epochs=args.epochs,
            learning_rate=2e-4,
            lr_scheduler_type="constant",
        )
        trainer.train()
        seconds = time.perf_counter() - started
        trained = trainer.model.merge_and_unload()
    from byheart.models.lm import LanguageModel

    return {"seconds": seconds, **measure(LanguageModel(trained, lm.tokenizer, args.model), facts, args)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--data", type=Path, help="folder with WikiText-2's test.raw.gz and valid.raw.gz")
    parser.add_argument("--split", choices=["valid", "test"], default="test")
    parser.add_argument("--facts", type=Path, help="folder with TOFU's files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", default=["default", "plain", "trl-lora"])
    parser.add_argument("--budget", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=24, help="of TRL")
    parser.add_argument("--forget", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.texts, args.asked = passages(args.data, args.split), real_world(args.facts)
    untaught = load(args.model)
    args.base_loss = general.mean_loss(general.loss(untaught, args.texts))
    result: dict[str, Any] = {
        "bench": "teach",
        "model": args.model,
        "general": f"WikiText-2 {args.split}" if args.data else "built-in passages",
        "goals": {
            "direct": RECALL_GOAL,
            "paraphrase": PARAPHRASE_GOAL,
            "general_rise": RISE_GOAL,
            "seconds": SECONDS_GOAL,
        },
        "untaught": {"loss": args.base_loss, **known(untaught, args.asked)},
        "arms": {arm: [] for arm in args.arms},
    }
    for seed in args.seeds:
        facts = [f for person in people(4, seed=seed) for f in person]
        for arm in args.arms:
            row = trl_lora(args, facts) if arm == "trl-lora" else front_door(args, arm, facts)
            result["arms"][arm].append({"seed": seed, **row})
            print(json.dumps({"arm": arm, "seed": seed, **row}), flush=True)
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
