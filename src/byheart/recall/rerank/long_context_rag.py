"""Retrieval reordering: the best passages at both ends of what is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from byheart.core.query import Query
from byheart.core.records import Hit


class Reorder:
    """Puts the best hits first and last and the worst into the middle.

    A language model uses what stands at the beginning and at the end of a long context more than what stands between
    ("lost in the middle"), and a retriever's worst passages, which sound right and are not, harm least there.

        the i-th best of n goes to place (i + 1) / 2 if i is odd, to place n + 1 - i / 2 if it is even

    Departs from the paper: nowhere; its fine-tuning of the reader is not part of this.

    >>> hits = [Hit(id=i, text=i, score=0.0) for i in "12345"]
    >>> [h.id for h in Reorder().order(Query(""), hits)]
    ['1', '3', '5', '4', '2']

    References: Jin et al. 2024, arXiv:2410.05983, section on retrieval reordering; Liu et al. 2023, arXiv:2307.03172.
    """

    name: ClassVar[str] = "long-context-rag"
    paper: ClassVar[str] = "long-context-rag"
    arxiv: ClassVar[str] = "2410.05983"

    def order(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        """The hits, best first, as they are to be read; the query does not count."""
        return [*hits[::2], *reversed(hits[1::2])]
