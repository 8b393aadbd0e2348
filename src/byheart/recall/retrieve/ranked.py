"""Hybrid search weighed by what surrounds a passage: its neighbours, its source, who says it and how much it says."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Brief, Hit
from byheart.recall.retrieve.candidates import find
from byheart.recall.retrieve.hybrid import Scale, hits

Features = NDArray[np.float64]
WEIGHTS: Mapping[str, float] = {
    "words": 0.15,
    "meaning": 0.85,
    "speaker": 0.55,
    "before": -0.1,
    "after": 0.1,
    "second before": 0.15,
    "second after": 0.1,
    "answers a question": 0.25,
    "is a question": -0.25,
    "length": 0.6,
    "source by words": 0.55,
    "source by meaning": 0.15,
    "best by words": 0.1,
    "best by meaning": -0.1,
}
PARTS: Mapping[str, tuple[str, ...]] = {
    "words": ("words", "source by words", "best by words"),
    "meaning": ("meaning", "source by meaning", "best by meaning"),
    "neighbours": ("before", "after", "second before", "second after"),
    "speaker": ("speaker",),
    "questions": ("answers a question", "is a question"),
    "length": ("length",),
    "source": ("source by words", "source by meaning"),
    "best": ("best by words", "best by meaning"),
}


def using(parts: Collection[str]) -> list[str]:
    """The weights that these parts need: those of no other part.

    >>> using(["words", "source"])
    ['words', 'source by words']
    """
    others = {name for part, names in PARTS.items() if part not in parts for name in names}
    return [name for name in WEIGHTS if name not in others]


@dataclass(frozen=True)
class Rated:
    """A query's candidates and their features (N, F); a score is a weighted sum of features."""

    ids: tuple[str, ...]
    features: Features

    def best(self, weights: Mapping[str, float], k: int) -> dict[str, float]:
        """The k ids that score best, best first, with their scores."""
        scores = self.features @ np.array([weights[n] for n in WEIGHTS])
        return {self.ids[i]: float(scores[i]) for i in np.argsort(-scores, kind="stable")[:k]}


class Ranked:
    """A linear model of features that separate passages that answer from passages that only sound alike.

    The candidates are the `pool` best by BM25 and the `pool` best by cosine, with the passages around each in its
    source. A speaker who is named in the query is matched with who speaks, and left out of the words. Words, meaning
    and speakers are not looked at where all weights of that part (`PARTS`) are 0.

    score_i = sum_f w_f x_if, each x_f standardised over the candidates of the query

    with x: BM25 and cosine; s = z(BM25) + z(cosine) of the first and second passage before and after; s of the
    passage before where it is a question, and whether this is a question; whether the speaker is who the query names;
    log of the length; the mean of the three best BM25 and cosines in the same source; exp(z - max z) of both.

    In dialogue the words of a question stand in one turn and the answer in the next, short turns say little, and what
    was talked about in a session helps to find a turn of it. Weights are learned by `fit`; those given here are of the
    five dialogues of LoCoMo (arXiv:2402.17753), rounded to a twentieth.

    Parameters
    ----------
    weights: by the names of `WEIGHTS`. pool: candidates taken from each index.
    """

    name: ClassVar[str] = "ranked"

    def __init__(self, *, weights: Mapping[str, float] | None = None, pool: int = 200) -> None:
        weights = WEIGHTS if weights is None else weights
        if set(weights) != set(WEIGHTS):
            wrong = sorted(set(weights) ^ set(WEIGHTS))
            raise BadInput(f"weights for {', '.join(wrong)} missing or unknown; give one for each of {list(WEIGHTS)}")
        if pool < 1:
            raise BadInput(f"pool={pool}: at least 1 candidate is needed; the default is 200")
        self.weights = dict(weights)
        self.pool = pool

    def search(self, query: Query) -> list[Hit]:
        """The `query.k` best engrams, best first; without an embedder by words alone."""
        return [] if query.empty else hits(query.index, self.rated(query).best(self.weights, query.k))

    def rated(self, query: Query) -> Rated:
        """The candidates for a query with their features; at least `query.k` from each index where it has them."""
        store, embedder, text = query.index, query.embedder, query.clean
        used = {part for part, names in PARTS.items() if any(self.weights[n] for n in names)}
        names = self._names(query) if "speaker" in used else []
        bare = re.sub("|".join(rf"\b{re.escape(n)}\b(?:['’]s)?" for n in names), " ", text) if names else text
        bare = bare if bare.strip() else text
        vector = None if embedder is None or "meaning" not in used else embedder.encode([bare])[0]
        candidates = find(query, bare if "words" in used or vector is None else None, vector, max(self.pool, query.k))
        if not candidates.ids:
            return Rated((), np.zeros((0, len(WEIGHTS))))
        ids = candidates.ids
        near: dict[str, tuple[str, ...]] = {}
        for _ in range(2):
            near |= store.neighbours([i for i in ids if i not in near], query.at, query.where)
            ids = list(dict.fromkeys([*ids, *(j for i in ids for j in near[i])]))
        candidates = candidates.widened(store, ids[len(candidates.ids) :])
        features = _features(ids, store.brief(ids), near, candidates.words, candidates.meaning, names)
        return Rated(tuple(ids), features)

    def _names(self, query: Query) -> list[str]:
        """Speakers whom the query names, of the turns with its words and the turns beside them."""
        store, text = query.index, query.clean
        ids = [i for i, _ in store.lexical(text, 50, query.at, query.where)]
        beside = [j for others in store.neighbours(ids, query.at, query.where).values() for j in others]
        turns = store.brief(list(dict.fromkeys([*ids, *beside])))
        speakers = dict.fromkeys(e.speaker for e in turns.values() if e.speaker)
        return [s for s in speakers if re.search(rf"\b{re.escape(s)}\b", text)]


