"""What every writer, retriever, reranker, reader and updater of the catalogue must do, tested without being asked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byheart.core import catalogue
from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.core.query import Query
from byheart.core.records import Engram, Hit, Op
from byheart.models.embedder import HashEmbedder
from byheart.models.lm import load
from byheart.recall.write.chunks import Chunks
from byheart.store.sqlite import Store

ENTRIES = [e for e in catalogue.methods() if e.target.startswith("recall.")]
RETRIEVERS = [e.name for e in ENTRIES if e.kind == "retriever"]
RERANKERS = [e.name for e in ENTRIES if e.kind == "reranker"]
READERS = [e.name for e in ENTRIES if e.kind == "reader"]
UPDATERS = [e.name for e in ENTRIES if e.kind == "updater"]
WRITERS = [e.name for e in ENTRIES if e.kind == "writer"]
HOSTILE = (
    "", "   ", "\x00\x07\x1b[31m", "\ud800 boat", '"boat" OR 1=1; DROP TABLE engrams; --', "NEAR(boat, oars) AND (",
    "boat*", "^boat", "col:boat", "{boat}", "%s %d %%", "boat " * 3000, "船 🚣", "?",
)  # fmt: skip
TALK = {
    "boats": ("The boat needs varnish.", "I sold the oars of the boat.", "Sail before the tide.", "The boat is red."),
    "bread": ("The dough must rise.", "I baked rye bread with caraway.", "The oven was hot."),
    "music": ("My lute has a new string.", "The choir sings on Sunday.", "We played the fugue."),
}
each_retriever = pytest.mark.parametrize("name", RETRIEVERS)
each_reranker = pytest.mark.parametrize("name", RERANKERS)
each_writer = pytest.mark.parametrize("name", WRITERS)
each_reader = pytest.mark.parametrize("name", READERS)
HANDBOOK = """# Harbour

The Heron, which was built in 1962 by Anna Dallmer, sails at 06:40 and carries 40 people. It was painted in 1990.

## Office

- Open from 9 to 5
- **Phone:** 4711

| Name | Role |
| --- | --- |
| Lio Noth | clerk |

Dr. Marta Kask was born in Velm, and she works as a diver; her dog is called Bo. "No," she said. Who asks?

```
boat --oars 2
```
"""


class Echo:
    """A subject that answers with the first line of what it is shown, or with what it is told to."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text

    def generate(self, prompts, *, max_tokens=64, temperature=0.0, copies=1, seed=0):
        texts = [p if isinstance(p, str) else p[-1]["content"] for p in prompts]
        return [[Generation(self.text if self.text is not None else s.split("\n")[0][:200])] * copies for s in texts]

    def score(self, pairs):
        return [[-1.0] * max(1, len(text.split())) for _, text in pairs]


class Lengths:
    """Finds long texts relevant."""

    def relevance(self, query, texts):
        return np.array([float(len(t)) for t in texts])


def filled(path: Path, talk: dict[str, tuple[str, ...]] = TALK) -> Store:
    store = Store(path, dimension=256)
    engrams = [
        Engram(id=f"{name}{n}", text=text, source=name, position=n, speaker="AnnBen"[3 * (n % 2) :][:3], created="now")
        for name, lines in talk.items()
        for n, text in enumerate(lines)
    ]
    store.add(engrams, HashEmbedder().encode([e.text for e in engrams]) if engrams else None)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with filled(tmp_path / "full") as opened:
        yield opened


@pytest.fixture(scope="module")
def tiny() -> Any:
    return load("tiny")


def hits(n: int = 7) -> list[Hit]:
    texts = [t for lines in TALK.values() for t in lines]
    return [Hit(id=f"h{i}", text=texts[i], score=1.0 - 0.1 * i, source="s", position=i) for i in range(n)]


def search(name: str, store: Store, query: str, k: int = 5, **more: Any) -> list[Hit]:
    return catalogue.make(name).search(Query(query, store, HashEmbedder(), k=k, **more))


