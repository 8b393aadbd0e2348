"""What a `Memory` is made of: its store, models, weights and versions, each loaded when it is first used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from byheart.core.errors import BadInput, ByheartError
from byheart.core.records import Version
from byheart.memory.lessons import Lesson
from byheart.memory.methods import Methods
from byheart.recall.systems import FORMER, System
from byheart.store.base import AnyStore
from byheart.store.folder import Folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from byheart.core.protocols import Embedder, Subject
    from byheart.memory.versions import Weighing
    from byheart.models.embedder import Remembered
    from byheart.models.endpoint import Usage
    from byheart.models.pairs import PairScorer
    from byheart.store.weights import Weights

Progress = Callable[[str, int, int], None]
"""What `progress` is: called with the stage's name, how many steps are done, and of how many."""
USES = 64
REMEMBERED = 50_000  # texts whose vectors are kept while a memory is open


class Parts:
    """The parts behind the verbs. `folder`, `store` and the two names are set by whoever opens it.

    `save_every` is the least number of seconds between two checkpoints of a lesson.
    """

    save_every: float = 30.0
    folder: Folder
    store: AnyStore
    model_name: str
    address_given: bool
    embedder_name: str
    uses: Counter[str]
    owner: str | None
    system: System
    methods: Methods

    @property
    def model(self) -> Any:
        """The live transformers model, after `at_head` loaded the current version's weights into it.

        Raises `BadInput` where the model is an endpoint.
        """
        return self.at_head().lm.model

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, the same for all versions: reading it loads no version's weights.

        Raises `BadInput` where the model is an endpoint.
        """
        return self.live.lm.tokenizer

    @property
    def head(self) -> Version:
        """The current version."""
        return self.store.version(self.store.head() or "v0")

    def at_head(self) -> Weighing:
        """Load the current version's weights into the live model, and give that.

        Does nothing where they are loaded. Else another process moved the current version, or this one looked at
        another: the tensors that differ are copied in place, in every reference to the model.
        """
        self.live.apply(self.head.weights)
        return self.live

    def subject_at_head(self) -> Subject:
        """What answers: the endpoint, or the model after `at_head` loaded the current version's weights into it."""
        return self.endpoint or self.at_head().lm

    @cached_property
    def live(self) -> Weighing:
        """The live model with whatever version's weights it has; read from disk on first use, as v0.

        Raises `BadInput` where the model is an endpoint.
        """
        from byheart.memory.versions import Weighing
        from byheart.models.lm import load

        if self.endpoint is not None:
            raise BadInput(f"{self.model_name} is an endpoint, whose weights cannot be reached; use a local model")
        return Weighing(load(self.model_name), self.weights)

    @cached_property
    def endpoint(self) -> Any:
        """The model behind an address, where the model is an address; None else.

        The environment's key goes only to an address that was named when the memory was opened, not to what a folder
        says.
        """
        if not self.model_name.startswith(("http://", "https://")):
            return None
        from byheart.models.endpoint import Endpoint

        url, _, name = self.model_name.partition("#")
        return Endpoint(url, name or "default", key=None if self.address_given else "")

    @property
    def usage(self) -> Usage:
        """What the endpoint was asked since the memory was opened; nothing where the model is no endpoint."""
        from byheart.models.endpoint import Usage

        return Usage() if self.endpoint is None else self.endpoint.usage

    @cached_property
    def weights(self) -> Weights:
        """The stored tensors of all versions."""
        from byheart.store.weights import Weights

        return Weights(self.folder.weights)

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, loaded on first use."""
        from byheart.models.embedder import load_embedder

        return load_embedder(self.embedder_name)

    @cached_property
    def remembered(self) -> Remembered:
        """The embedder with what it has encoded of statements and lessons since something was forgotten last."""
        from byheart.models.embedder import Remembered

        return Remembered(self.embedder, most=REMEMBERED)

    def scorer(self, name: str) -> PairScorer:
        """A cross-encoder, loaded once."""
        from byheart.models.pairs import PairScorer

        return self.scorers.setdefault(name, PairScorer(name))

    @cached_property
    def scorers(self) -> dict[str, PairScorer]:
        """The cross-encoders that were asked for."""
        return {}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embedder.encode(list(texts))

    def lessons_of(self, version: Version) -> list[Lesson]:
        """What a version's weights were taught, its ancestors' lessons first."""
        return [
            Lesson(engram, **payload) for v in self.lineage(version) for engram, payload in self.store.lessons(v.id)
        ]

    def lineage(self, version: Version) -> list[Version]:
        """A version and its ancestors, the untaught model first."""
        chain = [version]
        while chain[-1].parent:
            chain.append(self.store.version(chain[-1].parent))
        return chain[::-1]

    def next_version(self) -> str:
        """The first unused name of the form v1, v2, ..."""
        return f"v{max(int(v.id[1:]) for v in self.store.versions()) + 1}"

    def used(self, ids: Iterable[str]) -> None:
        """Count a use of engrams; written now and then, and on closing, so a kill may lose some counts."""
        self.uses.update(ids)
        if self.uses.total() >= USES:
            self.note_uses()

    def note_uses(self) -> None:
        """Write down how often engrams were used; what cannot be written now, for whatever reason, is no error."""
        if self.uses:
            with suppress(ByheartError):
                self.store.use(self.uses, self.now())
                self.uses.clear()

    def reload(self) -> None:
        """Drop the live model, whatever state an interrupted training left it in; the next use loads it anew."""
        self.__dict__.pop("live", None)

    def tidy(self) -> None:
        """Delete stored tensors and blobs that no version needs."""
        keep: set[str] = set()
        for v in self.store.versions():
            keep.update(v.weights.values())
            keep.update(b for b in (v.adapter, v.state) if b)
        self.weights.collect(keep)

    def note_copy(self, path: Path, version: str) -> None:
        """Remember where a copy went, so that `forget` can name it."""
        copies = self.store.setting("copies", {})
        self.store.set_setting("copies", {**copies, str(path.resolve()): version})

    @staticmethod
    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    def _agree(self, key: str, wanted: str | None, default: str) -> str:
        """The name that the folder holds; a new folder takes the one wanted."""
        stored = self.store.setting(key)
        if stored is None:
            self.store.set_setting(key, wanted or default)
            return wanted or default
        name = FORMER.get(stored, stored)
        if wanted is not None and wanted != name:
            raise BadInput(
                f"{self.folder.path} was made with {key} {name!r}, not {wanted!r}; open it without {key}=, "
                "or make another folder"
            )
        return str(name)
