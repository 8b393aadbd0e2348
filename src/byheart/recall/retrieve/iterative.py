"""Iterative retrieval: what was found asks on, so that an answer two steps away is reached."""

from __future__ import annotations

import re
from typing import ClassVar, Protocol

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder
from byheart.core.records import Hit
from byheart.recall.read.evidence import content
from byheart.recall.retrieve.candidates import Index, Where
from byheart.recall.retrieve.hybrid import Hybrid


class Searcher(Protocol):
    """A search that can be asked several times."""

    def search(
        self,
        store: Index,
        embedder: Embedder | None,
        query: str,
        k: int = 10,
        at: str | None = None,
        where: Where = None,
    ) -> list[Hit]: ...


class Iterative:
    """Searches, puts what was found into the question, and searches again.

    "What does the spouse of Ann play?" does not name the one whom "Ben plays the harp" is about. The first search
    finds "Ann is married to Ben"; with Ben in Ann's place, the question is nearer to what Ben plays.

        q' = q with the names that the hit h adds, in the place of the words that q and h share
        score of a path of hits at ranks r_1, r_2, ... = product of 1 / r_i * fade for each step after the first

    An engram has the score of its best path. A hit that shares no content word with the question, leaves
    none of it unanswered or adds no name (a word with a capital, a number) is no step.

    Parameters
    ----------
    by: the search that is repeated; the default is `Hybrid` without neighbours.
    rounds: searches one after the other; 1 is single-step retrieval. width: hits that ask on in each round.
    fade: what a further step costs, as a factor.

    Departs from the paper: a language model refines the question there; here the words do, by the rule above.

    >>> refined("What does the spouse of Ann play?", "Ann is married to Ben.")
    'What does the spouse of Ben play?'

    References: Zeng et al. 2024, arXiv:2412.15266, iterative retrieval; Chen et al. 2022, arXiv:2204.04581, multi-hop.
    """

    name: ClassVar[str] = "iterative"
    paper: ClassVar[str] = "structural-memory"
    arxiv: ClassVar[str] = "2412.15266"

    def __init__(self, *, by: Searcher | None = None, rounds: int = 2, width: int = 3, fade: float = 0.9) -> None:
        if min(rounds, width) < 1:
            raise BadInput(f"rounds={rounds}, width={width}: give 1 or more of each; the defaults are 2, 3")
        if not 0 < fade <= 1:
            raise BadInput(f"fade={fade}: give a factor above 0 and at most 1; the default is 0.9")
        self.by = by or Hybrid(neighbours=0)
        self.rounds, self.width, self.fade = rounds, width, fade

    def search(
        self,
        store: Index,
        embedder: Embedder | None,
        query: str,
        k: int = 10,
        at: str | None = None,
        where: Where = None,
    ) -> list[Hit]:
        """The k engrams of the best paths. See `Hybrid.search`."""
        if not query.strip() or k < 1:
            return []
        best: dict[str, Hit] = {}
        asked = [(query, 1.0)]
        for _ in range(self.rounds):
            steps: list[tuple[str, float, Hit]] = []
            for question, worth in asked:
                for rank, found in enumerate(self.by.search(store, embedder, question, k, at, where), 1):
                    score = worth / rank
                    if found.id not in best or best[found.id].score < score:
                        best[found.id] = found.model_copy(update={"score": score})
                        steps.append((question, score, found))
            steps.sort(key=lambda s: -s[1])
            asked = [(q, self.fade * s) for asks, s, h in steps[: self.width] if (q := refined(asks, h.text))]
        return sorted(best.values(), key=lambda h: -h.score)[:k]


def refined(query: str, text: str) -> str:
    """The query with a text's new names for the words that both have; "" where the text is no step."""
    asked, told = content(query), content(text)
    names = [w for w in re.findall(r"[^\W_]+", text) if w[0].isupper() or w.isdigit()]
    new = [w for w in names if content(w) - asked]
    if not asked & told or not asked - told or not new:
        return ""
    out: list[str] = []
    put = False
    for word in query.split():
        if not content(word) & told:
            out.append(word)
        elif not put:
            out += new
            put = True
    return " ".join(out)
