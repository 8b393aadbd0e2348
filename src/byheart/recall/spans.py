"""Spans of English text that answer a kind of question: times, amounts, names, codes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["money", "duration", "date", "clock", "share", "quantity", "initials", "code", "name", "number"]


def _any(*alternatives: str) -> str:
    """A group of alternatives, each given as words with spaces between or as an expression."""
    return f"(?:{'|'.join(alternatives)})"


def _words(text: str) -> str:
    return _any(*text.split())


_SPELT = _any(
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen",
    "nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|a dozen|half an?|a quarter of an?",
)
_FIGURE = r"(?:\d{1,3}(?:[,.\u202f ]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)"
_N = rf"(?:[-\u2212+\u00b1]?{_FIGURE}|{_SPELT}(?=[\s-]))"
_RANGE = rf"(?:{_N}(?: ?(?:to|-|\u2013|\u00b1|x|\u00d7|/|and|or) ?{_N})*)"
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_SHORT_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_DAY = rf"(?:{_LONG_DAY}|Tues|Thurs|{_SHORT_DAY})\b\.?"
_NTH = r"\d{1,2}(?:st|nd|rd|th)?"
_CLOCK = r"\d{1,2}[:.]\d{2}(?: ?[ap]\.?m\b)?"
_TIME_UNIT = (
    r"(?:(?:working|calendar|business|school|consecutive|full) )?"
    r"(?:seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?|nights?|weeks?|wks?|months?|years?|yrs?)\b"
)
_UNIT = _any(
    _words(r"kg mg [\u00b5\u03bc]g g lbs? oz ml cl dl [\u00b5\u03bc]l [lL] ha"),
    _words(r"mm cm km nm [\u00b5\u03bc]m [mM] m[\u00b22] m[\u00b33] cm\u00b2"),
    _words("litres? liters? metres? meters? miles? feet inch(?:es)? grams? kilos? kilograms? hectares?"),
    r"square (?:metres?|meters?|feet)",
    r"\u00b0 ?[CF]|degrees(?: (?:Celsius|Fahrenheit|C|F))?",
    _words(r"K kWh? W kV mV V mAh Ah mA A M?Hz kHz GHz bar kPa Pa rpm mol mmol mM [\u00b5\u03bc]M nM"),
    _words(r"[kMGT]B [kM]bit/s px dpi gsm"),
    r"dB(?:\(A\))?|[\u00d7x] ?g|g/m\u00b2|km/h|m/s|l/min",
    _words("tbsp tsp tablespoons? teaspoons? cups? points? pages? sheets? copies people persons? units? pieces? pcs"),
)  # fmt: skip
_RATE = r"(?: ?(?:(?:per|an?|each|every)\b|/) ?[A-Za-z\u00b2\u00b3]+)?"
_CURRENCY = _words("euros? cents? pounds? pence dollars? francs? crowns? EUR GBP USD CHF SEK NOK DKK kr p\\b")
_NO_NOUN = _words(
    "and or to of in on at the per is are was were by for with from have has had can cannot may must will against more "
    "after before than when if as that which who you we they he she it do did does been be not"
) + r"\b"  # fmt: skip
_NOUN = rf"[a-z][\w-]*s\b|[a-z][\w-]+ (?!{_NO_NOUN})[a-z][\w-]*s\b|[a-z][\w-]+"
_CAPITAL = r"[A-Z\u00c0-\u00de][\w'\u2019-]*"

_EXPRESSIONS: tuple[tuple[Kind, Sequence[str]], ...] = (
    ("money", (
        rf"[\u20ac\u00a3$\u00a5] ?{_FIGURE}(?: ?(?:million|billion|bn|m|k)\b)?{_RATE}",
        rf"(?<![\w.]){_RANGE} ?{_CURRENCY}(?!\w){_RATE}",
    )),
    ("share", (rf"(?<![\w.]){_RANGE} ?(?:%(?: [A-Z]{{2}}\b)?|per ?cent\b)",)),
    ("date", (
        rf"(?:{_DAY},? )?(?:the )?{_NTH}(?: of)? {_MONTH}(?:,? \d{{4}})?",
        rf"{_MONTH} {_NTH}(?!\d)(?:, \d{{4}})?",
        rf"{_MONTH}(?: (?:to|and|until|or) {_MONTH})?(?: \d{{4}})?",
        r"\b\d{4}-\d{2}-\d{2}\b",
        r"\b\d{1,2}[./]\d{1,2}(?:[./]\d{2,4})?\b(?! ?[a-z%])",
        rf"\b(?:every |each |on )?{_LONG_DAY}\b",
        rf"\b{_SHORT_DAY}\u2013{_SHORT_DAY}\b",
        r"\b(?:1[5-9]|20)\d\d\b",
        rf"\b(?:end of|early|mid|late) (?:the )?(?:{_MONTH}|month|week|year|quarter)\b",
        r"\b(?:this|next) (?:week|month|year)\b",
    )),
    ("clock", (
        rf"\b{_CLOCK}(?: ?(?:to|-|\u2013|and) ?{_CLOCK})?(?!\d)",
        r"\b\d{1,2}(?: ?(?:to|-|\u2013) ?\d{1,2})? ?[ap]\.?m\b",
        r"\b(?:noon|midnight|dusk|dawn)\b",
    )),
    ("duration", (
        rf"(?:\b(?:every|within|up to|at least|at most|no later than) )?(?<![\w.]){_RANGE}[ -]?{_TIME_UNIT}"
        r"(?: (?:an?|per|each) (?:day|week|month|year|shift|person|session))?",
        r"\b(?:once|twice|three times) (?:an?|per|every) \w+",
        r"\b(?:daily|weekly|monthly|yearly|annually)\b(?! [a-z])",
    )),
    ("quantity", (
        r"(?:\b(?:up to|at least|at most|about|no more than|more than|less than|above|below) )?"
        rf"(?<![\w.]){_RANGE} ?{_UNIT}(?![\w\u00b2\u00b3]){_RATE}",
    )),
    ("initials", (r"\b[A-Z]{2,3}\b(?![\w-])",)),
    ("code", (
        r"\b(?=[\w./-]*\d)(?=[\w./-]*[A-Z])[A-Z0-9][\w]*(?:[-./][\w]+)*\b",
        r"\b[A-Z]{2,}(?:-[A-Z0-9]+)*\b",
        r"\"[^\"]{1,40}\"",
        r"\u201c[^\u201d]{1,40}\u201d",
        r"\b\d{3,4} \d{3,4}(?: \d{3,4})*\b",
    )),
    ("name", (
        rf"\b(?:(?:Dr|Mr|Mrs|Ms|Prof|St)\.? )?{_CAPITAL}(?<=[a-z\u00df-\u00ff'\u2019-])[\w'\u2019-]*"
        rf"(?: (?:of|de|van|von|der|da|del|la|al|&)(?= [A-Z\u00c0-\u00de]))?(?: {_CAPITAL})*",
    )),
    ("number", (rf"(?<![\w./-]){_N}(?![\w/])(?: (?!{_NO_NOUN})(?:{_NOUN}))?", r"\b(?:once|twice)\b")),
)  # fmt: skip
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile("|".join(parts), re.I if kind in ("duration", "number") else 0)) for kind, parts in _EXPRESSIONS
)


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
            if end == len(text) and text[start:end].endswith(".") and not re.search(r"[ap]\.m\.$", text):
                end -= 1
            if kind == "number" and text[start:end].split()[0].lower() == "one":
                continue
            if start < end and not any(taken[start:end]):
                taken[start:end] = [True] * (end - start)
                made.append(Span(kind, start, end, text[start:end]))
    return sorted(made, key=lambda s: s.start)


_OPENERS = re.compile(
    r"(?:The|An?|In|On|At|By|For|From|With|To|If|When|After|Before|Since|While|As|It|He|She|They|We|You|I|This|That|These"
    r"|Those|There|His|Her|Its|Their|Our|My|Your|All|Every|Each|No|Not|Any|Both|Please|Do|Don't|Never|And|But|Or|So"
    r"|Ask|Ring|Call|Tell|See|Contact|Give|Send|Write|Bring|Let|Use|Keep|Take|Put|Press|Hold|Open|Close|Turn|Remove"
    r"|Replace|Check|Note|Meet|Visit|Thank) "
)


def _name_start(text: str, start: int, end: int) -> int:
    """Where a run of capitalised words begins to be a name; its end where a sentence's first word is all it has."""
    first = start == 0 or re.search(r"[.:;!?\u2022(\"]\s*$", text[:start]) is not None
    while opener := _OPENERS.match(text[start:end]):
        start += opener.end()
    return end if first and " " not in text[start:end] and not text[:start].endswith("(") else start


