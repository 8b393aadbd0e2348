"""Carrying out what updaters propose, in a store of its own: what studies of experience start from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from byheart.core.protocols import Embedder
from byheart.core.records import Op
from byheart.store.sqlite import Store


@contextmanager
def scratch(embedder: Embedder) -> Iterator[Store]:
    """An empty store that is gone afterwards.

    >>> from byheart.models.embedder import HashEmbedder
    >>> with scratch(HashEmbedder()) as store:
    ...     store.count()
    0
    """
    with tempfile.TemporaryDirectory() as folder, Store(folder, dimension=embedder.dimension) as store:
        yield store


def carry_out(store: Store, embedder: Embedder, ops: Sequence[Op]) -> None:
    """Do in one transaction what an updater proposes: what is replaced or deleted becomes history."""
    with store.transaction():
        for op in ops:
            if op.target is not None and op.kind in ("replace", "delete"):
                store.update([op.target], state="superseded")
            if op.engram is not None and op.kind in ("add", "append", "replace"):
                store.add([op.engram], embedder.encode([op.engram.text]))
