"""What a text is about without a model: sentences that stand for it, and the words that tell it from others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from byheart.recall.read.evidence import content
from byheart.recall.sentences import sentences


def summaries(texts: Sequence[str], count: int = 3) -> list[str]:
    """For each text the sentences that tell most of what it has more than others, in its order.

    score = sum of the weights of a sentence's words / sqrt(number of words); `weights` has these

    >>> summaries(["Hello! The boats need varnish. How nice.", "Hello! We sing. How nice."], 1)
    ['The boats need varnish.', 'We sing.']
    """
    out = []
    for text, weight in zip(texts, weights(texts), strict=True):
        lines = [(s, content(s)) for line in text.split("\n") for s in sentences(line)]
        scored = [math.fsum(weight.get(w, 0.0) for w in words) / math.sqrt(len(words) or 1) for _, words in lines]
        best = sorted(range(len(lines)), key=lambda n: -scored[n])[:count]
        out.append(" ".join(lines[n][0] for n in sorted(best)) or text)
    return out


def keywords(texts: Sequence[str], count: int = 10) -> list[str]:
    """For each text the words that it has more than others, the most telling first, parted by semicolons.

    >>> keywords(["The boats, the red boats left.", "A red house and a red door."], 2)
    ['boats; left', 'house; door']
    """
    out = []
    for text, weight in zip(texts, weights(texts), strict=True):
        first: dict[str, str] = {}
        for word in re.findall(r"[^\W_]+", text):
            for stem in content(word):
                first.setdefault(stem, word)
        best = sorted(first, key=lambda stem: -weight[stem])[:count]
        out.append("; ".join(first[stem] for stem in best))
    return out


def weights(texts: Sequence[str]) -> list[dict[str, float]]:
    """For each text how telling its content words are, by stem.

    weight = n / (n + 1) * log((1 + N) / N_w), with n times in this text and in N_w of N texts
    """
    stems = [Counter(stem for word in re.findall(r"[^\W_]+", t) for stem in content(word)) for t in texts]
    spread = Counter(stem for counts in stems for stem in counts)
    return [{s: n / (n + 1) * math.log((1 + len(texts)) / spread[s]) for s, n in counts.items()} for counts in stems]
