"""ULMFiT: lower layers learn later and slower, at rates that rise shortly and fall long."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.anatomy import embeddings, layers


class ULMFiT(Strategy):
    """Gives every layer a lower rate than the one above it, and lets them start to learn from the top down.

    Features near the input serve every task, features near the output the old one: what is general is changed least
    and last. The rate rises quickly to where the new task is learned, then falls slowly.

    layer l of L: lr_l = lr fall^-(L - l), learns from epoch L - l on;
    lr_t = lr (1 + p (ratio - 1)) / ratio, p = t / cut for t < cut, (1 - t) / (1 - cut) after it, t the share done

    Parameters
    ----------
    gradual: unfreeze one layer more in each epoch; off, all layers learn at once (as the language model is tuned).
    fall: how many times slower a layer learns than the one above; 2.6 in the paper.
    cut: the share of the steps in which the rate rises; 0.1. ratio: of the highest rate to the lowest; 32.

    Departs from the paper: Adam, as everywhere here, has its usual momenta (the paper lowers the first to 0.7).

    >>> from byheart.nets.perceptron import Perceptron
    >>> from byheart.train.loop import Settings, train
    >>> guard, rows = ULMFiT(), [{"x": __import__("torch").ones(64), "labels": 1}]
    >>> _ = train(Perceptron(), rows, [guard], Settings(steps=1))
    >>> [round(guard.groups(Perceptron())[n], 3) for n in ("layers.0.weight", "layers.1.weight")]
    [0.148, 0.385]

    References: Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
    arXiv:1801.06146, equations 2 and 3 and section 3.3.
    """

    name = "ulmfit"
    arxiv = "1801.06146"

    neutral: ClassVar[dict[str, Any]] = {"gradual": False, "fall": 1.0, "ratio": 1.0}

    def __init__(self, *, gradual: bool = True, fall: float = 2.6, cut: float = 0.1, ratio: float = 32.0) -> None:
        if fall < 1 or ratio < 1 or not 0 < cut < 1:
            raise BadInput(f"fall={fall}, ratio={ratio}, cut={cut}: give 1 or more for the first two, a share for cut")
        self.gradual, self.fall, self.cut, self.ratio = gradual, fall, cut, ratio
        self.depth: dict[str, int] = {}

    def begin(self, stage: Stage) -> None:
        blocks = layers(stage.model)
        self.depth = {n: len(blocks) - i for i, names in enumerate(blocks) for n in names}
        self.depth |= dict.fromkeys(embeddings(stage.model), len(blocks) + 1)

    def groups(self, model: nn.Module) -> dict[str, float]:
        return {} if self.fall == 1 else {n: self.fall**-d for n, d in self.depth.items()}

    def rate(self, progress: float) -> float:
        share = progress / self.cut if progress < self.cut else (1 - progress) / (1 - self.cut)
        return (1 + share * (self.ratio - 1)) / self.ratio

    def gradients(self, step: Step) -> None:
        epoch = step.index // -(-len(step.stage.examples) // step.stage.batch_size)
        for name, p in step.model.named_parameters():
            if self.gradual and self.depth.get(name, 0) > epoch:
                p.grad = None
