"""Whole names, and facts with keys compared as facts: whom a question names, what others were told in its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from byheart.core.query import Query
from byheart.memory import Memory
from byheart.recall.retrieve.hybrid import Hybrid
from byheart.recall.retrieve.keyed import lifted

IDS = ["ann-home", "ann-rank", "bo-rank", "note"]
KEYS = {"ann-home": "Ann Lee/home", "ann-rank": "Ann Lee/rank", "bo-rank": "Bo/rank"}
SCORES = np.array([1.0, 0.5, 0.8, 0.2])


def test_by_hand() -> None:
    scores = lifted("What is Ann Lee's rank?", IDS, KEYS, SCORES)
    # all others' facts are of ranks: p(rank) = 1, p(home) = 0
    assert scores.tolist() == [1.0 - 4, 0.5 + 1, 0.8 - 4, 0.2]
    more = {**KEYS, "note": "Bo/home"}
    share = 1 / (1 + np.exp(0.2 - 0.8))
    scores = lifted("And Ann Lee?", IDS, more, SCORES)
    gap = 4 * (share - (1 - share))
    assert np.allclose(scores, [1.0 - gap + 1 - share, 0.5 + share, 0.8 - 4, 0.2 - gap - 4])


def test_who_is_not_named_whole_changes_nothing() -> None:
    for query in ("What is Ann's rank?", "Which rank has Lee Ann?", "Which rank has Bob?", ""):
        assert lifted(query, IDS, KEYS, SCORES) is SCORES
    assert lifted("What is Ann Lee's rank?", IDS, {}, SCORES) is SCORES
    lone = {"ann-home": "Ann Lee", "ann-rank": "#Ann Lee/rank", "bo-rank": "/rank"}
    assert lifted("What is Ann Lee's rank?", IDS, lone, SCORES) is SCORES


def test_alone_the_named_keep_their_order_and_notes_their_scores() -> None:
    keys = {k: v for k, v in KEYS.items() if k != "bo-rank"}
    scores = lifted("What is Ann Lee's rank?", IDS, keys, SCORES)
    assert scores.tolist() == SCORES.tolist()


def test_a_question_in_words_that_only_anothers_fact_was_told_in(tmp_path: Path) -> None:
    with Memory.open(tmp_path, model="tiny", embedder="hash") as memory:
        memory.remember(
            [
                {"text": "Ann Lee was made captain.", "key": "Ann Lee/rank"},
                {"text": "Ann Lee serves soup.", "key": "Ann Lee/dish"},
                {"text": "Bo Ray serves as a sergeant.", "key": "Bo Ray/rank"},
                {"text": "Cid Moe serves as a corporal.", "key": "Cid Moe/rank"},
                {"text": "Dee Fox would rather cook a stew.", "key": "Dee Fox/dish"},
            ]
        )
        question = "As what does Ann Lee serve?"
        searches = {
            k: Hybrid(keys=k).search(Query(question, memory.store, memory.embedder, k=5)) for k in (False, True)
        }
        assert searches[False][0].text.startswith("Ann Lee serves soup")
        assert [h.text for h in searches[True]][:2] == ["Ann Lee was made captain.", "Ann Lee serves soup."]
        assert memory.recall(question)[0].text == "Ann Lee was made captain."


def test_a_whole_name_counts_where_words_alone_do_not_tell(tmp_path: Path) -> None:
    with Memory.open(tmp_path, model="tiny", embedder="hash") as memory:
        memory.remember(
            [
                "Ann Brandt signs the forms for travel on most days of the week.",
                "Ilo Kask signs forms. Marta Lind signs travel.",
                "Marta Kask signs the forms for travel on Mondays.",
            ]
        )
        question = "Who signs forms of travel, Marta Kask?"
        first = {
            n: Hybrid(named=n, neighbours=0).search(Query(question, memory.store, memory.embedder, k=3))
            for n in (0.0, 2.0)
        }
        assert first[0.0][0].text.startswith("Ilo Kask")
        assert first[2.0][0].text.startswith("Marta Kask")
        gained = {h.text: h.score for h in first[2.0]}
        assert [round(gained[h.text] - h.score, 6) for h in first[0.0]] == [
            2.0 * h.text.startswith("Marta Kask") for h in first[0.0]
        ]
        short = "Who signs forms of travel, Kask?"
        alike = [Hybrid(named=n).search(Query(short, memory.store, memory.embedder, k=3)) for n in (0.0, 2.0)]
        assert alike[0] == alike[1]


def test_the_searches_of_one_index_are_that_indexs_order(tmp_path: Path) -> None:
    with Memory.open(tmp_path, model="tiny", embedder="hash") as memory:
        memory.remember([{"text": "Ann Lee sings.", "key": "Ann Lee/hobby"}, "Bo Ray sings, and sings, and sings."])
        for alone in (Hybrid(dense=0), Hybrid(lexical=0)):
            hits = alone.search(Query("What sings Ann Lee?", memory.store, memory.embedder, k=2))
            assert [round(abs(h.score), 6) for h in hits] == [1.0, 1.0]  # two z-scores and nothing besides
