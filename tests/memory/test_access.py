"""One memory, several owners: who sees what, who changes what, and what is granted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.core.errors import BadInput, Unknown
from byheart.memory import Memory


def opened(path: Path, owner: str | None = None) -> Memory:
    return Memory.open(path / "brain", model="tiny", embedder="hash", owner=owner)


def ids(memory: Memory, query: str = "boat") -> set[str]:
    return {h.id for h in memory.recall(query, k=50)}


def test_an_owner_sees_its_own_and_what_is_everyones(tmp_path: Path) -> None:
    with opened(tmp_path) as everyone, opened(tmp_path, "ann") as ann, opened(tmp_path, "bo") as bo:
        shared = everyone.remember("The boat is blue.")[0]
        hers = ann.remember("Ann's boat leaks.")[0]
        his = bo.remember("Bo's boat sails.")[0]
        assert (shared.owner, hers.owner, his.owner) == (None, "ann", "bo")
        assert ids(ann) == {shared.id, hers.id}
        assert ids(bo) == {shared.id, his.id}
        assert ids(everyone) == {shared.id, hers.id, his.id}
        assert ann.recall("boat", where={"owner": "ann"})[0].id == hers.id
        with pytest.raises(Unknown, match="nothing of owner 'bo' may be read for 'ann'"):
            ann.recall("boat", where={"owner": "bo"})
        assert ann.ask("Whose boat sails?").form in ("text", "none")
        assert his.id not in {h.id for h in ann.ask("Whose boat sails?").hits}


def test_what_is_anothers_is_neither_told_nor_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as everyone, opened(tmp_path, "ann") as ann, opened(tmp_path, "bo") as bo:
        shared = everyone.remember("The boat is blue.")[0].id
        his = [e.id for e in bo.remember(["Bo's boat sails.", "Bo's boat is new."])]
        for call in (
            lambda: ann.history(his[0]),
            lambda: ann.archive(his),
            lambda: ann.merge(his),
            lambda: ann.compose(his),
            lambda: ann.split(his[0], ["a b", "c d"]),
            lambda: ann.forget(his),
            lambda: ann.forget("Bo's boat sails"),
        ):
            with pytest.raises(Unknown):
                call()
        for call in (lambda: ann.archive([shared]), lambda: ann.forget([shared])):
            with pytest.raises(BadInput, match="may not be changed by 'ann'"):
                call()
        with pytest.raises(BadInput, match="open for 'ann', not for 'bo'"):
            ann.remember([{"text": "Mine.", "owner": "bo"}])
        assert everyone.store.count() == everyone.store.count(None) == 3


def test_a_right_is_granted_and_taken_back(tmp_path: Path) -> None:
    with opened(tmp_path, "ann") as ann, opened(tmp_path, "bo") as bo:
        his = bo.remember("Bo's boat sails.")[0].id
        bo.grant("ann", "read")
        assert ids(ann) == {his}
        with pytest.raises(BadInput, match="ask its owner to grant 'write'"):
            ann.archive([his])
        bo.grant("ann", "write")
        ann.archive([his])
        assert ids(bo) == set()
        ann.restore([his])
        bo.grant("ann", None)
        assert ids(ann) == set()
        assert ids(bo) == {his}
        for bad in (("bo", "read"), ("", "read"), ("ann", "own")):
            with pytest.raises(BadInput):
                bo.grant(*bad)  # type: ignore[arg-type]
    with opened(tmp_path) as everyone, pytest.raises(BadInput, match="open it with owner="):
        everyone.grant("ann", "read")


def test_weights_are_out_of_reach_of_one_owner(tmp_path: Path) -> None:
    pair = [{"question": "What is the code?", "answer": "heron"}]
    with opened(tmp_path, "ann") as ann:
        for call in (
            lambda: ann.learn(pair),
            lambda: ann.ask("What is the code?", form="weights"),
            lambda: ann.recite("What is the code?"),
            ann.exam,
            ann.log,
            lambda: ann.revert("v0"),
            lambda: ann.export(tmp_path / "out"),
            lambda: ann.report(tmp_path / "report.html"),
        ):
            with pytest.raises(BadInput, match="weights"):
                call()
        assert ann.ask("What is the code?").form == "none"


def test_keys_and_files_of_two_owners_do_not_touch(tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    with opened(tmp_path, "ann") as ann, opened(tmp_path, "bo") as bo:
        for memory, town in ((ann, "Velm"), (bo, "Osthaven")):
            memory.remember([{"text": f"I live in {town}.", "key": "home"}])
        assert [h.text for h in ann.recall("home")] == ["I live in Velm."]
        note.write_text("The boat is blue.", encoding="utf-8")
        ann.remember(note)
        note.write_text("The boat is red.", encoding="utf-8")
        bo.remember(note)
        assert {h.text for h in ann.recall("boat")} >= {"The boat is blue."}
        assert "The boat is red." in {h.text for h in bo.recall("boat")}
        assert [e.text for e in ann.history("home")] == ["I live in Velm."]
        certificate = ann.forget("blue")
        assert certificate.passed, str(certificate)
        assert "The boat is red." in {h.text for h in bo.recall("boat")}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["remember", "keyed", "archive", "grant", "revoke", "merge"]),
            st.sampled_from("abc"),
            st.integers(0, 30),
        ),
        max_size=25,
    )
)
def test_no_order_of_calls_shows_what_was_not_granted(tmp_path_factory: pytest.TempPathFactory, calls: list) -> None:
    path = tmp_path_factory.mktemp("access")
    memories = {o: opened(path, o) for o in "abc"}
    granted: set[tuple[str, str]] = set()
    try:
        for verb, owner, n in calls:
            memory, other = memories[owner], "abc"[("abc".index(owner) + 1 + n % 2) % 3]
            own = [e.id for e in memory.store.all() if e.owner == owner]
            if verb == "remember":
                memory.remember(f"the boat {owner} {n}")
            elif verb == "keyed":
                memory.remember([{"text": f"boat now {n} of {owner}", "key": "boat"}])
            elif verb == "archive" and own:
                memory.archive([own[n % len(own)]])
            elif verb == "merge" and len(own) > 1:
                memory.merge([own[0], own[-1]], f"boat merged {owner} {n}")
            elif verb == "grant":
                memory.grant(other, "read")
                granted.add((owner, other))
            elif verb == "revoke":
                memory.grant(other, None)
                granted.discard((owner, other))
            for reader, looking in memories.items():
                may = {reader} | {o for o, to in granted if to == reader}
                owners = {e.owner for e in looking.store.get(list(ids(looking)))}
                assert owners <= may
                assert {e.owner for e in looking.store.all() if e.owner in may} == owners
    finally:
        for memory in memories.values():
            memory.close()
