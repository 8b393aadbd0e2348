"""Verbs are written once: `Memory` has the table's functions, and plain words are read from their signatures."""

from __future__ import annotations

import inspect
from typing import Literal

import pytest

from byheart.core.errors import BadInput
from byheart.memory import Memory, given, plain
from byheart.memory.verbs import VERBS, learn, recall, remember


def test_the_facade_is_the_table() -> None:
    every = [*VERBS, *(v.then for v in VERBS if v.then is not None)]
    assert all(inspect.getattr_static(Memory, v.run.__name__) is v.run for v in every)
    functions = {n for n, f in vars(Memory).items() if inspect.isfunction(f) and not n.startswith("_")}
    assert functions == {v.run.__name__ for v in every} | {"close"}


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.name)
def test_every_parameter_has_its_words(verb) -> None:
    parameters = list(inspect.signature(verb.run).parameters)
    assert (parameters[0], parameters[-1]) == ("memory", "progress")
    words = plain.words(verb.run)
    assert len(words) >= len(parameters) - 2
    assert all(w.plain.help.endswith(".") and w.name.isidentifier() for w in words)
    assert (verb.run.__doc__ or "").splitlines()[0].endswith(".")


def test_words_are_typed_plainly() -> None:
    words = {w.name: w for w in plain.words(remember)}
    assert list(words) == ["what", "key", "at", "valid_from", "valid_to", "source", "write", "update", "updater"]
    assert (words["what"].kind, words["what"].default) == (str, plain.REQUIRED)
    assert (words["update"].kind, words["update"].default) == (bool, False)
    listed = {w.name: (w.kind, w.default) for v in VERBS if v.name == "list" for w in plain.words(v.run)}
    assert listed["state"] == (Literal["active", "archived", "superseded", "any"], "active")
    assert listed["limit"] == (int, 20)
    assert {w.name: w.kind for w in plain.words(learn)}["general"] == str | None
    assert [w.name for w in plain.words(recall)] == ["query", "k", "at", "where", "method"]


def test_words_are_read_as_values() -> None:
    words = {w.name: w.default for w in plain.words(remember)}
    assert plain.values(remember, {**words, "what": "Tea is at four."}) == {
        "source": "Tea is at four.",
        "write": None,
        "update": None,
    }
    told = plain.values(remember, {**words, "what": "Tea.", "key": "tea/time", "updater": "keep-me-updated"})
    assert told["source"] == [{"text": "Tea.", "key": "tea/time"}]
    assert told["update"] == "keep-me-updated"
    with pytest.raises(BadInput, match="the writer qa-memory may make several engrams"):
        plain.values(remember, {**words, "what": "Tea.", "key": "tea/time", "write": "qa-memory"})
    words = {w.name: w.default for w in plain.words(learn)}
    made = plain.values(learn, {**words, "source": "a.md", "strategy": "ewc", "settings": {"importance": "2"}})
    assert made["strategy"] == [{"name": "ewc", "settings": {"importance": 2.0}}]


def test_a_source_is_refused_before_there_is_a_folder() -> None:
    plain.vet(learn, {"source": "Tea is at four.", "strategy": "default", "budget": 0.01, "general": None, "seed": 0})
    with pytest.raises(BadInput, match="empty"):
        given.vet_source("")


def test_a_grant_gives_all_grants(tmp_path) -> None:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash", owner="ann") as ann:
        assert ann.grant("bo", "read") == {"bo": "read"}
        assert ann.grant("cy", "write") == {"bo": "read", "cy": "write"}
        assert ann.grant("bo", None) == {"cy": "write"}


def test_reading_the_tokenizer_loads_no_weights(tmp_path) -> None:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash") as memory:
        memory.learn([{"question": "Who keeps the lamp?", "answer": "Marta"}], strategy="plain", budget=99.0)
        v1 = memory.head.weights
        memory.live.apply({})
        assert memory.tokenizer is memory.live.lm.tokenizer
        assert memory.live.current == {}
        assert memory.model is memory.live.lm.model
        assert memory.live.current == v1
