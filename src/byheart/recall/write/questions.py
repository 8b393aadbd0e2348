"""From an English sentence to questions about it, by rules that take only what they can parse whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from byheart.recall.write.clauses import PERSON
from byheart.recall.write.verbs import (
    AGENT,
    ATTRIBUTES,
    EVENT,
    PARTICIPLES,
    PAST,
    PLACE,
    PLACES,
    ROLES,
    THIRD,
)

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_CLOCK = r"\d{1,2}(?:[:.]\d{2})?(?: ?[ap]\.?m\b\.?| o'clock)?"
_TIME = (
    rf"(?:at (?:{_CLOCK}|noon|midnight|dawn|dusk|sunrise|sunset)(?: on {_DAY}| every \w+| each \w+)?"
    rf"|on (?:the )?(?:(?:first|second|third|fourth|last) )?{_DAY}(?: of (?:each|every|the) \w+)?"
    rf"|on \d{{1,2}} {_MONTH}(?: \d{{4}})?|on {_MONTH} \d{{1,2}}(?:, \d{{4}})?"
    rf"|in (?:early |late )?(?:{_MONTH} )?\d{{4}}|in {_MONTH}|every (?:day|week|month|year|hour|{_DAY}|morning|evening)"
    rf"|from {_CLOCK} to {_CLOCK}|between {_CLOCK} and {_CLOCK})"
)
_W = r"[\w'\u2019-]"
_PLACE = rf"(?:in|on|at|near|behind|above|below|beside|under|opposite|next to) (?:the |an? )?{_W}+(?: {_W}+){{0,4}}"
_TITLE = r"(?:Dr|Mr|Mrs|Ms|Prof|Captain|Sir)\.? "
_NAME = rf"(?:{_TITLE})?[A-Z]{_W}+(?: (?:van|von|de|da|del|la|al))?(?: [A-Z]{_W}+){{1,2}}"
_NUMBER = (
    r"(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred)"
)
_UNIT = r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)"
_LEANING = re.compile(
    r"^(He|She|It|They|We|I|You|His|Her|Its|Their|This|That|These|Those|There|Here|Such|Then|Both|Neither|Another|Others?"
    r"|However|Therefore|Thus|Also|But|And|Or|So|Yet|Instead|Otherwise|Similarly|Afterwards|Later|Please|Do|Don't|Not)\b"
)
_CLAUSE = re.compile(
    r"[,:](?!\d)|[;?!\"()\u2013\u2014\u201c]|\b(who|whom|whose|which|that|if|when|where|while|because|although|though|unless|but|since|"
    r"whether|until|than|not|never|he|she|it|they|we|you|i)\b"
)
_TAIL = re.compile(
    r", (which|where|who|whose|and|but|so|with|because|although|though|while|as|after|before|including|making|leading|"
    r"giving|causing|allowing|leaving|bringing|marking|becoming)\b[^\d].*$"
)
_AUX = frozenset(
    "is are was were be been has have had do does did can could may might must shall should will would".split()
)
# A subject that holds a verb, opens with an adverb, or points at an earlier sentence.
_BROKEN = re.compile(r" [a-z]+(?:ed|ly)\b|^\w+ly\b|^\w+ (?:the|an?) |\b(?:these|those|this|latter|former|first of)\b")
_DETERMINERS = frozenset("the a an our each every all any some no this that these those many most new old both".split())
_IDIOM = re.compile(
    r"^(in (charge|use|force|order|place|need)|on (duty|leave|fire|time|call)|at (risk|least|stake|large)|under)\b"
)


def leans(sentence: str) -> bool:
    """Whether a sentence cannot be understood without the sentence before it."""
    return _LEANING.match(sentence) is not None


def single(sentence: str) -> bool:
    """Whether a sentence is a single clause that can be understood by itself.

    >>> single("Marta sells tea."), single("It is late."), single("He rests when it rains.")
    (True, False, False)
    """
    return not leans(sentence) and not _CLAUSE.search(sentence[0].lower() + sentence[1:])


def ask(sentence: str, lower: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """(question, answer) pairs for a sentence without its full stop; none when it is not parsed whole.

    `lower` are words seen in lower case in the document, so that a sentence's first word can be
    written small.

    >>> list(ask("The Heron was built in 1962 by Anna Dallmer"))
    [('When was the Heron built?', '1962'), ('By whom was the Heron built?', 'Anna Dallmer')]
    """
    sentence = _TAIL.sub("", sentence)
    if not single(sentence):
        return
    words = sentence.split()
    for n, word in enumerate(words[1:9], 1):
        subject, rest = " ".join(words[:n]), " ".join(words[n + 1 :])
        if not rest or _BROKEN.search(subject):
            return
        if word in ("is", "are", "was", "were"):
            yield from _copula(_small(subject, lower), subject, word, rest)
            return
        if word in _AUX - {"has", "have", "had"}:
            return
        if (word in THIRD or word in PAST) and words[n + 1] not in _AUX:
            base = THIRD.get(word) or PAST[word]
            yield from _verb(_small(subject, lower), subject, word, base, rest)
            return
        plural = re.fullmatch(r"(?:\w*[a-z]s|[Ss]taff|[Pp]eople)", words[n - 1]) or re.search(
            r"^\w*s \w+ \w+$", subject
        )
        if plural and word in EVENT | PLACE | {"go", "cost", "have", "take"}:
            yield from _verb(_small(subject, lower), subject, word, word, rest)
            return


def about(key: str, value: str, topic: str) -> str:
    """The question of a `key: value` line under a heading.

    >>> about("Opening hours", "9 to 5", "Harbour Office"), about("Phone", "4711", "")
    ('What are the opening hours of "Harbour Office"?', 'What is the phone?')
    """
    name = key if len(key) > 1 and key[1].isupper() else key[0].lower() + key[1:]
    many = name.endswith("s") and not name.endswith(("ss", "us", "is")) and "of" not in name.split()
    word = "Who" if _is_person(value) and not many and _is_role(name) else "What"
    of = f' of "{topic}"' if topic else ""
    return f"{word} {'are' if many else 'is'} the {name}{of}?"


def _copula(small: str, subject: str, verb: str, rest: str) -> Iterator[tuple[str, str]]:
    """X is/was ..., by what follows."""
    person = _is_person(subject)
    first, _, after = rest.partition(" ")
    if first in PARTICIPLES:
        yield from _passive(small, verb, first, after)
    elif person:
        if re.fullmatch(r"the [\w'\u2019-]+(?: [\w'\u2019-]+){0,7}", rest) and _is_role(rest) and " and " not in rest:
            yield f"Who {verb} {rest}?", subject
    elif match := re.fullmatch(rf"({_NUMBER} [\w-]+) (tall|high|long|wide|deep|old|away)", rest):
        yield f"How {'far away' if match[2] == 'away' else match[2]} {verb} {small}?", match[1]
    elif re.fullmatch(_TIME, rest):
        yield f"When {verb} {small}?", _bare(rest)
    elif _is_place(rest) and re.match(r"[a-z ]+ (the |an? |[A-Z])", rest):
        yield f"Where {verb} {small}?", rest
    elif _is_person(rest) and _is_role(small):
        yield f"Who {verb} {small}?", rest
    elif re.match(r"\w+(ed|en)\b", rest):
        return
    elif _is_named(small, rest) or (_head(small) in ATTRIBUTES and len(rest.split()) <= 5 and " and " not in rest):
        yield f"What {verb} {small}?", rest


def _passive(small: str, verb: str, participle: str, after: str) -> Iterator[tuple[str, str]]:
    """X was founded in 1912 by Y; X is called Y; X is kept in Y."""
    if (
        participle in ("called", "named", "known")
        and not re.match(r"(up|off|for|to|on|in|upon|after)\b", after)
        and (name := after.removeprefix("as "))
        and len(name.split()) <= 5
    ):
        if (participle == "known") == after.startswith("as "):
            yield f"What {verb} {small} {'known as' if participle == 'known' else participle}?", name
        return
    match = re.fullmatch(rf"(?P<time>{_TIME})?(?: ?by (?P<by>[^,]+?))?(?P<late> {_TIME})?", after)
    if not match or not after:
        if _is_place(after) and participle in ("located", "kept", "stored", "held", "moored", "parked", "docked"):
            yield f"Where {verb} {small} {participle}?", after
        return
    time = match["time"] or (match["late"] or "").strip()
    if time:
        yield f"When {verb} {small} {participle}?", _bare(time)
    by = match["by"]
    if by and (_is_person(by) or (by.startswith("the ") and _is_role(by) and len(by.split()) <= 4)):
        yield f"By whom {verb} {small} {participle}?", by


def _verb(small: str, subject: str, verb: str, base: str, rest: str) -> Iterator[tuple[str, str]]:
    """X leaves at 06:40; Marta Kask signs off travel; a ticket costs 14 crowns."""
    aux = "did" if verb in PAST and verb not in THIRD and verb != base else "do" if verb == base else "does"
    if base == "cost" and re.fullmatch(rf"(?:[$€£]\d\S*|{_NUMBER} [\w-]+)(?: per \w+| an? \w+| each)?", rest):
        yield f"How much {aux} {small} cost?", rest
    elif base == "take" and (match := re.fullmatch(rf"(?:about )?({_NUMBER} {_UNIT})", rest)):
        yield f"How long {aux} {small} take?", match[1]
    elif base in ("have", "carry") and (match := re.fullmatch(rf"({_NUMBER}) ([a-z-]+s|people)", rest)):
        yield f"How many {match[2]} {aux} {small} {base}?", match[1]
    elif base == "go" and (match := re.fullmatch(rf"to ({_NAME})", rest)) and _is_person(match[1]):
        yield f"To whom {aux} {small} go?", match[1]
    elif (_is_person(subject) or (subject.startswith("The ") and _is_role(small))) and base in AGENT:
        yield from _deeds(small, subject, aux, verb, base, rest)
    elif base in EVENT and (match := re.fullmatch(rf"(?P<mid>(?:[\w'\u2019-]+ ){{0,5}}?)(?P<time>{_TIME})", rest)):
        mid = f" {match['mid'].strip()}".rstrip()
        yield f"When {aux} {small} {base}{mid}?", _bare(match["time"])
    elif base in PLACE and _is_place(rest):
        yield f"Where {aux} {small} {base}?", rest


def _deeds(small: str, subject: str, aux: str, verb: str, base: str, rest: str) -> Iterator[tuple[str, str]]:
    """Who does it, for each verb joined by "and"; what, when and to what when the rest is simple."""
    if re.match(r"(through|along|across|past|into|from|between|beneath|in|at|under|near|by)\b", rest):
        return
    parts = re.split(r" and (?=[a-z]+ )", rest)
    if len(parts) == 2 and (second := parts[1].split(" ", 1))[0] in ({**THIRD, **PAST}):
        yield f"Who {verb} {parts[0]}?", subject
        if (THIRD.get(second[0]) or PAST[second[0]]) in AGENT:
            yield f"Who {second[0]} {second[1]}?", subject
        return
    yield f"Who {verb} {rest}?", subject
    match = re.fullmatch(rf"(?P<what>(?:[\w'\u2019-]+ ){{1,6}})(?P<time>{_TIME})", rest)
    if match:
        yield f"When {aux} {small} {base} {match['what'].strip()}?", _bare(match["time"])
    plain = re.fullmatch(
        r"(?P<off>(?:off|up|after|out|down|over) )?(?P<what>(?:the |an? |all |our )?[a-z-]+(?: [a-z-]+)?)", rest
    )
    if (
        plain
        and base not in ("look", "deal", "serve", "report", "work")
        and not re.search(
            r"\b(at|in|on|to|for|from|with|by|of|every|each|daily|weekly|well|alone|together)\b", plain["what"]
        )
    ):
        off = f" {plain['off'].strip()}" if plain["off"] else ""
        yield f"What {aux} {small} {base}{off}?", plain["what"]


def _bare(time: str) -> str:
    """A time without its preposition, except where it needs it."""
    return re.sub(r"^(at|on|in) (the )?", "", time)


def _small(subject: str, lower: frozenset[str]) -> str:
    """The subject as it is written inside a sentence."""
    first, _, rest = subject.partition(" ")
    second = rest.split(" ", 1)[0]
    common = first.lower() in lower or (second.islower() and second not in ("of", "and", "van", "von", "de"))
    if first.lower() in _DETERMINERS or (common and not rest[:1].isupper()):
        return subject[0].lower() + subject[1:]
    return subject


def _is_named(small: str, rest: str) -> bool:
    """Whether "the capital of Velm" is followed by a name."""
    named = re.fullmatch(rf"[A-Z]{_W}*(?: [A-Z]{_W}*){{0,3}}", rest)
    return named is not None and small.startswith("the ") and " of " in small


def _is_place(text: str) -> bool:
    """Whether a phrase says where, and nothing else."""
    more = r"\d| (and|over|during|for|with|by|after|before|without|as|into|to)\b(?<!next to)"
    return re.fullmatch(_PLACE, text) is not None and not _IDIOM.match(text) and not re.search(more, text)


def _is_person(text: str) -> bool:
    return (
        re.fullmatch(_NAME, text) is not None and not PLACES & set(text.split()) and text.split()[0] not in ("The", "A")
    )


def _head(phrase: str) -> str:
    """The last word before "of", "for", ... : what the phrase is about."""
    return re.split(r" (?:of|for|at|in|on|to|from|with) ", phrase, maxsplit=1)[0].rsplit(" ", 1)[-1].lower()


def _is_role(phrase: str) -> bool:
    return _head(phrase).endswith(tuple(ROLES))


def asks(who: str, relation: str, what: str) -> str:
    """The question for the object of a triple; with the gap at its end where the verb's base is not known.

    >>> asks("Ann", "was born in", "1962"), asks("The ferry", "leaves from", "Velm"), asks("Bo", "likes", "eel")
    ('When was Ann born?', 'Where does the ferry leave from?', 'What does Bo like?')
    >>> asks("Bo", "has", "a dog")
    'Bo has what?'
    """
    verb, *rest = relation.split()
    subject = re.sub(r"^(The|A|An) ", lambda m: m[0].lower(), who)
    last = rest[-1] if rest else ""
    word = "What"
    if last in ("in", "on", "at") and re.match(r"(the year )?\d", what):
        word, rest = "When", rest[:-1]
    elif last in ("in", "at", "near", "from") and re.match(r"[A-Z]", what):
        word, rest = "Where", rest if last == "from" else rest[:-1]
    elif PERSON.fullmatch(what) and last in ("to", "by", "with"):
        word = "Who"
    third = verb in THIRD or _regular(verb) is not None
    base = THIRD.get(verb) or PAST.get(verb) or _regular(verb)
    if verb in ("is", "are", "was", "were"):
        return " ".join([word, verb, subject, *rest]) + "?"
    if base and verb not in ("has", "have", "had"):
        return " ".join([word, "does" if third else "did", subject, base, *rest]) + "?"
    return f"{who} {relation} what?"


def _regular(verb: str) -> str | None:
    """The base of a third person that is formed by the rule: plays, watches, carries."""
    if re.fullmatch(r"[a-z]{2,}ies", verb):
        return f"{verb[:-3]}y"
    if re.fullmatch(r"[a-z]+(?:ss|sh|ch|x|z|o)es", verb):
        return verb[:-2]
    return verb[:-1] if re.fullmatch(r"[a-z]{2,}[^aius\W]s", verb) else None
