"""Two tiny subjects that every strategy is run on: a Llama of two layers and a perceptron on digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from byheart.core.strategy import Strategy
from byheart.models import tiny
from byheart.train.loop import Settings, train


class Perceptron(nn.Module):
    """64 pixels, 16 hidden units, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(64, 16)
        self.above = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(torch.tanh(self.below(x)))


def text_tasks() -> list[list[dict[str, Any]]]:
    """Two tasks of ten token sequences (6 to 12 long, vocabulary 64); the first two tokens are not scored."""
    g = torch.Generator().manual_seed(11)
    tasks = []
    for _ in range(2):
        rows = []
        for _ in range(10):
            ids = torch.randint(3, 64, (int(torch.randint(6, 13, (1,), generator=g)),), generator=g).tolist()
            rows.append({"input_ids": ids, "labels": [-100, -100, *ids[2:]]})
        tasks.append(rows)
    return tasks


def digit_tasks() -> list[list[dict[str, Any]]]:
    """Ten images of the digits 0 to 4, then ten of 5 to 9."""
    digits = load_digits()
    pixels = torch.tensor(digits.data / 16, dtype=torch.float32)
    tasks = []
    for low, high in ((0, 5), (5, 10)):
        chosen = [i for i, y in enumerate(digits.target) if low <= y < high][:10]
        tasks.append([{"x": pixels[i], "labels": int(digits.target[i])} for i in chosen])
    return tasks


def perceptron() -> nn.Module:
    state = torch.get_rng_state()
    torch.manual_seed(5)
    built = Perceptron()
    torch.set_rng_state(state)
    return built


def llama() -> nn.Module:
    return tiny.model(3, width=32, vocabulary=64)


@dataclass
class Bench:
    """A starting model, two tasks, and settings under which two stages take eight optimizer steps."""

    kind: str
    build: Callable[[], nn.Module]
    tasks: list[list[dict[str, Any]]]
    settings: Settings = field(default_factory=lambda: Settings(lr=1e-2, steps=4, batch_size=4, accumulation=2, seed=1))

    def run(self, strategies: Sequence[Strategy], model: nn.Module | None = None) -> nn.Module:
        """Train a fresh model on both tasks."""
        model = model or self.build()
        old: list[dict[str, Any]] = []
        for index, task in enumerate(self.tasks):
            train(model, task, strategies, self.settings, index=index, old=old)
            old = [*old, *task]
        return model


BENCHES = {
    "lm": Bench("lm", llama, text_tasks()),
    "classifier": Bench("classifier", perceptron, digit_tasks()),
}


def same(left: nn.Module | dict[str, Tensor], right: nn.Module | dict[str, Tensor]) -> bool:
    """Bit for bit, under the same names."""
    a = left if isinstance(left, dict) else left.state_dict()
    b = right if isinstance(right, dict) else right.state_dict()
    return list(a) == list(b) and all(torch.equal(a[n], b[n]) for n in a)
