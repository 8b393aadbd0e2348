"""Task streams of handwritten digits, from scikit-learn's 1,797 images of 8 x 8 pixels: nothing to download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from byheart.core.errors import BadInput
from byheart.world.stream.task import Task

Scenario = Literal["task", "domain", "class"]


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


def turned(*, positions: int, seed: int, train: int) -> list[Task]:
    """Digits turned by quarters (positions 0 to 3) and mirrored besides (4 to 7), five classes to a task.

    >>> tasks = turned(positions=8, seed=0, train=50)
    >>> len(tasks), len({e["labels"] for t in tasks for e in t.train}), {int(e["mask"].sum()) for e in tasks[0].test}
    (16, 80, {5})
    """
    out = []
    for position in range(positions):
        for half in split(scenario="task", tasks=2, seed=positions * seed + position, train=train):
            train_set, test_set = (
                [_placed(example, position, positions) for example in part] for part in (half.train, half.test)
            )
            out.append(Task(f"{half.name} in position {position}", train_set, test_set))
    return [out[i] for i in np.random.default_rng(seed).permutation(len(out))]


def _placed(example: dict[str, Any], position: int, positions: int) -> dict[str, Any]:
    """The image in its position, its class and mask among those of all positions."""
    image = torch.rot90(example["x"].reshape(8, 8), position % 4)
    mask = torch.zeros(10 * positions, dtype=torch.bool)
    mask[10 * position : 10 * (position + 1)] = example["mask"]
    return {
        "x": (image.T if position >= 4 else image).flatten(),
        "labels": 10 * position + example["labels"],
        "mask": mask,
    }
