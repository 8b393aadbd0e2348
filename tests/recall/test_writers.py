"""Writers: what becomes of given sentences, and what a language model's reply becomes."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.recall.write.atomic_facts import AtomicFacts
from byheart.recall.write.clauses import clauses, stands_for, subject, triple
from byheart.recall.write.qa_memory import QAMemory, asks, keys
from byheart.recall.write.structural_memory import StructuralMemory


class Says:
    def __init__(self, *texts: str) -> None:
        self.texts, self.shown = texts, []

    def generate(self, prompts, *, max_tokens=64, temperature=0.0, copies=1, seed=0):
        self.shown += [p[-1]["content"] for p in prompts]
        return [[Generation(t)] for t in self.texts]

    def score(self, pairs):
        raise NotImplementedError


def facts(source, subject=None) -> list[str]:
    return [o.engram.text for o in AtomicFacts().write(source, subject)]


@pytest.mark.parametrize(
    ("sentence", "cut"),
    [
        (
            "The Heron sails at noon and carries 40 people.",
            ["The Heron sails at noon.", "The Heron carries 40 people."],
        ),
        ("The Heron was built and painted in 1990.", ["The Heron was built and painted in 1990."]),
        ("Bo has sold and bought boats.", ["Bo has sold and bought boats."]),
        ("Bo manages reports and orders of the day.", ["Bo manages reports and orders of the day."]),
        ("Bo sells eels and pears.", ["Bo sells eels and pears."]),
        ("The Heron, which was lost, is found again.", ["The Heron was lost.", "The Heron is found again."]),
        ("Bo runs the inn; the ferry leaves at noon.", ["Bo runs the inn.", "the ferry leaves at noon."]),
        ("Bo Kask was born in Velm, and it is cold!", ["Bo Kask was born in Velm!", "It is cold!"]),
        ("In 1962 the ferry was sold and the inn was built.", ["In 1962 the ferry was sold and the inn was built."]),
        ('"He runs and is gone," said Bo.', ['"He runs and is gone," said Bo.']),
        ("Is she gone and has she paid?", ["Is she gone and has she paid?"]),
    ],
)
def test_cuts_where_another_subject_or_verb_begins(sentence: str, cut: list[str]) -> None:
    assert [c.text.casefold() for c in clauses(sentence)] == [c.casefold() for c in cut]


def test_a_pronoun_gives_way_to_the_person_of_the_last_subject() -> None:
    assert clauses("Her boat is red.", "Marta Kask")[0].text == "Marta Kask's boat is red."
    assert clauses("It is red.")[0].text == "It is red."
    assert clauses("It is red.", "Marta Kask")[0].text == "It is red."
    assert clauses("She is away.", "Velm Harbour")[0].text == "She is away."
    assert clauses("She is away.", "The ferry")[0].text == "She is away."
    assert clauses("She is away.", "The harbourmaster")[0].text == "The harbourmaster is away."
    assert stands_for("The boat of Marta Kask") == "Marta Kask"
    assert subject("Marta Kask runs the ferry") == "Marta Kask"
    assert subject("Marta Kask runs") == ""
    text = "Marta Kask runs the ferry. Her dog is called Bo. She sells tea."
    assert facts("Anna, a nurse, moved to Velm. She sells tea.")[1] == "Anna sells tea."
    assert facts(text)[1:] == ["Marta Kask's dog is called Bo.", "Marta Kask sells tea."]


def test_a_pronoun_does_not_reach_over_a_heading() -> None:
    made = facts("# Ferry\n\nMarta Kask runs it.\n\n# Inn\n\nIt was sold in 1990. He left.")
    assert made == ["Marta Kask runs it.", "Inn was sold in 1990.", "Inn: He left."]


def test_the_heading_stands_before_what_does_not_name_its_subject() -> None:
    made = facts("# Office\n\n- Open from 9 to 5\n- Closed on Monday\n\nThe door is red. Bo Kask has the key.")
    assert made == [
        "Office: Open from 9 to 5",
        "Office: Closed on Monday",
        "Office: The door is red.",
        "Bo Kask has the key.",
    ]


def test_nothing_is_written_twice_and_a_pair_is_left_whole() -> None:
    assert facts("Bo runs the inn. Bo runs the inn.") == ["Bo runs the inn."]
    (engram,) = AtomicFacts().write({"question": "Who runs the inn and sells tea?", "answer": "Bo"})
    assert (engram.engram.question, engram.engram.answer) == ("Who runs the inn and sells tea?", "Bo")


def test_a_model_is_asked_once_for_a_source_and_rules_write_where_it_finds_nothing() -> None:
    model = Says("- Bo | runs the inn\n2. The ferry | The ferry leaves at noon.\nnothing more", "I cannot tell.")
    sources = [{"text": "Bo runs it.", "source": "a"}, {"text": "Lio sells tea.", "source": "b"}]
    assert facts(sources, model) == ["Bo: runs the inn", "The ferry leaves at noon.", "Lio sells tea."]
    assert len(model.shown) == 2
    assert "Bo runs it." in model.shown[0]
    assert "Lio" not in model.shown[0]


def pairs(source, subject=None, **settings) -> list[tuple[str, str]]:
    return [(o.engram.question, o.engram.answer) for o in QAMemory(**settings).write(source, subject)]


@pytest.mark.parametrize(
    ("clause", "question", "answer"),
    [
        ("Bo Kask was born in Velm.", "Where was Bo Kask born?", "Velm"),
        ("Bo Kask was born in the year 1931.", "When was Bo Kask born?", "the year 1931"),
        ("Bo Kask is married to Lio Noth.", "Who is Bo Kask married to?", "Lio Noth"),
        ("The ferry left from Velm.", "Where did the ferry leave from?", "Velm"),
        ("Bo works as a diver.", "What does Bo work as?", "a diver"),
        ("Bo has a dog called Rex.", "Bo has what?", "a dog called Rex"),
        ("Bo will sell the inn.", "Bo will what?", "sell the inn"),
    ],
)
def test_asks_for_the_object_of_a_clause(clause: str, question: str, answer: str) -> None:
    parts = triple(clause)
    assert parts is not None
    assert (asks(*parts), parts[2]) == (question, answer)


def test_pairs_name_whom_a_pronoun_meant_and_say_where_they_are_from() -> None:
    text = "Marta Kask sells tea. Her dog is called Bo."
    assert ("What is Marta Kask's dog called?", "Bo") in pairs(text)
    made = [o.engram for o in QAMemory().write({"text": text, "source": "a"})]
    assert made[-1].metadata == {"statement": "Marta Kask's dog is called Bo.", "of": 0}
    assert all(e.text == f"{e.question} {e.answer}" for e in made)
    assert keys(made) == [e.question for e in made]
    assert len({(e.question.casefold(), e.answer) for e in made}) == len(made)


def test_an_answer_that_is_too_long_is_no_answer() -> None:
    text = "Bo Kask sells tea from the old mill at the end of the lane."
    assert any("old mill" in a for _, a in pairs(text))
    assert not any("old mill" in a for _, a in pairs(text, longest=4))
    assert not any("Velm" in a for _, a in pairs("Bo Kask sells tea, which grows near Velm."))


def test_a_pair_given_stays_and_a_table_is_asked() -> None:
    assert pairs({"question": "Who runs the inn?", "answer": "Bo"}) == [("Who runs the inn?", "Bo")]
    table = "# Staff\n\n| Name | Role |\n| --- | --- |\n| Lio Noth | clerk |\n"
    assert [a for _, a in pairs(table)] == ["clerk"]


def test_pairs_of_a_model_are_kept_where_the_source_bears_them_out() -> None:
    model = Says("1. Who runs the inn? | Bo\nWho sells tea? | Anna\nno question | Bo", "")
    sources = [{"text": "Bo runs the inn.", "source": "a"}, {"text": "Lio Noth was born in Velm.", "source": "b"}]
    assert pairs(sources, model) == [("Who runs the inn?", "Bo"), ("Where was Lio Noth born?", "Velm")]


def kinds(source, *which, subject=None) -> list[tuple[str, str]]:
    made = StructuralMemory(kinds=which) if which else StructuralMemory()
    return [(o.engram.metadata["kind"], o.engram.text) for o in made.write(source, subject)]


def test_a_mixed_memory_holds_each_passage_with_what_is_made_of_it() -> None:
    text = "Bo Kask runs the inn. He was born in Velm."
    assert kinds(text) == [
        ("chunk", text),
        ("summary", text),
        ("fact", "Bo Kask runs the inn."),
        ("fact", "Bo Kask was born in Velm."),
        ("triple", "Bo Kask; runs; the inn"),
        ("triple", "Bo Kask; was born in; Velm"),
    ]
    (first, _) = [o.engram for o in StructuralMemory(kinds=("triple",)).write(text)]
    assert [first.metadata[n] for n in ("head", "relation", "tail")] == ["Bo Kask", "runs", "the inn"]


def test_a_memory_of_one_kind_is_its_part_of_the_mixed_one() -> None:
    text = "# Inn\n\nBo Kask runs the inn. It is old.\n\n# Ferry\n\nLio Noth runs the ferry. It is new. It leaks."
    mixed = kinds(text)
    assert ("summary", "Bo Kask runs the inn. It is old.") in mixed
    for kind in ("chunk", "triple", "fact", "summary"):
        assert kinds(text, kind) == [m for m in mixed if m[0] == kind] != []


def test_a_model_writes_the_facts_from_which_triples_are_made() -> None:
    assert kinds("Bo runs it.", "fact", "triple", subject=Says("Bo | Bo runs the inn")) == [
        ("fact", "Bo runs the inn"),
        ("triple", "Bo; runs; the inn"),
    ]


@pytest.mark.parametrize("which", [(), ("chunk", "poem"), ("fact", "fact")])
def test_kinds_that_are_none_or_not_known_are_refused(which) -> None:
    with pytest.raises(BadInput, match="kinds"):
        StructuralMemory(kinds=which)
