"""Names in English prose, without a model."""

from __future__ import annotations

import re

NAME = re.compile(r"\b[A-Z\u00c0-\u00de][\w'’-]*(?: (?:van|von|de|da|del|la|al)\b)?(?: [A-Z\u00c0-\u00de][\w’-]*)*")
_OPENERS = frozenset(
    (
        "the a an this that these those it he she they we i my our his her their its you your on in at by for from to "
        "with after before since when while if as and but or so now then there here nothing everyone somebody please "
        "dear yes no today yesterday tomorrow "
        "who whom whose what which where why how is are was were do does did has have had can could would should"
    ).split()
)
_DATES = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december".split()
)


def names(text: str) -> list[str]:
    """Runs of capitalised words, without openers of sentences and possessive endings.

    >>> names("Marta Kask's manager is Ilven van Strand."), names("Dial 788 to call Milo.")
    (['Marta Kask', 'Ilven van Strand'], ['Milo'])
    >>> names("Does Marta Kask live in Oslo?")
    ['Marta Kask', 'Oslo']
    """
    runs = []
    for run in NAME.finditer(text):
        words = re.sub(r"['’]s?$", "", run[0]).split()
        if run.start() == 0 and (words[0].lower() in _OPENERS or (len(words) == 1 and not _subject_follows(text, run))):
            words = words[1:]
        while words and words[0].lower() in _DATES:
            words = words[1:]
        name = " ".join(words)
        if name and name != "I" and not name.startswith("I'"):
            runs.append(name)
    return runs


def _subject_follows(text: str, run: re.Match[str]) -> bool:
    """Whether a lone capitalised word at the start is a name: a verb or a possessive comes after it."""
    return bool(
        run[0].endswith(("'s", "’s"))
        or re.match(r" (?:is|was|has|had|does|will|can|\w+s|\w+ed|and)\b", text[run.end() :])
    )
