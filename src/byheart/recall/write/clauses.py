"""Cutting an English sentence into clauses that each state a single fact and name its subject, by rules."""

from __future__ import annotations

import re
from dataclasses import dataclass

from byheart.recall.write.verbs import PARTICIPLES, PAST, PLACES, ROLES, THIRD

_BE = frozenset("is are was were has have had been".split())
_MODAL = frozenset("does did can could may might must shall should will would".split())
_MORE_PAST = frozenset("played liked loved enjoyed spoke studied learned grew owned earned became moved joined".split())
_MORE = frozenset(
    "belongs contains lasts remains stays plays likes loves enjoys speaks studies learns grows owns earns".split()
    + "becomes moves joins comes says gives gets".split()
)
PREPOSITIONS = frozenset("as at by for from in into near of off on to up with".split())
_PARTICIPLE = re.compile(r"been|[a-z]+(?:ed|en|ing|orn)")
VERBS = _BE | _MODAL | _MORE | _MORE_PAST | THIRD.keys() | PAST.keys()
_JOINT = re.compile(r"; |,? (?:and|but) |, (?:so|while) ")
_PRONOUN = re.compile(r"(he|she|it|his|her|its)\b(?!')", re.I)
_OPENER = re.compile(
    r"(?:In|On|At|By|For|From|With|After|Before|Since|When|While|If|As|To|This|That|These|Those|They|We|I|You|There|Here"
    r"|Then|Both|Another|Others?|However|Also|But|And|Or|So|Yet|Please|Not|\w+ly)\b"
)
PERSON = re.compile(r"[A-Z][\w’-]+(?: (?:van|von|de|da|del|la|al))?(?: [A-Z][\w’-]+)+")
_ASIDE = re.compile(r"(?P<who>[^,]+), (?:which|who) (?P<aside>[^,]+), (?P<rest>.+)")


@dataclass(frozen=True)
class Clause:
    """A clause as a sentence of its own, and its subject ("" where the rules cannot tell)."""

    text: str
    subject: str


def clauses(sentence: str, last: str = "") -> list[Clause]:
    """The clauses of a sentence; a pronoun at the start of a clause is replaced by `last`, the subject before it.

    Cut is where a clause with its own subject begins, where a second verb shares the first verb's subject, and around
    an aside after the subject. Questions and quotations are left whole.

    >>> [c.text for c in clauses("She runs the Heron and sells tea, but her dog is called Bo.", "Marta Kask")]
    ['Marta Kask runs the Heron.', 'Marta Kask sells tea.', "Marta Kask's dog is called Bo."]
    """
    ended = re.search(r"[.!?\u2026]*[\"'\u201d\u2019)\]]*$", sentence)
    end = ended[0] if ended else ""
    body = sentence[: len(sentence) - len(end)]
    if "?" in end or re.search('["\u201c\u201d(]', sentence):
        return [Clause(sentence, subject(body))]
    out: list[Clause] = []
    for part in _beside(body) or _independent(body):
        named = _named(part, last)
        who = subject(named) or _apposed(named)
        out += [Clause(f"{_upper(clause_part)}{end or '.'}", who) for clause_part in _sharing(named, who)]
        last = stands_for(who) or last
    return out


def subject(clause: str) -> str:
    """The words before the verb of a clause that begins with its subject, else "".

    >>> subject("The old ferry leaves at noon"), subject("In 1962 the ferry was sold")
    ('The old ferry', '')
    """
    words = clause.split()
    if _OPENER.match(clause) or _PRONOUN.match(clause):
        return ""
    for n, word in enumerate(words[1:8], 1):
        if word in VERBS:
            start = " ".join(words[:n])
            return start if len(words) > n + 1 and not re.search("[,:;]", start) else ""
    return ""


