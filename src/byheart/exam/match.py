"""When an answer counts as right: the gold answer stands in it, word for word, case and marks aside."""

from __future__ import annotations

import re
import unicodedata


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