def order(name: str, text: str, hits: list[Hit], tiny: Any) -> list[Hit]:
    """The order of the reranker with this name; a cross-encoder reads with `Lengths`, others with the tiny model."""
    made = catalogue.make(name, **({"scorer": Lengths()} if name == "cross-encoder" else {}))
    return made.order(Query(text, embedder=HashEmbedder(), model=lambda: tiny), hits)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_constructs_with_defaults_and_keywords_alone(entry: catalogue.Entry) -> None:
    cls = catalogue.load(entry.name)
    assert isinstance(catalogue.make(entry.name), cls)
    for p in list(inspect.signature(cls.__init__).parameters.values())[1:]:
        if cls.__init__ is not object.__init__:
            assert p.kind == p.KEYWORD_ONLY, p.name
            assert p.default is not p.empty, p.name
            assert p.annotation is not p.empty, p.name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_settings_below_every_limit_are_refused(entry: catalogue.Entry) -> None:
    numbers = {
        p.name: -1.5 if isinstance(p.default, float) else -2
        for p in list(inspect.signature(catalogue.load(entry.name).__init__).parameters.values())[1:]
        if isinstance(p.default, int | float) and not isinstance(p.default, bool) and p.name != "seed"
    }
    for setting, value in numbers.items():
        with pytest.raises(BadInput):
            catalogue.make(entry.name, **{setting: value})


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.arxiv or e.paper], ids=lambda e: e.name)
def test_docstring_has_its_sections(entry: catalogue.Entry) -> None:
    doc = inspect.getdoc(catalogue.load(entry.name)) or ""
    assert "Departs from the paper:" in doc
    assert ">>>" in doc
    assert "References:" in doc


@each_retriever
def test_finds_what_is_there_at_most_k_and_nothing_twice(name: str, store: Store) -> None:
    for k in (1, 3, 50):
        hits = search(name, store, "I baked rye bread with caraway.", k)
        assert 0 < len(hits) <= k
        assert len({h.id for h in hits}) == len(hits)
        stored = {e.id: e for e in store.all()}
        assert all(h.text == stored[h.id].text and h.source == stored[h.id].source for h in hits)
        assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert hits[0].id == "bread1"
    assert search(name, store, "bread", 0) == []


@each_retriever
def test_finds_the_same_twice_and_in_a_new_object(name: str, store: Store) -> None:
    made = catalogue.make(name)
    first = made.search(Query("the red boat", store, HashEmbedder(), k=5))
    assert made.search(Query("the red boat", store, HashEmbedder(), k=5)) == first
    assert search(name, store, "the red boat", 5) == first


@each_retriever
def test_never_finds_what_the_store_hides(name: str, store: Store) -> None:
    made = catalogue.make(name)
    made.search(Query("rye bread with caraway", store, HashEmbedder(), k=20))
    store.update(["bread1"], state="forgotten")
    store.update(["boats0"], state="archived")
    store.update(["music0"], valid_to="2001-01-01")
    ids = {h.id for h in made.search(Query("boat bread caraway lute string", store, HashEmbedder(), k=50))}
    assert not ids & {"bread1", "boats0", "music0"}
    store.erase(["bread0"])
    assert "bread0" not in {h.id for h in made.search(Query("the dough must rise", store, HashEmbedder(), k=50))}
    only = made.search(Query("boat oars sail tide", store, HashEmbedder(), k=50, where={"speaker": "Ben"}))
    assert only
    assert {h.id for h in only} <= {"boats1", "boats3", "music1"}
    assert made.search(Query("boat", store, HashEmbedder(), k=50, where={"source": "nowhere"})) == []


@each_retriever
def test_takes_a_query_alone_and_loads_no_model(name: str, store: Store) -> None:
    def model() -> Any:
        raise AssertionError("a search asked for the language model")

    made = catalogue.make(name)
    assert list(inspect.signature(made.search).parameters) == ["query"]
    assert made.search(Query("rye bread", store, HashEmbedder(), model))


@each_retriever
def test_time_travel_holds(name: str, store: Store) -> None:
    new = Engram(
        id="new", text="The ferry leaves at noon.", created="now", valid_from="2020-01-01", valid_to="2021-01-01"
    )
    store.add([new], HashEmbedder().encode([new.text]))
    question = "When does the ferry leave?"
    hits = {at: {h.id for h in search(name, store, question, 50, at=at)} for at in ("2019-06-01", "2020-06-01")}
    assert "new" not in hits["2019-06-01"]
    assert "new" in hits["2020-06-01"]
    assert "new" not in {h.id for h in search(name, store, question, 50)}


