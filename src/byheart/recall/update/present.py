"""What holds now, in a store and in operations not yet carried out: an updater's view of statements in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byheart.core.protocols import Where
from byheart.core.records import Engram, Op

Vectors = NDArray[np.float32]


class StoreView(Protocol):
    """What updaters read of a store."""

    def dense(
        self, vector: ArrayLike, k: int, at: str | None = None, where: Where = None
    ) -> list[tuple[str, float]]: ...

    def cosine(self, vector: ArrayLike, ids: Sequence[str]) -> dict[str, float]: ...

    def get(self, ids: Sequence[str]) -> list[Engram]: ...

    def keyed(self, key: str, owner: str | None = None) -> list[Engram]: ...


class Present:
    """The active statements of a store with those that operations are about to add.

    A statement that replaces another takes its key; a statement without a key lends its id for a key, after a "#".

    Parameters
    ----------
    store: what has the statements.
    """

    def __init__(self, store: StoreView) -> None:
        self.store = store
        self.ops: list[Op] = []
        self.vectors: list[Vectors] = []
        self.replaced: set[str] = set()
        self.keys: dict[str, str] = {}

    def keep(self, op: Op, vector: Vectors) -> Op:
        """Take in the operation for a new statement; gives the operation with the key under which it is stored."""
        engram = op.engram
        if op.kind == "replace" and op.target is not None and engram is not None:
            self.replaced.add(op.target)
            changes = {"key": self._key(op.target), "parents": (op.target,)}
            op = op.model_copy(update={"engram": engram.model_copy(update=changes)})
        self.ops.append(op)
        self.vectors.append(vector)
        return op

    def near(self, vector: Vectors, k: int, owner: str | None) -> list[Engram]:
        """The k current statements most alike."""
        stored = self.store.dense(vector, k + len(self.replaced), where={"owner": owner})
        known = {e.id: e for e in self.store.get([i for i, _ in stored])}
        scored = [(score, known[i]) for i, score in stored]
        new = self._new(owner)
        if new:
            cosines = np.stack([self.vectors[n] for n, _ in new]) @ vector
            scored += [(float(c), e) for c, (_, e) in zip(cosines, new, strict=True)]
        scored.sort(key=lambda pair: -pair[0])
        return [e for _, e in scored if e.id not in self.replaced][:k]

    def line(self, engram: Engram) -> list[Engram]:
        """The statements under the same key, the engram included."""
        key = engram.key or self.keys.get(engram.id)
        if key is None:
            return [engram]
        stored = self.store.get([key[1:]]) if key[1:] in self.keys else []
        stored += self.store.keyed(key, engram.owner)
        return [*stored, *(e for _, e in self._new(engram.owner) if e.key == key)] or [engram]

    def cosine(self, vector: Vectors, ids: Sequence[str]) -> dict[str, float]:
        """How alike these are to a vector."""
        places = {op.engram.id: n for n, op in enumerate(self.ops) if op.engram is not None}
        own = {i: float(self.vectors[places[i]] @ vector) for i in ids if i in places}
        return {**self.store.cosine(vector, [i for i in ids if i not in own]), **own}

    def _new(self, owner: str | None) -> list[tuple[int, Engram]]:
        return [(n, op.engram) for n, op in enumerate(self.ops) if op.engram is not None and op.engram.owner == owner]

    def _key(self, target: str) -> str:
        for n, op in enumerate(self.ops):
            if op.engram is not None and op.engram.id == target:
                key = op.engram.key or f"#{target}"
                self.ops[n] = op.model_copy(update={"engram": op.engram.model_copy(update={"key": key})})
                return key
        engram = self.store.get([target])[0]
        if engram.key is None:
            self.keys[target] = f"#{target}"
        return engram.key or f"#{target}"
