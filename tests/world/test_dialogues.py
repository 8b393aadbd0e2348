"""Readers of LoCoMo and LongMemEval, on small files of their form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from byheart.core.errors import BadInput
from byheart.world.dialogue.dialogues import Turn, read


def locomo() -> dict[str, Any]:
    return {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bo",
            "session_2_date_time": "9 May 2023",
            "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "Bye."}],
            "session_2": [
                {"speaker": "Ann", "dia_id": "D2:1", "text": "What do you paint?"},
                {"speaker": "Bo", "dia_id": "D2:2", "text": "This.", "blip_caption": "a red boat"},
            ],
        },
        "qa": [
            {"question": "What did Bo paint?", "answer": "a boat", "evidence": ["D2:2"], "category": 4},
            {"question": "Both?", "answer": 7, "evidence": ["D2:1; D:10:01", "D2:1"], "category": 1},
            {"question": "Never?", "adversarial_answer": "x", "evidence": ["D9:9"], "category": 5},
            {"question": "None?", "answer": "x", "evidence": [], "category": 3},
        ],
    }


def test_locomo_turns_stand_in_order_and_evidence_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([locomo()]))
    (dialogue,) = read(tmp_path)
    assert dialogue.turns == (
        Turn("session 2", 0, "Ann", "What do you paint?", "9 May 2023"),
        Turn("session 2", 1, "Bo", "This. [a red boat]", "9 May 2023"),
        Turn("session 10", 0, "Bo", "Bye.", None),
    )
    assert [(p.category, p.answer, p.turns, p.sessions) for p in dialogue.probes] == [
        ("single-hop", "a boat", (1,), ("session 2",)),
        ("multi-hop", "7", (0, 2), ("session 2", "session 10")),
    ]


def test_longmemeval_is_a_dialogue_for_each_question(tmp_path: Path) -> None:
    row = {
        "question_id": "q1",
        "question_type": "single-session-user",
        "question": "Which car?",
        "answer": "a Fiat",
        "haystack_session_ids": ["s1", "s2"],
        "haystack_dates": ["2023/05/01", "2023/05/02"],
        "haystack_sessions": [
            [{"role": "user", "content": "Hi"}],
            [
                {"role": "user", "content": "I drive a Fiat.", "has_answer": True},
                {"role": "assistant", "content": "Ok"},
            ],
        ],
        "answer_session_ids": ["s2"],
    }
    file = tmp_path / "lme.json"
    file.write_text(json.dumps([row, {**row, "question_id": "q2_abs", "answer_session_ids": []}]))
    first, two = read(file)
    assert [t.at for t in first.turns] == ["2023/05/01", "2023/05/02", "2023/05/02"]
    assert (first.probes[0].turns, first.probes[0].sessions, first.probes[0].category) == (
        (1,),
        ("s2",),
        row["question_type"],
    )
    assert two.probes[0].category == "abstention"
    for lacking in ("haystack_session_ids", "question_type"):
        file.write_text(json.dumps([row, {k: v for k, v in row.items() if k != lacking}]))
        with pytest.raises(BadInput, match=rf"lme\.json: entry 1 has no '{lacking}'; give"):
            read(file)
    for more in ({"haystack_dates": ["2023/05/01"]}, {"haystack_sessions": 5}):
        file.write_text(json.dumps([row, {**row, **more}]))
        with pytest.raises(BadInput, match=r"lme\.json: entry 1 is no dialogue"):
            read(file)


def test_what_is_no_dialogue_is_refused_with_the_formats(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no dialogues; give"):
        read(tmp_path)
    other = tmp_path / "other.json"
    other.write_text('[{"a": 1}]')
    with pytest.raises(BadInput, match=r"has the keys \['a'\]; give"):
        read(other)
    other.write_text("{")
    with pytest.raises(BadInput, match="is no JSON"):
        read(other)
    turn = {"speaker": "Ann", "dia_id": "none", "text": "Hi."}
    other.write_text(json.dumps([{"conversation": {"session_1": [turn]}, "qa": []}, 5]))
    with pytest.raises(BadInput, match="entry 0 is no dialogue"):
        read(other)
