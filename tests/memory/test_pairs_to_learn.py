"""Pairs in the shapes that users have them, from files and from lists, in Python and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from byheart import Memory
from byheart.app.cli import main
from byheart.core.errors import BadInput
from byheart.memory import given
from byheart.memory.pairs import is_pairs, paired, pairs_of
from byheart.memory.sources import drafted

WANT = [{"question": "Who rings?", "answer": "Ilo"}, {"question": "Where?", "answer": "Velm, at noon"}]


def file(folder: Path, name: str, data: str | bytes | Any) -> Path:
    """A file of text, bytes, or what is written as JSON."""
    path = folder / name
    if not isinstance(data, str | bytes):
        data = json.dumps(data, ensure_ascii=False)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("name", ["qa.json", "qa.jsonl"])
def test_pairs_are_read(tmp_path: Path, name: str) -> None:
    text = json.dumps(WANT) if name.endswith("json") else "\n".join(map(json.dumps, WANT)) + "\n\n"
    assert pairs_of(str(file(tmp_path, name, text))) == WANT


def test_a_pair_may_hold_a_line_separator_that_is_no_line_end(tmp_path: Path) -> None:
    rows = [{"question": "Who\u2028is it?", "answer": "Marta"}, {"question": "Where?", "answer": "Velm\x85"}]
    text = "\n".join(json.dumps(g, ensure_ascii=False) for g in rows)
    assert pairs_of(file(tmp_path, "qa.jsonl", text)) == rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no list of pairs"),
        ('{"names": 3}', "holds no list of pairs"),
        ('{"a": [1], "b": [2]}', "holds no list of pairs"),
        ('[{"question": "a"}]', "pair 1 is"),
        ("[3]", "pair 1 is 3"),
        ('[{"q": "a", "a": "b"}, {"q": "a"}]', "pair 2 is .*prompt/completion"),
        ('[{"q": "a", "a": " "}]', "pair 1: the answer is ' '"),
        ('[{"q": "a", "a": 5}]', "pair 1: the answer is 5"),
        ('[{"messages": [{"role": "user", "content": "Who?"}]}]', "pair 1 has no assistant's turn"),
        ('[{"q": "a", "a": "b", "accept": [3]}]', "accept="),
    ],
)
def test_bad_pairs_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = file(tmp_path, "qa.json", text)
    for read in (pairs_of, paired):
        with pytest.raises(BadInput, match=rf"qa\.json.*{words}"):
            read(str(path))
    with pytest.raises(BadInput, match="no file"):
        pairs_of(str(tmp_path / "none.json"))


SHAPES: dict[str, list[dict[str, Any]]] = {
    "question": [{"Question": p["question"], "ANSWER": p["answer"]} for p in WANT],
    "q": [{"q": p["question"], "a": p["answer"]} for p in WANT],
    "prompt": [{"prompt": p["question"], "completion": p["answer"]} for p in WANT],
    "output": [{"instruction": p["question"], "output": p["answer"]} for p in WANT],
    "alpaca": [{"instruction": p["question"], "input": "", "output": p["answer"]} for p in WANT],
    "input": [{"input": p["question"], "output": p["answer"]} for p in WANT],
    "front": [{"Front": p["question"], "Back": p["answer"]} for p in WANT],
    "messages": [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": WANT[0]["question"]}]},
                {"role": "assistant", "content": WANT[0]["answer"]},
                {"role": "user", "content": WANT[1]["question"]},
                {"role": "assistant", "content": [{"type": "text", "text": WANT[1]["answer"]}]},
            ]
        }
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": p["question"]}, {"from": "gpt", "value": p["answer"]}]}
        for p in WANT
    ],
    "chats": [
        {
            "prompt": [{"role": "user", "content": p["question"]}],
            "completion": [{"role": "assistant", "content": p["answer"]}],
        }
        for p in WANT
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_pairs(tmp_path: Path, shape: str) -> None:
    rows = SHAPES[shape]
    assert is_pairs(rows)
    assert pairs_of(rows) == paired(rows) == WANT
    lines = "\r\n\r\n".join(json.dumps(r, ensure_ascii=False) for r in rows)
    for name, data in (
        ("a.json", rows),
        ("b.JSON", {"version": 1, "data": rows}),
        ("c.jsonl", lines),
        ("d.JSONL", b"\xef\xbb\xbf" + lines.encode()),
    ):
        path = file(tmp_path, name, data)
        assert pairs_of(path) == WANT
        assert paired(str(path)) == [{"source": path.as_posix(), **pair} for pair in WANT]


@pytest.mark.parametrize("shape", [s for s in SHAPES if s not in ("messages", "sharegpt", "chats")])
@pytest.mark.parametrize(("name", "mark"), [("t.csv", ","), ("T.CSV", ";"), ("t.tsv", "\t")])
def test_a_table_with_columns_of_questions_and_answers_holds_pairs(tmp_path, shape, name, mark) -> None:
    rows = SHAPES[shape]
    lines = [mark.join(rows[0]), "", *(mark.join(f'"{v}"' if v else "" for v in r.values()) for r in rows), mark, ""]
    path = file(tmp_path, name, b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert pairs_of(path) == WANT
    assert [e.question for e in drafted(given.lessons(str(path)))] == [p["question"] for p in WANT]


def test_cells_may_have_several_lines_and_other_columns_are_metadata(tmp_path: Path) -> None:
    text = 'id,question,answer,accept,note,source\n7,"Who ""Ilo""\nis?",The ringer,ringer|bell ringer,,velm.md\n'
    pair = {
        "question": 'Who "Ilo"\nis?',
        "answer": "The ringer",
        "id": "7",
        "accept": ["ringer", "bell ringer"],
        "source": "velm.md",
    }
    path = file(tmp_path, "t.csv", text)
    assert pairs_of(path) == [pair]
    (engram,) = drafted(paired(path))
    assert (engram.source, engram.metadata) == ("velm.md", {"id": "7", "accept": ["ringer", "bell ringer"]})


def test_an_input_follows_its_instruction() -> None:
    row = {"instruction": "Translate.", "input": "eel", "output": "Aal", "text": "### Instruction: ..."}
    assert pairs_of([row]) == [{"question": "Translate.\neel", "answer": "Aal", "text": row["text"]}]
    assert paired([row]) == pairs_of([row])
    assert not is_pairs([row])  # what is remembered is the text, as ever


def test_tool_calls_and_turns_of_no_weight_are_no_pairs() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "Tide?"},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "tool", "content": "low"},
        {"role": "assistant", "content": "Low."},
        {"role": "user", "content": "Moon?"},
        {"role": "assistant", "content": "Cheese", "weight": 0},
        {"role": "user", "content": "Bell?"},
        {"role": "assistant", "content": "Noon"},
    ]
    assert pairs_of([{"messages": turns}]) == [{"question": "Bell?", "answer": "Noon"}]
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {}}]}
    with pytest.raises(BadInput, match=r"pair 1, turn 1 holds .*image_url.* no text"):
        pairs_of([{"messages": [picture, turns[-1]]}])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question,answer\nWho?,Ilo\nWhere?,\n", "line 3: the answer is ''"),
        ("question,answer\nWhere?,Velm, at noon\n", "line 2 has 3 cells under 2 columns"),
        ('question,answer\nWhere?,"Velm" at noon\n', "line 2: .*twice"),
        ("question,answer\n", "holds no list of pairs"),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = file(tmp_path, "t.csv", text)
    for read in (pairs_of, paired):
        with pytest.raises(BadInput, match=words):
            read(path)


def test_what_holds_no_pairs_is_a_document(tmp_path: Path) -> None:
    table = file(tmp_path, "t.csv", "name,role\nIlo,ringer\n")
    texts = file(tmp_path, "t.jsonl", '{"text": "Ilo rings."}\n{"question": "Who?", "answer": "Ilo"}\n')
    for source in (table, texts, str(table), "Ilo rings.", [{"text": "Ilo rings."}], ["Ilo"], []):
        assert paired(source) is source
    with pytest.raises(BadInput, match=r"no columns of questions and answers.*front/back"):
        pairs_of(table)


def test_lines_of_text_are_read_with_separators_and_under_names_in_capitals(tmp_path: Path) -> None:
    texts = drafted(file(tmp_path, "a.JSONL", '{"text":"Bo said\u2028 hello.","speaker":"bo"}\r\n'))
    assert [(e.text, e.speaker) for e in texts] == [("Bo said\u2028 hello.", "bo")]
    assert drafted(file(tmp_path, "a.JSON", '[{"text":"Ilo keeps the key."}]'))[0].text == "Ilo keeps the key."


def test_tables_and_chats_are_taught_alike(tmp_path: Path) -> None:
    path = file(tmp_path, "pairs.CSV", "Question,Answer\nWho rings?,Ilo\n")
    with Memory.open(tmp_path / "a", model="tiny", embedder="hash") as memory:
        memory.learn(str(path), budget=100.0)
        (item,) = memory.store.items()
        assert (item.question, item.answer) == ("Who rings?", "Ilo")
        (engram,) = memory.engrams()
        assert (engram.source, engram.forms) == (path.as_posix(), ("text", "weights"))
        with pytest.raises(BadInput, match=r"bad\.csv.*line 2"):
            memory.learn(file(tmp_path, "bad.csv", "q,a\nWho?,\n"))
        assert memory.forget([{"prompt": "Who rings?", "completion": "Ilo"}]).forgotten == (engram.id,)


def test_the_command_line_learns_pairs_with_a_mark_of_order(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    file(tmp_path, "q.jsonl", b'\xef\xbb\xbf{"question":"Who rings?","answer":"Ilo"}\r\n')
    with pytest.raises(SystemExit) as end:
        main(["learn", "q.jsonl", "--budget", "100", "--json", "--model", "tiny", "--embedder", "hash"])
    assert (end.value.code, json.loads(capsys.readouterr().out)["committed"]) == (0, True)
