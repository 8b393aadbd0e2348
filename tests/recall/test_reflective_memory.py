"""The reranker that learns from citations: its step by hand and by differences, its state, what it comes to prefer."""

from __future__ import annotations

import numpy as np
import pytest

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Hit
from byheart.models.embedder import HashEmbedder
from byheart.recall.rerank.reflective_memory import RetrospectiveReflection


class Table:
    """Embeds a text as the vector that it is listed with."""

    def __init__(self, table: dict[str, list[float]]) -> None:
        self.table = table
        self.dimension = len(next(iter(table.values())))

    def encode(self, texts):
        return np.array([self.table[t] for t in texts], np.float32)


def hit(name: str) -> Hit:
    return Hit(id=name, text=name, score=0.0)


def test_one_step_worked_by_hand() -> None:
    """q = (1, 0), a = (1, 0), b = (0, 1), temperature 1: s = (1, 0), p = e/(e+1), 1/(e+1); both picked, a is cited.

    Gains .5 and -1.5 sum to -1: slopes are .5 + p_a and -1.5 + p_b. W_q moves by (slope_a a + slope_b b) q',
    W_m by q (slope_a a + slope_b b)'.
    """
    table = Table({"q": [1.0, 0.0], "a": [1.0, 0.0], "b": [0.0, 1.0]})
    made = RetrospectiveReflection(temperature=1.0, rate=0.1, batch=1, noise=0.0)
    made.learn(Query("q", embedder=table), [hit("a"), hit("b")], {"a"})
    p = np.e / (np.e + 1)
    slopes = np.array([0.5 + p, -1.5 + (1 - p)])
    weights = made.state_dict()["weights"]
    assert weights[0] == pytest.approx(0.1 * np.array([[slopes[0], 0], [slopes[1], 0]]))
    assert weights[1] == pytest.approx(0.1 * np.array([[slopes[0], slopes[1]], [0, 0]]))


def test_the_step_is_the_slope_of_the_weighed_log_chances() -> None:
    """Against central differences of sum_i (R_i - b) log p_i, at weights that are not zero."""
    rng = np.random.default_rng(0)
    table = Table({name: rng.normal(size=4).tolist() for name in "qabcde"})
    hits, cited = [hit(n) for n in "abcde"], {"b", "d"}
    made = RetrospectiveReflection(temperature=0.7, rate=1.0, batch=1, noise=0.0)
    start = 0.1 * rng.normal(size=(2, 4, 4))
    made.load_state_dict({"weights": start, "steps": np.zeros((2, 4, 4)), "answers": 0})
    query = Query("q", embedder=table, k=3)
    picked = [h.id for h in made.order(query, hits)]

    def gain(weights: np.ndarray) -> float:
        q, m = np.array(table.table["q"], np.float32).astype(float), table.encode("abcde").astype(float)
        s = (m + m @ weights[1].T) @ (q + weights[0] @ q) / 0.7
        logs = s - np.log(np.exp(s).sum())
        return sum(((1 if n in cited else -1) - 0.5) * logs["abcde".index(n)] for n in picked)

    made.learn(query, hits, cited)
    moved = made.state_dict()["weights"] - start
    for place in np.ndindex(2, 4, 4):
        up, down = start.copy(), start.copy()
        up[place] += 1e-5
        down[place] -= 1e-5
        assert moved[place] == pytest.approx((gain(up) - gain(down)) / 2e-5, abs=1e-5)


def test_it_comes_to_prefer_what_is_cited() -> None:
    """Answers always cite the second likest; after a while it is picked."""
    rng = np.random.default_rng(1)
    table = {}
    for n in range(40):
        topic = rng.normal(size=8)
        topic /= np.linalg.norm(topic)
        table[f"q{n}"] = [*0.9 * topic, 0.0, 0.0, 0.435]
        table[f"good{n}"] = [*0.8 * topic, 0.6, 0.0, 0.0]
        table[f"bad{n}"] = [*0.9 * topic, 0.0, 0.435, 0.0]
    embedder = Table(table)
    made = RetrospectiveReflection(rate=0.1, noise=0.2)

    def query(n: int) -> Query:
        return Query(f"q{n}", embedder=embedder, k=1)

    def right(numbers: range) -> int:
        calm = RetrospectiveReflection(noise=0.0)
        calm.load_state_dict(made.state_dict())
        return sum(calm.order(query(n), [hit(f"bad{n}"), hit(f"good{n}")])[0].id == f"good{n}" for n in numbers)

    assert right(range(30, 40)) == 0
    for _ in range(4):
        for n in range(30):
            made.learn(query(n), [hit(f"bad{n}"), hit(f"good{n}")], {f"good{n}"})
    assert right(range(30, 40)) == 10


def test_steps_are_taken_by_the_batch_and_the_state_goes_on() -> None:
    hits = [Hit(id=t, text=t, score=0.0) for t in ("a boat", "an oar", "a tide")]
    boat, oar, tide = (Query(t, embedder=HashEmbedder(), k=2) for t in ("boat", "oar", "tide"))
    made = RetrospectiveReflection(batch=2)
    made.learn(boat, hits, {"a boat"})
    assert not made.state_dict()["weights"].any()
    again = RetrospectiveReflection(batch=2)
    again.load_state_dict(made.state_dict())
    for reranker in (made, again):
        reranker.learn(oar, hits, {"an oar"})
    assert made.state_dict()["weights"].any()
    assert (made.state_dict()["weights"] == again.state_dict()["weights"]).all()
    assert made.order(tide, hits) == again.order(tide, hits)


def test_another_embedder_is_refused() -> None:
    made = RetrospectiveReflection()
    made.order(Query("boat", embedder=HashEmbedder(64)), [hit("boat")])
    with pytest.raises(BadInput, match="64 dimensions"):
        made.order(Query("boat", embedder=HashEmbedder(32)), [hit("boat")])


@pytest.mark.parametrize("bad", [{"pool": 0}, {"temperature": 0.0}, {"baseline": 1.0}, {"noise": -1.0}])
def test_settings_that_make_no_sense_are_refused(bad: dict) -> None:
    with pytest.raises(BadInput):
        RetrospectiveReflection(**bad)
