"""Names and codes of a question that the passages do not speak of, or speak of only as somebody else's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from byheart.recall.names import names

_CODE = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])[A-Za-z]+\w*(?:-\w+)*\b|\b[A-Za-z]+-\d+\b")
_WORD = r"[A-Z\u00c0-\u00de][\w\u2019'-]+"


def strangers(question: str, texts: Sequence[str]) -> list[str]:
    """The names of several words, and the codes, of a question that none of these texts can be about.

    A code is one where no text has it. A name is one where no text has all of it, or its first or last word alone (as
    in "Ms Kask"): "Anna Kask" says nothing about Marta Kask. A name of which no text has a word may name the subject in
    another way, and is none.

    >>> strangers("What is Marta Kask's phone number?", ["Anna Kask: phone 112"])
    ['Marta Kask']
    >>> strangers("What is Marta Kask's phone number?", ["Ms Kask: phone 112"]), strangers("And E7?", ["E1 is low oil"])
    ([], ['E7'])
    """
    whole = "\n".join(texts)
    folded = whole.casefold()
    unknown = [c for c in dict.fromkeys(_CODE.findall(question)) if not re.search(rf"\b{re.escape(c)}\b", whole, re.I)]
    for name in dict.fromkeys(n for n in names(question) if " " in n):
        if name.casefold() in folded or any(name in c for c in unknown):
            continue
        first, *_, last = name.split()
        shared = [w for w in (first, last) if re.search(rf"\b{re.escape(w)}\b", whole)]
        if shared and not any(_alone(w, whole, before=w == last) for w in shared):
            unknown.append(name)
    return unknown


def _alone(word: str, text: str, *, before: bool) -> bool:
    """Whether a text has a word of a name without another name's word before it, or after it."""
    for match in re.finditer(rf"\b{re.escape(word)}\b", text):
        side = (
            re.search(rf"({_WORD})\W$", text[: match.start()])
            if before
            else re.match(rf"(?:'s)? ({_WORD})", text[match.end() :])
        )
        if side is None or side[1] in ("Mr", "Mrs", "Ms", "Dr", "Prof", "The"):
            return True
    return False
