"""Sources become passages: whole sentences, kept sections, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byheart.core.errors import BadInput
from byheart.recall.sentences import sentences
from byheart.recall.write.chunks import Chunks

PROSE = " ".join(f"Sentence number {i} speaks of the harbour and of nothing else at all." for i in range(40))


def test_sections_stay_apart_and_carry_their_headings(tmp_path: Path) -> None:
    file = tmp_path / "book.md"
    file.write_text(
        "# Book\n\nIntro line.\n\n## Travel\n\nMarta signs.\nBrandt pays.\n\n## Empty\n\n"
        "# Pay ##\n\n- one\n- two\n  more\n\nTerms\n=====\n\nLast words.\n"
    )
    made = Chunks().write(file)
    assert [(e.text, e.metadata.get("heading")) for e in made] == [
        ("Book\nIntro line.", "Book"),
        ("Book > Travel\nMarta signs. Brandt pays.", "Book > Travel"),
        ("Book\nEmpty", "Book"),
        ("Pay\n- one\n- two more", "Pay"),
        ("Terms\nLast words.", "Terms"),
    ]
    assert [e.position for e in made] == [0, 1, 2, 3, 4]
    assert {e.source for e in made} == {file.as_posix()}
    assert len({e.id for e in made}) == 5


def test_long_prose_is_cut_between_sentences_only(tmp_path: Path) -> None:
    made = Chunks().write(PROSE)
    assert len(made) > 2
    assert all(60 <= len(e.text.split()) <= 120 for e in made[:-1])
    assert " ".join(e.text for e in made) == PROSE
    assert all(e.text.endswith(".") for e in made)
    long = "word " * 200 + "end."
    assert [e.text for e in Chunks().write(f"Short one. {long.capitalize()} Short two.")][1] == long.capitalize()


def test_tables_and_code_are_kept_whole_or_cut_at_rows_with_their_header() -> None:
    rows = "\n".join(f"| Quay {i} | {i} m | Keeper {i} |" for i in range(30))
    made = Chunks().write(
        f"# T\n\n| Quay | Depth | Keeper |\n|---|---|---|\n{rows}\n\n```python\n# not a heading\nx = 1\n```\n"
    )
    tables = [e for e in made if "Keeper 0" in e.text or "| Quay" in e.text]
    assert len(tables) > 1
    assert all("| Quay | Depth | Keeper |\n|---|---|---|\n" in e.text for e in tables)
    assert sum(e.text.count("| Keeper ") for e in made) == 30 + len(tables)
    assert "```python\n# not a heading\nx = 1\n```" in made[-1].text


def test_a_lead_in_stays_with_its_list() -> None:
    filler = " ".join(f"Word{i}" for i in range(70))
    made = Chunks().write(f"# A\n\n{filler}. Bring these:\n\n- a coat\n- a map\n")
    assert any("Bring these:\n\n- a coat" in e.text for e in made)


def test_a_short_text_is_kept_as_it_is() -> None:
    assert [e.text for e in Chunks().write("  two\n\nshort   paragraphs ")] == ["two\n\nshort   paragraphs"]


def test_dicts_keep_who_when_and_everything_else() -> None:
    made = Chunks().write(
        [
            {
                "text": "I moved to Velm.",
                "source": "chat",
                "speaker": "Ann",
                "at": "2026-01-02",
                "mood": "glad",
                "n": 3,
            },
            {"text": "When?", "source": "chat", "metadata": {"mood": "curious"}},
            "a plain text",
            {"question": "Who signs?", "answer": "Marta", "owner": "ops"},
        ]
    )
    assert made[0].model_dump(exclude={"id", "created"}, exclude_defaults=True) == {
        "text": "I moved to Velm.",
        "source": "chat",
        "speaker": "Ann",
        "at": "2026-01-02",
        "metadata": {"mood": "glad", "n": 3},
    }
    assert [(e.source, e.position) for e in made] == [("chat", 0), ("chat", 1), (None, 0), (None, 1)]
    assert made[1].metadata == {"mood": "curious"}
    assert (made[3].text, made[3].question, made[3].answer, made[3].owner) == (
        "Who signs? Marta",
        "Who signs?",
        "Marta",
        "ops",
    )


def test_json_files_hold_entries(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"text": "one", "k": 1}, "two"]))
    (tmp_path / "b.jsonl").write_text('{"text": "one", "source": "x"}\n\n"two"\n')
    assert [(e.text, e.metadata) for e in Chunks().write(tmp_path / "a.json")] == [("one", {"k": 1}), ("two", {})]
    assert [e.source for e in Chunks().write(tmp_path / "b.jsonl")] == ["x", (tmp_path / "b.jsonl").as_posix()]


def test_a_string_is_a_file_when_it_is_one_or_looks_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes").write_text("From the file.")
    assert Chunks().write("notes")[0].text == "From the file."
    for name in ("handbook.md", "my notes.txt", "some/where", "./x"):
        with pytest.raises(BadInput, match=f"no file '{name.removeprefix('./')}'; check the path"):
            Chunks().write(name)
    for text in ("Either and/or neither.", "See https://velm.example/a", "Read handbook.md before you start, please."):
        assert Chunks().write(text)[0].text == text
    assert Chunks().write(["and/or"])[0].text == "and/or"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.md", b" \n\n", "is empty; give a file with some text"),
        ("photo.md", b"\x89PNG\0\0", "is a binary file .a NUL byte at 4"),
        ("latin.txt", "café".encode("latin-1"), r"is not UTF-8 text \(byte 3\); convert it"),
        ("bad.json", b"[1,", "is not JSON"),
        ("bad.jsonl", b'"a"\n{', "line 2 is not JSON"),
        ("numbers.json", b"[3]", "entry 0 is '3'; give a text"),
    ],
)
def test_files_that_cannot_be_read_as_text_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=message) as refusal:
        Chunks().write(str(tmp_path / name))
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ([], "list to remember is empty"),
        (["a", ""], "entry 1 is an empty text"),
        ([{"words": "x"}], r"entry 0 has text=None; give it a 'text' .* \(keys: words\)"),
        ([{"text": 3}], "text=3"),
        ([{"text": "x", "speaker": 3}], "speaker=3, a int"),
        ([{"text": "x", "at": "tuesday"}], "at='tuesday', not a time"),
        ([{"text": "x", "metadata": 3}], "metadata=3"),
        ([3], "entry 0 is a int"),
        (3, "cannot remember a int"),
        (b"x", "cannot remember a bytes"),
        ("a\0b", "NUL"),
        (["fine", "gone.md"], "no file 'gone.md'"),
    ],
)
def test_what_cannot_be_remembered_is_named(source: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Chunks().write(source)  # type: ignore[arg-type]


def test_a_folder_and_bad_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        Chunks().write(tmp_path)
    with pytest.raises(BadInput, match="enough=9, longest=3"):
        Chunks(enough=9, longest=3)


def test_sentences_end_where_they_end() -> None:
    text = "It cost 3.50 crowns (approx. 4). Prof. A. B. Kask agreed. “Really?” Yes! At 6 p.m. we left. 12. Dec. came."
    assert sentences(text)[:4] == ["It cost 3.50 crowns (approx. 4).", "Prof. A. B. Kask agreed.", "“Really?”", "Yes!"]
    assert " ".join(sentences(text)) == text
    assert sentences("") == []
