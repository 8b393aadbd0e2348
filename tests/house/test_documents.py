"""The ten documents with questions: complete, answerable from their own text, not copied from it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from byheart.exam.match import contains, normal

FOLDER = Path(__file__).parents[2] / "bench" / "documents"
KINDS = "biography contract faq lab-protocol manual minutes policy price-list recipe release-notes".split()
DEVELOPMENT = KINDS
DOCUMENTS = sorted(FOLDER.rglob("*.jsonl"))
each = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(FOLDER).with_suffix("")))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sentences(text: str) -> set[str]:
    """Sentences, lines and cells of a document, in the form that answers are compared in."""
    lines = text.splitlines()
    parts = [*lines, *(cell for line in lines for cell in line.split("|")), *re.split(r"(?<=[.!?:;])[\s*]+", text)]
    return {normal(part) for part in parts}


@pytest.mark.parametrize(("folder", "kinds"), [(FOLDER, KINDS), (FOLDER / "dev", DEVELOPMENT)])
def test_every_kind_has_a_document_and_questions(folder: Path, kinds: list[str]) -> None:
    assert sorted(p.stem for p in folder.glob("*.jsonl")) == kinds
    assert sorted(p.stem for p in folder.glob("*.md") if p.stem != "README") == kinds


@each
def test_twenty_questions_have_answers_and_five_have_none(path: Path) -> None:
    questions = rows(path)
    assert len(questions) == 25
    assert len({normal(r["question"]) for r in questions}) == 25
    unanswered = [r for r in questions if r["answer"] is None]
    assert len(unanswered) == 5
    assert all(set(r) == {"question", "answer"} for r in unanswered)
    assert all(set(r) == {"question", "answer", "accept"} for r in questions if r["answer"] is not None)


@each
def test_every_answer_stands_in_its_document(path: Path) -> None:
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    for row in rows(path):
        if row["answer"] is not None:
            assert any(contains(text, form) for form in (row["answer"], *row["accept"])), row["question"]


@each
def test_no_question_is_a_sentence_of_its_document_or_gives_its_answer(path: Path) -> None:
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    copied = sentences(text)
    for row in rows(path):
        assert normal(row["question"]) not in copied
        assert not contains(text, row["question"])
        assert row["answer"] is None or not contains(row["question"], row["answer"])
