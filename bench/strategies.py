"""What each strategy costs: time per step, time at a stage's start and end, memory and kept state, beside plain.

Every language-model strategy of the catalogue trains the same two stages of questions and answers from the same
weights, each in a process of its own; plain fine-tuning runs before, after and between them, so that a change in
the machine's speed shows. The second stage counts: only then is there something old to guard. Seconds are of the
processor, all threads together.

    python bench/strategies.py --model smollm2-135m --out bench/results/strategies.json
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import torch

from engram.app.bench import strategies
from engram.core import catalogue
from engram.exam.recall import ask
from engram.models import load
from engram.train.compose import Strategies
from engram.train.loop import Settings, train
from engram.world.people import people

LIMIT = 2.5
EVERY = 6


def one(name: str, model: str, steps: int, batch: int) -> dict[str, Any]:
    """Both stages under one strategy; figures of the second."""
    lm = load(model)
    facts = [[lm.example(ask(f.question), f.answer) for f in person] for person in people(8, seed=5)]
    tasks = [[e for person in half for e in person] for half in (facts[:4], facts[4:])]
    strategy = Strategies([catalogue.make(name)])
    settings = Settings(lr=1e-5, steps=steps, batch_size=batch)
    train(lm.model, tasks[0], strategy, settings)
    ends: list[float] = []
    started = time.process_time()
    train(
        lm.model,
        tasks[1],
        strategy,
        settings,
        index=1,
        old=tasks[0],
        on_step=lambda *_: ends.append(time.process_time()),
    )
    seconds = time.process_time() - started
    each = [b - a for a, b in pairwise(ends)]
    return {
        "seconds_per_step": statistics.median(each),
        "seconds_around": seconds - sum(each) - statistics.median(each),
        "state_bytes": _size(strategy.state_dict()),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _size(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_size(v) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(v) for v in value)
    return 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="these strategies alone")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.child:
        torch.set_num_threads(args.threads)
        print(json.dumps(one(args.child, args.model, args.steps, args.batch)))
        return
    wanted = [n for n in args.only or strategies() if n != "plain"]
    order = [n for i, name in enumerate(wanted) for n in (["plain"] if i % EVERY == 0 else []) + [name]] + ["plain"]
    rows: dict[str, Any] = {}
    plain: list[dict[str, Any]] = []
    for name in order:
        given = ["--child", name, "--model", args.model, "--steps", str(args.steps), "--batch", str(args.batch)]
        command = [sys.executable, __file__, *given, "--threads", str(args.threads)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            rows[name] = {"error": ran.stderr.strip().splitlines()[-1]}
            print(name, rows[name], flush=True)
            continue
        row = json.loads(ran.stdout.strip().splitlines()[-1])
        if name == "plain":
            plain.append(row)
        else:
            rows[name] = row
        print(name, json.dumps({k: round(v, 3) for k, v in row.items()}), flush=True)
    base = statistics.median(r["seconds_per_step"] for r in plain)
    for row in rows.values():
        if "error" not in row:
            row["ratio"] = round(row["seconds_per_step"] / base, 3)
            row["over_limit"] = row["ratio"] > LIMIT
    result = {
        "bench": "strategies",
        **{k: getattr(args, k) for k in ("model", "steps", "batch", "threads")},
        "limit": LIMIT,
        "plain": plain,
        "strategies": rows,
    }
    print(json.dumps({n: r.get("ratio", "error") for n, r in rows.items()}, indent=2))
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
