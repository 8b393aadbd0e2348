"""Bulk import keeps what `remember` keeps, in batches, and the same import again adds nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from byheart import Memory
from byheart.core.errors import BadInput
from byheart.memory.intake import import_lines

OPEN = {"model": "tiny", "embedder": "hash"}


def lines(size: int, **more) -> list[str]:
    return [json.dumps({"text": f"line {i}", "page": i, **more}) for i in range(size)]


def told(*rows: dict) -> list[str]:
    return [json.dumps({"key": "Marta/home", **row}) for row in rows]


def states(memory: Memory) -> list[tuple[str, str]]:
    return [(e.text, e.state) for e in memory.store.all(None)]


def test_lines_are_imported_once_in_batches(memory: Memory) -> None:
    seen = []
    done = import_lines(memory, lines(25), batch=10, progress=lambda what, n, of: seen.append(n))
    assert (done, seen) == ({"lines": 25, "new": 25}, [10, 20, 25])
    assert import_lines(memory, iter(lines(30)), batch=10) == {"lines": 30, "new": 5}
    assert memory.store.all()[3].metadata == {"page": 3}
    one = [1.0] + [0.0] * (memory.store.dimension - 1)
    assert import_lines(memory, [json.dumps({"text": "v", "vector": one, "owner": "o"})])["new"] == 1
    assert memory.store.dense(one, 1) == [(memory.store.all()[-1].id, pytest.approx(1.0))]
    assert memory.store.check() == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "line 13 is no JSON"),
        ("[" * 100_000, "line 13 is no JSON"),
        ('{"note": 1}', "line 13 has no text"),
        ("", "line 13 is empty"),
        ('{"text": "x", "vector": [1, 2, 3, 4]}', "line 13 has a vector, unlike line 1"),
        ('{"text": "x", "position": "first"}', "line 13: position may not be 'first'"),
        ('{"text": "x", "position": 1180591620717411303424}', "line 13: position may not be 1180591620717411303424"),
        ('{"text": "x", "created": "yesterday"}', "line 13: created of 'x' is 'yesterday', not a time"),
        ('{"text": "x", "valid_to": "noon"}', "line 13: valid_to of 'x' is 'noon', not a time"),
        ('{"text": "x", "id": "a,b"}', "line 13: the id 'a,b' is empty or has a comma"),
        ('{"text": "x", "parents": ["a,b"]}', "line 13: a parent of engram .* has the id 'a,b'"),
        ('{"text": "x\\u0000"}', "lines 11 to 15: the text of engram"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_what_was_before_it_kept(memory: Memory, bad: str, message) -> None:
    rows = lines(15)
    rows[12] = bad
    with pytest.raises(BadInput, match=message):
        import_lines(memory, rows, batch=10)
    assert memory.store.count() == 10


@pytest.mark.parametrize("vector", ['["a"]', '{"a": 1}', "[[1], [2, 3]]", "[1, 2]", "[NaN]"])
def test_a_vector_that_is_none_is_refused(memory: Memory, vector: str) -> None:
    memory.remember("There is a dimension now.")
    with pytest.raises(BadInput, match="lines 1 to 1"):
        import_lines(memory, [f'{{"text": "x", "vector": {vector}}}'])
    assert memory.store.count() == 1


def test_lines_are_read_no_faster_than_they_are_stored(memory: Memory) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        for line in lines(200):
            read += 1
            yield line
            assert read - memory.store.count() <= 50

    import_lines(memory, endless(), batch=50)
    assert memory.store.count() == 200


@pytest.mark.parametrize("batch", [1, 2, 9])
@pytest.mark.parametrize("timed", [True, False])
def test_facts_of_a_key_are_current_or_history_and_an_import_again_adds_nothing(
    memory: Memory, batch: int, timed: bool
) -> None:
    said = ["Marta lives in Velm.", "Marta lives in Velm.", "Marta lives in Oslo.", "Marta lives in Velm."]
    rows = told(*({"text": t, **({"at": f"2026-01-0{n + 1}"} if timed else {})} for n, t in enumerate(said)))
    assert import_lines(memory, rows, batch=batch) == {"lines": 4, "new": 3}
    held = states(memory)
    assert held == [(said[0], "superseded"), (said[2], "superseded"), (said[3], "active")]
    assert [h.text for h in memory.recall("Where does Marta live?")] == [said[3]]
    for again in (rows, rows[:3]):
        assert import_lines(memory, again, batch=batch)["new"] == 0
        assert states(memory) == held
    later = told({"text": said[2], "at": "2126-01-01"})
    assert import_lines(memory, later)["new"] == 1
    assert states(memory)[-1] == (said[2], "active")
    assert memory.check() == []


def test_an_import_is_resumed_where_a_line_was_mended(memory: Memory) -> None:
    rows = told({"text": "In Velm.", "at": "2026-01-01"}, {"text": "In Oslo.", "at": "2026-01-02"}, {"text": " "})
    with pytest.raises(BadInput, match="lines 3 to 3"):
        import_lines(memory, rows, batch=1)
    rows[2] = told({"text": "In Rome.", "created": "2026-01-03"})[0]
    assert import_lines(memory, rows, batch=3)["new"] == 1
    assert states(memory) == [("In Velm.", "superseded"), ("In Oslo.", "superseded"), ("In Rome.", "active")]
    assert import_lines(memory, rows, batch=3)["new"] == 0


def test_what_is_archived_stays_so_when_it_is_imported_again(memory: Memory) -> None:
    rows = [*lines(3), *lines(1), json.dumps({"text": "mine", "id": "x"}), *told({"text": "In Velm."})]
    assert import_lines(memory, rows)["new"] == 5
    memory.archive([e.id for e in memory.store.all() if e.text in ("line 0", "mine", "In Velm.")])
    memory.remember("Bread comes at noon.")
    memory.archive([memory.store.all()[-1].id])
    rows.append(json.dumps({"text": "Bread comes at noon."}))
    assert import_lines(memory, rows)["new"] == 0
    assert memory.store.count() == 2
    with pytest.raises(BadInput, match="line 1: the id 'x' is taken by other content"):
        import_lines(memory, [json.dumps({"text": "yours", "id": "x"})])


def test_imported_dialogues_are_searched_as_dialogues(memory: Memory) -> None:
    assert not memory.store.setting("speakers")
    import_lines(memory, [json.dumps({"text": "I row.", "speaker": "Ann"})])
    assert memory.store.setting("speakers")


def test_an_import_for_one_owner_is_that_owners(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain", owner="ann", **OPEN) as memory:
        import_lines(memory, lines(1))
        assert [e.owner for e in memory.store.all()] == ["ann"]
        with pytest.raises(BadInput, match="line 1: this memory is open for 'ann'"):
            import_lines(memory, lines(1, owner="bo"))


def test_times_that_are_none_are_refused_whatever_they_come_with(memory: Memory) -> None:
    made = memory.remember("Bread comes at noon.")[0]
    for source in (
        [{"question": "When?", "answer": "At noon.", "at": "yesterday"}],
        [made.model_copy(update={"id": "new", "text": "Tea comes.", "created": "yesterday"})],
    ):
        with pytest.raises(BadInput, match="'yesterday', not a time"):
            memory.remember(source)
    memory.plan()
