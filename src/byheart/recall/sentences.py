"""Splitting English prose into sentences, without a model."""

from __future__ import annotations

import re

_SHORT = frozenset(
    (
        "mr mrs ms dr prof st jr sr vs etc no nos fig figs eq sec ch vol pp ed eds al approx dept inc ltd co corp tel "
        "ext rev ver min max e.g i.e cf ca jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun"
    ).split()
)
_END = re.compile(
    r"[.!?\u2026]+[\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c\u2018(\[*_]*[A-Z0-9\u00c0-\u00de\u0391-\u03ab\u0400-\u042f])"
    r"|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\uff09]*"
)


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, white space squeezed; abbreviations, initials and decimals do not end a sentence.

    >>> sentences("Dr. Kask left at 6 p.m. sharp. J. R. Vale (e.g. on No. 7) stayed! Why?")
    ['Dr. Kask left at 6 p.m. sharp.', 'J. R. Vale (e.g. on No. 7) stayed!', 'Why?']
    """
    text = " ".join(text.split())
    out: list[str] = []
    start = 0
    for end in _END.finditer(text):
        before = text[start : end.start()].rsplit(" ", 1)[-1].lstrip("\"'\u201c\u2018([*_")
        stop = text[end.start() : end.end()].strip() or "."
        if stop[0] == "." and (before.lower() in _SHORT or re.fullmatch(r"[A-Z]", before)):
            continue
        if re.fullmatch(r"\d{1,3}", before) and start == end.start() - len(before):
            continue
        out.append(text[start : end.end()].strip())
        start = end.end()
    return [*out, text[start:]] if start < len(text) else out


def length(text: str) -> int:
    """How many words a text has; of scripts without spaces (Chinese, Japanese) two characters count as one.

    >>> length("Two words"), length("\u8c01\u8d1f\u8d23\u5dee")
    (2, 2)
    """
    unspaced = len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff]", text))
    return (
        len(text.split())
        if unspaced < 2
        else len(re.sub(r"[\u3040-\u30ff\u3400-\u9fff]", "", text).split()) + unspaced // 2
    )
