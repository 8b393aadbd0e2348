"""What is current, what was so earlier, and what a file no longer says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from byheart.core.errors import BadInput, Unknown
from byheart.memory import Memory


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash") as opened:
        yield opened


def said(memory: Memory, text: str, at: str, key: str | None = "marta/home", **more: str) -> str:
    return memory.remember([{"text": text, "at": at, **({"key": key} if key else {}), **more}])[0].id


def test_of_one_key_the_latest_is_current_and_the_rest_is_history(memory: Memory) -> None:
    first = said(memory, "Marta lives in Velm.", "2024-01-01")
    second = said(memory, "Marta lives in Osthaven.", "2025-01-01")
    assert [h.id for h in memory.recall("where does Marta live?")] == [second]
    assert [h.id for h in memory.recall("where does Marta live?", at="2024-06-01")] == [first]
    assert memory.recall("where does Marta live?", at="2023-06-01") == []
    line = memory.history("marta/home")
    assert [(e.id, e.state, e.valid_to) for e in line] == [
        (first, "superseded", "2025-01-01"),
        (second, "active", None),
    ]
    assert memory.history(first) == line
    assert memory.check() == []


def test_what_is_told_late_about_an_earlier_time_does_not_push_out_what_is_true_now(memory: Memory) -> None:
    now = said(memory, "Marta lives in Osthaven.", "2025-01-01")
    late = said(memory, "Marta lives in Velm.", "2024-01-01")
    middle = said(memory, "Marta lives in Tunford.", "2024-07-01")
    assert [h.id for h in memory.recall("where does Marta live?")] == [now]
    assert [h.id for h in memory.recall("where does Marta live?", at="2024-03-01")] == [late]
    assert [h.id for h in memory.recall("where does Marta live?", at="2024-09-01")] == [middle]


def test_an_old_value_may_come_back(memory: Memory) -> None:
    said(memory, "Marta lives in Velm.", "2024-01-01")
    said(memory, "Marta lives in Osthaven.", "2025-01-01")
    back = said(memory, "Marta lives in Velm.", "2026-01-01")
    assert [h.id for h in memory.recall("where does Marta live?")] == [back]
    assert len(memory.history("marta/home")) == 3
    in_one_go = memory.remember(
        [{"text": f"Marta drives a {c}.", "at": f"2024-0{n}-01", "key": "car"} for n, c in enumerate("ABA", 1)]
    )
    assert len({e.id for e in in_one_go}) == 3
    assert [e.state for e in in_one_go] == ["superseded", "superseded", "active"]
    again = memory.remember(
        [{"text": f"Marta drives a {c}.", "at": f"2025-0{n}-01", "key": "car"} for n, c in enumerate("BABA", 1)]
    )
    assert len({e.id for e in (*in_one_go, *again)}) == 7
    assert [e.state for e in again] == ["superseded", "superseded", "superseded", "active"]


def test_a_key_belongs_to_one_owner(memory: Memory) -> None:
    said(memory, "Marta lives in Velm.", "2024-01-01", owner="a")
    said(memory, "Marta lives in Osthaven.", "2025-01-01", owner="b")
    assert len(memory.recall("where does Marta live?")) == 2


def test_passages_that_a_file_no_longer_has_are_history(memory: Memory, tmp_path: Path) -> None:
    page = tmp_path / "rules.md"
    page.write_text("# Travel\n\nMarta signs off travel.\n\n# Pay\n\nPay day is Friday.\n")
    memory.remember(page)
    page.write_text("# Travel\n\nIlven signs off travel.\n\n# Leave\n\nAsk Tordo.\n\n# Pay\n\nPay day is Friday.\n")
    memory.remember(page)
    texts = [e.text for e in memory.store.all()]
    assert sorted(texts) == ["Leave\nAsk Tordo.", "Pay\nPay day is Friday.", "Travel\nIlven signs off travel."]
    assert {e.text: e.position for e in memory.store.all()}["Pay\nPay day is Friday."] == 2
    assert [e.text for e in memory.store.all(state="superseded")] == ["Travel\nMarta signs off travel."]
    memory.remember([{"text": "Another note.", "source": page.as_posix()}])
    assert memory.store.count() == 4


def test_a_statement_takes_the_place_of_the_one_it_makes_untrue(memory: Memory) -> None:
    told = ["Marta's car is a Volvo.", "Marta likes chess.", "Oskar's car is a Saab."]
    memory.remember([{"text": t, "at": f"2024-01-0{n}"} for n, t in enumerate(told, 1)], update=True)
    new = memory.remember([{"text": "Marta's car is a Fiat.", "at": "2025-01-01"}], update=True)[0]
    assert {e.text for e in memory.store.all()} == {"Marta likes chess.", "Oskar's car is a Saab.", new.text}
    assert memory.recall("Marta's car", k=1, at="2024-06-01")[0].text == "Marta's car is a Volvo."
    old, now = memory.history(new.id)
    assert (old.text, now.parents) == ("Marta's car is a Volvo.", (old.id,))
    both = memory.remember(
        [
            {"text": "Oskar's car is a Fiat.", "at": "2025-02-01"},
            {"text": "Oskar's car is a Seat.", "at": "2025-03-01"},
        ],
        update=True,
    )
    assert [e.state for e in both] == ["superseded", "active"]
    assert [e.text[-5:-1] for e in memory.history(both[1].id)] == ["Saab", "Fiat", "Seat"]


def test_without_update_statements_are_kept_side_by_side(memory: Memory) -> None:
    memory.remember(["Marta's car is a Volvo.", "Marta's car is a Fiat."])
    assert memory.store.count() == 2


def test_archived_engrams_are_out_of_sight_and_come_back(memory: Memory) -> None:
    one = said(memory, "Marta lives in Velm.", "2024-01-01")
    assert memory.archive([one])[0].state == "archived"
    assert memory.recall("Marta") == []
    two = said(memory, "Marta lives in Osthaven.", "2025-01-01")
    assert memory.restore([one])[0].state == "superseded"
    assert [h.id for h in memory.recall("Marta")] == [two]
    with pytest.raises(BadInput, match="is superseded, not active"):
        memory.archive([one])
    with pytest.raises(Unknown, match="no engram and no key 'x'"):
        memory.history("x")


def test_in_dialogues_it_counts_who_speaks(memory: Memory) -> None:
    turns = [("Ann", "I sold the boat to a neighbour."), ("Bob", "I sold the boat to a stranger, what a day!")]
    turns += [("Ann", "The weather was fine."), ("Bob", "Indeed it was.")]
    memory.remember([{"text": t, "speaker": s, "source": "talk"} for s, t in turns])
    for who in ("Ann", "Bob"):
        found = memory.recall(f"To whom did {who} sell the boat?", k=1)[0]
        assert memory.store.get([found.id])[0].speaker == who
    assert memory.recall("boat", k=1, where={"speaker": "Ann"})[0].text == turns[0][1]


def test_what_is_learned_under_a_key_is_kept_current_too(memory: Memory) -> None:
    def pair(answer: str) -> dict[str, str]:
        return {"question": "Where does Marta live?", "answer": answer, "key": "marta/home"}

    memory.learn([pair("in Velm")], budget=1e9)
    done = memory.learn([pair("in Osthaven")], budget=1e9)
    assert [(e.answer, e.state) for e in memory.history("marta/home")] == [
        ("in Velm", "superseded"),
        ("in Osthaven", "active"),
    ]
    assert memory.store.get(list(done.taught))[0].answer == "in Osthaven"
    assert memory.learn([pair("in Velm")], budget=1e9).committed
    assert [e.answer for e in memory.history("marta/home")][-1] == "in Velm"
    assert memory.check() == []
