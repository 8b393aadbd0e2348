"""Turning a sentence with a gap into a question for what fills the gap, by rules of English word order."""

from __future__ import annotations

import re

from byheart.recall.spans import Span
from byheart.recall.write.clauses import PERSON
from byheart.recall.write.verbs import PAST, PLACES, THIRD

_AUX = frozenset("is are was were can could may might must shall should will would has have had does do did".split())
_LEAD = re.compile(
    r"(?P<lead>(?:After|Before|If|When|Once|Unless|Until|During|For|In|On|At|From|Since|While|As|With|Without"
    r"|Instead of"
    r"|Where|Because|By|To|Outside|Within|Upon|Under|Between|Throughout) [^,:;]+), (?P<main>.+)"
)
_TAKEN = frozenset(
    "the a an your it its them in out up on off at with for to all every each any no one two three both".split()
)
_NO_ORDER = frozenset(
    "the a an this that these those there here it he she they we i you who what when where why how which not no only at"
    " every each all both some any another from in on by for of to and or but if as with new old last next".split()
)
_BEFORE = re.compile(
    r"(?:^|(?<= ))(?P<word>at|on|in|by|before|until|since|from|for|after|within|every|over|about|around|up to"
    r"|at least|at most"
    r"|no later than|above|below|as of|with|near|under|through|between|to|of)(?: the)? $",
    re.I,
)
_HANGS = re.compile(
    r", (?:provided|if|unless|because|as|since|which|who|where|when|while|until|whose|so that|although) .*$"
    r"|\b(?:of|than|with|to|a|an|the|by|from|between|and|or|not|no|for|under|only|as|like|in|at|on|per|[(/,:])\s*$"
)
_ADVERBIAL = re.compile(
    r"(?:Since|After|Before|If|When|Once|Until|During|For|In|On|At|From|While|As|With|Without|By|To|Only|Then)\b"
)


def wh(span: Span, before: str) -> tuple[list[str], int]:
    """Phrases that ask for a span, the likeliest first, and how many characters of `before` they replace.

    `before` is the text of the sentence before the span.
    """
    text = span.text
    opener = re.match(
        r"(every|each|within|up to|at least|at most|no later than|about|above|below|on|more than|no more than"
        r"|less than) ",
        text,
        re.I,
    )
    first = opener[1].lower() if opener else ""
    lead = _BEFORE.search(before)
    word = first or (lead["word"].lower() if lead else "")
    cut = len(before) - lead.start() if lead and not first else 0
    if span.kind == "duration":
        unit = re.search(r"[a-z]+$|[a-z]+(?= (?:an?|per|each) \w+$)", text)
        rate = re.search(r" (?:an?|per|each) \w+$", text)
        name = _UNITS.get(unit[0], unit[0]) if unit else "days"
        many = f"how many {name}{rate[0] if rate else ''}"
        if word == "every" or re.match(r"once|twice|three times|daily|weekly|monthly|yearly", text, re.I):
            return ["how often"], cut if word == "every" and not first else 0
        if word in ("within", "no later than", "in"):
            return ["how soon", f"{word} {many}"], cut
        if word in ("after", "over"):
            return [f"{word} how long", f"{word} {many}"], cut
        if word == "for":
            return ["how long", f"for {many}"], cut
        return (["how long", many] if not rate else [many]), 0
    if span.kind in ("date", "clock"):
        if word in ("by", "before", "until", "since", "from", "after"):
            return [f"{'by' if word == 'before' else word} when", "when"], cut
        return (["when", "on which day" if span.kind == "date" else "at what time"]), cut if word in (
            "at",
            "on",
            "in",
        ) else 0
    if span.kind == "money":
        return ["how much", "how much money"], 0
    if span.kind == "share":
        return ["what percentage", "how much"], 0
    if span.kind == "quantity":
        unit = re.search(r"[A-Za-z\u00b0\u00b2\u00b3\u00b5%/ .]+$", text)
        spelt = _UNITS.get(unit[0].strip(), "") if unit else ""
        return (["how much", f"how many {spelt}"] if spelt else ["how much"]), 0
    if span.kind == "number":
        noun = re.sub(r"^\S+ ?", "", text)
        return [f"how many {noun}".strip()] if noun else ["what number", "how many"], 0
    titled = re.match(r"(?:Dr|Mr|Mrs|Ms|Prof)\b", text) is not None
    if span.kind == "name" and not titled and word in ("in", "at", "near", "from"):
        return (["where"] if word != "from" else ["from where"]), cut
    person = PERSON.fullmatch(text) and not PLACES & set(text.split())
    if span.kind == "initials" or person or titled:
        return (["by whom"], cut) if word == "by" else (["who"], 0)
    return ["what"], 0


_UNITS = {
    "s": "seconds", "sec": "seconds", "secs": "seconds", "second": "seconds", "min": "minutes", "mins": "minutes",
    "minute": "minutes", "h": "hours", "hr": "hours", "hrs": "hours", "hour": "hours", "day": "days", "night": "nights",
    "wk": "weeks", "wks": "weeks", "week": "weeks", "month": "months", "yr": "years", "yrs": "years", "year": "years",
    "kg": "kilograms", "g": "grams", "mg": "milligrams", "l": "litres", "L": "litres", "ml": "millilitres",
    "m": "metres", "cm": "centimetres", "mm": "millimetres", "km": "kilometres", "m\u00b2": "square metres",
    "W": "watts", "V": "volts", "A": "amperes", "dB": "decibels", "bar": "bar", "rpm": "revolutions per minute",
    "\u00b0C": "degrees", "\u00b0 C": "degrees",
}  # fmt: skip


