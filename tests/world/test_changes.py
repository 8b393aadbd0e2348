"""The stream of changing facts: what holds when follows from what was said."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.world.facts.changes import changes
from byheart.world.facts.changing import DEV, TEST


def test_the_answers_follow_from_the_statements() -> None:
    stream = changes(60, seed=3)
    assert stream == changes(60, seed=3) != changes(60, seed=4)
    assert [s.at for s in stream.statements] == sorted(s.at for s in stream.statements)
    for q in stream.questions:
        line = [s for s in stream.statements if (s.subject, s.slot) == (q.subject, q.slot)]
        assert line[-1].value == q.value
        assert [s.value for s in line if s.at <= q.before][-1] == q.value_before
        assert q.value not in q.stale
        assert set(q.stale) == {s.value for s in line} - {q.value}


def test_what_a_change_replaces_is_of_the_same_slot_and_earlier() -> None:
    stream = changes(60, seed=5, half="test").statements
    replaced = [(s, stream[n]) for s in stream for n in s.replaces]
    assert len(replaced) > 60
    assert all((a.subject, a.slot) == (b.subject, b.slot) and b.at <= a.at for a, b in replaced)
    assert all(s.replaces for s in stream if s.kind in ("change", "end"))
    assert {s.kind for s in stream} == {"first", "change", "again", "end", "trait"}


def test_the_halves_share_nothing() -> None:
    for part in ("first", "last"):
        assert not set(getattr(DEV, part)) & set(getattr(TEST, part))
    words = [{w for s in h.slots for w in (*s.stated, *s.changed, *s.questions)} for h in (DEV, TEST)]
    told_traits = [{w for t in h.traits for w in t.stated} for h in (DEV, TEST)]
    assert not words[0] & words[1]
    assert not told_traits[0] & told_traits[1]


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(BadInput, match="choose one of dev, test"):
        changes(5, half="other")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="at least 1"):
        changes(0)
    with pytest.raises(BadInput, match="names for"):
        changes(100_000)
