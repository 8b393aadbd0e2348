"""`Memory`: engrams and their model in one folder; its verbs are those of `byheart.memory.verbs`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType

from byheart.core.records import Version
from byheart.memory import verbs
from byheart.memory.methods import Methods
from byheart.memory.parts import Parts
from byheart.models import source
from byheart.recall import systems
from byheart.store.folder import Folder, within
from byheart.store.move import refuse_unfinished
from byheart.store.opening import exists, open_store

MODEL, EMBEDDER = "smollm2-135m", "minilm"
Name = str | None


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
        self.owner = owner
        self.uses = Counter()
        self.methods = Methods(self.store, owner)
        try:
            refuse_unfinished(self.store)
            self.model_name = self._agree("model", model, MODEL)
            self.address_given = model is not None
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
            and writes, but cannot be taught). An existing memory keeps the model it was made with. The key in
            `BYHEART_API_KEY` or `OPENAI_API_KEY` is sent to a URL that is given here, never to one from the folder.
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

    remember = verbs.remember
    engrams = verbs.engrams
    history = verbs.history
    archive = verbs.archive
    restore = verbs.restore
    compose = verbs.compose
    merge = verbs.merge
    split = verbs.split
    plan = verbs.plan
    carry_out = verbs.carry_out
    recall = verbs.recall
    ask = verbs.ask
    grant = verbs.grant

    study = verbs.study
    learn = verbs.learn
    recite = verbs.recite
    forget = verbs.forget
    exam = verbs.exam

    log = verbs.log
    diff = verbs.diff
    revert = verbs.revert
    report = verbs.report
    export = verbs.export
    check = verbs.check
