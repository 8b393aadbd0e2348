"""What every strategy teaches and what it costs: the same teaching job for all, one honest table.

New people are taught in stages, with the same questions, the same number of training examples and the same seed for
every arm; each arm runs in a process of its own. Recommended is the arm that recalls enough at the least cost to what
the model knew.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput

if TYPE_CHECKING:
    from byheart.world.facts.people import Fact

PEERS = ("trl", "trl-lora", "trl-lora-replay")
COMBINATIONS = ("default", "replay,kl", "hft,replay", "lora,replay", "teach-lmm-skills,replay")
APART = {
    "camels": "prepares itself for hours",
    "coda-prompt": "answers with more than weights",
    "memento-no-more": "is taught by hints",
}
"""Strategies that are not run with all, and why."""
RECALL, RISE = 0.95, 0.01
COLUMNS = ("arm", "recall", "paraphrased", "earlier kept", "general loss", "quiz", "tokens", "seconds", "memory")


def strategies() -> list[str]:
    """The catalogue's training strategies that serve language models."""
    from byheart.core import catalogue

    entries = [e for e in catalogue.methods() if e.kind == "strategy" and e.target.startswith("learn.")]
    return [e.name for e in entries if "lm" in catalogue.load(e.name).serves]


def check(name: str) -> None:
    """Refuse an arm that does not exist before any is run."""
    from byheart.core import catalogue

    if name not in ("default", *PEERS):
        for part in name.split(","):
            catalogue.entry(part.strip())


def stored(path: Path, job: dict[str, Any]) -> dict[str, Any]:
    """The table begun at this path, or a new one; one of another job is refused."""
    if not path.exists():
        return {"bench": "learn", **job, "arms": {}}
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    other = {k: table.get(k) for k in job}
    if other != job:
        raise BadInput(f"{path} holds a table of {other}, not of {job}; give another --out")
    return table


def apart(name: str, job: dict[str, Any]) -> dict[str, Any]:
    """One arm in a process of its own; an arm that fails is a row that says why."""
    given = [part for k, v in job.items() for part in (f"--{k}", str(v))]
    command = [sys.executable, "-m", "byheart", "bench", "learn", "--arm", name, *given]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        return {"error": ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else f"exit {ran.returncode}"}
    row: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return row


