"""`byheart bench recall` on small dialogues: figures by hand, what is learned from what, and bad input."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from byheart.app.cli import app
from byheart.bench import recalling
from byheart.core.errors import BadInput
from byheart.models.embedder import HashEmbedder
from byheart.recall.retrieve.ranked import PARTS, WEIGHTS
from byheart.world.dialogue.dialogues import Dialogue, Probe, Turn


def dialogue(name: str) -> Dialogue:
    told = [("Ann", f"Where do you keep the {t}, Bo?") for t in ("lamp", "rope", "drum")]
    answers = [("Bo", f"It has stood in the {p} for years now.") for p in ("attic", "cellar", "garage")]
    pairs = [line for both in zip(told, answers, strict=True) for line in both]
    turns = tuple(Turn(f"session {n // 2}", n % 2, who, f"{text} {name}") for n, (who, text) in enumerate(pairs))
    asked = ("lamp", "rope", "drum")
    probes = tuple(
        Probe(f"{name}/{n}", f"Where does Bo keep the {t}?", "", "single-hop", (2 * n + 1,), (f"session {n}",))
        for n, t in enumerate(asked)
    )
    return Dialogue(name, turns, probes)


def test_every_retriever_is_measured_on_the_same_questions() -> None:
    found = recalling.bench([dialogue(n) for n in "xyz"], HashEmbedder(), k=2)
    assert (found["questions"], found["turns"], found["dialogues"]) == (9, 18, 3)
    assert list(found["arms"]) == ["bm25", "embedder", "bm25 + embedder", "hybrid", "ranked"]
    assert found["arms"]["bm25"]["turn_recall@2"] == 0.0  # the words of a question stand in the turn before its answer
    assert 0.0 < found["arms"]["hybrid"]["turn_recall@2"] < 1.0
    assert found["arms"]["ranked"]["turn_recall@2"] == 1.0
    assert found["arms"]["ranked"]["by_category"]["single-hop"]["questions"] == 9
    assert found["arms"]["bm25"]["session_recall@2"] == 1.0


def test_weights_come_from_the_other_dialogues(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int] = []
    real = recalling.fit

    def watched(asked: list, **more: float) -> dict[str, float]:
        learned.append(len(asked))
        return real(asked, **more)

    monkeypatch.setattr(recalling, "fit", watched)
    recalling.bench([dialogue(n) for n in "xyz"], HashEmbedder())
    parts = 2 * len(PARTS)  # added and left out
    assert learned == [6, 6, 6] * parts  # three questions a dialogue, two of three dialogues
    assert recalling.bench([dialogue("x")], HashEmbedder())["parts"] == {}
    assert len(learned) == 3 * parts


def test_parts_are_added_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer stands a turn after the words of its question, so neighbours find it and words alone cannot."""
    names: list[list[str]] = []

    def even(asked: list, **more: Any) -> dict[str, float]:
        names.append(list(more["names"]))
        return {n: float(n in more["names"]) for n in WEIGHTS}

    monkeypatch.setattr(recalling, "fit", even)
    found = recalling.bench([dialogue(n) for n in "xyz"], HashEmbedder(), k=2)
    added, left = found["parts"]["added"], found["parts"]["left out"]
    assert list(added) == list(left) == list(PARTS)
    assert added["words"]["turn_recall@2"] == 0.0 < added["neighbours"]["turn_recall@2"]
    assert added["best"]["turn_recall@2"] == found["arms"]["ranked"]["turn_recall@2"]
    assert added["neighbours"]["by_category"]["single-hop"]["questions"] == 9
    assert names[0] == ["words"]
    assert names[3 * list(PARTS).index("best")] == list(WEIGHTS)
    assert names[-1] == [n for n in WEIGHTS if not n.startswith("best")]
    rows = list(recalling.part_cells(found))
    assert [len(r) for r in rows] == [len(recalling.PART_COLUMNS)] * len(PARTS)
    assert rows[0][:3] == ("words", f"{added['words']['turn_recall@5']:.1%}", "0.0%")
    assert rows[2][5] == f"{left['neighbours']['turn_recall@2']:.1%}"


def test_the_share_of_the_embedder_is_told() -> None:
    class Slow(HashEmbedder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            time.sleep(0.01 * len(texts))
            return super().encode(texts)

    found = recalling.bench([dialogue("x"), dialogue("y")], Slow())
    assert found["ms_to_embed_a_question"] >= 10.0  # of one text, though each is embedded with and without its name
    assert 0.0 < found["embedder_share_of_a_ranked_search"] < 1.0
    assert found["embedder_share_of_storing"] == pytest.approx(
        found["seconds_of_these_embedding"] / found["seconds_to_store"], abs=0.05
    )


def test_means_by_category_worked_by_hand() -> None:
    rows = [{"category": "a", "ms": 1.0, "turn_recall@5": 1.0}, {"category": "b", "ms": 3.0, "turn_recall@5": 0.5}]
    found = recalling.table([*rows, {"category": "b", "ms": 9.0}], 5)
    assert found["turn_recall@5"] == 0.75
    assert found["ms_p50"] == 3.0
    assert found["by_category"]["b"] == {"questions": 2, "turn_recall@5": 0.5}


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    turns = [{"speaker": "Bo", "dia_id": f"D1:{n}", "text": t} for n, t in enumerate(("Hi.", "I sail.", "Bye."), 1)]
    asked = [{"question": f"Does Bo {w}?", "answer": "", "evidence": ["D1:2"], "category": 1} for w in ("sail", "row")]
    data = tmp_path / "a.json"
    data.write_text(json.dumps([{"conversation": {"session_1": turns}, "qa": asked}]))
    given = ["bench", "recall", "--data", str(data), "--embedder", "hash"]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "multi-hop" in shown.output
    assert "2 questions about 3 turns of 1 dialogues" in shown.output
    printed = CliRunner().invoke(app, [*given, "--json", "--out", str(tmp_path / "t.json")])
    assert json.loads(printed.output)["arms"].keys() == json.loads((tmp_path / "t.json").read_text())["arms"].keys()
    refused = CliRunner().invoke(app, ["bench", "recall", "--data", str(tmp_path / "none.json")])
    assert isinstance(refused.exception, BadInput)
