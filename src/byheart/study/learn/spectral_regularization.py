"""Lewandowski et al. 2024, "Learning Continually by Spectral Regularization", arXiv:2406.06811."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from byheart.core.strategy import Stage, Step, Strategy
from byheart.learn.spectral_regularization import SpectralRegularization
from byheart.learn.wasserstein import Wasserstein
from byheart.nets.perceptron import Perceptron
from byheart.study.base.criterion import Criterion
from byheart.study.base.stream import accuracy
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings, train
from byheart.world.stream.digits import permuted


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    tasks: int
    images: int
    epochs: int
    strengths: Sequence[float] = (1e-4, 1e-3, 1e-2)


class Trainability(Study[Size]):
    """Spectral regularization against L2 to zero, L2 and Wasserstein distance to the first weights, and nothing.

    The paper trains networks on long sequences of tasks with new random labels or permutations and
    measures how well each task is still fitted. Plain training loses that ability; spectral
    regularization sustains it, fits tasks better than the other regularisers and depends less on its strength.
    Its first version also has the Wasserstein distance to the first weights, which sustains it less well.
    Here: scikit-learn's digits with new random labels in every task, 25 tasks, a perceptron with three
    hidden layers of 64 and Adam; the measure is accuracy on a task's training images when it ends, averaged
    over all tasks unless it says otherwise. All four regularisers run with the same strengths; the one
    of each that counts as its best was chosen on seeds 100 and 101. Robustness is the mean over strengths.
    """

    claim = "spectral regularization sustains trainability, beats L2 to zero and to the start, and is less sensitive"
    quote = (
        "The alternative regularizers prove to be less sensitive to hyperparameters while demonstrating "
        "better training in individual tasks, sustaining trainability as new tasks arrive, and achieving "
        "better generalization performance."
    )
    source = "abstract, sections 5.1 and 5.4"
    primary = Criterion("over_plain", says="accuracy on the last fifth of tasks above plain's", at_least=0.20)
    secondary = (
        Criterion("sustained", says="last fifth of tasks beside the first", at_least=0.0),
        Criterion("over_zero", says="at its best above L2 to zero at its best", at_least=0.05),
        Criterion("over_start", says="at its best above L2 to the start at its best", at_least=0.0),
        Criterion("over_wasserstein", says="at its best above Wasserstein at its best", at_least=0.05),
        Criterion("wasserstein_over_plain", says="Wasserstein above plain, last fifth of tasks", at_least=0.10),
        Criterion("robust_zero", says="mean over strengths above that of L2 to zero", at_least=0.10),
        Criterion("robust_start", says="mean over strengths above that of L2 to the start", at_least=0.05),
    )
    seeds = range(20, 25)
    burnt = frozenset(range(3))
    scales = Scales(
        smoke=Size(tasks=2, images=32, epochs=1),
        small=Size(tasks=25, images=160, epochs=20),
        full=Size(tasks=100, images=400, epochs=40),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        pictures = permuted(tasks=1, seed=seed, train=size.images)[0].train
        draw = torch.Generator().manual_seed(seed)
        stream = [
            [{**e, "labels": int(y)} for e, y in zip(pictures, labels, strict=True)]
            for labels in torch.randint(10, (size.tasks, len(pictures)), generator=draw)
        ]
        settings = Settings(lr=3e-3, epochs=size.epochs, batch_size=32, seed=seed)

        def fitted(strategies: list[Strategy]) -> np.ndarray:
            model, accuracies = Perceptron(widths=(64, 64, 64), seed=seed), []
            for index, task in enumerate(stream):
                train(model, task, strategies, settings, index=index)
                accuracies.append(accuracy(model, task))
            return np.array(accuracies)

        kinds: dict[str, Callable[[float], Strategy]] = {
            "spectral": lambda s: SpectralRegularization(strength=s),
            "zero": lambda s: _Pull(s, start=False),
            "start": lambda s: _Pull(s, start=True),
            "wasserstein": lambda s: Wasserstein(strength=s),
        }
        best = {"spectral": 1e-3, "zero": 1e-4, "start": 1e-4, "wasserstein": 1e-3}
        curves = {(kind, s): fitted([made(s)]) for kind, made in kinds.items() for s in size.strengths}
        plain, ours, held = fitted([]), *(curves[k, best[k]] for k in ("spectral", "wasserstein"))
        fifth = max(1, size.tasks // 5)
        at_best = {kind: float(curves[kind, s].mean()) for kind, s in best.items()}
        robust = {kind: float(np.mean([curves[kind, s].mean() for s in size.strengths])) for kind in kinds}
        return {
            **at_best,
            "plain": float(plain.mean()),
            "over_plain": float(ours[-fifth:].mean() - plain[-fifth:].mean()),
            "sustained": float(ours[-fifth:].mean() - ours[:fifth].mean()),
            "over_zero": at_best["spectral"] - at_best["zero"],
            "over_start": at_best["spectral"] - at_best["start"],
            "over_wasserstein": at_best["spectral"] - at_best["wasserstein"],
            "wasserstein_over_plain": float(held[-fifth:].mean() - plain[-fifth:].mean()),
            "robust_zero": robust["spectral"] - robust["zero"],
            "robust_start": robust["spectral"] - robust["start"],
        }


class _Pull(Strategy):
    """L2 towards zero or towards the weights before the first task, in the loss as the paper has it."""

    def __init__(self, strength: float, *, start: bool) -> None:
        self.strength, self.start = strength, start
        self.anchor: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        if not self.anchor:
            named: list[tuple[str, nn.Parameter]] = list(stage.model.named_parameters())
            self.anchor = {n: p.detach() * float(self.start) for n, p in named}

    def terms(self, step: Step) -> dict[str, Tensor]:
        moved = [(p - self.anchor[n]).square().sum() for n, p in step.model.named_parameters()]
        return {"pull": self.strength * torch.stack(moved).sum()}
