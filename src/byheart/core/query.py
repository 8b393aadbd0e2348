"""What a search is given: one object for every retriever and reranker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Index, Subject, Where
from byheart.core.records import Hit


@dataclass(frozen=True)
class Query:
    """A question, and all that a search may read to answer it.

    `dataclasses.replace` makes a query that differs in a field: a larger `k` for a pool, another `text` for a further
    step.

    Parameters
    ----------
    text: what is searched for.
    store: what is searched. A reranker needs none.
    embedder: makes vectors of texts; None searches by words alone.
    model: gives the language model that some rerankers read with. It is called only by those, so that no other search
        loads a model.
    k: how many hits are wanted.
    at: an ISO time; what held then is searched. None is now.
    where: equality filters by field or metadata key; see the store's `lexical`.

    >>> from dataclasses import replace
    >>> replace(Query("who rows?", k=5), k=20).k
    20
    >>> Query("who rows?").index
    Traceback (most recent call last):
    byheart.core.errors.BadInput: the query has no store to search; give Query(text, store)
    """

    text: str
    store: Index | None = None
    embedder: Embedder | None = None
    model: Callable[[], Subject] | None = None
    k: int = 10
    at: str | None = None
    where: Where = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to search for: no text, or no hits wanted."""
        return not self.clean.strip() or self.k < 1

    @property
    def clean(self) -> str:
        """The text without lone surrogates, which tokenizers refuse."""
        return self.text.encode("utf-8", "ignore").decode()

    @property
    def index(self) -> Index:
        """The store; `BadInput` where the query has none."""
        if self.store is None:
            raise BadInput("the query has no store to search; give Query(text, store)")
        return self.store

    def encoder(self, method: str) -> Embedder:
        """The embedder, for a method that cannot do without; `BadInput` where the query has none."""
        if self.embedder is None:
            raise BadInput(f"{method} compares by meaning; give an embedder, or use hybrid search")
        return self.embedder

    def subject(self, method: str) -> Subject:
        """The language model, loaded now if need be; `BadInput` where the query has none."""
        if self.model is None:
            raise BadInput(f"{method} reads with a language model; give Query(text, model=...)")
        return self.model()


class Retriever(Protocol):
    """Searches a store: from a query to hits."""

    def search(self, query: Query) -> list[Hit]:
        """At most `query.k` hits, best first; none where the query is empty."""
        ...


class Reranker(Protocol):
    """Puts hits into the order in which they are read; it may leave some out."""

    def order(self, query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
        """The hits in their new order; those given are not changed."""
        ...
