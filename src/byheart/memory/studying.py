"""What `learn` would teach, beforehand: the lessons of a source, and the time and memory that they will take."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput
from byheart.core.records import Engram, Studied
from byheart.memory import recipe as recipes
from byheart.memory.lessons import Lesson
from byheart.memory.wordings import examples

if TYPE_CHECKING:
    from byheart.memory.parts import Parts, Progress
    from byheart.models.lm import LanguageModel

ADAM = 12  # bytes a weight beside the model: a gradient in its type counted as 4, two float32 moments
PER_TOKEN = 40  # hidden-size numbers that a layer keeps of a token for the backward pass
ANSWERS = 0.35  # of a training step's seconds: what the exams before and after take for each step's worth of lessons


def study(
    memory: Parts,
    drafts: Sequence[Engram],
    lessons: Sequence[Lesson],
    *,
    strategy: Any,
    path: Path | None,
    seed: int,
    progress: Progress | None,
) -> Studied:
    """The lessons, written to `path` as lines of JSON if one is given; see `Memory.study`."""
    if not lessons:
        raise BadInput("nothing to ask about in that source; give question/answer pairs, or fuller sentences")
    sources = {d.id: d.source for d in drafts}
    rows = tuple(
        {
            "question": x.question,
            "answer": x.answer,
            "wordings": list(x.wordings),
            "held": list(x.held),
            **({"source": sources[x.engram]} if sources.get(x.engram) else {}),
        }
        for x in lessons
    )
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        except OSError as error:
            raise BadInput(f"cannot write {path}: {error.strerror}; give another path") from error
    if progress:
        progress("timing a step", 0, 1)
    seconds, size = _cost(memory.live.lm, lessons, strategy, seed)
    if progress:
        progress("timing a step", 1, 1)
    return Studied(lessons=rows, seconds=round(seconds, 1), bytes=size, path=str(path) if path else None)


def _cost(lm: LanguageModel, lessons: Sequence[Lesson], strategy: Any, seed: int) -> tuple[float, int]:
    """Seconds and bytes, from one step's forward and backward pass over a batch as training has it.

    A batch is counted thrice: once for the new, and as much again for rehearsal and for its teacher.
    """
    from byheart.train.stream import collate

    recipe = recipes.make(strategy, lm, lessons, seed=seed)
    batch, steps = recipe.settings.batch_size, recipe.settings.steps or 1
    rows = examples(lm, lessons[:batch], copies=max(1, -(-batch // max(1, len(lessons)))), seed=seed)[:batch]
    parameters = list(lm.model.parameters())
    started = time.perf_counter()
    try:
        read = lm.reader(collate(rows, lm.device))
        read.losses().mean().backward()
    finally:
        for p in parameters:
            p.grad = None
    step = 2.0 * (time.perf_counter() - started)
    tokens = 3 * sum(len(r["input_ids"]) for r in rows)
    config: Any = lm.model.config
    width, layers = config.hidden_size, config.num_hidden_layers
    weights = sum(p.numel() * p.element_size() for p in parameters)
    each = parameters[0].element_size()
    kept = tokens * (PER_TOKEN * width * layers * each + 3 * 4 * config.vocab_size)
    size = 4 * weights + ADAM * sum(p.numel() for p in parameters) + kept
    return steps * step * (1 + ANSWERS), int(size)
