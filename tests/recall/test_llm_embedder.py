"""One map of queries: its losses by hand, what it learns, and that unlearned it is the cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Engram
from byheart.models.embedder import HashEmbedder
from byheart.recall.retrieve.hybrid import Hybrid
from byheart.recall.retrieve.llm_embedder import Lesson, LLMEmbedder, likelihoods, ranked
from byheart.store.sqlite import Store

NEVER = -math.inf
LESSONS = [
    Lesson("tool", "boat", ("ship", "boat yard")),
    Lesson("tool", "bread", ("loaf", "bread bin")),
    Lesson("kin", "boat", ("fleet", "boat yard"), (2.0, 0.0)),
    Lesson("kin", "bread", ("bakery", "bread bin"), (2.0, 0.0)),
]


def by_hand(scores: Sequence[float], at: int, left_out: Sequence[int] = ()) -> float:
    """- log softmax at one place over those that are not left out."""
    return -scores[at] + math.log(sum(math.exp(s) for n, s in enumerate(scores) if n not in left_out))


def test_graded_distillation_by_hand() -> None:
    """Two queries with two candidates each; the second label-only. Below the best: the other own and the batch's."""
    rows = [[2.0, 1.0, 0.5, -1.0], [0.0, 1.5, 1.0, -0.5]]
    w = [math.exp(3) / (math.exp(3) + math.e), math.e / (math.exp(3) + math.e)]
    graded = w[0] * by_hand(rows[0], 0) + w[1] * by_hand(rows[0], 1, [0])
    contrastive = (by_hand(rows[0], 0) + by_hand(rows[1], 2)) / 2
    given = torch.tensor([[3.0, 1.0], [0.0, 0.0]]).softmax(1)
    known = torch.tensor([True, False])
    made = LLMEmbedder(contrastive=0.2)
    assert made.loss(torch.tensor(rows), given, known).item() == pytest.approx(0.2 * contrastive + graded / 2, rel=1e-5)
    plain = w[0] * by_hand(rows[0][:2], 0) + w[1] * by_hand(rows[0][:2], 1)
    flat = LLMEmbedder(contrastive=0.2, graded=False)
    assert flat.loss(torch.tensor(rows), given, known).item() == pytest.approx(0.2 * contrastive + plain / 2, rel=1e-5)
    assert made.loss(torch.tensor(rows), given, ~known & known).item() == pytest.approx(contrastive, rel=1e-5)


def test_a_spared_candidate_is_no_negative() -> None:
    rows = torch.tensor([[2.0, 1.0, NEVER, -1.0], [0.0, 1.5, 1.0, -0.5]])
    given, known = torch.full((2, 2), 0.5), torch.tensor([False, False])
    want = (by_hand([2.0, 1.0, -1.0], 0) + by_hand([0.0, 1.5, 1.0, -0.5], 2)) / 2
    assert LLMEmbedder().loss(rows, given, known).item() == pytest.approx(want, rel=1e-5)


