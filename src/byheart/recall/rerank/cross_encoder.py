"""A cross-encoder: the model that reads a query and a passage together gives the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.records import Hit


class Scorer(Protocol):
    """What reads pairs: `byheart.models.PairScorer`, or whatever gives one number for each text."""

    def relevance(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]: ...


class CrossEncoder:
    """Orders hits by the relevance that a model gives to query and passage when it reads both at once.

    An embedder puts a passage into one vector before anybody asks; a model that reads the question with the passage can
    compare them word by word. That costs one pass for each hit, so it is for the best of a retriever.

        s_i = f([CLS] q [SEP] d_i [SEP]);  sort by s_i, best first

    Departs from the paper: the model is whatever cross-encoder is given, which is not trained here. All hits are read;
    how many that are is for the caller to choose.

    >>> class Letters:
    ...     def relevance(self, query, texts):
    ...         return np.array([float(len(set(query) & set(t))) for t in texts])
    >>> hits = [Hit(id=t, text=t, score=1.0) for t in ("oar", "boat")]
    >>> [(h.id, h.score) for h in CrossEncoder().order("boats", hits, Letters())]
    [('boat', 4.0), ('oar', 2.0)]

    References: Nogueira and Cho 2019, arXiv:1901.04085, section 3.
    """

    name: ClassVar[str] = "cross-encoder"
    arxiv: ClassVar[str] = "1901.04085"

    def order(self, query: str, hits: Sequence[Hit], scorer: Scorer | None) -> list[Hit]:
        """The hits, best first, each with the score that the model gave it; equals stay as they came.

        Raises `BadInput` where there is no model, or one that cannot read pairs.
        """
        if not hasattr(scorer, "relevance") or scorer is None:
            what = "no cross-encoder" if scorer is None else f"{type(scorer).__name__}, which cannot read pairs,"
            raise BadInput(f"{what} is given to rerank with; give PairScorer(NAME), NAME a hub id or a local folder")
        if not hits:
            return []
        scores = np.asarray(scorer.relevance(query, [h.text for h in hits]), np.float64)
        best = np.argsort(-scores, kind="stable")
        return [hits[i].model_copy(update={"score": float(scores[i])}) for i in best]
