"""Which strategies and settings a lesson is taught with: the default recipe, or what the user names."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from byheart.core import catalogue
from byheart.core.errors import BadInput
from byheart.core.strategy import Strategy

if TYPE_CHECKING:
    from byheart.memory.lessons import Lesson
    from byheart.models.lm import LanguageModel
    from byheart.train.loop import Settings


@dataclass
class Recipe:
    """How to teach one stage: strategies, training settings, and how many views of each lesson.

    Strategies that claim the same thing are refused here, before anything is examined or trained.
    """

    strategies: list[Strategy]
    settings: Settings
    copies: int
    spec: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from byheart.train.compose import Strategies

        self.composed = Strategies(self.strategies)


def make(
    spec: Any, lm: LanguageModel, lessons: Sequence[Lesson], *, general: Sequence[str] | None = None, seed: int = 0
) -> Recipe:
    """The recipe for a specification.

    `spec` is "default", a method's name, several with commas between, a list of names, of strategies or of
    `{"name": ..., "settings": {...}}`, or the `spec` of an earlier recipe. Objects are copied, not changed.
    """
    named = _named(spec)
    if named is not None and [n for n, _ in named] == ["default"]:
        return _default(lm, lessons, general=general, seed=seed)
    if named is not None:
        strategies = [catalogue.make(name, **settings) for name, settings in named]
        recorded: Any = [{"name": n, "settings": s} for n, s in named]
    else:
        strategies = [copy.deepcopy(s) for s in (spec if isinstance(spec, list | tuple) else [spec])]
        recorded = None
    for s in strategies:
        if not isinstance(s, Strategy):
            raise BadInput(f"{s!r} is no training strategy; give a name from `byheart methods` or a Strategy object")
        if type(s).reading is not Strategy.reading:
            needs = f"{type(s).__name__} answers with more than weights, and a memory keeps weights alone"
            raise BadInput(f"{needs}; use another strategy, or train with byheart.train")
    if general is not None:
        from byheart.learn.self_replay import SelfReplay

        strategies.insert(0, SelfReplay(texts=_texts(lm, general)))
    lr = next((s.taught_at for s in strategies if s.taught_at), LR)
    return Recipe(strategies, _settings(lessons, lr=lr, seed=seed), COPIES, {"strategies": recorded})


LR = 1e-4  # of full fine-tuning
COPIES = 12
VIEWS = 160
EXPOSURES = 50
REHEARSED = 5  # old examples a step, however small its batch
STEPS = 80  # few lessons are read in smaller batches rather than in fewer steps, which do not get there


def _settings(lessons: Sequence[Lesson], *, lr: float, seed: int) -> Settings:
    from byheart.train.loop import Settings

    exposures = EXPOSURES * len(lessons)
    batch = max(4, min(20, math.ceil(exposures / STEPS)))
    steps = max(24, math.ceil(exposures / batch))
    return Settings(lr=lr, steps=steps, batch_size=batch, schedule="cosine", warmup=0.05, seed=seed)


def _default(lm: LanguageModel, lessons: Sequence[Lesson], *, general: Sequence[str] | None, seed: int) -> Recipe:
    """Chosen by trials of `bench/teach.py`; docs/architecture.md tells which.

    Only the gate and up projections above the lower half move, only where the inputs of the
    model's own text do not reach, while that text is distilled; then a step back, as far as the lessons allow.
    """
    from byheart.learn.kl import KL
    from byheart.learn.null_space import NullSpace
    from byheart.learn.replay import Replay
    from byheart.learn.self_replay import SelfReplay
    from byheart.learn.spurious_forgetting import FreezeBottom
    from byheart.learn.teach_lmm_skills import Selective
    from byheart.learn.wise_ft import WiseFT

    settings = _settings(lessons, lr=1.7e-3, seed=seed)
    layers = getattr(lm.model.config, "num_hidden_layers", 1)
    texts = None if general is None else _texts(lm, general)
    strategies: list[Strategy] = [
        SelfReplay(examples=160, length=48, batch=4, start=_starts(lm), texts=texts),
        Replay(ratio=max(0.25, REHEARSED / settings.batch_size)),
        KL(weight=1.5, replace=True),
        Selective(part="gate_up"),
        FreezeBottom(layers=layers // 2, after=0),
        NullSpace(energy=0.95, remember=False, every=4, scored=True),
        WiseFT(shares=(0.9, 0.8, 0.7), keep=0.93, most=VIEWS, examples=_unseen(lm, lessons, seed)),
    ]
    return Recipe(strategies, settings, COPIES, {"strategies": "default"})


def _unseen(lm: LanguageModel, lessons: Sequence[Lesson], seed: int) -> list[dict[str, Any]]:
    """Other wordings of the lessons than those trained on, to tell how far back a step may go."""
    from byheart.memory.wordings import examples

    made = examples(lm, lessons, copies=1 + max(1, VIEWS // len(lessons)), seed=seed + 1_000_003)
    return made[len(lessons) :]


OPENINGS = (
    "What is", "Who is", "Where is", "When did", "Which", "How many", "Why do", "How does", "What are", "Who was",
    "Where do", "When was", "In which", "What does", "Is it true that", "Name", "Tell me", "Can you", "Give me",
    "What do you call", "Explain", "Complete the sentence:", "Whose", "Describe",
)  # fmt: skip


def _starts(lm: LanguageModel) -> list[list[int]]:
    """Where self-written text begins: half of it anywhere, half as a question that the model asks and answers."""
    return [s for words in OPENINGS for s in ([lm.start], lm.opened(words))]


def _texts(lm: LanguageModel, general: Sequence[str]) -> list[dict[str, Any]]:
    """General text in pieces of 64 tokens."""
    ids = [t for text in general for t in lm.text_example(text)["input_ids"]]
    pieces = [ids[i : i + 64] for i in range(0, len(ids), 64)]
    return [{"input_ids": p, "labels": list(p)} for p in pieces if len(p) > 8][:256]


def _named(spec: Any) -> list[tuple[str, dict[str, Any]]] | None:
    """(name, settings) pairs when the specification is made of names; None when it holds objects."""
    if isinstance(spec, dict):
        spec = spec.get("strategies", "default")
    if isinstance(spec, str):
        return [(n.strip(), {}) for n in spec.split(",") if n.strip()] or [("default", {})]
    if isinstance(spec, list | tuple) and spec:
        if all(isinstance(s, str) for s in spec):
            return [(s, {}) for s in spec]
        if all(isinstance(s, dict) for s in spec):
            return [(s["name"], dict(s.get("settings", {}))) for s in spec]
    return None


def label(spec: Any) -> str:
    """A short name for a specification, for the log."""
    named = _named(spec)
    if named is not None:
        return ", ".join(n for n, _ in named)
    parts = spec if isinstance(spec, list | tuple) else [spec]
    return ", ".join(type(s).__name__ for s in parts)
