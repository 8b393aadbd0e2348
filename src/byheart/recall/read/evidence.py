"""The statement of some hits that most likely answers a question, chosen by its words and its meaning."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from byheart.core.protocols import Embedder
from byheart.core.records import Hit
from byheart.recall.names import names
from byheart.recall.spans import expected, fitting
from byheart.recall.statements import Statement, statements

_STOP = frozenset(
    (
        "a an the is are was were be been being do does did has have had of in on at to from for by with and or but "
        "who whom whose what which when where why how much many long far old may might can could must should will "
        "would shall i me my we us our you your he him his she her it its they them their there here this that these "
        "those as if than not no so please tell say said"
    ).split()
)
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SUFFIXES = ("ings", "ing", "ers", "er", "ies", "es", "ed", "ly", "s", "e")


TOGETHER = 40
MEANING, WORDS, FITS, NEAR, LATER = 3.0, 1.5, 0.3, 0.3, 0.02
"""Weights of a statement's score, chosen on the documents of bench/documents/dev.

They are of the cosine, of the share of the question's words, of a span of the kind that is asked for, of the better
neighbour's cosine, and what each later hit loses.
"""


@dataclass(frozen=True)
class Evidence:
    """A statement and its hit.

    Parameters
    ----------
    score: comparable within a question.
    relevance: the share of the question's words, or the cosine with the question plus 0.3 times that share, whichever
        is larger; comparable between questions.
    fits: whether a span of it is of the kind that the question asks for; None where the question does not say.
    """

    statement: Statement
    hit: Hit
    score: float
    relevance: float
    fits: bool | None

    @property
    def text(self) -> str:
        """The statement after what it leans on."""
        return self.statement.whole


def content(text: str) -> set[str]:
    """The content words of a text, roughly stemmed.

    Of scripts without spaces (Chinese, Japanese), pairs of neighbouring characters stand for words.

    >>> sorted(content("Who repaired the boats?")), sorted(content("\u8c01\u8d1f\u8d23"))
    (['boat', 'repair'], ['\u8c01\u8d1f', '\u8d1f\u8d23'])
    """
    words: set[str] = set()
    for word in re.findall(r"[^\W_]+", text.lower()):
        if _UNSPACED.search(word):
            words |= {word[n : n + 2] for n in range(max(1, len(word) - 1))}
        elif word not in _STOP:
            words.add(_stem(word))
    return words


def evidence(question: str, hits: Sequence[Hit], embedder: Embedder | None = None) -> list[Evidence]:
    """The statements of the hits (`recall.statements`), alone and with the next, the likeliest first.

    A statement scores the cosine of its embedding, headings included, with the question's; the question's words that it
    or its headings have, each by how rare it is among these statements, those of names half, as they often name what
    all of the document is about; a share of its better neighbour's cosine; and
    more when one of its spans is of the kind that the question asks for (`recall.spans`). Without an embedder words
    alone count, over the statement's length.
    """
    places = [(s, n, hit) for n, hit in enumerate(hits) for s in _stretches(statements(hit.text, _heading(hit)))]
    if not places:
        return []
    wanted = content(question)
    own = [content(s.whole) | content(s.topic) for s, _, _ in places]
    weight = {w: math.log(1 + len(places) / max(1, sum(w in words for words in own))) for w in wanted}
    for w in wanted & {w for name in names(question) for w in content(name)}:
        weight[w] /= 2
    total = math.fsum(weight[w] for w in sorted(wanted)) or 1.0
    shares = [math.fsum(weight[w] for w in sorted(wanted & words)) / total for words in own]
    fits = [_fits(question, s.whole) for s, _, _ in places]
    if embedder is None:
        close = [0.0] * len(places)
        by_words = [share * 3 / (1 + 0.03 * len(words)) for share, words in zip(shares, own, strict=True)]
    else:
        vectors = embedder.encode([question, *(f"{s.topic}: {s.whole}" if s.topic else s.whole for s, _, _ in places)])
        close = [float(c) for c in np.asarray(vectors[1:]) @ np.asarray(vectors[0])]
        by_words = [WORDS * share for share in shares]
    made = []
    for n, (statement, rank, hit) in enumerate(places):
        sides = [close[m] for m in (n - 1, n + 1) if 0 <= m < len(places) and places[m][1] == rank]
        score = MEANING * close[n] + by_words[n] + NEAR * max(sides, default=0.0) - LATER * rank
        score += (FITS if embedder is not None else 0.8) * bool(fits[n])
        relevance = max(shares[n], close[n] + 0.3 * shares[n])
        made.append(Evidence(statement, hit, score, relevance, fits[n]))
    return sorted(made, key=lambda e: -e.score)


def _stretches(made: Sequence[Statement]) -> list[Statement]:
    """The statements that are no questions, and each with the next of its section, up to `TOGETHER` words.

    What answers a question often stands beside what it asks about: "Fixed a crash. Reported by Tamsel Orrin."
    """
    made = [s for s in made if not s.text.endswith("?")] or list(made)
    out: list[Statement] = []
    for s, after in zip(made, [*made[1:], None], strict=True):
        out.append(s)
        if after is None or after.topic != s.topic or "row" in (s.kind, after.kind) or after.kind == "field":
            continue
        leans_here = after.before and (after.before in s.whole or after.before == s.before)
        text = f"{s.text} {after.text if leans_here else after.whole}"
        if len(f"{s.before} {text}".split()) <= TOGETHER:
            out.append(Statement(text, s.topic, s.before, s.kind))
    return out


def _heading(hit: Hit) -> str:
    return str(hit.metadata.get("heading") or "")


def _fits(question: str, text: str) -> bool | None:
    return any(True for _ in fitting(question, text)) if expected(question) else None


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
