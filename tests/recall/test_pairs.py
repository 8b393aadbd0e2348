"""Questions made by rules: right English or none, and every answer stands in the text."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.core.records import Engram
from byheart.recall.write.chunks import Chunks
from byheart.recall.write.pairs import Pairs


def pairs(text: str, **settings: str) -> list[tuple[str, str]]:
    return [(p.question, p.answer) for p in Pairs(**settings).write(Chunks().write(text))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The harbourmaster of Velm is Marta Kask.", [("Who is the harbourmaster of Velm?", "Marta Kask")]),
        ("Peter Kahler was the team's coordinator.", [("Who was the team's coordinator?", "Peter Kahler")]),
        (
            "Marta Kask signs off travel.",
            [("Who signs off travel?", "Marta Kask"), ("What does Marta Kask sign off?", "travel")],
        ),
        (
            "Jonas Brandt keeps the ledger and pays invoices on the last Friday of each month.",
            [
                ("Who keeps the ledger?", "Jonas Brandt"),
                ("Who pays invoices on the last Friday of each month?", "Jonas Brandt"),
            ],
        ),
        ("The Heron was founded in 1912.", [("When was the Heron founded?", "1912")]),
        (
            "The bridge was designed by Anna Dallmer in May 1931.",
            [("When was the bridge designed?", "May 1931"), ("By whom was the bridge designed?", "Anna Dallmer")],
        ),
        ("The ferry to Velm leaves at 06:40.", [("When does the ferry to Velm leave?", "06:40")]),
        ("The mill opened on 3 May 1931.", [("When did the mill open?", "3 May 1931")]),
        ("A single ticket costs 14 crowns.", [("How much does a single ticket cost?", "14 crowns")]),
        ("The crossing takes 35 minutes.", [("How long does the crossing take?", "35 minutes")]),
        ("The tower has 214 steps.", [("How many steps does the tower have?", "214")]),
        ("The mast is 30 metres tall.", [("How tall is the mast?", "30 metres")]),
        ("The council meets in the Old Hall.", [("Where does the council meet?", "in the Old Hall")]),
        ("The archive is on the second floor.", [("Where is the archive?", "on the second floor")]),
        ("The capital of Velm is Orsk.", [("What is the capital of Velm?", "Orsk")]),
        ("The fine for speeding is 250 crowns.", [("What is the fine for speeding?", "250 crowns")]),
        ("The harbour dog is called Biscuit.", [("What is the harbour dog called?", "Biscuit")]),
        ("Questions about pay go to Greta Lindqvist.", [("To whom do questions about pay go?", "Greta Lindqvist")]),
        ("Invoices are approved by Marta Kask.", [("By whom are Invoices approved?", "Marta Kask")]),
        ("The museum opened in 1958, which pleased the town.", [("When did the museum open?", "1958")]),
    ],
)
def test_a_sentence_and_its_questions(sentence: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(sentence) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Boats longer than 12 metres must moor at the north quay.", "the north quay"),
        ("Storm warnings are shown by a black ball on the mast.", "the mast"),
        ("The office is closed on public holidays in winter.", "winter"),
        ("Emerald Air services are being designed with sustainability in mind.", "mind"),
        ("Gauthier toured America frequently and returned to Europe in 1922.", "1922"),
        ("Sowashee Creek runs through the southern portion of the city.", "the city"),
        ("Although it rained, the fair was opened by the mayor.", "the mayor"),
    ],
)
def test_a_sentence_no_rule_parses_whole_becomes_a_cloze(sentence: str, expected: str) -> None:
    lead = sentence.removesuffix(f" {expected}.")
    assert pairs(sentence) == [(f"Complete the sentence: {lead} ...", expected)]


@pytest.mark.parametrize(
    "text", ["It carries 120 passengers and eight cars.", "Is it open today?", "Open wide.", "Hm."]
)
def test_what_says_nothing_by_itself_is_left_out(text: str) -> None:
    assert pairs(text) == []


def test_a_leaning_sentence_is_asked_about_under_its_heading() -> None:
    assert pairs("# The lighthouse\n\nIt stands on Gull Rock.") == [
        ('Complete the sentence about "The lighthouse": It stands on ...', "Gull Rock")
    ]


def test_fields_and_tables_are_asked_by_their_names() -> None:
    text = (
        "# Harbour Office\n\n- **Phone**: 4711 220\n- Opening hours: 08:00 to 17:30\n- Manager: Marta Kask\n"
        "- Note: be kind\n\n| Quay | Depth |\n|------|-------|\n| North | 9 m |\n\n```\nKey: value\n```\n"
    )
    made = Pairs(cloze="never").write(Chunks().write(text))
    assert [(p.question, p.answer, p.kind) for p in made] == [
        ('What is the phone of "Harbour Office"?', "4711 220", "field"),
        ('What are the opening hours of "Harbour Office"?', "08:00 to 17:30", "field"),
        ('Who is the manager of "Harbour Office"?', "Marta Kask", "field"),
        ('What is listed under "Depth" for North in the table "Harbour Office"?', "9 m", "field"),
    ]


def test_every_answer_is_a_span_of_its_engram_and_names_it() -> None:
    text = (
        "# Velm\n\nThe harbourmaster of Velm is **Marta Kask**. The ferry leaves at 06:40 and is\nnever late. "
        "It costs 3 crowns.\n\n- Phone: 47\n- The dog is called Biscuit.\n\n1. Close the gate behind every boat.\n"
    )
    engrams = Chunks().write(text)
    made = Pairs(cloze="always").write(engrams)
    whole = {e.id: e.text.replace("**", "") for e in engrams}
    assert len(made) >= 6
    assert all(p.answer in whole[p.engram] for p in made)
    assert {p.kind for p in made} == {"question", "field", "cloze"}


def test_a_question_with_two_answers_gives_way_to_clozes_and_those_to_nothing() -> None:
    assert pairs("The manager is Marta Kask.\n\nThe manager is Jonas Brandt.") == []
    assert pairs("The mill opened in 1931.\n\nThe mill opened on 3 May 1932.") == [
        ("Complete the sentence: The mill opened in ...", "1931"),
        ("Complete the sentence: The mill opened on ...", "3 May 1932"),
    ]
    assert pairs("The fee is 3 crowns. The fee is 3 crowns.") == [("What is the fee?", "3 crowns")]


def test_pairs_given_are_taken_as_they_are() -> None:
    engram = Engram(id="a", text="Who signs? Marta", question="Who signs?", answer="Marta", created="now")
    made = Pairs().write([engram])
    assert [(p.question, p.answer, p.kind, p.engram) for p in made] == [("Who signs?", "Marta", "given", "a")]


def test_settings_are_checked() -> None:
    with pytest.raises(BadInput, match="cloze='sometimes'"):
        Pairs(cloze="sometimes")  # type: ignore[arg-type]
    assert pairs("The tower has 214 steps.", cloze="always")[1][0].startswith("Complete the sentence: ")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Marta Kask was born in Velm.", ("Where was Marta Kask born?", "Velm")),
        ("Marta Kask works as a bookbinder.", ("What does Marta Kask work as?", "a bookbinder")),
        (
            "The password of the guest network is kelpwarden.",
            ("What is the password of the guest network?", "kelpwarden"),
        ),
        ("Marta Kask is married to Jonas Vell.", ("Who is Marta Kask married to?", "Jonas Vell")),
        ("Marta Kask carries the lamp.", ("What does Marta Kask carry?", "the lamp")),
    ],
)
def test_the_object_of_a_clause_is_asked_for(sentence: str, expected: tuple[str, str]) -> None:
    assert pairs(sentence) == [expected]


@pytest.mark.parametrize(
    "sentence",
    [
        "The largest tide ever measured at Velm was seventeen metres.",
        "The yearly regatta takes place in October.",
        "What is made of engrams names its parents.",
        "Reading a shared beginning once is what pays for the steps.",
    ],
)
def test_what_does_not_parse_as_subject_verb_and_object_is_a_cloze(sentence: str) -> None:
    made = pairs(sentence)
    assert made
    assert all(question.startswith("Complete the sentence: ") for question, _ in made)
