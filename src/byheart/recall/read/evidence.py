"""The sentence of some hits that most likely answers a question, chosen by its words alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from byheart.core.records import Hit
from byheart.recall.sentences import sentences

_STOP = frozenset(
    (
        "a an the is are was were be been being do does did has have had of in on at to from for by with and or but "
        "who whom whose what which when where why how much many long far old may might can could must should will "
        "would shall i me my we us our you your he him his she her it its they them their there here this that these "
        "those as if than not no so please tell say said"
    ).split()
)
_PRONOUN = re.compile(r"^(He|She|It|They|His|Her|Its|Their|This|These|That|Those)\b")
_SUFFIXES = ("ings", "ing", "ers", "er", "ies", "es", "ed", "ly", "s", "e")


@dataclass(frozen=True)
class Evidence:
    """A sentence, with the sentence before it where that is a question or this starts with a pronoun, and its hit."""

    text: str
    hit: Hit
    score: float


def content(text: str) -> set[str]:
    """The content words of a text, roughly stemmed.

    >>> sorted(content("Who repaired the boats?"))
    ['boat', 'repair']
    """
    return {_stem(w) for w in re.findall(r"[^\W_]+", text.lower()) if w not in _STOP}


def evidence(question: str, hits: Sequence[Hit]) -> list[Evidence]:
    """The sentences of the hits, the likeliest first.

    A sentence scores the question's words that it or its heading has, each by how rare it is among
    these sentences, over its length; less for a later hit; more when it has what the question asks for: a name for
    "who", a number for "when" and "how many".
    """
    wanted, low = content(question), question.lower()
    units = [(text, hit, place) for place, hit in enumerate(hits) for text in _units(hit)]
    words = [content(text) for text, _, _ in units]
    topics = [content(hit.metadata.get("heading") or "") for _, hit, _ in units]
    rarity = {w: math.log(1 + len(units) / n) for w in wanted if (n := sum(w in unit_words for unit_words in words))}
    scored = []
    for (text, hit, place), unit_words, topic in zip(units, words, topics, strict=True):
        score = (
            math.fsum(rarity[w] for w in rarity if w in unit_words | topic) / (1 + 0.03 * len(unit_words))
            - 0.35 * place
        )
        new = [w for w in re.findall(r"[^\W_]+", text)[1:] if w.lower() not in low]
        first = re.match(r"[^\W_]+(?= [A-Z])", text)
        if re.match(r"(who|whom|whose)\b", low) and (first or any(w[0].isupper() for w in new)):
            score += 0.8
        if re.match(r"(when|what time|how (much|many|long|far|old|deep|high|tall|big))\b", low):
            score += 0.8 * any(w[0].isdigit() for w in new)
        scored.append(Evidence(text, hit, score))
    return sorted(scored, key=lambda e: -e.score)


def _units(hit: Hit) -> list[str]:
    """The sentences of a hit without its headings; a question with what follows it, a table row with its columns."""
    lines = hit.text.split("\n")
    if lines[0] == hit.metadata.get("heading"):
        lines = lines[1:]
    units: list[str] = []
    columns: list[str] = []
    for line in lines:
        if line.lstrip().startswith("|"):
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
            if not columns:
                columns = cells
            elif len(cells) == len(columns) and any(c.strip("-: ") for c in cells):
                units.append("; ".join(f"{k}: {v}" for k, v in zip(columns, cells, strict=True)))
            continue
        columns = []
        for sentence in sentences(re.sub(r"^\s*([-*+•]|\d{1,3}[.)])\s+", "", line).replace("**", "")):
            if units and units[-1].endswith("?"):
                units[-1] += f" {sentence}"
            else:
                units.append(f"{units[-1]} {sentence}" if units and _PRONOUN.match(sentence) else sentence)
    return [u for u in units if re.search(r"\w", u)] or [hit.text]


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
