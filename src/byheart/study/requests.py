"""CLINC150 for a study: requests drawn once for a seed, with their sentence vectors, then streams in any order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from byheart.models.embedder import HashEmbedder, SentenceEmbedder
from byheart.world import intents
from byheart.world.digits import Task


class Requests:
    """So many intents of a public set, drawn from `seed`, read by MiniLM once; streams differ in the intents' order.

    Without `data` the intents are the ten invented ones and the vectors those of hashed words.

    >>> [len(t.train) for t in Requests(None, train=3).stream(tasks=2)]
    [15, 15]
    """

    def __init__(self, data: Path | None, *, classes: int = 10, train: int = 60, test: int = 20, seed: int = 0) -> None:
        found = intents.read(data) if data else intents.invented(seed=seed)
        chosen = np.random.default_rng(seed).permutation(len(found))[:classes].tolist()
        self.intents = [intents.Intent(found[i].name, found[i].train[:train], found[i].test[:test]) for i in chosen]
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
