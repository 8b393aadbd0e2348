"""KL to the start: stay close to what the model predicted when the stage began."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from byheart.core.strategy import Batch, Role, Stage, Step, Strategy
from byheart.kit.divergence import kl
from byheart.kit.teacher import Teacher


class KL(Strategy):
    """Penalises the divergence of the model's predictions from those it made at the stage's start.

    Distance is measured in what the model says, not in its weights, so weights may move wherever
    that changes nothing on the guarded text.

    L = CE + w KL(p_start || p), averaged over the scored positions of the batches of `roles`.

    With `replace=True` it claims the objective of role `replay`: replayed text is then only
    distilled, L = CE(new) + w KL(p_start || p on replayed text).

    List it after the strategies that add batches (`Replay`, `SelfReplay`): it looks at their pools in
    `begin` and keeps the teacher's features there, so a step pays no second forward pass.

    Parameters
    ----------
    weight: w; the paper's beta for reinforcement learning is 0.02, for supervised text 1 is common.
    roles: which batches are guarded. replace: distil replayed text instead of fitting it.
    temperature: softens both sides (see `kit.divergence.kl`).

    Departs from the paper: used beside supervised training instead of a reward, and the direction is
    forward, KL(start || model), over the whole vocabulary instead of on sampled tokens.

    >>> from byheart.learn.self_replay import SelfReplay
    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import train
    >>> guard = [SelfReplay(examples=4, length=4), KL(replace=True)]
    >>> done = train(model(), [{"input_ids": [5, 6, 7]}], guard)
    >>> abs(done.history[0]["replay"]) < 1e-5  # the teacher is the model itself at step 0
    True

    References: Ouyang et al. 2022, "Training language models to follow instructions with human
    feedback", arXiv:2203.02155, equation 2.
    """

    name = "kl"

    neutral: ClassVar[dict[str, Any]] = {"weight": 0.0}

    def __init__(
        self,
        *,
        weight: float = 1.0,
        roles: Sequence[Role] = ("new", "replay"),
        replace: bool = False,
        temperature: float = 1.0,
    ) -> None:
        self.weight, self.temperature = weight, temperature
        self.roles: tuple[Role, ...] = ("replay",) if replace else tuple(roles)
        self.replace = replace
        self.claims = frozenset({"objective:replay"}) if replace else frozenset()
        self.teacher: Teacher | None = None

    def begin(self, stage: Stage) -> None:
        self.teacher = Teacher(stage, self.roles) if self.weight else None

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        return self.weight * self._divergence(batch, read)

    def terms(self, step: Step) -> dict[str, Tensor]:
        if self.replace or self.teacher is None:
            return {}
        parts = [self._divergence(b, r) * len(r.targets) for b, r in step.of(*self.roles)]
        if not parts:
            return {}
        return {"kl": self.weight * step.mean(torch.stack(parts).sum(), *self.roles)}

    def _divergence(self, batch: Batch, read: Any) -> Tensor:
        if self.teacher is None or len(read.targets) == 0:
            return read.logits.sum() * 0.0
        return kl(self.teacher.logits(batch, read), read.logits, self.temperature)

    def end(self, stage: Stage) -> None:
        self.teacher = None
