"""What makes two engrams the same, and what a name that is to be forgotten may stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

from byheart import Memory


def held(folder: Path, word: str) -> list[str]:
    """Files below a folder that hold a word."""
    return [p.name for p in folder.rglob("*") if p.is_file() and word.encode() in p.read_bytes()]


def test_a_forgotten_name_goes_from_keys_speakers_and_sources_too(memory: Memory) -> None:
    memory.remember(
        [
            {"text": "She lives in Velm.", "key": "Marta Kask/home"},
            {"text": "Ferries are late. Marta Kask is ill.", "key": "Marta Kask/health"},
            {"text": "I like tea.", "speaker": "Marta Kask", "source": "talk"},
            {"text": "The oath is old.", "source": "on Marta Kask.md"},
            {"text": "Jonas Vell lives in Orm.", "key": "Jonas Vell/home", "speaker": "Jonas Vell", "source": "talk"},
        ]
    )
    certificate = memory.forget("Marta Kask")
    assert certificate.passed, str(certificate)
    assert len(certificate.forgotten) == 4
    assert [(e.text, e.key) for e in memory.store.all(None)] == [("Jonas Vell lives in Orm.", "Jonas Vell/home")]
    assert [h.text for h in memory.recall("where does Marta Kask live?")] == ["Jonas Vell lives in Orm."]
    assert held(memory.folder.path, "Kask") == []
    assert memory.check() == []


def test_a_word_that_is_the_name_of_a_file_is_forgotten_where_it_is_said(memory: Memory) -> None:
    memory.remember([{"text": t, "source": "travel.md"} for t in ("Tea is at four.", "All travel needs a signature.")])
    assert memory.forget("travel").passed
    assert [e.text for e in memory.store.all(None)] == ["Tea is at four."]


def test_the_certificate_is_refused_while_a_key_still_says_the_name(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from byheart.memory import forgetting

    memory.remember([{"text": "She lives in Velm.", "key": "Marta Kask/home"}, "Marta Kask signs off travel."])
    chosen = forgetting.select
    monkeypatch.setattr(forgetting, "select", lambda m, what: (chosen(m, what)[0][1:], what))
    certificate = memory.forget("Marta Kask")
    assert [c.name for c in certificate.checks if c.passed is False][:1] == ["search returns none of it"]


def test_the_same_words_of_two_subjects_are_two_facts(memory: Memory) -> None:
    both = memory.remember([{"text": "She is a vegan.", "key": k} for k in ("Ann/diet", "Bo/diet")])
    assert [e.key for e in both] == ["Ann/diet", "Bo/diet"]
    assert [e.id for e in memory.history("Bo/diet")] == [both[1].id]
    again = memory.remember([{"text": "She is a vegan.", "key": k} for k in ("Bo/diet", "Ann/diet")])
    assert [e.id for e in again] == [both[1].id, both[0].id]
    assert memory.store.count(None) == 2


def test_two_speakers_may_say_the_same_and_one_may_say_it_again_later(memory: Memory) -> None:
    turns = [
        {"text": "Yes, I am.", "speaker": speaker, "source": "talk", "at": at}
        for speaker, at in (("Ann", "2025-01-01"), ("Bo", "2025-01-01"), ("Ann", "2025-02-01"))
    ]
    assert len({e.id for e in memory.remember(turns)}) == 3
    assert memory.store.count(None) == 3
    memory.remember(turns)
    assert memory.store.count(None) == 3


def test_what_was_told_without_a_key_makes_way_for_the_fact(memory: Memory) -> None:
    (loose,) = memory.remember("Tea is at four.")
    (fact,) = memory.remember([{"text": "Tea is at four.", "key": "tea/time"}])
    assert (fact.key, memory.store.get([loose.id])[0].state) == ("tea/time", "superseded")
    assert [h.id for h in memory.recall("when is tea?")] == [fact.id]
    memory.remember([{"text": "Tea is at five.", "key": "tea/time"}])
    assert [h.text for h in memory.recall("when is tea?")] == ["Tea is at five."]


def test_the_same_words_that_hold_for_longer_are_found(memory: Memory) -> None:
    memory.remember([{"text": "Sale on.", "valid_to": "2020-01-01"}])
    memory.remember([{"text": "Sale on.", "valid_to": "2999-01-01"}])
    assert [h.text for h in memory.recall("sale", k=2)] == ["Sale on."]
    assert memory.recall("sale", at="2019-01-01", k=2)
