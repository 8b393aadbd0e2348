"""Statements and spans: what a passage says, piece by piece, and what of it answers which question."""

from __future__ import annotations

import pytest

from byheart.recall.read.strangers import strangers
from byheart.recall.spans import expected, fitting, spans
from byheart.recall.statements import statements
from byheart.recall.write.chunks import Chunks


def said(text: str) -> list[tuple[str, str, str]]:
    made = [s for e in Chunks().write(text) for s in statements(e.text, str(e.metadata.get("heading") or ""))]
    return [(s.kind, s.before, s.text) for s in made]


def test_a_table_without_bars_at_its_ends_is_a_table() -> None:
    table = "Code | Meaning | What to do\n--- | --- | ---\nE1 | Fan | Wait\nE2 | Tank | Fill it"
    text = f"# Pump\n\n{table}\n\nDone."
    assert ("row", "", "E2: Meaning Tank; What to do Fill it") in said(text)
    assert said(text)[-1] == ("sentence", "", "Done.")


def test_items_come_with_the_line_above_and_fields_with_their_key() -> None:
    text = "# Leave\n\nFrom abroad:\n\n* at most 15 days\n* ask first\n\n**Owner:** Ilse Varnholt\n**Form:** RW-2\n"
    assert said(text) == [
        ("sentence", "", "From abroad:"),
        ("item", "From abroad:", "at most 15 days"),
        ("item", "From abroad:", "ask first"),
        ("field", "", "Owner: Ilse Varnholt"),
        ("field", "", "Form: RW-2"),
    ]


def test_a_paragraph_after_a_list_is_no_part_of_its_last_item() -> None:
    text = "# Show\n\n* gates open at 11\n* children free\n\nLast year's tent was too small. It leaked."
    assert said(text)[-2:] == [
        ("sentence", "", "Last year's tent was too small."),
        ("sentence", "Last year's tent was too small.", "It leaked."),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "span"),
    [
        ("It costs £18 / month.", "money", "£18 / month"),
        ("Pay 14 crowns.", "money", "14 crowns"),
        ("at most 15 working days per year", "duration", "at most 15 working days per year"),
        ("Rinse it every 2 weeks.", "duration", "every 2 weeks"),
        ("On Tues 14 May 2024 we met.", "date", "Tues 14 May 2024"),
        ("by 24/05", "date", "24/05"),
        ("from 10:00 to 15:00", "clock", "10:00 to 15:00"),
        ("rooms of up to 48 m²", "quantity", "up to 48 m²"),
        ("It holds 4.5 l of water.", "quantity", "4.5 l"),
        ("The filter is SW-7714.", "code", "SW-7714"),
        ("Ask Oona Brightwater first.", "name", "Oona Brightwater"),
        ("There are two concrete bollards here.", "number", "two concrete bollards"),
        ("It is 55 % RH.", "share", "55 % RH"),
    ],
)
def test_a_span_and_its_kind(text: str, kind: str, span: str) -> None:
    assert (kind, span) in [(s.kind, s.text) for s in spans(text)]


@pytest.mark.parametrize(
    ("question", "text", "fits"),
    [
        ("How heavy is the pump?", "Weight: 3.4 kg", True),
        ("How heavy is the pump?", "It hums.", False),
        ("When is the show?", "Entry 50p; children free", False),
        ("When is the show?", "Sat. 17 August, gates open at 11 am", True),
        ("Who keeps the key?", "Ilse Varnholt keeps it.", True),
        ("How many days before 4 May?", "by 4 May", False),
    ],
)
def test_what_is_of_the_kind_that_is_asked_for(question: str, text: str, fits: bool) -> None:
    assert expected(question)
    assert bool(list(fitting(question, text))) == fits


@pytest.mark.parametrize(
    ("question", "texts", "unknown"),
    [
        ("What does E7 mean?", ["E1 is low oil. E2 is no water."], ["E7"]),
        ("What does E1 mean?", ["E1 is low oil."], []),
        ("Where does Marta Kask live?", ["Anna Kask lives in Velm. Marta Brandt rows."], ["Marta Kask"]),
        ("Where does Marta Kask live?", ["Ms Kask lives in Velm."], []),
        ("Where does Marta Kask live?", ["Marta lives in Velm."], []),
        ("What does Brackenholt Housing Trust pay?", ["Internet: £18"], []),
        ("How loud is the Sarnwick dehumidifier?", ["Sarnwick DH-22: 44 dB"], []),
    ],
)
def test_whom_the_passages_do_not_speak_of(question: str, texts: list[str], unknown: list[str]) -> None:
    assert strangers(question, texts) == unknown


def test_other_scripts_are_cut_into_sentences_and_passages() -> None:
    russian = " ".join(
        f"\u0421\u0443\u0434\u043d\u043e {i} \u0441\u0442\u043e\u0438\u0442 \u0432 \u043f\u043e\u0440\u0442\u0443."
        for i in range(200)
    )
    chinese = "\u6e2f\u53e3\u89c4\u5b9a\u6bcf\u8258\u8239\u62a5\u544a\u8f7d\u91cd\u3002" * 200
    for text in (russian, chinese):
        made = Chunks().write(text)
        assert len(made) > 5
        assert max(len(e.text) for e in made) < 1500
    assert len(statements(chinese)) == 200
