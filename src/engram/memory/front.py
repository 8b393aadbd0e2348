"""`Memory`: engrams and their model in one folder, behind a dozen verbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engram.core.errors import BadInput, Conflict
from engram.core.records import Answer, Certificate, Engram, Hit, Learned, Version
from engram.memory import account
from engram.memory.lessons import Lesson, drafted, general_texts, lessons_in
from engram.models import source
from engram.store.folder import Folder, within
from engram.store.move import refuse_unfinished
from engram.store.opening import exists, open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engram.core.protocols import Embedder, Subject
    from engram.memory.versions import Weighing
    from engram.store.weights import Weights

Progress = Callable[[str, int, int], None]
MODEL, EMBEDDER = "smollm2-135m", "minilm"
Name = str | None
Source = str | Path | Sequence[str | dict[str, Any]]


class Memory:
    """A collection of engrams with its model, on disk. Make one with `Memory.open`.

    Models and indexes are loaded when a verb first needs them, so `remember` and `recall` never wait
    for the language model. `progress`, wherever it is taken, is called with (what, done, of).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     with Memory.open(home, model="tiny", embedder="hash") as memory:
    ...         _ = memory.remember("Marta Kask signs off travel.")
    ...         memory.recall("who signs off travel?", k=1)[0].text
    'Marta Kask signs off travel.'
    """

    def __init__(
        self, path: str | Path, *, model: Name = None, embedder: Name = None, store: Name = None, namespace: Name = None
    ) -> None:
        path = within(path, namespace)
        if not exists(path):
            source.vet("model", model or MODEL)
            source.vet("embedder", embedder or EMBEDDER)
        self.folder = Folder(path)
        self.store = open_store(self.folder, store)
        self.save_every = 30.0
        try:
            refuse_unfinished(self.store)
            self.model_name = self._agree("model", model, MODEL)
            self.embedder_name = self._agree("embedder", embedder, EMBEDDER)
        except BaseException:
            self.store.close()
            raise
        if self.store.setting("purge"):
            from engram.memory.forgetting import finish

            finish(self)
        if self.store.head() is None:
            first = Version(id="v0", created=self.now(), message="the model as it came")
            with self.store.transaction():
                if self.store.head() is None:
                    self.store.put_version(first)
                    self.store.set_head(first.id)

    @classmethod
    def open(
        cls, path: str | Path, model: Name = None, embedder: Name = None, store: Name = None, *, namespace: Name = None
    ) -> Memory:
        """Open the memory in a folder, or create it.

        Parameters
        ----------
        path: the folder.
        model: `smollm2-135m` (the default of a new memory), `tiny`, a hub id, a local folder, or the
            URL of an OpenAI-compatible endpoint, with the model's name after `#` (which then reads
            and writes, but cannot be taught). An existing memory keeps the model it was made with.
        embedder: `minilm` (the default), `hash` (no model), a hub id or a local folder.
        store: `postgresql://user@host/database#name` for a new memory whose engrams are kept there
            (PostgreSQL with pgvector, the extra `postgres`); the folder keeps the weights and the
            address without its password, which comes from here, `PGPASSWORD` or `~/.pgpass`.
        namespace: a memory of its own within the folder, for one user of many: it shares no text, no index, no
            statistics and no weights with any other. Listed by `namespaces(path)`.

        Raises `BadInput` when the path is no memory or was made with another model or store, `Unknown`
        for a model that is not known, `Newer` for a folder of a newer format, `Conflict` for a copy
        that was not finished.
        """
        return cls(path, model=model, embedder=embedder, store=store, namespace=namespace)

    def close(self) -> None:
        """Close the store. Everything acknowledged is on disk already."""
        self.store.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # text
    def remember(self, source: Source, *, update: bool = False, progress: Progress | None = None) -> list[Engram]:
        """Keep something as text: a file, a text, or a list of texts or dicts.

        Dicts take `text`, `source`, `at`, `speaker`, `key`; other keys become metadata. A pair of `question`
        and `answer` is one engram. Durable and searchable when it returns; what is there already is
        not stored twice. Raises `BadInput` for a missing, binary or empty file, with nothing stored.

        What is no longer true becomes history (`history`, `recall(at=...)`): of facts with the same `key` the one
        that began last is current; passages that a file no longer has go when it is read again; and with `update`
        a statement takes the place of the one that it makes untrue, found by meaning.
        """
        from engram.memory.remembering import remember

        return remember(self, source, drafted(source, self.now()), update=update, progress=progress)

    def history(self, what: str, *, progress: Progress | None = None) -> list[Engram]:
        """What was said of one matter over time, oldest first: by the id of an engram, or by a key."""
        from engram.memory.remembering import history

        return history(self, what)

    def archive(self, ids: Sequence[str], *, progress: Progress | None = None) -> list[Engram]:
        """Put engrams out of sight of `recall`, with nothing lost; `restore` brings them back."""
        from engram.memory.remembering import archive

        return archive(self, ids, back=False)

    def restore(self, ids: Sequence[str], *, progress: Progress | None = None) -> list[Engram]:
        """Bring archived engrams back; one with a key takes its place in that key's history."""
        from engram.memory.remembering import archive

        return archive(self, ids, back=True)

    def recall(
        self,
        query: str,
        k: int = 10,
        at: str | None = None,
        where: dict[str, Any] | None = None,
        *,
        progress: Progress | None = None,
    ) -> list[Hit]:
        """The `k` best hits for a query: words, meaning, and what stands beside a hit, in one score.

        Where turns have speakers, who says them and what surrounds them count too. `at` (ISO time) asks for what
        held then; `where` filters by fields or metadata.
        """
        from engram.recall.retrieve.hybrid import Hybrid
        from engram.recall.retrieve.ranked import Ranked

        if k < 1:
            raise BadInput(f"k is {k}; ask for at least one hit")
        searched = Ranked() if self.store.setting("speakers") else Hybrid()
        return searched.search(self.store, self.embedder, query, k, at=at, where=where)

    def ask(
        self,
        question: str,
        form: Literal["auto", "text", "weights"] = "auto",
        *,
        k: int = 5,
        progress: Progress | None = None,
    ) -> Answer:
        """Answer a question from text (open book, with what it cites) or from weights (closed book).

        "auto" reads text when something relevant is remembered, and asks the weights otherwise.
        """
        from engram.memory.asking import answer

        return answer(self, question, form, k)

    # weights
    def learn(
        self,
        source: Source,
        strategy: Any = "default",
        budget: float = 0.01,
        general: str | Path | Sequence[str] | None = None,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Learned:
        """Teach the weights a file, texts, or question/answer pairs; all or nothing.

        Examined before and after. When general loss rises by more than `budget`, more than that share of
        what was taught earlier is lost, or the quiz of common knowledge surely fell by more (it is short,
        so its lower 95% limit counts), everything is put back and `committed` is False.
        `strategy` is a name from `engram methods`, several with commas between, or Strategy objects;
        `general` is text to stay fluent in (the default samples its own). Killed midway, the same
        call goes on from its last checkpoint.
        """
        from engram.memory.learning import learn

        drafts = drafted(source, self.now())
        lessons = lessons_in(drafts)
        return learn(
            self, drafts, lessons, strategy=strategy, budget=budget, general=general_texts(general), seed=seed,
            progress=progress,
        )  # fmt: skip

    def forget(
        self,
        what: str | Sequence[Any],
        method: Literal["auto", "relearn", "npo"] = "auto",
        *,
        k: int = 32,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Certificate:
        """Remove something from every form, then audit; the certificate says what was shown.

        `what` is a query (every engram that says it, word for word), ids, or question/answer pairs.
        "relearn" trains again what was taught, without the forgotten, from the last version that
        never saw it; "npo" unlearns the current weights, faster and weaker. "auto" is "relearn".
        """
        from engram.memory.forgetting import forget

        return forget(self, what, method=method, k=k, seed=seed, progress=progress)

    def exam(self, *, seed: int = 0, progress: Progress | None = None) -> dict[str, Any]:
        """What the weights recall, recognise and retain, and how general ability stands.

        Gives each exam's mean, n and 95% interval; the per-item results are stored with the version.
        """
        return account.exam(self, seed=seed, progress=progress)

    # versions
    def log(self, *, progress: Progress | None = None) -> list[Version]:
        """The versions, newest first."""
        return self.store.versions()[::-1]

    def diff(self, a: str, b: str, *, progress: Progress | None = None) -> dict[str, Any]:
        """Which facts were gained and lost between two versions, by their exams."""
        return account.diff(self, a, b)

    def revert(self, version: str, *, progress: Progress | None = None) -> Version:
        """Make an earlier version the current one; its weights come back bit for bit."""
        with self.store.lock("revert"):
            found = self.store.version(version)
            if found.erased:
                raise Conflict(f"version {found.id} was erased by forget; choose another (engram log)")
            self.weights.get(found.weights)
            self.store.set_head(found.id)
        return found

    def report(self, path: str | Path = "report.html", *, progress: Progress | None = None) -> Path:
        """Write a self-contained page on what was learned, kept, lost and forgotten."""
        return account.report(self, Path(path))

    def export(
        self,
        path: str | Path,
        version: str | None = None,
        adapter: bool = False,
        *,
        progress: Progress | None = None,
    ) -> Path:
        """Write a version as a transformers checkpoint, or (`adapter=True`) as a PEFT adapter."""
        from engram.memory.versions import export

        chosen = self.store.version(version) if version else self.head
        if chosen.erased:
            raise Conflict(f"version {chosen.id} was erased by forget; choose another (engram log)")
        export(self.weighing, chosen, Path(path), adapter=adapter)
        if chosen.taught or chosen.parent:
            self.note_copy(Path(path), chosen.id)
        return Path(path)

    def check(self, *, progress: Progress | None = None) -> list[str]:
        """Everything wrong with the folder, in words; empty when it is sound."""
        return self.store.check()

    # parts
    @property
    def model(self) -> Any:
        """The live transformers model, at the current version's weights."""
        return self.weighing.lm.model

    @property
    def tokenizer(self) -> Any:
        """The live tokenizer."""
        return self.weighing.lm.tokenizer

    @property
    def head(self) -> Version:
        """The current version."""
        return self.store.version(self.store.head() or "v0")

    @property
    def subject(self) -> Subject:
        """What answers: the model at the current version, or the endpoint."""
        return self._endpoint or self.weighing.lm

    @property
    def weighing(self) -> Weighing:
        """The live model, brought to the current version (another process may have moved it)."""
        if self._endpoint is not None:
            raise BadInput(f"{self.model_name} is an endpoint, whose weights cannot be reached; use a local model")
        self.live.apply(self.head.weights)
        return self.live

    @cached_property
    def live(self) -> Weighing:
        """The live model at whatever weights it is."""
        from engram.memory.versions import Weighing
        from engram.models.lm import load

        return Weighing(load(self.model_name), self.weights)

    @cached_property
    def _endpoint(self) -> Any:
        if not self.model_name.startswith(("http://", "https://")):
            return None
        from engram.models.endpoint import Endpoint

        url, _, name = self.model_name.partition("#")
        return Endpoint(url, name or "default")

    @cached_property
    def weights(self) -> Weights:
        """The stored tensors of all versions."""
        from engram.store.weights import Weights

        return Weights(self.folder.weights)

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder, loaded on first use."""
        from engram.models.embedder import load_embedder

        return load_embedder(self.embedder_name)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embedder.encode(list(texts))

    def lessons_of(self, version: Version) -> list[Lesson]:
        """What a version's weights were taught, its ancestors' lessons first."""
        chain: list[Version] = []
        at: Version | None = version
        while at is not None:
            chain.append(at)
            at = self.store.version(at.parent) if at.parent else None
        return [Lesson(engram, **payload) for v in chain[::-1] for engram, payload in self.store.lessons(v.id)]

    def next_version(self) -> str:
        """The first unused name of the form v1, v2, ..."""
        return f"v{max(int(v.id[1:]) for v in self.store.versions()) + 1}"

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
        """The name kept in the folder; a new folder keeps the one wanted."""
        kept = self.store.setting(key)
        if kept is None:
            self.store.set_setting(key, wanted or default)
            return wanted or default
        if wanted is not None and wanted != kept:
            raise BadInput(
                f"{self.folder.path} was made with {key} {kept!r}, not {wanted!r}; open it without {key}=, "
                "or make another folder"
            )
        return str(kept)
