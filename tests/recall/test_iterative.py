"""Iterative retrieval: what is two steps away is reached, and what is found in one step stays first."""

from __future__ import annotations

from pathlib import Path

import pytest

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Engram
from byheart.models.embedder import HashEmbedder
from byheart.recall.retrieve.hybrid import Hybrid
from byheart.recall.retrieve.iterative import Iterative, refined
from byheart.store.sqlite import Store

TOLD = (
    "Ann Kask is married to Ben Noth.",
    "Ben Noth has a harp.",
    "Ann Kask sells tea.",
    "Ann Kask sold the ferry.",
    "Lio Varga has a lute.",
)
ASKED = "Which instrument has the one that Ann Kask is married to?"


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path, dimension=256) as opened:
        opened.add([Engram(id=f"e{n}", text=t, created="") for n, t in enumerate(TOLD)], HashEmbedder().encode(TOLD))
        yield opened


def ranking(store: Store, query: str, k: int = 2, **settings) -> list[tuple[str, float]]:
    hits = Iterative(by=Hybrid(dense=0, neighbours=0), **settings).search(Query(query, store, k=k))
    return [(h.id, round(h.score, 3)) for h in hits]


def test_the_second_step_starts_from_what_the_first_found(store: Store) -> None:
    assert [i for i, _ in ranking(store, ASKED, rounds=1)] == ["e0", "e2"]
    assert ranking(store, ASKED, rounds=2, width=1) == [("e0", 1.0), ("e1", 0.9)]
    assert ranking(store, ASKED, rounds=2, width=1, fade=0.4)[1] == ("e2", 0.5)


def test_the_query_takes_the_names_of_a_hit_for_the_words_they_share() -> None:
    assert refined("What does the spouse of Ann Kask play?", TOLD[0]) == "What does the spouse of Ben Noth play?"
    assert refined("Who sells tea?", "Tea is sold.") == "", "nothing is new"
    assert refined("Who plays the harp?", "The ferry leaves at noon from Velm.") == "", "nothing is shared"
    assert refined("Ann Kask?", TOLD[0]) == "", "nothing is left to ask"


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"width": 0}, {"fade": 0.0}, {"fade": 1.1}])
def test_settings_out_of_range_are_refused(settings) -> None:
    with pytest.raises(BadInput):
        Iterative(**settings)