def in_place(sentence: str, start: int, end: int, phrase: str) -> str:
    """The question that keeps the sentence's order: the phrase stands where the answer stood.

    >>> in_place("The tank holds 4.5 l.", 15, 20, "how much")
    'The tank holds how much?'
    """
    text = f"{sentence[:start]}{phrase}{sentence[end:]}".strip().rstrip(".!;:, ")
    return f"{text[:1].upper()}{text[1:]}?"


def fronted(sentence: str, start: int, end: int, phrase: str) -> str:
    """The question that begins with the phrase; "" where the rules do not see the sentence's verb.

    >>> fronted("The pump must be rinsed every 2 weeks.", 24, 37, "how often")
    'How often must the pump be rinsed?'
    >>> fronted("If it rains, keep the lid shut for 2 h.", 31, 38, "how long")
    'How long do I have to keep the lid shut if it rains?'
    """
    gap = "\0"
    body = f"{sentence[:start]}{gap}{sentence[end:]}".strip().rstrip(".!;, ")
    lead = ""
    led = _LEAD.fullmatch(body)
    if led:
        body, lead = led["main"], led["lead"]
        if gap in lead:
            return ""
        lead = f" {lead[0].lower()}{lead[1:]}"
    clause, _, later = body.partition("; ")
    if gap in later:
        clause, later = later, ""
    if gap not in clause or _HANGS.search(clause[: clause.index(gap)]):
        return ""
    cut = re.search(
        r", (?:so|and|but|which|because|since|as|while|until|when|where|or) |: | - | \u2013 ",
        clause[clause.index(gap) :],
    )
    if cut:
        clause = clause[: clause.index(gap) + cut.start()]
    ahead = re.search(r".*(?:, (?:so|and|but) |: )", clause[: clause.index(gap)])
    if ahead:
        clause = clause[ahead.end() :]
    words = clause.split()
    place = next(n for n, w in enumerate(words) if gap in w)
    rest = " ".join(words[:place]), " ".join(words[place + 1 :])
    if place == 0:
        return _shown(f"{phrase} {rest[1]}{lead}")
    subject_end, aux, base = _verb(words, place)
    if aux:
        subject = _small(" ".join(words[:subject_end]))
        if _ADVERBIAL.match(subject):
            return ""
        after = [w.replace(gap, "") for w in words[subject_end + 1 :]]
        return _shown(f"{phrase} {aux} {subject} {base} {' '.join(after)}{lead}")
    if _is_order(words):
        after = [words[0].lower(), *(w.replace(gap, "") for w in words[1:])]
        return _shown(f"{phrase} do I have to {' '.join(after)}{lead}")
    return ""


_ASKED = re.compile(
    r"(?P<wh>(?:(?:at|in|on|by|to|for|from|with|since|until) )?"
    r"(?:how (?:long|often|much|far|old|soon|big|tall|deep|heavy)|how many [\w-]+(?: [\w-]+)?"
    r"|what (?:time|(?:kind|sort) of \w+)"
    r"|which [\w-]+|what|when|where|who|whom|why|how))"
    r" (?:is|are|was|were|can|could|may|must|shall|should|will|would|has|have|had|does|do|did) (?P<rest>[^?]{3,})\?",
    re.I,
)


def turned(question: str) -> list[str]:
    """The question as a note that people type: what is asked about, then the word that asks; none for another form.

    >>> turned("When does the ferry to Orsk leave?"), turned("Who signs off travel?"), turned("Wer hupt?")
    (['The ferry to Orsk leave: when?'], ['Which person signs off travel?'], [])
    """
    match = _ASKED.fullmatch(question.strip())
    if match:
        rest = match["rest"].strip()
        return [f"{rest[0].upper()}{rest[1:]}: {match['wh'].lower()}?"]
    if re.match(r"Who [a-z]+(?:s|ed)? ", question):
        return [f"Which person {question[4:]}"]
    return []


def _verb(words: list[str], place: int) -> tuple[int, str, str]:
    """Where the verb stands before the gap, the auxiliary of its question, and its base where the auxiliary is do."""
    for n, word in enumerate(words[:place]):
        if n and re.search("[,;:(]$", words[n - 1]):
            return 0, "", ""
        if n == 0 or n > 9:
            continue
        if word in _AUX and word not in ("has", "have", "had", "do", "does", "did"):
            return n, word, ""
        if word in ("has", "have", "had"):
            follows = words[n + 1] if n + 1 < len(words) else ""
            if re.fullmatch(r"been|[a-z]+(?:ed|en)", follows):
                return n, word, ""
            return n, {"has": "does", "have": "do", "had": "did"}[word], "have"
        if word in THIRD:
            return n, "does", THIRD[word]
        if word in PAST and not (n + 1 < len(words) and words[n + 1] in _AUX):
            return n, "did", PAST[word]
    return 0, "", ""


def _is_order(words: list[str]) -> bool:
    """Whether a clause is an order: a verb at its start, and what it is done to after it."""
    first = words[0].lower()
    return (
        len(words) > 1
        and first.isalpha()
        and first not in _NO_ORDER
        and not first.endswith(("s", "ed", "ing", "ly", "tion"))
        and words[1].lower() in _TAKEN
    )


def _small(subject: str) -> str:
    """A subject as it is written inside a sentence."""
    return re.sub(
        r"^(The|A|An|Every|Each|All|Any|Your|Our|You|It|This|That|They|We|Both|Most|Some|There|She|He|These|Those|Its|His"
        r"|Her|Their)\b",
        lambda m: m[0].lower(),
        subject,
    )


def _shown(question: str) -> str:
    text = re.sub(r"\s+", " ", question.replace("\0", "")).strip().rstrip(".,;: ")
    text = re.sub(r" ([,.;:)])", r"\1", text)
    return f"{text[0].upper()}{text[1:]}?"
