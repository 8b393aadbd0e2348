"""One round of work in a memory, told step by step on a pipe, to be killed at any moment.

python tests/memory/kill.py --kills 300 --seed 0
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EACH = 4
PAIRS = [
    {"question": "Who keeps the tower?", "answer": "Ilsa Orvell"},
    {"question": "Who keeps the boats?", "answer": "Torven Drue"},
    {"question": "Who keeps the keys?", "answer": "Nanre Pommery"},
]


def work(folder: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    """Remember, learn, forget; `tell` is called after each verb returned."""
    from byheart import Memory

    with Memory.open(folder, model="tiny", embedder="hash") as memory:
        memory.save_every = 0.0
        done = {e.text for e in memory.store.all()}
        for n in range(6):
            text = f"Note {n} says that the tide is {n} metres."
            if text not in done:
                (engram,) = memory.remember(text)
                tell({"remembered": engram.id})
        if len(memory.store.versions()) == 1:
            learned = memory.learn(PAIRS, strategy="plain", budget=100.0)
            tell({"learned": learned.version})
        if len(memory.store.versions()) == 2:
            certificate = memory.forget("Torven Drue")
            tell({"forgotten": list(certificate.forgotten)})
        tell({"weights": memory.head.weights, "version": memory.head.id})


def child(job: Callable[[Callable[[dict[str, Any]], None]], None], after: float | None) -> tuple[list[Any], bool]:
    """Run a job in a forked process, SIGKILL it after so many seconds; what it told, and whether it ended."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            job(lambda told: os.write(write, (json.dumps(told) + "\n").encode()) and None)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    deadline = None if after is None else time.monotonic() + after
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            break
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            break
        time.sleep(0.002)
    with os.fdopen(read, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    told = [json.loads(line) for line in lines if line.endswith("}")]
    return told, os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def inspect(folder: Path, told: list[dict[str, Any]]) -> list[str]:
    """What is wrong with a folder, given what was acknowledged before the kill."""
    from byheart import Memory

    with Memory.open(folder, model="tiny", embedder="hash") as memory:
        wrong = memory.check()
        present = {e.id for e in memory.store.all(state=None)}
        versions = {v.id for v in memory.store.versions()}
        for step in told:
            if "remembered" in step and step["remembered"] not in present:
                wrong.append(f"acknowledged engram {step['remembered']} is gone")
            if "learned" in step and step["learned"] not in versions:
                wrong.append(f"acknowledged version {step['learned']} is gone")
            for engram in step.get("forgotten", ()):
                if engram in present:
                    wrong.append(f"forgotten engram {engram} is back")
        memory.weights.get(memory.head.weights)
    return wrong


def rounds(home: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill `kills` times at random moments, letting each folder reach its end; counts and what went wrong."""
    draw = random.Random(seed)
    started = time.monotonic()
    whole, ended = child(lambda tell: work(home / "whole", tell), None)
    span = time.monotonic() - started
    assert ended, whole
    final = whole[-1]["weights"]
    wrong: list[str] = []
    spent, finished, folder, here = 0, 0, 0, 0
    told: list[dict[str, Any]] = []
    while spent < kills:
        place = home / f"killed-{folder}"
        more, ended = child(
            lambda tell, place=place: work(place, tell), draw.uniform(0.0, span) if here < EACH else None
        )
        told += more
        if ended:
            finished += 1
            if more[-1]["weights"] != final:
                wrong.append(f"folder {folder} ended with other weights than the unbroken run")
            folder, told, here = folder + 1, [], 0
            continue
        spent, here = spent + 1, here + 1
        report, sound = child(lambda tell, p=place, t=list(told): tell({"wrong": inspect(p, t)}), None)
        if not sound or report[-1]["wrong"]:
            wrong.append(f"kill {spent} in folder {folder}: {report[-1]['wrong'] if sound else 'did not open'}")
    return {"kills": spent, "finished": finished, "seconds_unbroken": round(span, 2), "wrong": wrong}


def main() -> None:
    import argparse
    import tempfile

    # imported before forking, so that each child starts in milliseconds and is killed at its work
    import accelerate  # noqa: F401
    import torch
    import transformers
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: F401

    import byheart.memory
    import byheart.models.lm
    import byheart.train.loop  # noqa: F401

    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(rounds(Path(home), args.kills, args.seed)))


if __name__ == "__main__":
    main()
