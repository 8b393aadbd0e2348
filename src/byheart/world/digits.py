"""Task streams of handwritten digits, from scikit-learn's 1,797 images of 8 x 8 pixels: nothing to download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from byheart.core.errors import BadInput

Scenario = Literal["task", "domain", "class"]


@dataclass(frozen=True)
class Task:
    """One task of a stream: examples to train on and others to test on."""

    name: str
    train: list[dict[str, Any]]
    test: list[dict[str, Any]]


@cache
def _images() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)


def split(
    *, scenario: Scenario = "class", tasks: int = 5, seed: int = 0, train: int | None = None, test: float = 0.3
) -> list[Task]:
    """Split digits: each task holds ten / `tasks` of the digits, in an order drawn from `seed`.

    The scenarios are those of van de Ven & Tolias 2019 (arXiv:1904.07734): "task" says at test time
    which task an image is of (a `mask` over the classes goes with it), "domain" asks only for the place
    of the digit within its task, "class" asks for the digit among all. `train` limits the images of a
    task; `test` is the share held out.

    >>> stream = split(scenario="domain", seed=1)
    >>> len(stream), sorted({e["labels"] for e in stream[0].train})
    (5, [0, 1])
    """
    if 10 % tasks:
        raise BadInput(f"ten digits do not make {tasks} equal tasks; give 1, 2, 5 or 10")
    rng = np.random.default_rng(seed)
    pixels, labels = _images()
    digits = rng.permutation(10)
    each = 10 // tasks
    out = []
    for t in range(tasks):
        own = digits[t * each : (t + 1) * each].tolist()
        rows = [i for i in rng.permutation(len(labels)).tolist() if int(labels[i]) in own]
        cut = int(len(rows) * test)
        mask = torch.zeros(10, dtype=torch.bool)
        mask[own] = True
        made = []
        for i in rows:
            digit = int(labels[i])
            example: dict[str, Any] = {"x": pixels[i], "labels": own.index(digit) if scenario == "domain" else digit}
            if scenario == "task":
                example["mask"] = mask
            made.append(example)
        name = "digits " + " ".join(map(str, own))
        out.append(Task(name, made[cut:][:train], made[:cut]))
    return out


def permuted(*, tasks: int = 5, seed: int = 0, train: int | None = None, test: float = 0.3) -> list[Task]:
    """Permuted digits: the same ten classes, every task with its own order of the pixels (the first with theirs).

    >>> [len(t.train) for t in permuted(tasks=2, train=100)]
    [100, 100]
    """
    rng = np.random.default_rng(seed)
    order = [np.arange(64), *(rng.permutation(64) for _ in range(tasks - 1))]
    return [_whole(f"permutation {n}", lambda x, o=o: x[..., o], rng, train, test) for n, o in enumerate(order)]


def rotated(
    *, angles: Sequence[float] = (0, 30, 60, 90, 120), seed: int = 0, train: int | None = None, test: float = 0.3
) -> list[Task]:
    """Rotated digits: the same ten classes, every task turned by another angle in degrees.

    >>> [t.name for t in rotated(angles=(0, 90), train=10)]
    ['0 degrees', '90 degrees']
    """
    from scipy.ndimage import rotate

    rng = np.random.default_rng(seed)

    def turn(angle: float) -> Any:
        def turned(x: Tensor) -> Tensor:
            images = rotate(x.numpy().reshape(-1, 8, 8), angle, axes=(1, 2), reshape=False, order=1)
            return torch.tensor(images.reshape(-1, 64).clip(0, 1), dtype=torch.float32)

        return turned

    return [_whole(f"{a:g} degrees", turn(a), rng, train, test) for a in angles]


def _whole(name: str, change: Any, rng: np.random.Generator, train: int | None, test: float) -> Task:
    """A task of all ten classes with every image changed alike; another split of the images for each task."""
    pixels, labels = _images()
    changed = change(pixels)
    rows = rng.permutation(len(labels)).tolist()
    cut = int(len(rows) * test)
    made = [{"x": changed[i], "labels": int(labels[i])} for i in rows]
    return Task(name, made[cut:][:train], made[:cut])
