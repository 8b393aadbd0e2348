"""A long dialogue in a store of its own, which studies of text memory search with their retrievers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import TracebackType

from byheart.core.records import Engram
from byheart.exam import retrieval
from byheart.models.embedder import HashEmbedder, Remembered, SentenceEmbedder
from byheart.store.sqlite import Store
from byheart.world.dialogue.dialogues import Dialogue, Probe, invented, read

TUNING = 2
"""How many dialogues, the first of a set, settings may be chosen on."""


class Conversation:
    """The dialogue of a seed, its turns as engrams `t0`, `t1`, ... with MiniLM's vectors.

    With `data`, a public set, seeds of 100 and more give one of its first two dialogues, on which settings are chosen.
    Other seeds give the rest in turn. Without `data` the dialogue is invented and the vectors are those of hashed
    words. Pass an `embedder` to share it between conversations.

    >>> with Conversation(None, seed=0) as conversation:
    ...     len(conversation.store.all()) == len(conversation.dialogue.turns)
    True
    """

    def __init__(self, data: Path | None, *, seed: int, embedder: Remembered | None = None) -> None:
        self.dialogue = chosen(read(data), seed) if data else invented(seed=seed)
        self.embedder = embedder or Remembered(SentenceEmbedder() if data else HashEmbedder())
        self._folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self._folder.name) / "dialogue", dimension=self.embedder.dimension)
        engrams = [
            Engram(
                id=f"t{n}",
                text=t.text.strip() or "…",
                source=t.session,
                position=t.place,
                speaker=t.speaker,
                created="",
            )
            for n, t in enumerate(self.dialogue.turns)
        ]
        vectors = self.embedder.encode([f"{e.speaker}: {e.text}" for e in engrams])
        self.ids = [e.id for e in self.store.add(engrams, vectors)]

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()
        self._folder.cleanup()

    def wanted(self, probe: Probe) -> tuple[str, ...]:
        """Identifiers of the engrams whose turns hold the answer."""
        return tuple(dict.fromkeys(self.ids[t] for t in probe.turns))

    def sessions(self, ranked: Callable[[str], Sequence[str]], k: int) -> dict[str, float]:
        """Recall and NDCG of the first `k` sessions that `ranked` gives for a question, means over the questions."""
        rankings = [(ranked(p.text), p.sessions) for p in self.dialogue.probes if p.sessions]
        return {name: fmean(measure(got, wanted, k) for got, wanted in rankings) for name, measure in MEASURES.items()}


MEASURES: Mapping[str, Callable[[Sequence[str], Sequence[str], int], float]] = {
    "recall": retrieval.recall,
    "all": retrieval.recall_all,
    "ndcg": retrieval.ndcg,
}


def chosen(dialogues: Sequence[Dialogue], seed: int) -> Dialogue:
    """The dialogue of a seed; see `Conversation`."""
    few, rest = dialogues[:TUNING], dialogues[TUNING:] or dialogues
    return few[seed % len(few)] if seed >= 100 else rest[seed % len(rest)]
