"""Four files, four `learn` calls: does the memory still answer all of them from its weights, within the usual budget?

Each file is a text about a person who does not exist, ten sentences; a call reads it as a user's would, at the default
recipe and budget. After every call all questions about all files so far are asked closed-book, in wordings that the
rules which make lessons of sentences do not use.

    python bench/files.py --seed 11 --out bench/results/files.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from byheart import Memory
from byheart.bench.teaching import quiz, share
from byheart.exam import general
from byheart.world.facts.people import people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    world = people(given.files, seed=given.seed)
    calls: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as home,
        Memory.open(Path(home) / "memory", model=given.model, embedder="hash") as memory,
    ):
        before, known = general.mean_loss(general.loss(memory.at_head().lm)), quiz(memory.at_head().lm)
        for n, person in enumerate(world):
            file = Path(home) / f"{person[0].subject}.md"
            file.write_text("".join(f"{fact.statement}\n" for fact in person), encoding="utf-8")
            started = time.perf_counter()
            done = memory.learn(file)
            seconds = time.perf_counter() - started
            lm = memory.at_head().lm
            calls.append(
                {
                    "committed": done.committed,
                    "reason": done.reason,
                    "seconds": round(seconds, 1),
                    "answered": [share(lm, [(f.question, f.answer) for f in p]) for p in world[: n + 1]],
                    "general_rise": general.mean_loss(general.loss(lm)) / before - 1,
                    "quiz": quiz(lm),
                }
            )
            print(json.dumps(calls[-1]), flush=True)
    told = {"bench": "files", "model": given.model, "files": given.files, "seed": given.seed, "quiz_untaught": known}
    if given.out:
        given.out.write_text(json.dumps({**told, "calls": calls}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
