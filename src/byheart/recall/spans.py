"""Spans of English text that answer a kind of question: times, amounts, names, codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["money", "duration", "date", "clock", "share", "quantity", "initials", "code", "name", "number"]

_WORD = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|eighteen|twenty"
    r"|thirty|forty|fifty|sixty|ninety|hundred|a dozen|half an?|a quarter of an?"
)
_FIGURE = r"(?:\d{1,3}(?:[,.\u202f ]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)"
_N = rf"(?:[-\u2212+\u00b1]?{_FIGURE}|(?:{_WORD})(?=[\s-]))"
_TO = rf"(?:{_N}(?: ?(?:to|-|\u2013|\u00b1|x|\u00d7|/|and|or) ?{_N})*)"
_MONTH = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
_DAY = r"(?:Mon|Tue(?:s)?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:days?)?\b\.?"
_TIME_UNIT = (
    r"(?:(?:working|calendar|business|school|consecutive|full) )?"
    r"(?:seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?|nights?|weeks?|wks?|months?|years?|yrs?)\b"
)
_UNIT = (
    r"(?:kg|mg|\u00b5g|\u03bcg|g|lbs?|oz|ml|cl|dl|\u00b5l|\u03bcl|[lL]|litres?|liters?|mm|cm|km|nm|\u00b5m|[mM]|metres?|meters?|miles?|feet|inch(?:es)?"
    r"|m\u00b2|m2|m\u00b3|cm\u00b2|square (?:metres?|meters?|feet)|hectares?|ha|\u00b0 ?[CF]|degrees(?: (?:Celsius|Fahrenheit|C|F))?|K|kWh?|W|kV|mV|V|mAh|Ah|mA|A|M?Hz|kHz|GHz|dB(?:\(A\))?|bar|kPa|Pa"
    r"|rpm|\u00d7 ?g|x ?g|mol|mmol|mM|\u00b5M|nM|[kMGT]B|[kM]bit/s|px|dpi|gsm|g/m\u00b2|tbsp|tsp|tablespoons?|teaspoons?|cups?|grams?|kilos?|kilograms?|km/h|m/s|l/min|points?|pages?|sheets?|copies|people|persons?|units?|pieces?|pcs)"
)
_RATE = r"(?: ?(?:(?:per|an?|each|every)\b|/) ?[A-Za-z\u00b2\u00b3]+)?"
_CURRENCY = r"(?:euros?|cents?|pounds?|pence|dollars?|francs?|crowns?|EUR|GBP|USD|CHF|SEK|NOK|DKK|kr|p\b)"

_NO_NOUN = (
    r"(?:and|or|to|of|in|on|at|the|per|is|are|was|were|by|for|with|from|have|has|had|had|can|cannot|may|must|will|against|more|after"
    r"|before|than|when|if|as|that|which|who|you|we|they|he|she|it|do|did|does|been|be|not)\b"
)

_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("money", re.compile(rf"[\u20ac\u00a3$\u00a5] ?{_FIGURE}(?: ?(?:million|billion|bn|m|k)\b)?{_RATE}|(?<![\w.]){_TO} ?{_CURRENCY}(?!\w){_RATE}")),
    ("share", re.compile(rf"(?<![\w.]){_TO} ?(?:%(?: [A-Z]{{2}}\b)?|per ?cent\b)")),
    ("date", re.compile(
        rf"(?:{_DAY},? )?(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? \d{{4}})?|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:, \d{{4}})?"
        rf"|{_MONTH}(?: (?:to|and|until|or) {_MONTH})?(?: \d{{4}})?|\b\d{{4}}-\d{{2}}-\d{{2}}\b|\b\d{{1,2}}[./]\d{{1,2}}(?:[./]\d{{2,4}})?\b(?! ?[a-z%])"
        rf"|\b(?:every |each |on )?(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\u2013(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b|\b(?:1[5-9]|20)\d\d\b"
        rf"|\b(?:end of|early|mid|late) (?:the )?(?:{_MONTH}|month|week|year|quarter)\b|\b(?:this|next) (?:week|month|year)\b"
    )),
    ("clock", re.compile(r"\b\d{1,2}[:.]\d{2}(?: ?[ap]\.?m\b)?(?: ?(?:to|-|\u2013|and) ?\d{1,2}[:.]\d{2}(?: ?[ap]\.?m\b)?)?(?!\d)|\b\d{1,2}(?: ?(?:to|-|\u2013) ?\d{1,2})? ?[ap]\.?m\b|\b(?:noon|midnight|dusk|dawn)\b")),
    ("duration", re.compile(rf"(?:\b(?:every|within|up to|at least|at most|no later than) )?(?<![\w.]){_TO}[ -]?{_TIME_UNIT}(?: (?:an?|per|each) (?:day|week|month|year|shift|person|session))?|\b(?:once|twice|three times) (?:an?|per|every) \w+|\b(?:daily|weekly|monthly|yearly|annually)\b", re.I)),
    ("quantity", re.compile(rf"(?:\b(?:up to|at least|at most|about|no more than|more than|less than|above|below) )?(?<![\w.]){_TO} ?{_UNIT}(?![\w\u00b2\u00b3]){_RATE}")),
    ("initials", re.compile(r"\b[A-Z]{2,3}\b(?![\w-])")),
    ("code", re.compile(r"\b(?=[\w./-]*\d)(?=[\w./-]*[A-Z])[A-Z0-9][\w]*(?:[-./][\w]+)*\b|\b[A-Z]{2,}(?:-[A-Z0-9]+)*\b|\"[^\"]{1,40}\"|\u201c[^\u201d]{1,40}\u201d|\b\d{3,4} \d{3,4}(?: \d{3,4})*\b")),
    ("name", re.compile(r"\b(?:(?:Dr|Mr|Mrs|Ms|Prof|St)\.? )?[A-Z\u00c0-\u00de][\w'\u2019-]*[a-z\u00df-\u00ff][\w'\u2019-]*(?: (?:of|de|van|von|der|da|del|la|al|&)(?= [A-Z\u00c0-\u00de]))?(?: [A-Z\u00c0-\u00de][\w'\u2019-]*)*")),
    ("number", re.compile(rf"(?<![\w./-]){_N}(?![\w/])(?: (?!{_NO_NOUN})(?:[a-z][\w-]*s\b|[a-z][\w-]+ (?!{_NO_NOUN})[a-z][\w-]*s\b|[a-z][\w-]+))?|\b(?:once|twice)\b", re.I)),
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """A stretch of a text, `text[start:end]`, and what kind of question it answers."""

    kind: Kind
    start: int
    end: int
    text: str


def spans(text: str) -> list[Span]:
    """The spans of a text in order; where two overlap, the kind that is listed first.

    >>> [(s.kind, s.text) for s in spans("Ilo Brandt pays \u00a318 a month from 3 May 2024 for 4.5 l.")]
    [('name', 'Ilo Brandt'), ('money', '\u00a318 a month'), ('date', '3 May 2024'), ('quantity', '4.5 l')]
    """
    taken = [False] * len(text)
    made: list[Span] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if kind == "name":
                start = _name_start(text, start, end)
            if kind == "number" and text[start:end].split()[0].lower() == "one":
                continue
            if start < end and not any(taken[start:end]):
                taken[start:end] = [True] * (end - start)
                made.append(Span(kind, start, end, text[start:end]))
    return sorted(made, key=lambda s: s.start)


_OPENERS = re.compile(
    r"(?:The|An?|In|On|At|By|For|From|With|To|If|When|After|Before|Since|While|As|It|He|She|They|We|You|I|This|That|These"
    r"|Those|There|His|Her|Its|Their|Our|My|Your|All|Every|Each|No|Not|Any|Both|Please|Do|Don't|Never|And|But|Or|So) "
)


def _name_start(text: str, start: int, end: int) -> int:
    """Where a run of capitalised words begins to be a name; its end where a sentence's first word is all it has."""
    first = start == 0 or re.search(r"[.:;!?\u2022(\"]\s*$", text[:start]) is not None
    while opener := _OPENERS.match(text[start:end]):
        start += opener.end()
    return end if first and " " not in text[start:end] and not text[:start].endswith("(") else start