@each_retriever
@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_is_a_safe_query(name: str, query: str, store: Store) -> None:
    before = store.count(state=None)
    hits = search(name, store, query, 3)
    assert store.count(state=None) == before
    if not query.strip():
        assert hits == []
    else:
        assert len(hits) <= 3
        assert {(h.id, h.text) for h in hits} <= {(e.id, e.text) for e in store.all()}
        assert "boat" not in query or "boat" in hits[0].text


@each_retriever
def test_an_empty_store_and_one_engram(name: str, tmp_path: Path) -> None:
    with filled(tmp_path / "none", {}) as empty:
        assert search(name, empty, "boat", 5) == []
    with filled(tmp_path / "one", {"boats": ("The boat needs varnish.",)}) as single:
        assert [h.id for h in search(name, single, "The boat needs varnish.", 5)] == ["boats0"]


@each_retriever
def test_two_stores_are_not_mixed_up(name: str, store: Store, tmp_path: Path) -> None:
    """The other has the same ids for other texts, as two memories of one program may."""
    turned = {name: tuple(" ".join(reversed(t.split())) + " Ferry." for t in lines) for name, lines in TALK.items()}
    made = catalogue.make(name)
    with filled(tmp_path / "other", turned) as other:
        first = made.search(Query("rye bread with caraway", store, HashEmbedder(), k=5))
        hits = made.search(Query("rye bread with caraway", other, HashEmbedder(), k=5))
        assert hits
        assert all(h.text.endswith(" Ferry.") for h in hits)
        assert hits == catalogue.make(name).search(Query("rye bread with caraway", other, HashEmbedder(), k=5))
        assert made.search(Query("rye bread with caraway", store, HashEmbedder(), k=5)) == first


@each_reranker
def test_orders_what_it_is_given_and_nothing_else(name: str, tiny: Any) -> None:
    given = hits()
    before = [h.to_json() for h in given]
    ordered = order(name, "rye bread with caraway", given, tiny)
    assert ordered
    assert len({h.id for h in ordered}) == len(ordered) <= len(given)
    assert all(h.text == {g.id: g.text for g in given}[h.id] for h in ordered)
    assert [h.to_json() for h in given] == before, "it changed what it was given"
    assert [h.id for h in order(name, "rye bread with caraway", given, tiny)] == [h.id for h in ordered]


@each_reranker
def test_takes_a_query_and_hits_alone(name: str) -> None:
    assert list(inspect.signature(catalogue.make(name).order).parameters) == ["query", "hits"]


@each_reranker
def test_orders_nothing_and_one(name: str, tiny: Any) -> None:
    assert order(name, "boat", [], tiny) == []
    assert [h.id for h in order(name, "boat", hits(1), tiny)] == ["h0"]


@each_reranker
@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_orders_for_any_text(name: str, query: str, tiny: Any) -> None:
    ordered = [h.id for h in order(name, query[:600], hits(3), tiny)]
    assert ordered
    assert len(set(ordered)) == len(ordered)
    assert set(ordered) <= {"h0", "h1", "h2"}


@each_reader
@pytest.mark.parametrize("reply", [None, "", "Answer: rye bread [2]", "unknown", "\ud83c \x00 Note 99: x\nAnswer:"])
def test_answers_from_what_it_was_given(name: str, reply: str | None) -> None:
    given = hits()
    answer = catalogue.make(name).answer(Echo(reply), "What was baked?", given)
    assert all(h in given for h in answer.hits)
    assert answer.form in ("text", "none")
    assert bool(answer.text) == (answer.form == "text")
    assert catalogue.make(name).answer(Echo(reply), "What was baked?", given) == answer


@each_reader
def test_says_nothing_without_hits_or_a_question(name: str) -> None:
    made = catalogue.make(name)
    assert made.answer(Echo(), "What was baked?", []).form == "none"
    assert made.answer(Echo(), "  ", hits()).form == "none"


