"""MemGAS: weights, walks and ties worked by hand; memories of a real store; the model's filter."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.core.query import Query
from byheart.core.records import Engram
from byheart.models.embedder import HashEmbedder
from byheart.recall.retrieve.memgas import Bank, MemGAS, pagerank
from byheart.recall.write.gist import keywords, summaries, weights
from byheart.store.sqlite import Store


def test_a_granularity_counts_by_the_inverse_of_its_entropy() -> None:
    """Similarities ln 3 and 0 at temperature 1 are chances 3/4 and 1/4; equal ones have entropy ln 2."""
    sure = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    inverse = np.array([1 / sure, 1 / math.log(2)])
    weights = MemGAS(temperature=1.0).weights(np.array([[math.log(3), 0.0], [0.2, 0.2]]))
    assert weights == pytest.approx(inverse / inverse.sum())
    assert weights[0] > weights[1]


def test_a_walk_of_two_tied_units_worked_by_hand() -> None:
    """x = (1 - d)(r + d A r + d^2 A^2 r + ...): of r = (1, 0) the share 1 / (1 + d) stays, d / (1 + d) is passed on."""
    ranks = pagerank(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 0.0]), 0.1)
    assert ranks == pytest.approx([1 / 1.1, 0.1 / 1.1])


def test_scores_worked_by_hand() -> None:
    """Units of two memories are like the query by 0.8 0.6 0.4 0.3 and by 0.1 each; the last of both are tied."""
    vectors = np.zeros((8, 2))
    vectors[:, 0] = [0.8, 0.6, 0.4, 0.3, 0.1, 0.1, 0.1, 0.1]
    vectors[:, 1] = np.sqrt(1 - vectors[:, 0] ** 2)
    ties = np.zeros((8, 8))
    ties[3, 7] = ties[7, 3] = 1.0
    searcher = MemGAS(seeds=4, temperature=0.5)
    weight = searcher.weights(np.array([[0.8, 0.1], [0.6, 0.1], [0.4, 0.1], [0.3, 0.1]]))
    scored = weight * [0.8, 0.6, 0.4, 0.3]
    assert scored.min() > (weight * 0.1).max(), "the four best units are those of the first memory"
    bank, query = Bank(((), ()), vectors, ties), np.array([1.0, 0.0])
    share, d = scored[3] / scored.sum(), 0.1
    lent = d * share / (1 - d**2 + share * d * (1 + d))  # what stands on units without ties restarts
    assert searcher.scores(bank, query) == pytest.approx([1 - lent, lent])
    alone = MemGAS(seeds=4, temperature=0.5, damping=0.0).scores(bank, query)
    assert alone[0] == pytest.approx(1.0)
    assert alone[1] < 0, "no unit reaches it"


def test_units_are_tied_to_the_upper_group_of_earlier_ones_alone() -> None:
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(2, 32))
    memories = [topics[i % 2] + 0.2 * rng.normal(size=(4, 32)) for i in range(12)]
    vectors = np.concatenate(memories)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ties, _ = MemGAS(first=5)._ties(vectors)
    assert (ties == ties.T).all()
    assert not ties[:20, :20].any(), "the first five tie none"
    block = ties.reshape(12, 4, 12, 4)
    assert all(not block[i, :, i].any() for i in range(12)), "units of one memory are not tied to each other"
    same = [block[i, :, j].mean() for i in range(5, 12) for j in range(i) if (i - j) % 2 == 0]
    other = [block[i, :, j].mean() for i in range(5, 12) for j in range(i) if (i - j) % 2]
    assert np.mean(same) > 0.8
    assert max(other) == 0


TALK = {
    "boats": ("Ann: The boat needs varnish.", "Ben: I sold the oars of the boat.", "Ann: Sail before the tide."),
    "bread": ("Ann: The dough must rise.", "Ben: I baked rye bread with caraway.", "Ann: The oven was hot."),
    "music": ("Ben: My lute has a new string.", "Ann: The choir sings on Sunday.", "Ben: We played the fugue."),
}


@pytest.fixture
def store(tmp_path: Path):
    engrams = [
        Engram(id=f"{name}{n}", text=text, source=name, position=n, created="now")
        for name, lines in TALK.items()
        for n, text in enumerate(lines)
    ]
    with Store(tmp_path, dimension=256) as opened:
        opened.add(engrams, HashEmbedder().encode([e.text for e in engrams]))
        yield opened


def test_the_memory_that_a_question_is_about_comes_first_and_its_likest_engrams_first(store: Store) -> None:
    hits = MemGAS().search(Query("rye bread with caraway", store, HashEmbedder(), k=9))
    assert hits[0].id == "bread1"
    assert {h.source for h in hits[:3]} == {"bread"}
    assert len(hits) == 9
    one_each = MemGAS(each=1).search(Query("rye bread", store, HashEmbedder(), k=9))
    assert one_each[0].id == "bread1"
    assert len(one_each) == 3


def test_what_is_forgotten_is_in_no_unit(store: Store) -> None:
    searcher = MemGAS()
    bank = searcher._bank(store, HashEmbedder(), {e.id: 0.0 for e in store.all()})
    assert len(bank.memories) == 3
    store.update(["bread0", "bread1"], state="forgotten")
    hits = searcher.search(Query("rye bread with caraway", store, HashEmbedder(), k=9))
    assert not {"bread0", "bread1"} & {h.id for h in hits}
    assert not any("caraway" in text for text in searcher._known), "a summary still tells it"


def test_a_view_is_kept_until_it_changes(store: Store) -> None:
    class Counting(HashEmbedder):
        encoded = 0

        def encode(self, texts):
            self.encoded += len(texts)
            return super().encode(texts)

    embedder, searcher = Counting(), MemGAS()
    searcher.search(Query("bread", store, embedder, k=3))
    first = embedder.encoded
    searcher.search(Query("boat", store, embedder, k=3))
    assert embedder.encoded == first + 1
    new = Engram(id="x", text="The ferry leaves at noon.", created="now")
    store.add([new], HashEmbedder().encode([new.text]))
    assert searcher.search(Query("The ferry leaves at noon.", store, embedder, k=1))[0].id == "x"
    assert embedder.encoded < first + 12, "known texts were encoded again"
    mine = {"source": ("boats", None)}
    searcher.search(Query("boat", store, embedder, k=3, where=mine))
    between = embedder.encoded
    searcher.search(Query("bread", store, embedder, k=3))
    searcher.search(Query("boat", store, embedder, k=3, where=mine))
    assert embedder.encoded == between + 2, "two views take turns, and each is kept"


def test_what_is_changed_in_place_is_seen(store: Store) -> None:
    searcher = MemGAS(each=0)
    first = searcher.memories(Query("boat", store, HashEmbedder()))
    store.update(["boats0"], position=7)
    again = searcher.memories(Query("boat", store, HashEmbedder()))
    assert [e.position for e in first[0][0] if e.id == "boats0"] == [0]
    assert [e.position for e in again[0][0] if e.id == "boats0"] == [7]


def test_a_bank_that_goes_on_is_the_one_that_is_built_anew(store: Store) -> None:
    """Memories come one by one, some of them known and longer: ties, units and what is encoded are the same."""
    rng, going = np.random.default_rng(3), MemGAS(candidates=6, first=2)
    words = "boat oar tide sail rye dough oven crust lute string choir fugue red new old hot".split()
    for n in range(40):
        text = f"{' '.join(rng.choice(words, 5))}. {' '.join(rng.choice(words, 4))} {n}."
        source = f"talk {n if n % 3 else n // 2}"
        new = Engram(id=f"n{n}", text=text, source=source, position=n, created="now")
        store.add([new], HashEmbedder().encode([text]))
        seen = {e.id: 0.0 for e in store.all()}
        bank, anew = going._bank(store, HashEmbedder(), seen), MemGAS(candidates=6, first=2)
        built = anew._bank(store, HashEmbedder(), seen)
        assert (bank.vectors == built.vectors).all()
        assert (bank.ties == built.ties).all()
        assert set(going._known) == set(anew._known)


class Says:
    def __init__(self, text: str) -> None:
        self.text, self.shown = text, ""

    def generate(self, prompts, *, max_tokens=64, temperature=0.0, copies=1, seed=0):
        self.shown = prompts[0][-1]["content"]
        return [[Generation(self.text)] for _ in prompts]


def test_the_model_filters_what_it_names(store: Store) -> None:
    hits = MemGAS().search(Query("rye bread", store, HashEmbedder(), k=4))
    says = Says("Memories 2, 4 and 12.")
    assert MemGAS().filter(says, "rye bread", hits) == [hits[1], hits[3]]
    assert f"[2] {hits[1].text}" in says.shown
    assert MemGAS().filter(Says("None of them."), "rye bread", hits) == hits
    assert MemGAS().filter(says, "rye bread", []) == []


def test_words_that_tell_a_text_from_others() -> None:
    """Boat stands twice in one of two texts: 2/3 log(3/1); red once in both: 1/2 log(3/2)."""
    texts = ["the red boat and the boat", "the red house"]
    assert weights(texts)[0] == pytest.approx({"boat": 2 / 3 * math.log(3), "red": 0.5 * math.log(1.5)})
    assert keywords(texts, 1) == ["boat", "house"]
    assert keywords(["", "boat"]) == ["", "boat"]
    # Two rare words: 2 a / sqrt(2) = .78 beats (2 a + 3 b) / sqrt(5) = .76, with a = log(3) / 2, b = log(1.5) / 2
    pair = ["Masts creak. The red boat left: ropes rotted.", "The red boat left."]
    assert summaries(pair, 1)[0] == "Masts creak."
    assert summaries(["…", ""]) == ["…", ""]
    assert summaries(["Boats. Boats sail. Rain."], 9) == ["Boats. Boats sail. Rain."]


@pytest.mark.parametrize(
    "bad", [{"temperature": 0.0}, {"candidates": 0}, {"seeds": 0}, {"first": 0}, {"each": -1}, {"damping": 1.0}]
)
def test_settings_that_make_no_sense_are_refused(bad: dict) -> None:
    with pytest.raises(BadInput):
        MemGAS(**bad)


def test_without_an_embedder_it_says_what_to_do(store: Store) -> None:
    with pytest.raises(BadInput, match="hybrid"):
        MemGAS().search(Query("bread", store))
