"""Keeping facts current: the features by hand, what is refused, what is left alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from byheart.core.errors import BadInput
from byheart.core.records import Engram, Op
from byheart.models.embedder import load_embedder
from byheart.recall.names import names
from byheart.recall.update.keep_me_updated import (
    WEIGHTS,
    KeepMeUpdated,
    Statements,
    fit,
    is_statement,
    parts,
    subject,
)

EMBEDDER = load_embedder("hash")


def engram(id: str, text: str, **more: Any) -> Engram:
    return Engram(id=id, text=text, created="", **more)


def test_the_probability_is_the_sigmoid_of_the_weighed_features() -> None:
    old, new = engram("a", "Marta's car is a Volvo."), engram("b", "Marta's car is now a Fiat.")
    view = Statements([old], EMBEDDER)
    known, features = KeepMeUpdated().features(view, new, EMBEDDER)
    by_name = dict(zip(WEIGHTS, features[0].tolist(), strict=True))
    assert known == [old]
    assert [by_name[n] for n in ("says so", "ends", "adds", "added", "bias", "kind of value")] == [1, 0, 0, 0, 1, 1]
    vectors = {t: EMBEDDER.encode([t])[0] for t in (old.text, new.text, "Volvo", "Fiat")}
    assert by_name["text"] == pytest.approx(float(vectors[old.text] @ vectors[new.text]), abs=1e-6)
    assert by_name["value"] == pytest.approx(float(vectors["Volvo"] @ vectors["Fiat"]), abs=1e-6)
    weights = {**dict.fromkeys(WEIGHTS, 0.0), "says so": 2.0, "bias": -1.0}
    chance = 1 / (1 + math.exp(-(2.0 - 1.0)))
    assert KeepMeUpdated(weights=weights, certain=chance - 1e-6).place(view, new, EMBEDDER).kind == "replace"
    assert KeepMeUpdated(weights=weights, certain=chance + 1e-6).place(view, new, EMBEDDER).kind == "add"


def test_what_is_said_of_others_in_questions_or_at_length_is_left_alone() -> None:
    view = Statements([engram("a", "Marta's car is a Volvo.")], EMBEDDER)
    sure = KeepMeUpdated(weights={**dict.fromkeys(WEIGHTS, 0.0), "bias": 9.0})
    for text in (
        "Oskar's car is a Fiat.",
        "Is Marta's car a Fiat?",
        "Marta's car is a Fiat. It is red.",
        "Marta " * 50,
    ):
        assert sure.place(view, engram("b", text), EMBEDDER).kind == "add", text
    assert sure.place(view, engram("b", "Marta's car is a Fiat.", owner="other"), EMBEDDER).kind == "add"
    assert sure.place(view, engram("b", "Marta's car is a Fiat."), EMBEDDER).target == "a"


def test_a_line_keeps_all_wordings_of_a_matter() -> None:
    view = Statements([engram("a", "Marta drives a Volvo.")], EMBEDDER)
    view.keep(Op(kind="replace", engram=engram("b", "Marta's car is a Fiat."), target="a"))
    assert [e.id for e in view.line(view.active["b"])] == ["a", "b"]
    assert list(view.active) == ["b"]
    _, features = KeepMeUpdated().features(view, engram("c", "Marta drives a Seat."), EMBEDDER)
    by_name = dict(zip(WEIGHTS, features[0].tolist(), strict=True))
    again = EMBEDDER.encode(["Marta drives a Volvo.", "Marta drives a Seat."])
    assert by_name["text"] == pytest.approx(float(again[0] @ again[1]), abs=1e-6)


def test_subjects_are_shared_names_that_open_one_of_the_two_or_a_common_speaker() -> None:
    def about(a: str, b: str, **more: Any) -> Any:
        return subject(engram("a", a, speaker="Ann"), engram("b", b, **{"speaker": "Ann", **more}))

    assert about("Kelsa Noth is the boss of Marta.", "Marta reports to Keldo Noth.") == ("Marta",)
    assert about("Oskar reports to Kelsa.", "Marta reports to Kelsa.") is None
    assert about("I live in Velm.", "I moved to Osthaven.") == ()
    assert about("I live in Velm.", "I moved to Osthaven.", speaker="Bob") is None
    assert about("the code is 4711.", "the code is 1234.") == ()
    assert names("On Monday Marta and Ilven van Strand met.") == ["Marta", "Ilven van Strand"]
    assert parts("the code is 4711.", ()) == ("4711", "the code is something.")
    assert not is_statement(engram("a", "Marta lives in Velm.\nShe sings."))


def test_weights_are_those_of_a_logistic_regression() -> None:
    rows = np.zeros((4, len(WEIGHTS)))
    rows[:, list(WEIGHTS).index("bias")] = 1
    weights = fit(rows, np.array([True, True, True, False]))
    assert weights["bias"] == pytest.approx(math.log(3), abs=1e-6)
    assert weights["text"] == pytest.approx(0, abs=1e-9)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(BadInput, match="missing or unknown"):
        KeepMeUpdated(weights={"text": 1.0})
    with pytest.raises(BadInput, match="certain=0"):
        KeepMeUpdated(certain=0)
    with pytest.raises(BadInput, match="window=0"):
        KeepMeUpdated(window=0)
