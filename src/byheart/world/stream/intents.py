"""Streams of intents: short requests by what they ask for, as sentence vectors, new intents in every task.

Read from CLINC150 (Larson et al. 2019, arXiv:1909.02027) or Banking77 (Casanueva et al. 2020, arXiv:2003.04807)
where a folder with their files is given; else requests about invented people, ten intents.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.world.facts.people import RELATIONS, people
from byheart.world.stream.task import Task


@dataclass(frozen=True)
class Intent:
    """One intent: requests to train on and others to test on."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def read(folder: Path) -> list[Intent]:
    """Intents of CLINC150 (`data_full.json`, but what is out of scope) or Banking77 (`train.csv`, `test.csv`)."""
    if (folder / "data_full.json").is_file():
        data = json.loads((folder / "data_full.json").read_text(encoding="utf-8"))
        parts = [data["train"], data["test"]]
    elif (folder / "train.csv").is_file() and (folder / "test.csv").is_file():
        parts = []
        for name in ("train", "test"):
            with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
                parts.append([(row["text"], row["category"]) for row in csv.DictReader(file)])
    else:
        raise BadInput(f"{folder} holds neither data_full.json nor train.csv and test.csv; give CLINC150 or Banking77")
    names = sorted({label for _, label in parts[0]})
    by_name = [{n: [t for t, label in part if label == n] for n in names} for part in parts]
    return [Intent(n, tuple(by_name[0][n]), tuple(by_name[1][n])) for n in names]


def invented(*, seed: int = 0, train: int = 12, test: int = 6) -> list[Intent]:
    """Ten intents without any file: questions about people who do not exist, in three wordings.

    >>> len(invented()), len(invented(train=3)[0].train)
    (10, 3)
    """
    names = [person[0].subject for person in people(train + test, seed=seed)]
    out = []
    for relation in RELATIONS:
        forms = (relation.question, *relation.paraphrases)
        texts = [forms[n % len(forms)].replace("{s}", name) for n, name in enumerate(names)]
        out.append(Intent(relation.name, tuple(texts[:train]), tuple(texts[train:])))
    return out


def stream(
    intents: Sequence[Intent],
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    *,
    tasks: int = 10,
    classes: int | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> list[Task]:
    """A class-incremental stream: `classes` intents (all, if None) in an order drawn from `seed`, in equal tasks.

    Examples are `{"x": vector (D,), "labels": class}`, classes numbered in the order in which they come;
    `train` and `test` limit the requests of an intent. Vectors are scaled to entries of about unit size.
    """
    count = len(intents) if classes is None else classes
    if not 0 < count <= len(intents) or count % tasks:
        raise BadInput(f"{count} of {len(intents)} intents do not make {tasks} equal tasks; give classes= and tasks=")
    rng = np.random.default_rng(seed)
    chosen = [intents[i] for i in rng.permutation(len(intents))[:count]]
    splits = [(i.train[:train], i.test[:test]) for i in chosen]
    texts = [t for both in splits for part in both for t in part]
    vectors = torch.from_numpy(np.array(encode(texts), dtype=np.float32))
    rows = iter(vectors * vectors.shape[1] ** 0.5)
    made: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = []
    for label, (a, b) in enumerate(splits):
        made.append(([{"x": next(rows), "labels": label} for _ in a], [{"x": next(rows), "labels": label} for _ in b]))
    each = count // tasks
    out = []
    for t in range(tasks):
        own = made[t * each : (t + 1) * each]
        out.append(Task(f"intents {t}", [e for a, _ in own for e in a], [e for _, b in own for e in b]))
    return out
