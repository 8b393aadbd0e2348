"""When an answer counts as right: the gold answer stands in it, word for word, case and marks aside."""

from __future__ import annotations

import re
import unicodedata

from byheart.core.records import Item


def normal(text: str) -> str:
    """Lower case, with accents, punctuation to spaces, single spaces.

    >>> normal("The  Salt-Company, Ltd.")
    'the salt company ltd'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[\w]+", folded))


def contains(answer: str, gold: str) -> bool:
    """Whether `gold` stands in `answer` as whole words; an empty gold never does.

    >>> contains("She was born in Velmere.", "velmere"), contains("in 19391", "1939"), contains("x", "")
    (True, False, False)
    """
    wanted = normal(gold)
    return bool(wanted) and f" {wanted} " in f" {normal(answer)} "


def right(answer: str, item: Item) -> bool:
    """Whether the gold answer of `item`, or another form of it that `item.accept` holds, stands in `answer`.

    >>> legs = Item(id="legs", question="How many legs does a spider have?", answer="eight", accept=("8",))
    >>> right("It has 8 legs.", legs), right("It has 18 legs.", legs)
    (True, False)
    """
    return any(contains(answer, gold) for gold in (item.answer, *item.accept))
