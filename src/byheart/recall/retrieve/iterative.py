"""Iterative retrieval: names in the first hits make the next question, so that an answer two steps away is reached."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

from byheart.core.errors import BadInput
from byheart.core.query import Query, Retriever
from byheart.core.records import Hit
from byheart.recall.read.evidence import content
from byheart.recall.retrieve.hybrid import Hybrid


class Iterative:
    """Searches, puts names from the hits into the question, and searches again.

    "What does the spouse of Ann play?" does not name Ben, whom "Ben plays the harp" is about. The first search finds
    "Ann is married to Ben"; with Ben in Ann's place, the question is nearer to what Ben plays.

        q' = q with the names that the hit h adds, in the place of the words that q and h share
        score of a path of hits at ranks r_1, r_2, ... = product of 1 / r_i * fade for each step after the first

    An engram has the score of its best path. A hit that shares no content word with the question, leaves
    none of it unanswered or adds no name (a word with a capital, a number) is no step.

    Parameters
    ----------
    by: the search that is repeated; the default is `Hybrid` without neighbours.
    rounds: searches in sequence; 1 is single-step retrieval. width: hits of each round that make a new question.
    fade: what a further step costs, as a factor.

    Departs from the paper: a language model refines the question there; here the words do, by the rule above.

    >>> refined("What does the spouse of Ann play?", "Ann is married to Ben.")
    'What does the spouse of Ben play?'

    References: Zeng et al. 2024, arXiv:2412.15266, iterative retrieval; Chen et al. 2022, arXiv:2204.04581, multi-hop.
    """

    name: ClassVar[str] = "iterative"
    paper: ClassVar[str] = "structural-memory"
    arxiv: ClassVar[str] = "2412.15266"

    def __init__(self, *, by: Retriever | None = None, rounds: int = 2, width: int = 3, fade: float = 0.9) -> None:
        if min(rounds, width) < 1:
            raise BadInput(f"rounds={rounds}, width={width}: give 1 or more of each; the defaults are 2, 3")
        if not 0 < fade <= 1:
            raise BadInput(f"fade={fade}: give a factor above 0 and at most 1; the default is 0.9")
        self.by = by or Hybrid(neighbours=0)
        self.rounds, self.width, self.fade = rounds, width, fade

    def search(self, query: Query) -> list[Hit]:
        """The `query.k` engrams of the best paths, best first."""
        if query.empty:
            return []
        best: dict[str, Hit] = {}
        questions = [(query.text, 1.0)]
        for _ in range(self.rounds):
            steps: list[tuple[str, float, Hit]] = []
            for question, worth in questions:
                for rank, hit in enumerate(self.by.search(replace(query, text=question)), 1):
                    score = worth / rank
                    if hit.id not in best or best[hit.id].score < score:
                        best[hit.id] = hit.model_copy(update={"score": score})
                        steps.append((question, score, hit))
            steps.sort(key=lambda s: -s[1])
            questions = [(q, self.fade * s) for old, s, h in steps[: self.width] if (q := refined(old, h.text))]
        return sorted(best.values(), key=lambda h: -h.score)[: query.k]


def refined(query: str, text: str) -> str:
    """The query with a text's new names in the place of the words that both share; "" where the text is no step."""
    query_words, text_words = content(query), content(text)
    names = [w for w in re.findall(r"[^\W_]+", text) if w[0].isupper() or w.isdigit()]
    new = [w for w in names if content(w) - query_words]
    if not query_words & text_words or not query_words - text_words or not new:
        return ""
    out: list[str] = []
    put = False
    for word in query.split():
        if not content(word) & text_words:
            out.append(word)
        elif not put:
            out += new
            put = True
    return " ".join(out)
