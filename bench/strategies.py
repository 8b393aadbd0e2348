"""What each strategy costs: time per step, time at a stage's start and end, memory and kept state, beside plain.

Every language-model strategy of the catalogue trains the same two stages of questions and answers from the same
weights, each in a process of its own; plain fine-tuning runs before, after and between them, so that a change in
the machine's speed shows. The second stage counts: only then is there something old to guard. Seconds are of the
processor, all threads together. Strategies that --out holds already are kept, unless they are named by --only. CaMeLS
prepares itself for a thousandth of its rounds, which would take hours and are not part of a step. Strategies that serve
classifiers alone train a perceptron on two halves of the digits instead, beside plain training of the same.

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
from pathlib import Path
from typing import Any

import torch

from byheart.bench.teaching import strategies
from byheart.core import catalogue
from byheart.exam.recall import ask
from byheart.models import load
from byheart.nets.perceptron import Perceptron
from byheart.train.compose import Strategies
from byheart.train.loop import Settings, train
from byheart.world.facts.people import people
from byheart.world.stream.digits import split

LIMIT = 2.5
EVERY = 6
DIGITS = "digits:"
STEPS = 200
SHORTENED: dict[str, dict[str, Any]] = {"camels": {"rounds": 1}}


def one(name: str, model: str, steps: int, batch: int) -> dict[str, Any]:
    """Both stages under one strategy; figures of the second."""
    digits = name.startswith(DIGITS)
    strategy = Strategies([catalogue.make(name.removeprefix(DIGITS), **SHORTENED.get(name, {}))])
    if digits:
        net: Any = Perceptron(inputs=64, widths=(256,), classes=10, seed=0)
        tasks: Any = [task.train for task in split(tasks=2)]
        steps = STEPS
    else:
        lm = load(model)
        facts = [[_example(lm, f) for f in person] for person in people(8, seed=5)]
        net, tasks = lm.model, [[e for person in half for e in person] for half in (facts[:4], facts[4:])]
    settings = Settings(lr=1e-5, steps=steps, batch_size=batch)
    train(net, tasks[0], strategy, settings)
    ends: list[float] = []
    started = time.process_time()
    train(
        net,
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
        **SHORTENED.get(name, {}),
        "seconds_per_step": statistics.median(each),
        "seconds_around": seconds - sum(each) - statistics.median(each),
        "state_bytes": _size(strategy.state_dict()),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _example(lm: Any, fact: Any) -> dict[str, Any]:
    """A question and its answer; who teaches with hints finds one."""
    hint = lm.tokenizer(fact.statement, add_special_tokens=False)["input_ids"]
    return {**lm.example(ask(fact.question), fact.answer), "hint": list(hint)}


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
    job = {k: getattr(args, k) for k in ("model", "steps", "batch", "threads")}
    result: dict[str, Any] = {"bench": "strategies", **job, "limit": LIMIT, "plain": [], "strategies": {}}
    out = Path(args.out) if args.out else None
    if out is not None and out.exists():
        result |= json.loads(out.read_text(encoding="utf-8"))
        if any(result[k] != v for k, v in job.items()):
            parser.error(f"{out} holds figures of another job; give another --out")
    rows = result["strategies"]
    known = [*strategies(), *(DIGITS + n for n in classifiers())]
    wanted = [n for n in args.only or [s for s in known if s not in rows] if n != "plain"]
    order = []
    for alike in ([n for n in wanted if not n.startswith(DIGITS)], [n for n in wanted if n.startswith(DIGITS)]):
        plain = "digits:plain" if alike and alike[0].startswith(DIGITS) else "plain"
        order += [n for i, name in enumerate(alike) for n in ([plain] if i % EVERY == 0 else []) + [name]]
        order += [plain] if alike else []
    for name in order:
        given = ["--child", name, "--model", args.model, "--steps", str(args.steps), "--batch", str(args.batch)]
        command = [sys.executable, __file__, *given, "--threads", str(args.threads)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            row = {"error": (ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"])[-1]}
        else:
            row = json.loads(ran.stdout.strip().splitlines()[-1])
        if name.endswith("plain"):
            result.setdefault(name, []).append(row)
        else:
            rows[name] = row
        for one_of, told in rows.items():
            if "error" not in told:
                beside = [
                    r for r in result["digits:plain" if one_of.startswith(DIGITS) else "plain"] if "error" not in r
                ]
                base = statistics.median(r["seconds_per_step"] for r in beside)
                told["ratio"] = round(told["seconds_per_step"] / base, 3)
                told["over_limit"] = told["ratio"] > LIMIT
        print(name, json.dumps(row), flush=True)
        if out is not None:
            out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def classifiers() -> list[str]:
    """The catalogue's training strategies that serve classifiers alone."""
    entries = [e for e in catalogue.methods() if e.kind == "strategy" and e.target.startswith("learn.")]
    return [e.name for e in entries if "lm" not in catalogue.load(e.name).serves]


if __name__ == "__main__":
    main()
