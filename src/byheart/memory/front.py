"""`Memory`: engrams and their model in one folder, behind a dozen verbs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from byheart.core.errors import Conflict
from byheart.core.records import Answer, Certificate, Engram, Hit, Learned, Proposal, State, Version
from byheart.memory import access, account, planning, shaping
from byheart.memory.lessons import lessons_in
from byheart.memory.methods import Methods
from byheart.memory.parts import Parts
from byheart.memory.sources import drafted, general_texts
from byheart.models import source
from byheart.recall import systems
from byheart.store.folder import Folder, within
from byheart.store.move import refuse_unfinished
from byheart.store.opening import exists, open_store

Progress = Callable[[str, int, int], None]
MODEL, EMBEDDER = "smollm2-135m", "minilm"
Name = str | None
Source = str | Path | Sequence[str | dict[str, Any] | Engram]


class Memory(Parts):
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
        self,
        path: str | Path,
        *,
        model: Name = None,
        embedder: Name = None,
        store: Name = None,
        namespace: Name = None,
        owner: Name = None,
        system: Name = None,
    ) -> None:
        path = within(path, namespace)
        if not exists(path):
            source.vet("model", model or MODEL)
            source.vet("embedder", embedder or EMBEDDER)
            systems.system(system or systems.OWN)
        self.folder = Folder(path)
        self.store = open_store(self.folder, store)
        self.save_every = 30.0
        self.owner = owner
        self.uses = Counter()
        self.methods = Methods(self.store, owner)
        try:
            refuse_unfinished(self.store)
            self.model_name = self._agree("model", model, MODEL)
            self.embedder_name = self._agree("embedder", embedder, EMBEDDER)
            self.system = systems.system(self._agree("system", system, systems.OWN))
        except BaseException:
            self.store.close()
            raise
        if self.store.setting("purge"):
            from byheart.memory.forgetting import finish

            finish(self)
        if self.store.head() is None:
            first = Version(id="v0", created=self.now(), message="the model as it came")
            with self.store.transaction():
                if self.store.head() is None:
                    self.store.put_version(first)
                    self.store.set_head(first.id)

    @classmethod
    def open(
        cls,
        path: str | Path,
        model: Name = None,
        embedder: Name = None,
        store: Name = None,
        *,
        namespace: Name = None,
        owner: Name = None,
        system: Name = None,
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
        owner: whose the memory is while it is open: what is remembered gets this owner, and only this owner's engrams,
            those without an owner and those granted (`grant`) are seen. Weights are everyone's, so out of reach.
        system: a published memory system (`byheart.recall.systems`) whose methods serve where a call names none, kept
            with the memory as its model is.

        Raises `BadInput` when the path is no memory or was made with another model or store, `Unknown`
        for a model that is not known, `Newer` for a folder of a newer format, `Conflict` for a copy
        that was not finished.
        """
        return cls(path, model=model, embedder=embedder, store=store, namespace=namespace, owner=owner, system=system)

    def close(self) -> None:
        """Close the store. Everything acknowledged is on disk already; how often engrams were used is noted now."""
        try:
            self.note_uses()
        finally:
            self.uses.clear()
            self.store.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # text
    def remember(
        self,
        source: Source,
        *,
        write: str | None = None,
        update: bool | str | None = None,
        progress: Progress | None = None,
    ) -> list[Engram]:
        """Keep something as text: a file, a text, or a list of texts or dicts.

        Dicts take `text`, `source`, `at`, `speaker`, `key`; other keys become metadata. A pair of `question`
        and `answer` is one engram. Durable and searchable when it returns; what is there already is
        not stored twice. Raises `BadInput` for a missing, binary or empty file, with nothing stored.

        What is no longer true becomes history (`history`, `recall(at=...)`): of facts with the same `key`, best
        subject/attribute as in "Marta/home", the one that began last is current; passages that a file no longer
        has go when it is read again; and with `update` a statement takes the place of the one that it makes
        untrue, found by meaning.

        `write` names the writer that makes engrams of a text (`byheart methods`: passages by default, or
        "atomic-facts", "qa-memory", "structural-memory"), `update` the updater (True is "keep-me-updated"). Where the
        model is an endpoint they ask it, a writer once for each source; `usage` says what that took.
        """
        from byheart.memory.remembering import remember, written

        updater = self.system.update if update is None else update or None
        updater = "keep-me-updated" if updater is True else updater
        drafts = access.owned(self, written(self, source, write or self.system.write, progress))
        return remember(self, source, drafts, update=updater, progress=progress)

    def engrams(
        self, state: State | None = "active", source: str | None = None, limit: int | None = None,
        *, progress: Progress | None = None,
    ) -> list[Engram]:  # fmt: skip
        """The engrams of a state (None: of any) and a source (None: of all), newest first, so many at most."""
        return access.listed(self, state, source, limit)

    def history(self, what: str, *, progress: Progress | None = None) -> list[Engram]:
        """What was said of one matter over time, oldest first: by the id of an engram, or by a key."""
        from byheart.memory.remembering import history

        return history(self, what)

    def compose(self, ids: Sequence[str], text: str | None = None, *, progress: Progress | None = None) -> Engram:
        """One engram that says what several say, beside them, with them for parents. `text` (their texts) is it.

        Of one owner's active engrams; `BadInput` else.
        """
        return shaping.compose(self, ids, text)

    def merge(self, ids: Sequence[str], text: str | None = None, *, progress: Progress | None = None) -> Engram:
        """One engram in the place of several, which become its history. `text` (their texts, each once) is it."""
        return shaping.merge(self, ids, text)

    def split(self, id: str, texts: Sequence[str] | None = None, *, progress: Progress | None = None) -> list[Engram]:
        """Several engrams in the place of one, which becomes their history: `texts`, or one for each thing it says."""
        return shaping.split(self, id, texts)

    def plan(self, at: str | None = None, *, progress: Progress | None = None) -> list[Proposal]:
        """What is due now (or at an ISO time): to put into weights, teach again, merge, archive, and why.

        What is used often and settled goes into weights; what was taught is rehearsed along a forgetting curve that
        this memory's own exams give; what nobody asked for fades. Nothing is done: `carry_out` does it.
        """
        return planning.plan(self, at)

    def carry_out(
        self, proposals: Sequence[Proposal], *, seed: int = 0, progress: Progress | None = None
    ) -> list[Engram | Learned]:
        """Do what `plan` proposes, all of it or some; lessons together in one `learn`."""
        return planning.carry_out(self, proposals, seed, progress)

    def archive(self, ids: Sequence[str], *, progress: Progress | None = None) -> list[Engram]:
        """Put engrams out of sight of `recall`, with nothing lost; `restore` brings them back."""
        from byheart.memory.remembering import archive

        return archive(self, ids, back=False)

    def restore(self, ids: Sequence[str], *, progress: Progress | None = None) -> list[Engram]:
        """Bring archived engrams back; one with a key takes its place in that key's history."""
        from byheart.memory.remembering import archive

        return archive(self, ids, back=True)

    def recall(
        self,
        query: str,
        k: int = 10,
        at: str | None = None,
        where: dict[str, Any] | None = None,
        *,
        method: str | None = None,
        progress: Progress | None = None,
    ) -> list[Hit]:
        """The `k` best hits for a query: words, meaning, and what stands beside a hit, in one score.

        Where turns have speakers, who says them and what surrounds them count too. `at` (ISO time) asks for what
        held then; `where` filters by fields or metadata. `method` names another retriever and rerankers, with commas
        between, in order (`byheart methods`); a cross-encoder with its model: "cross-encoder=HUB-ID-OR-FOLDER".
        """
        from byheart.memory.asking import find

        found = find(self, query, k, at, where, method or self.system.method).hits
        self.used(h.id for h in found[:1])
        return found

    def ask(
        self,
        question: str,
        form: Literal["auto", "text", "weights"] = "auto",
        *,
        k: int = 5,
        reader: str | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """Answer a question from text (open book, with what it cites) or from weights (closed book).

        "auto" reads text when something relevant is remembered, and asks the weights otherwise. `reader` names another
        way to read (`byheart methods`). The memory's system finds the passages. A system that learns from use
        ("reflective-memory") learns from what the answer cites.
        """
        from byheart.memory.asking import answer

        return answer(self, question, form, k, reader or self.system.reader, self.system.method)

    def grant(self, to: str, right: Literal["read", "write"] | None, *, progress: Progress | None = None) -> None:
        """Let another owner see what is this owner's ("read"), or change it too ("write"); None takes it back."""
        access.grant(self, to, right)

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
        """Teach the weights a file, texts, question/answer pairs, or engrams of this memory; all or nothing.

        Examined before and after. When general loss rises by more than `budget`, more than that share of
        what was taught earlier is lost, or the quiz of common knowledge surely fell by more (it is short,
        so its lower 95% limit counts), everything is put back and `committed` is False.
        `strategy` is a name from `byheart methods`, several with commas between, or Strategy objects;
        `general` is text to stay fluent in (the default samples its own). Killed midway, the same
        call goes on from its last checkpoint.
        """
        from byheart.memory.learning import learn

        access.refuse_weights(self, "learn")
        drafts = drafted(source, self.now())
        lessons = lessons_in(drafts)
        return learn(
            self, drafts, lessons, strategy=strategy, budget=budget, general=general_texts(general), seed=seed,
            progress=progress,
        )  # fmt: skip

    def recite(
        self, questions: str | Sequence[str], sure: float = 0.5, *, progress: Progress | None = None
    ) -> list[Engram]:
        """Weights to text: ask closed-book and keep each answer whose tokens are as likely as `sure` on average.

        The pairs name the version that said them as their source. What is not sure enough is not kept.
        """
        from byheart.memory.reciting import recite

        access.refuse_weights(self, "recite")

        return recite(self, questions, sure, progress)

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
        from byheart.memory.forgetting import forget

        try:
            return forget(self, what, method=method, k=k, seed=seed, progress=progress)
        finally:
            self.methods.clear()

    def exam(self, *, seed: int = 0, progress: Progress | None = None) -> dict[str, Any]:
        """What the weights recall, recognise and retain, and how general ability stands.

        Gives each exam's mean, n and 95% interval; the per-item results are stored with the version.
        """
        access.refuse_weights(self, "exam")
        return account.exam(self, seed=seed, progress=progress)

    # versions
    def log(self, *, progress: Progress | None = None) -> list[Version]:
        """The versions, newest first."""
        access.refuse_weights(self, "log")
        return self.store.versions()[::-1]

    def diff(self, a: str, b: str, *, progress: Progress | None = None) -> dict[str, Any]:
        """Which facts were gained and lost between two versions, by their exams."""
        access.refuse_weights(self, "diff")
        return account.diff(self, a, b)

    def revert(self, version: str, *, progress: Progress | None = None) -> Version:
        """Make an earlier version the current one; its weights come back bit for bit."""
        access.refuse_weights(self, "revert")
        with self.store.lock("revert"):
            found = self.store.version(version)
            if found.erased:
                raise Conflict(f"version {found.id} was erased by forget; choose another (byheart log)")
            self.weights.get(found.weights)
            self.store.set_head(found.id)
        return found

    def report(self, path: str | Path = "report.html", *, progress: Progress | None = None) -> Path:
        """Write a self-contained page on what was learned, kept, lost and forgotten."""
        access.refuse_weights(self, "report")
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
        from byheart.memory.versions import export

        access.refuse_weights(self, "export")
        chosen = self.store.version(version) if version else self.head
        if chosen.erased:
            raise Conflict(f"version {chosen.id} was erased by forget; choose another (byheart log)")
        export(self.weighing, chosen, Path(path), adapter=adapter)
        if chosen.taught or chosen.parent:
            self.note_copy(Path(path), chosen.id)
        return Path(path)

    def check(self, *, progress: Progress | None = None) -> list[str]:
        """Everything wrong with the folder, in words; empty when it is sound."""
        return self.store.check()