def test_copies_of_own_candidates_and_what_is_spared_are_left_out_of_a_batch() -> None:
    """Of the other's candidates the first query has a copy and spares the rest; the second has a copy of one alone."""
    seen: list[torch.Tensor] = []

    class Watched(LLMEmbedder):
        def loss(self, scores: torch.Tensor, given: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
            seen.append(scores.detach())
            return super().loss(scores, given, known)

    lessons = [Lesson("t", "boat", ("ship", "yard"), spared=("loaf",)), Lesson("t", "bread", ("loaf", "yard"))]
    Watched(rank=2, steps=1).fit(lessons, HashEmbedder())
    assert sorted(torch.isinf(seen[0]).sum(1).tolist()) == [1, 2]
    assert not torch.isinf(seen[0][0, :2]).any()
    assert not torch.isinf(seen[0][1, 2:]).any()


def test_the_rank_among_outputs_is_the_reward() -> None:
    likely = np.log([[0.5, 0.2, 0.6, 0.1], [0.3, 0.2, 0.1, 0.05], [0.1, 0.2, 0.3, 0.4], [0.2, 0.2, 0.2, 0.2]])
    assert ranked(likely) == (2.0, 3.0, 0.0, 0.0)


def test_likelihoods_are_means_over_tokens() -> None:
    class Scores:
        def generate(self, *_, **__):
            raise NotImplementedError

        def score(self, pairs):
            return [[-1.0, -3.0] if o == "long" else [-0.5 if p == "a" else -4.0] for p, o in pairs]

    assert likelihoods(Scores(), ["a", "b"], ["x", "long"]).tolist() == [[-0.5, -2.0], [-4.0, -2.0]]


def filled(path: Path) -> Store:
    store = Store(path, dimension=256)
    texts = ["ship", "boat yard", "loaf", "bread bin", "fleet", "bakery"]
    store.add([Engram(id=t, text=t, created="now") for t in texts], HashEmbedder().encode(texts))
    return store


def test_unlearned_it_is_the_cosine_and_learned_it_finds_what_each_task_wants(tmp_path: Path) -> None:
    encoder, dense = HashEmbedder(), Hybrid(lexical=0, neighbours=0)
    with filled(tmp_path / "m") as store:
        plain = LLMEmbedder(instruction="tool")
        ids = [h.id for h in plain.search(Query("boat", store, encoder, k=6))]
        assert ids[:1] == [dense.search(Query("boat", store, encoder, k=1))[0].id] == ["boat yard"]
        made = LLMEmbedder(instruction="tool")
        made.fit(LESSONS, encoder)
        assert made.search(Query("boat", store, encoder, k=1))[0].id == "ship"
        assert made.serving("kin").search(Query("boat", store, encoder, k=1))[0].id == "fleet"
        assert made.serving("kin").search(Query("bread", store, encoder, k=1))[0].id == "bakery"
        again = LLMEmbedder(instruction="tool")
        again.load_state_dict(made.state_dict())
        assert again.search(Query("bread", store, encoder, k=3)) == made.search(Query("bread", store, encoder, k=3))
        assert np.linalg.norm(made.mapped("boat", encoder)) == pytest.approx(1)


def test_the_same_seed_learns_the_same_and_another_does_not() -> None:
    made = [LLMEmbedder(rank=4, steps=5, seed=s) for s in (1, 1, 2)]
    for fitted in made:
        fitted.fit(LESSONS, HashEmbedder())
    a, b, c = (m.state_dict()["B"] for m in made)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_best_rewarded_counts_as_right_whatever_its_place() -> None:
    turned = [Lesson(x.instruction, x.query, x.keys[::-1], x.rewards and x.rewards[::-1]) for x in LESSONS[2:]]
    made = [LLMEmbedder(rank=4, steps=5) for _ in range(2)]
    made[0].fit(LESSONS[2:], HashEmbedder())
    made[1].fit(turned, HashEmbedder())
    assert np.allclose(made[0].state_dict()["B"], made[1].state_dict()["B"])


@pytest.mark.parametrize(
    "lessons",
    [[], [Lesson("", "a", ())], [LESSONS[0], Lesson("", "a", ("b",))], [Lesson("", "a", ("b", "c"), (1.0,))]],
    ids=["none", "no candidates", "two sizes", "a reward too few"],
)
def test_lessons_that_cannot_be_learned_from_are_refused(lessons: list[Lesson]) -> None:
    with pytest.raises(BadInput, match="one size"):
        LLMEmbedder().fit(lessons, HashEmbedder())


def test_another_embedder_than_it_learned_with_is_refused() -> None:
    made = LLMEmbedder(rank=4, steps=1)
    made.fit(LESSONS, HashEmbedder())
    with pytest.raises(BadInput, match="256 dimensions"):
        made.mapped("boat", HashEmbedder(64))
    with pytest.raises(BadInput, match="give an embedder"):
        made.search(Query("boat", None))