def run(arm: str, *, model: str, facts: int, stages: int, seed: int) -> dict[str, Any]:
    """Teach all stages with one arm: recall of every stage after every stage, and what it cost."""
    import resource

    import torch

    from byheart.exam import general
    from byheart.models import load
    from byheart.world.facts.people import people

    world = people(facts // 10, seed=seed)
    each = len(world) // stages
    parts = [[f for person in world[n * each : (n + 1) * each] for f in person] for n in range(stages)]
    untaught = load(model)
    base = {"loss": general.mean_loss(general.loss(untaught)), "quiz": quiz(untaught)}
    del untaught
    row: dict[str, Any] = {"matrix": [], "tokens": 0, "seconds": [], "processor_seconds": []}

    with tempfile.TemporaryDirectory() as home:
        teach = _peer if arm in PEERS else _front_door
        for lm, tokens in teach(arm, model, parts, Path(home), seed, partial(timed, row)):
            row["tokens"] += tokens
            row["matrix"].append([share(lm, [(f.question, f.answer) for f in part]) for part in parts])
        row["paraphrased"] = share(lm, [(p, f.answer) for part in parts for f in part for p in f.paraphrases])
        row["general_rise"] = general.mean_loss(general.loss(lm)) / base["loss"] - 1
        row["quiz"], row["quiz_untaught"] = quiz(lm), base["quiz"]
    row["recall"] = sum(row["matrix"][-1]) / stages
    earlier = row["matrix"][-1][:-1]
    row["earlier_kept"] = sum(earlier) / len(earlier) if earlier else 1.0
    row["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        row["device"] = torch.cuda.get_device_name()
        row["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    return row


def _front_door(
    arm: str, model: str, parts: Sequence[Sequence[Fact]], home: Path, seed: int, stage: Callable
) -> Iterator[tuple[Any, int]]:
    """Stage by stage through `Memory.learn`, with a budget that lets everything pass: the model, and tokens read."""
    from byheart.memory import Memory

    with Memory.open(home / "memory", model=model, embedder="hash") as memory:
        for part in parts:
            with stage():
                done = memory.learn([f.pair for f in part], strategy=arm, budget=1e9, least=0.0, seed=seed)
            yield memory.at_head().lm, done.report["tokens"]


def _peer(
    arm: str, model: str, parts: Sequence[Sequence[Fact]], home: Path, seed: int, stage: Callable
) -> Iterator[tuple[Any, int]]:
    """TRL's SFTTrainer on the same questions with as many examples, its own defaults otherwise.

    "trl-lora-replay" reads as many wordings as byheart's arms, and before every new example an earlier one.
    """
    from byheart.exam.recall import ask
    from byheart.memory.recipe import EXPOSURES
    from byheart.models import load
    from byheart.models.lm import LanguageModel
    from byheart.study.base.peer import sft

    lm, lora, replays = load(model), arm != "trl", arm == "trl-lora-replay"
    for n, part in enumerate(parts):
        earlier = [f for old in parts[:n] for f in old]
        rows = _mixed(part, earlier, EXPOSURES, seed) if replays else [_row(ask(f.question), f.answer) for f in part]
        epochs = 1 if replays else EXPOSURES
        with stage():
            trainer = sft(
                lm,
                rows,
                str(home),
                lora=lora,
                per_device_train_batch_size=min(20, len(part) * (2 if replays and earlier else 1)),
                num_train_epochs=epochs,
                seed=seed,
                **({"learning_rate": 2e-4} if lora else {}),
            )
            trainer.train()
        tokens = sum(len(lm.example(r["prompt"], r["completion"][0]["content"])["input_ids"]) for r in rows)
        lm = LanguageModel(trainer.model.merge_and_unload() if lora else trainer.model, lm.tokenizer, model)
        yield lm, epochs * tokens


def _row(prompt: Any, answer: str) -> dict[str, Any]:
    """An example as TRL reads it."""
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": answer}]}


def _mixed(part: Sequence[Fact], earlier: Sequence[Fact], times: int, seed: int) -> list[dict[str, Any]]:
    """Each new fact so many times in many wordings, and, where there are any, as many earlier ones as they were."""
    from byheart.exam.recall import ask
    from byheart.memory.wordings import views

    draw = random.Random(seed)
    rows = []
    for fact in [f for _ in range(times) for f in part]:
        if earlier:
            old = draw.choice(earlier)
            rows.append(_row(ask(old.question), old.answer))
        prompt: Any = ""
        while isinstance(prompt, str):  # TRL reads chats or plain text, not both
            prompt, _ = views(fact.question, fact.answer, draw)
        rows.append(_row(prompt, fact.answer))
    return rows


@contextmanager
def timed(row: dict[str, Any]) -> Iterator[None]:
    """Note how long a stage took: by the clock, and of the processor, which other work does not lengthen."""
    started, worked = time.perf_counter(), time.process_time()
    yield
    row["seconds"].append(round(time.perf_counter() - started, 1))
    row["processor_seconds"].append(round(time.process_time() - worked, 1))


def share(lm: Any, questions: Sequence[tuple[str, str]]) -> float:
    """Share of greedy closed-book answers that contain the gold answer."""
    from byheart.exam.match import contains
    from byheart.exam.recall import ask

    answers = lm.generate([ask(q) for q, _ in questions], max_tokens=24)
    return sum(contains(s[0].text, gold) for s, (_, gold) in zip(answers, questions, strict=True)) / len(questions)


def quiz(lm: Any) -> float:
    """Share of the quiz of common knowledge that is answered right."""
    from byheart.exam import general

    return sum(r.value for r in general.common(lm)) / len(general.quiz())


def ranked(arms: dict[str, dict[str, Any]]) -> list[str]:
    """Arms by what they recall less what they cost; failed ones last."""
    return sorted(arms, key=lambda n: (("error" in arms[n]), -arms[n].get("recall", 0), arms[n].get("general_rise", 0)))


def recommended(arms: dict[str, dict[str, Any]]) -> str | None:
    """The arm with enough recall and a small enough rise of general loss that rises least.

    >>> recommended({"a": {"recall": 1.0, "general_rise": 0.2}, "b": {"recall": 0.96, "general_rise": 0.004}})
    'b'
    """
    good = [n for n, r in arms.items() if r.get("recall", 0) >= RECALL and r.get("general_rise", 1) <= RISE]
    return min(good, key=lambda n: arms[n]["general_rise"]) if good else None


def cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    """One row of the printed table; memory is that of the accelerator where there is one."""
    if "error" in row:
        return (name, row["error"], *[""] * (len(COLUMNS) - 2))
    shares = (f"{100 * row[k]:.3g}%" for k in ("recall", "paraphrased", "earlier_kept"))
    quiz = f"{row['quiz']:.0%} of {row['quiz_untaught']:.0%}"
    memory = f"{row.get('peak_device_bytes', row['peak_rss_bytes']) / 2**30:.1f} GiB"
    return (
        name,
        *shares,
        f"{row['general_rise']:+.2%}",
        quiz,
        f"{row['tokens'] / 1000:.0f}k" if "tokens" in row else "",
        f"{sum(row.get('processor_seconds', row['seconds'])):.0f}",
        memory,
    )


def drawn(arms: dict[str, dict[str, Any]]) -> str:
    """Recall against general loss kept, a point for each arm, as an SVG that stands by itself."""
    from importlib.resources import files

    from byheart.exam.plot import Point, scatter

    points = [
        Point(label=n, x=r["recall"], y=max(0.0, 1 - max(0.0, r["general_rise"])), tip=f"{n}: {r['recall']:.0%}")
        for n, r in arms.items()
        if "error" not in r
    ]
    style = files("byheart.exam").joinpath("report.css").read_text(encoding="utf-8")
    svg = scatter(points, "recalled of what was taught", "general loss kept")
    return svg.replace(">", f' xmlns="http://www.w3.org/2000/svg"><style>{style}</style>', 1)