def fit(
    queries: Sequence[tuple[Rated, Sequence[str]]],
    *,
    names: Collection[str] = tuple(WEIGHTS),
    decay: float = 1e-3,
    steps: int = 60,
) -> dict[str, float]:
    """Weights with the least cross-entropy of a softmax over each query's candidates.

    `queries` are rated candidates with the ids that answer the query. A query without such an id among its candidates
    is left out. Weights that are not among `names` stay 0.

    loss = - sum_q mean_(i wanted by q) log softmax(X_q w)_i + decay |w|^2, by L-BFGS
    """
    import torch

    columns = [n for n, name in enumerate(WEIGHTS) if name in names]
    data = []
    for rated, wanted in queries:
        right = [n for n, i in enumerate(rated.ids) if i in set(wanted)]
        if right:
            data.append((torch.tensor(rated.features[:, columns]), right))
    if not data:
        raise BadInput("no query has what it asks for among its candidates; give a larger pool or other queries")
    weights = torch.zeros(len(columns), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        total = decay * len(data) * weights.square().sum()
        for features, right in data:
            total = total - torch.log_softmax(features @ weights, 0)[right].mean()
        total.backward()
        return total

    optimizer.step(loss)
    learned = dict(zip(columns, weights.tolist(), strict=True))
    return {name: learned.get(n, 0.0) for n, name in enumerate(WEIGHTS)}


def _features(
    ids: Sequence[str],
    engrams: Mapping[str, Brief],
    near: Mapping[str, Sequence[str]],
    by_words: NDArray[np.float64],
    by_meaning: NDArray[np.float64],
    names: Sequence[str],
) -> Features:
    """Features (N, F): a row for each candidate, a column for each weight, each column standardised."""
    place = {i: n for n, i in enumerate(ids)}
    words, meaning = Scale(by_words).all, Scale(by_meaning).all
    own = words + meaning
    before, after = np.full(len(ids), -1), np.full(len(ids), -1)
    for i, n in place.items():
        for j in near.get(i, ()):
            if j in place:
                side = before if engrams[j].position < engrams[i].position else after
                side[n] = place[j]
    lowest = own.min()

    def beside(values: NDArray[np.float64], at: NDArray[np.int64], nothing: float) -> NDArray[np.float64]:
        return np.where(at >= 0, values[at], nothing)

    def next_but_one(at: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(at >= 0, at[at], -1)

    asks = np.array([float(engrams[i].asks) for i in ids])
    speakers = [engrams[i].speaker for i in ids]
    speaker = np.array([float(s in names) for s in speakers]) if len(names) == 1 else np.full(len(ids), 0.5)
    first = beside(own, before, lowest)
    columns = {
        "words": words,
        "meaning": meaning,
        "speaker": speaker,
        "before": first,
        "after": beside(own, after, lowest),
        "second before": beside(own, next_but_one(before), lowest),
        "second after": beside(own, next_but_one(after), lowest),
        "answers a question": first * beside(asks, before, 0.0),
        "is a question": asks,
        "length": np.log([engrams[i].length + 1.0 for i in ids]),
        "source by words": _of_source(words, ids, engrams),
        "source by meaning": _of_source(meaning, ids, engrams),
        "best by words": np.exp(words - words.max()),
        "best by meaning": np.exp(meaning - meaning.max()),
    }
    return np.stack([Scale(columns[n]).all for n in WEIGHTS], 1)


def _of_source(scores: NDArray[np.float64], ids: Sequence[str], engrams: Mapping[str, Brief]) -> NDArray[np.float64]:
    """For each candidate the mean of the three best scores in its source; its own where it has no source."""
    grouped: dict[str, list[float]] = {}
    keys = [engrams[i].source or i for i in ids]
    for key, score in zip(keys, scores.tolist(), strict=True):
        grouped.setdefault(key, []).append(score)
    best = {}
    for key, values in grouped.items():
        three = sorted(values)[-3:]
        best[key] = sum(three) / len(three)
    return np.array([best[key] for key in keys])
