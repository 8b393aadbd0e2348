"""The learned ranker: features worked by hand, weights that fit, and a dialogue in a real store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Brief, Engram
from byheart.models.embedder import HashEmbedder
from byheart.recall.retrieve.ranked import PARTS, WEIGHTS, Ranked, Rated, _features, fit, using
from byheart.store.sqlite import Store

NAMES = list(WEIGHTS)


def turn(name: str, text: str, place: int, source: str = "s", speaker: str | None = None) -> Engram:
    return Engram(id=name, text=text, position=place, source=source, speaker=speaker, created="now")


def z(values: list[float]) -> list[float]:
    spread = float(np.std(values))
    return [(v - float(np.mean(values))) / spread if spread > 1e-12 else 0.0 for v in values]


def test_features_worked_by_hand() -> None:
    """Three turns in a row and one elsewhere; scores are their own standardised values."""
    engrams = [
        turn("a", "Where?", 0, speaker="Ann"),
        turn("b", "By the sea.", 1, speaker="Bo"),
        turn("c", "Oh!", 2, speaker="Ann"),
        turn("d", "Rain", 0, source="t", speaker="Bo"),
    ]
    near = {"a": ("b",), "b": ("a", "c"), "c": ("b",), "d": ()}
    words, meaning = [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]
    own = [2.0, 0.0, 0.0, -2.0]
    briefs = {e.id: Brief(e.source, e.position, e.speaker, len(e.text), "?" in e.text) for e in engrams}
    features = _features(list(briefs), briefs, near, np.array(words), np.array(meaning), ["Bo"])
    table = dict(zip(NAMES, features.T.tolist(), strict=True))
    assert table["words"] == pytest.approx(words)
    assert table["before"] == pytest.approx(z([-2.0, own[0], own[1], -2.0]))
    assert table["after"] == pytest.approx(z([own[1], own[2], -2.0, -2.0]))
    assert table["second before"] == pytest.approx(z([-2.0, -2.0, own[0], -2.0]))
    assert table["second after"] == pytest.approx(z([own[2], -2.0, -2.0, -2.0]))
    assert table["answers a question"] == pytest.approx(z([0.0, own[0], 0.0, 0.0]))
    assert table["is a question"] == pytest.approx(z([1.0, 0.0, 0.0, 0.0]))
    assert table["speaker"] == pytest.approx([-1.0, 1.0, -1.0, 1.0])
    assert table["length"] == pytest.approx(z(np.log([7.0, 12.0, 4.0, 5.0]).tolist()))
    assert table["source by words"] == pytest.approx(z([1 / 3, 1 / 3, 1 / 3, -1.0]))
    assert table["best by meaning"] == pytest.approx(z(np.exp([0.0, 0.0, -2.0, -2.0]).tolist()))


def test_fitted_weights_are_where_the_slope_of_the_loss_is_zero() -> None:
    rng = np.random.default_rng(0)
    queries = [(Rated(("a", "b", "c"), rng.normal(size=(3, len(NAMES)))), [w]) for w in "abca"]
    weights = np.array(list(fit(queries, decay=0.1, steps=200).values()))
    slope = 2 * 0.1 * len(queries) * weights
    for rated, (wanted,) in queries:
        chances = np.exp(rated.features @ weights)
        slope += rated.features.T @ (chances / chances.sum()) - rated.features[rated.ids.index(wanted)]
    assert np.abs(slope).max() < 1e-4


def test_weights_that_are_not_named_stay_zero() -> None:
    rng = np.random.default_rng(0)
    queries = [(Rated(("a", "b", "c"), rng.normal(size=(3, len(NAMES)))), [w]) for w in "abca"]
    weights = fit(queries, names=["length", "words"])
    assert [n for n in NAMES if weights[n]] == ["words", "length"]
    alone = [(Rated(a.ids, a.features * [n in ("words", "length") for n in NAMES]), w) for a, w in queries]
    assert weights == pytest.approx(fit(alone), abs=1e-5)


def test_every_weight_is_of_a_part() -> None:
    assert {n for names in PARTS.values() for n in names} == set(WEIGHTS)
    assert using(list(PARTS)) == list(WEIGHTS)
    assert using([p for p in PARTS if p != "words"]) == [n for n in NAMES if "words" not in n]


def test_a_part_without_weight_is_not_looked_at(tmp_path: Path) -> None:
    class Watched(HashEmbedder):
        read: list[str]

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            self.read = list(texts)
            return super().encode(texts)

    def features_of(*parts: str) -> tuple[dict[str, list[float]], list[str]]:
        embedder = Watched()
        embedder.read = []
        ranker = Ranked(weights={n: float(n in using(parts)) for n in WEIGHTS})
        rated = ranker.rated(Query("What boat has Bo?", store, embedder))
        return dict(zip(NAMES, rated.features.T.tolist(), strict=True)), embedder.read

    with Store(tmp_path / "s", dimension=256) as store:
        turns = ("Which boat?", "The boat is red.", "Nice.")
        engrams = [turn(f"t{n}", text, n, speaker="AnnBo"[3 * (n % 2) :][:3]) for n, text in enumerate(turns)]
        store.add(engrams, HashEmbedder().encode([e.text for e in engrams]))
        features, read = features_of(*PARTS)
        assert any(features["meaning"]) and any(features["words"]) and any(features["speaker"])  # noqa: PT018
        assert read == ["What boat has  ?"]
        features, read = features_of("words", "neighbours")
        assert read == []
        assert not any(features["meaning"])
        features, read = features_of("meaning", "neighbours")
        assert read == ["What boat has Bo?"]
        assert not any(features["words"])
        assert any(features["meaning"])


def test_the_turn_after_the_question_is_found_by_who_says_it(tmp_path: Path) -> None:
    texts = [
        ("Ann", "What is your favourite colour these days, for the new kitchen?"),
        ("Bo", "Turquoise, I painted half of the house in it last summer."),
        ("Ann", "Nice."),
        ("Bo", "My dish is eel."),
    ]
    with Store(tmp_path / "s", dimension=256) as store:
        engrams = [turn(f"t{n}", text, n, speaker=who) for n, (who, text) in enumerate(texts)]
        store.add(engrams, HashEmbedder().encode([e.text for e in engrams]))
        ranker = Ranked()
        ids = [h.id for h in ranker.search(Query("What is Bo's favourite colour?", store, HashEmbedder(), k=4))]
        assert set(ids[:2]) == {"t0", "t1"}
        assert ranker.search(Query("What is Bo's favourite colour?", store, k=2))[0].id == "t1"
        assert len(ranker.search(Query("Bo", store, HashEmbedder(), k=4))) == 4
        assert ranker.search(Query("  ", store, HashEmbedder(), k=4)) == []


def test_bad_settings_say_what_to_do() -> None:
    with pytest.raises(BadInput, match="weights for colour missing or unknown"):
        Ranked(weights={**WEIGHTS, "colour": 1.0})
    with pytest.raises(BadInput, match="pool=0"):
        Ranked(pool=0)
    with pytest.raises(BadInput, match="give a larger pool"):
        fit([(Rated(("a",), np.zeros((1, len(NAMES)))), ["b"])])


def test_more_can_be_asked_for_than_the_pool(tmp_path: Path) -> None:
    with Store(tmp_path / "s", dimension=256) as store:
        engrams = [turn(f"t{n}", f"the ferry number {n}", 3 * n) for n in range(40)]
        store.add(engrams, HashEmbedder().encode([e.text for e in engrams]))
        hits = Ranked(pool=4).search(Query("which ferry?", store, HashEmbedder(), k=30))
        assert len({h.id for h in hits}) == 30