@each_reader
@pytest.mark.parametrize("query", [q for q in HOSTILE if q.strip()], ids=range(len(HOSTILE) - 2))
def test_answers_any_question(name: str, query: str) -> None:
    catalogue.make(name).answer(Echo("Answer: yes"), query, hits(2))


@pytest.mark.parametrize("name", UPDATERS)
def test_proposes_and_changes_nothing(name: str, store: Store) -> None:
    texts = [q for q in HOSTILE if q.strip() and "\ud800" not in q and "\x00" not in q]
    statements = [*texts, "The boat needs varnish.", "The boat needs new varnish.", "The boat needs varnish."]
    ops = [Op(kind="add", engram=Engram(id=f"n{i}", text=t, created="now")) for i, t in enumerate(statements)]
    ops.insert(2, Op(kind="delete", target="music0", reason="asked"))
    before = [e.to_json() for e in store.all(state=None)]
    proposed = catalogue.make(name).reconcile(store, ops, HashEmbedder())
    assert [e.to_json() for e in store.all(state=None)] == before
    assert ops[2] in proposed
    stored = {e.id for e in store.all()}
    for o in proposed:
        assert o.kind == "add" or o.target in stored, "what is about to be added may be replaced, what is not there not"
        stored |= {o.engram.id} if o.engram else set()
    assert all(o.engram for o in proposed if o.kind in ("add", "replace"))
    targets = [o.target for o in proposed if o.kind in ("replace", "delete")]
    assert len(set(targets)) == len(targets), "two operations on one engram"
    assert catalogue.make(name).reconcile(store, ops, HashEmbedder()) == proposed


def written(name: str, source: Any, subject: Any = None) -> list[Engram]:
    ops = catalogue.make(name).write(source, subject)
    assert all(o.kind == "add" and o.engram for o in ops)
    return [o.engram for o in ops]


@each_writer
def test_writes_the_same_twice_under_fresh_ids(name: str) -> None:
    made = catalogue.make(name)
    first, second = ([o.engram for o in made.write(HANDBOOK)] for _ in range(2))
    assert first
    assert [e.model_copy(update={"id": "", "created": ""}) for e in first] == [
        e.model_copy(update={"id": "", "created": ""}) for e in second
    ]
    assert len({e.id for e in [*first, *second]}) == 2 * len(first)


@each_writer
def test_what_rules_write_stands_in_the_source(name: str) -> None:
    words = {w.casefold() for w in re.findall(r"\w+", HANDBOOK)} | {"s"}
    for e in written(name, HANDBOOK):
        made = " ".join((e.text, e.answer or "") if not e.question else (e.answer or "", ""))
        assert {w.casefold() for w in re.findall(r"\w+", made)} <= words, e.text


@each_writer
def test_every_engram_tells_its_place(name: str) -> None:
    engrams = written(name, [{"text": HANDBOOK, "source": s, "owner": "eve", "speaker": "Ann"} for s in ("a", "b")])
    passages = [e.metadata.get("heading") for e in Chunks().write(HANDBOOK)]
    for source in ("a", "b"):
        own = [e for e in engrams if e.source == source]
        assert [e.position for e in own] == list(range(len(own)))
        assert {e.metadata["of"] for e in own} == set(range(len(passages)))
        assert all(passages[e.metadata["of"]] == e.metadata["heading"] for e in own)
    assert {(e.owner, e.speaker) for e in engrams} == {("eve", "Ann")}


@each_writer
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_writes_any_text_or_refuses_as_chunks_does(name: str, text: str) -> None:
    for given in (text, [text], {"text": text}):
        try:
            Chunks().write(given)
        except BadInput:
            with pytest.raises(BadInput):
                written(name, given)
        else:
            assert len(written(name, given)) <= 20
    for nothing in ([], 7, None):
        with pytest.raises(BadInput):
            written(name, nothing)


@each_writer
@pytest.mark.parametrize("reply", ["", "a | b", "nothing of use", "\ud83c \x00 | |\n - x | y | z", "1. Bo | is a dog"])
def test_writes_whatever_a_model_says(name: str, reply: str) -> None:
    for e in written(name, HANDBOOK, Echo(reply)):
        assert e.text.strip()
        assert "\x00" not in e.text
        assert e.to_json()
