"""CLINC150 for a study: requests drawn once for a seed with their sentence vectors, and streams of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from byheart.models.embedder import HashEmbedder, SentenceEmbedder
from byheart.study.base.comparison import Comparison
from byheart.study.base.stream import Run
from byheart.train.loop import Settings
from byheart.train.stream import collate
from byheart.world.stream import intents
from byheart.world.stream.task import Task


class Requests:
    """`classes` intents of a public set, drawn from `seed`. Streams differ in the order of the intents.

    MiniLM encodes the requests once. Without `data` ten invented intents are used with vectors of hashed words.

    >>> [len(t.train) for t in Requests(None, train=3).stream(tasks=2)]
    [15, 15]
    """

    def __init__(self, data: Path | None, *, classes: int = 10, train: int = 60, test: int = 20, seed: int = 0) -> None:
        available = intents.read(data) if data else intents.invented(seed=seed)
        chosen = np.random.default_rng(seed).permutation(len(available))[:classes].tolist()
        self.intents = [
            intents.Intent(available[i].name, available[i].train[:train], available[i].test[:test]) for i in chosen
        ]
        embedder = SentenceEmbedder() if data else HashEmbedder()
        texts = sorted({t for i in self.intents for t in (*i.train, *i.test)})
        self.vectors = dict(zip(texts, embedder.encode(texts), strict=True))
        self.inputs = len(self.vectors[texts[0]])
        self.classes = len(self.intents)

    def stream(self, *, tasks: int, seed: int = 0) -> list[Task]:
        """All intents in an order drawn from `seed`, in equal tasks."""

        def read(texts: Sequence[str]) -> NDArray[np.float32]:
            return np.stack([self.vectors[t] for t in texts])

        return intents.stream(self.intents, read, tasks=tasks, seed=seed)


@dataclass(frozen=True)
class Size:
    """Numbers of class orders, classes, tasks, training and test requests of a class, and requests in memory."""

    orders: int
    classes: int
    tasks: int
    train: int
    test: int
    memory: int


class OnRequests(Comparison[Size]):
    """A comparison on a stream of requests. Intents arrive in tasks, in batches of ten, and are seen once.

    NAME_bias is the share of test requests of earlier tasks that an arm classifies as an intent of the last task.
    """

    needs = "clinc150"
    training = Settings(epochs=1, batch_size=10, clip=0.0)
    widths = (256,)

    def world(self, size: Size, seed: int, data: Path | None) -> Requests:
        return Requests(data, classes=size.classes, train=size.train, test=size.test, seed=seed)

    def stream(self, size: Size, seed: int, world: Requests) -> Sequence[Task]:
        return world.stream(tasks=size.tasks, seed=seed)

    @torch.no_grad()
    def more(self, done: Run, stream: Sequence[Task]) -> dict[str, float]:
        """The bias to the newest intents."""
        newest = torch.tensor(sorted({e["labels"] for e in stream[-1].test}))
        earlier = collate([e for t in stream[:-1] for e in t.test])
        return {"bias": float(torch.isin(done.model(earlier["x"]).logits.argmax(-1), newest).float().mean())}
