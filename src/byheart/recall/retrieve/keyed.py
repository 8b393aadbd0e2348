"""Facts with keys compared as facts: about whom a question asks, and which attribute."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
OTHER_SUBJECT = 4.0
OTHER_ATTRIBUTE = 4.0
RIGHT = 1.0


def lifted(query: str, ids: Sequence[str], keys: Mapping[str, str], scores: Scores) -> Scores:
    """Scores (n,) of candidates, in standard deviations, with what their keys (subject/attribute) tell of a query.

    Where the query names subjects in whole words, facts about others fall by 4. What the query asks of them is read
    off the others: with p_a the share of exp(score) that facts of attribute a have among them, a fact of attribute b
    falls by 4 (max p - p_b), and a fact about a subject that is named gains p_b. Scores without a key stay as they are,
    and all do where the query names nobody.

    A question and the statement that answers it may share no word and hardly a meaning ("As what does Ann serve?",
    "Ann was made captain"); but a fact about somebody else was stated in the words of the question. Chosen on
    `world.facts.changes`, half "dev", seeds 101 and 102.

    >>> ids, keys = ["a", "b", "c"], {"a": "Ann/dish", "b": "Ann/rank", "c": "Bo/rank"}
    >>> lifted("As what does Ann serve?", ids, keys, np.array([1.0, 0.9, 0.5])).round(2).tolist()
    [-3.0, 1.9, -3.5]
    """
    facts = [(n, *_parts(keys[i])) for n, i in enumerate(ids) if "/" in keys.get(i, "#") and keys[i][0] != "#"]
    words = f" {_words(query)} "
    named = {subject for _, subject, _ in facts if subject and f" {subject} " in words}
    if not named:
        return scores
    others = [(n, attribute) for n, subject, attribute in facts if subject not in named]
    weights = dict.fromkeys((attribute for _, _, attribute in facts), 0.0)
    top = max((scores[n] for n, _ in others), default=0.0)
    for n, attribute in others:
        weights[attribute] += float(np.exp(scores[n] - top))
    whole = sum(weights.values()) or 1.0
    best = max(weights.values()) / whole
    out = scores.astype(np.float64)
    for n, subject, attribute in facts:
        share = weights[attribute] / whole
        out[n] -= OTHER_ATTRIBUTE * (best - share)
        out[n] += RIGHT * share if subject in named else -OTHER_SUBJECT
    return out


def _parts(key: str) -> tuple[str, str]:
    """Subject and attribute of a key: the last two of its parts.

    >>> _parts("people/Ann Lee/home")
    ('ann lee', 'home')
    """
    before, _, attribute = key.rpartition("/")
    return _words(before.rpartition("/")[2]), attribute


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))