_ASKS: tuple[tuple[str, frozenset[Kind]], ...] = tuple(
    (pattern, frozenset(kinds.split()))  # type: ignore[misc]
    for pattern, kinds in (
        (r"how (?:much|large|big|high)\b.*\b(?:costs?|pay|price|fee|rent|spend|charged?|money|budget|earn|worth|deposit|fine|salary|owe)\b", "money number quantity share"),
        (r"\b(?:price|cost|fee)\b|how (?:expensive|cheap)|(?:what|how much) (?:does|do|did|is|are|will) .*\b(?:costs?|pay|charge)\b", "money number quantity share"),
        (r"how (?:long|soon|quickly|often|frequently)\b(?! (?:is|are) the)|how far (?:ahead|in advance)|how many (?:seconds|minutes|hours|days|weeks|months|years|nights)\b|how much notice", "duration date clock number"),
        (r"how (?:long|fast)\b", "duration quantity number"),
        (r"\b(?:what|which|until what|at what) time\b|between what times|what hours|opening hours", "clock duration"),
        (r"\b(?:when|(?:what|which) (?:date|day|month|year|week)s?)\b", "date clock duration"),
        (r"(?:what|which) (?:percentage|share|proportion)|how (?:many|much) per ?cent", "share number"),
        (r"how (?:many|much|heavy|loud|wide|tall|high|deep|big|large|hot|cold|warm|far|strong|thick|old|close)\b|what (?:size|temperature|weight|speed|length|width|height|volume)\b", "quantity number money share duration code"),
        (r"\b(?:who|whom|whose)\b", "name initials"),
    )
)  # fmt: skip


def expected(question: str) -> frozenset[Kind]:
    """The kinds of span that answer an English question; none where its words do not say.

    >>> sorted(expected("How long does it run?")), sorted(expected("Why does it run?"))
    (['clock', 'date', 'duration', 'number'], [])
    """
    low = question.lower()
    return next((kinds for pattern, kinds in _ASKS if re.search(pattern, low)), frozenset())


def fitting(question: str, text: str) -> Iterator[Span]:
    """The spans of a text that are of a kind that the question asks for and are not in the question."""
    kinds, low = expected(question), question.lower()
    if kinds:
        yield from (s for s in spans(text) if s.kind in kinds and s.text.lower() not in low)