_MONEY = r"\b(?:costs?|pay|price|fee|rent|spend|charged?|money|budget|earn|worth|deposit|fine|salary|owe)\b"
_MEASURE = (
    r"how (?:many|much|heavy|loud|wide|tall|high|deep|big|large|hot|cold|warm|far|strong|thick|old|close)\b"
    r"|what (?:size|temperature|weight|speed|length|width|height|volume)\b"
)
_ASKS: tuple[tuple[str, frozenset[Kind]], ...] = (
    (rf"how (?:much|large|big|high)\b.*{_MONEY}", frozenset({"money", "number", "quantity", "share"})),
    (
        r"\b(?:price|cost|fee)\b|how (?:expensive|cheap)"
        r"|(?:what|how much) (?:does|do|did|is|are|will) .*\b(?:costs?|pay|charge)\b",
        frozenset({"money", "number", "quantity", "share"}),
    ),
    (
        r"how (?:long|soon|quickly|often|frequently)\b(?! (?:is|are) the)|how far (?:ahead|in advance)|how much notice"
        r"|how many (?:seconds|minutes|hours|days|weeks|months|years|nights)\b",
        frozenset({"duration", "date", "clock", "number"}),
    ),
    (r"how (?:long|fast)\b", frozenset({"duration", "quantity", "number"})),
    (
        r"\b(?:what|which|until what|at what) time\b|between what times|what hours|opening hours",
        frozenset({"clock", "duration"}),
    ),
    (
        r"^(?:(?:by|until|since|from) )?when\b|\b(?:what|which) (?:date|day|month|year|week)s?\b",
        frozenset({"date", "clock", "duration"}),
    ),
    (r"(?:what|which) (?:percentage|share|proportion)|how (?:many|much) per ?cent", frozenset({"share", "number"})),
    (_MEASURE, frozenset({"quantity", "number", "money", "share", "duration", "code"})),
    (r"\b(?:who|whom|whose)\b", frozenset({"name", "initials"})),
)
"""What a question in lower case says about the kind of its answer; the first that fits counts."""


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
