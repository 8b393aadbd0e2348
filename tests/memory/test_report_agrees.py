"""The report says what the verbs said: of each version what it lost, and of the untaught model what it could."""

from __future__ import annotations

from pathlib import Path

from byheart import Memory
from byheart.core.strategy import Strategy
from byheart.memory.account import data


class Fast(Strategy):
    """Full fine-tuning at a rate at which the tiny model learns, and forgets."""

    taught_at = 5e-3


def test_what_the_report_calls_lost_is_what_learn_called_lost(tmp_path: Path) -> None:
    first = [{"question": f"Who {does}?", "answer": "Ilo"} for does in ("rings", "rows", "digs", "sings")]
    second = [{"question": f"What is the {what}?", "answer": "low"} for what in ("tide", "moon", "sun", "pay")]
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash") as memory:
        one = memory.learn(first, strategy=[Fast()], budget=100.0)
        assert one.report["recall"] == 1.0
        assert {(f.id, f.outcome) for f in data(memory).facts} == {(i, "learned") for i in one.taught}

        two = memory.learn(second, strategy=[Fast()], budget=100.0)
        assert two.lost
        three = memory.learn([{"question": "Who?", "answer": "Ann"}], strategy="plain", budget=100.0)
        shown = data(memory)
        by_version = {v: {f.id for f in shown.facts if f.lost == v} for v in (one.version, two.version, three.version)}
        assert by_version == {one.version: set(), two.version: set(two.lost), three.version: set(three.lost)}
        assert {f.id for f in shown.facts if f.outcome == "lost"} == set(two.lost) | set(three.lost)
        assert [f.outcome for f in shown.facts if f.id in three.taught] == ["not learned"]

        untaught = shown.versions[0]
        assert (untaught.id, untaught.loss, untaught.quiz) == (
            "v0",
            one.report["general_before"],
            one.report["quiz_before"],
        )
        assert untaught.loss == shown.base_loss

        memory.revert(one.version)
        assert {f.outcome for f in data(memory).facts if f.id in one.taught} == {"learned"}
        assert {f.outcome for f in data(memory).facts if f.id in two.taught} == {"not examined"}
