"""What a reader would ask: answers that say something, wordings that name the subject, the last held back."""

from __future__ import annotations

import pytest

from byheart.core.records import Engram
from byheart.exam.match import contains
from byheart.recall.write.chunks import Chunks
from byheart.recall.write.inquiries import Inquiries, Inquiry, askable

MANUAL = """# Brevik 300 pump

## Data

| Item | Value |
|---|---|
| Weight | 3.4 kg |
| Hose | - |
| Noise | 41 dB |

Code | Meaning | What to do
--- | --- | ---
E1 | Filter blocked | Rinse the filter
E2 | No water | Fill the tank

## Use

- Rinse the filter every 2 weeks.
- If the red lamp blinks, switch the pump off.

The pump must be stored in a dry room because frost cracks the housing. It starts again 90 seconds after a stop.
"""


def asked(text: str) -> list[Inquiry]:
    return Inquiries().write(Chunks().write(text))


def answers(text: str) -> set[str]:
    return {i.answer for i in asked(text)}


def test_a_manual_is_asked_for_what_it_states() -> None:
    made = asked(MANUAL)
    wanted = {
        "3.4 kg", "41 dB", "Filter blocked", "Rinse the filter", "No water", "Fill the tank", "every 2 weeks",
        "switch the pump off", "frost cracks the housing", "90 seconds",
    }  # fmt: skip
    assert wanted <= {i.answer for i in made}
    by_answer = {i.answer: i for i in made}
    assert by_answer["3.4 kg"].question == "What is the weight of the Brevik 300 pump?"
    assert "How heavy is the Brevik 300 pump?" in (*by_answer["3.4 kg"].wordings, *by_answer["3.4 kg"].held)
    assert by_answer["Filter blocked"].question == "Brevik 300 pump: what does E1 mean?"
    assert by_answer["every 2 weeks"].question == "Brevik 300 pump: how often do I have to rinse the filter?"
    assert by_answer["switch the pump off"].question.endswith("what do I have to do if the red lamp blinks?")


def test_no_answer_is_a_unit_a_dash_or_a_stray_word() -> None:
    assert all(askable(i.answer) for i in asked(MANUAL))
    assert [askable(a) for a in ("%", "-", "kg", "the", "it", "", "€", "no")] == [False] * 8
    assert all(askable(a) for a in ("4.5 l", "£18 / month", "before dusk", "OB", "in a locked case"))


def test_every_answer_stands_in_its_passage_and_in_no_question() -> None:
    engrams = Chunks().write(MANUAL)
    texts = {e.id: e.text for e in engrams}
    made = Inquiries().write(engrams)
    assert len(made) > 10
    assert all(contains(texts[i.engram], i.answer) for i in made)
    assert all(i.answer.casefold() not in i.question.casefold() for i in made)


def test_a_wording_is_held_back_and_is_no_wording_to_train_on() -> None:
    made = asked(MANUAL)
    assert all(i.held for i in made)
    assert all(not set(i.held) & {i.question, *i.wordings} for i in made)


def test_wordings_name_what_the_document_is_about_or_can_stand_alone() -> None:
    made = [w for i in asked(MANUAL) for w in (i.question, *i.wordings, *i.held)]
    alone = [w for w in made if "Brevik" not in w and "pump" not in w]
    assert len(alone) < len(made) / 4
    assert all(any(c.isdigit() or c.isupper() for c in w[1:]) or len(w.split()) > 5 for w in alone)
    assert all("Brevik" in i.question or "pump" in i.question for i in asked(MANUAL))


def test_tasks_of_people_are_asked_both_ways() -> None:
    made = asked(
        "# Choir\n\n| Who | What | By |\n|---|---|---|\n| OB | Hire a tent | 3 May |\n| DA | Print bills | 9 May |\n"
    )
    pairs = {(i.question, i.answer) for i in made}
    assert ("Choir: who has to do this: Hire a tent?", "OB") in pairs
    assert ("Choir: what does DA have to do?", "Print bills") in pairs
    assert {"3 May", "9 May"} <= {i.answer for i in made}


def test_a_question_with_two_answers_is_left_out() -> None:
    assert answers("The fee is 3 crowns.\n\nThe fee is 4 crowns.") == set()


def test_pronouns_stand_for_names_of_their_own_passage_alone() -> None:
    far = (
        "# Notes\n\n"
        + "Marta Kask rows. "
        + "The sea is wide and the wind is cold in the north. " * 12
        + "\n\n# More\n\nShe was born in 1962."
    )
    made = [i for i in asked(far) if i.answer == "1962"]
    assert made
    assert not any("Marta" in w for i in made for w in (i.question, *i.wordings, *i.held))


@pytest.mark.parametrize(
    ("metadata", "held"),
    [
        ({"paraphrases": ["Whose sign is needed?"]}, ("Whose sign is needed?",)),
        ({}, ("Which person signs off travel?",)),
        ({"wordings": ["Travel: who?"], "held": ["Who must sign?"]}, ("Who must sign?",)),
    ],
)
def test_pairs_keep_their_wording(metadata: dict, held: tuple[str, ...]) -> None:
    pair = Engram(id="a", text="x", question="Who signs off travel?", answer="Marta", created="now", metadata=metadata)
    (made,) = Inquiries().write([pair])
    assert (made.question, made.answer, made.held) == ("Who signs off travel?", "Marta", held)


def test_a_text_of_another_language_is_asked_without_a_word_of_english() -> None:
    german = (
        "# Hafen\n\n| Kai | Tiefe |\n|---|---|\n| Nord | 9 m |\n\nDie F\u00e4hre nach Orsk f\u00e4hrt um 06:40 Uhr vom "
        "n\u00f6rdlichen Kai ab und braucht bei ruhiger See 35 Minuten.\n"
    )
    made = asked(german)
    assert {"9 m", "06:40", "35 Minuten"} & {i.answer for i in made} >= {"9 m", "06:40"}
    wordings = " ".join(w for i in made for w in (i.question, *i.wordings, *i.held))
    assert not set(wordings.lower().split()) & {"what", "who", "when", "how", "is", "missing", "about"}
    assert all(i.held for i in made)


@pytest.mark.parametrize(
    "text", ["# \u2014\n\n- Fee: 3 \u20ac", "# \n\nx", "| a |\n|---|\n| 1 |", "```\nKey: v\n```", "- \n- a", "It."]
)
def test_odd_documents_are_read(text: str) -> None:
    assert all(askable(i.answer) for i in asked(text))