def triple(clause: str) -> tuple[str, str, str] | None:
    """Subject, relation and object of a clause; None where it has no subject that the rules know.

    >>> triple("The old ferry was built by Anna Dallmer.")
    ('The old ferry', 'was built by', 'Anna Dallmer')
    """
    body = clause.rstrip(".!")
    who = subject(body)
    if not who:
        return None
    words = body.split()[len(who.split()) :]
    n = 1
    while n < len(words) - 1 and words[n - 1] in _BE and (words[n] in PARTICIPLES or _PARTICIPLE.fullmatch(words[n])):
        n += 1
    if n < len(words) - 1 and words[n] in PREPOSITIONS:
        n += 1
    return who, " ".join(words[:n]), " ".join(words[n:])


def stands_for(who: str) -> str:
    """What a pronoun after this subject means: the person whom it names, else the whole of it.

    >>> stands_for("Marta Kask's dog"), stands_for("The old ferry")
    ('Marta Kask', 'The old ferry')
    """
    people = PERSON.findall(re.sub(r"['\u2019]s\b", " ", re.sub(r"^(The|A|An) ", "", who)))
    return people[-1] if people else who


def _apposed(clause: str) -> str:
    """X of "X, a nurse, does"; else ""."""
    match = re.match(r"([A-Z][\w' -]{0,60}), (?:an?|the) [^,]+, (\w+)", clause)
    return match[1] if match and match[2] in VERBS and not _OPENER.match(clause) else ""


def _beside(body: str) -> list[str]:
    """What "X, which ..., does" says beside and what it says of X; nothing for another sentence."""
    aside = _ASIDE.fullmatch(body)
    if not aside or len(aside["who"].split()) > 6 or _PRONOUN.match(body) or _OPENER.match(body):
        return []
    parts = [aside["aside"], aside["rest"]]
    return [f"{aside['who']} {t}" for t in parts] if all(t.split()[0] in VERBS for t in parts) else []


def _independent(body: str) -> list[str]:
    """The parts of a sentence that have a subject of their own."""
    if not (subject(body) or _PRONOUN.match(body)):
        return [body]
    parts, start = [], 0
    for joint in _JOINT.finditer(body):
        rest = body[joint.end() :]
        pronoun = _PRONOUN.match(rest)
        if pronoun:
            after = rest[pronoun.end() :].split()
            stands = any(w in VERBS for w in after[: 1 if pronoun[0] in ("he", "she", "it") else 6])
        else:
            plain = joint[0] in (" and ", " but ")
            stands = not plain and bool(re.match(r"[A-Z]|the |an? ", rest)) and bool(subject(rest))
        if stands:
            parts.append(body[start : joint.start()])
            start = joint.end()
    return [*parts, body[start:]]


def _named(clause: str, last: str) -> str:
    """The clause with the subject in the place of a pronoun at its start."""
    pronoun = _PRONOUN.match(clause)
    if not pronoun or not last:
        return clause
    place = bool(PLACES & set(last.split()))
    person = not place and bool(PERSON.fullmatch(last) or re.fullmatch(r"[A-Z]\w+", last))
    if pronoun[0].lower() in ("it", "its"):
        if PERSON.fullmatch(last) and not place:
            return clause
    elif not person and not (re.match("(?:The|A|An) ", last) and last.lower().endswith(tuple(ROLES))):
        return clause
    rest = clause[pronoun.end() :]
    if pronoun[0].lower() in ("his", "her", "its"):
        return f"{last}'s{rest}"
    return f"{last}{rest}"


def _sharing(clause: str, who: str) -> list[str]:
    """The clause cut where another verb shares its subject."""
    if not who:
        return [clause]
    out, start, lead = [], 0, ""
    aided = any(w in _BE | _MODAL for w in clause.split()[len(who.split()) : len(who.split()) + 1])
    for joint in re.finditer(r",? (?:and|but) (?=(\S+) (\S+))", clause):
        verb, after = joint[1], joint[2]
        if verb not in VERBS or after in ("of", "for", "and", "or", "from", "that", "which"):
            continue
        if aided and verb in PAST.keys() | _MORE_PAST:
            continue  # "was built and painted": the second is no verb without the first's "was"
        out.append(lead + clause[start : joint.start()])
        start, lead = joint.end(), f"{who} "
        aided = verb in _BE | _MODAL
    return [*out, lead + clause[start:]]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
