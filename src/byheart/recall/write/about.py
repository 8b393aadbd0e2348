"""What a document is about, while its questions are written: what pronouns stand for, and how a question names it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from byheart.recall.spans import spans
from byheart.recall.statements import Statement
from byheart.recall.write.clauses import PERSON, VERBS, clauses, stands_for, subject

IT = "\1"
"""Stands in a wording for what the document is about."""
_TITLE = re.compile(r"\s+[\u2014\u2013|]\s+|\s+-\s+|:\s+|,\s+(?=[A-Z])|\s*\((?=[A-Z])")
_ENGLISH = frozenset(
    (
        "the of and to a is are was were be by for with from at on not you it that this or has have can may must will "
        "if when"
    ).split()
)
_HEAD = re.compile(
    r"^(?:the )?(?:handbook|manual|guide|minutes|history|rules|policy|charter|list|story|life|notes) (?:of|for|to|on) "
    r"(?:the )?",
    re.I,
)
_GENERIC = re.compile(
    r"^(?:minutes|agenda|notes|manual|user'?s? (?:manual|guide)|owner'?s (?:manual|handbook)|handbook|policy|contract"
    r"|agreement|release notes|price list|recipe|faq|frequently asked questions|protocol|overview|introduction|general"
    r"|about|contents|readme)$",
    re.I,
)


@dataclass
class About:
    """What a document is about while it is read: its title's parts, the section, the last subject and person."""

    title: tuple[str, ...] = ()
    heading: str = ""
    section: str = ""
    person: str = ""
    last: str = ""
    passage: str = ""
    english: bool = True

    def enter(self, heading: str, text: str) -> None:
        """Go on to the passage with this text under these headings, "A > B"."""
        self.passage = text
        self.english = english(text)
        path = [p.strip() for p in heading.split(" > ") if p.strip()]
        if path and path[0] != self.heading:
            self.heading = path[0]
            parts = [_HEAD.sub("", re.sub(r"^[\d.]+\s+|\W+$", "", p).strip()) for p in _TITLE.split(path[0])]
            named = [p for p in parts if p and not _GENERIC.match(p) and re.search("[A-Za-z]", p)]
            self.title = tuple(a for p in (named or parts[:1]) if p for a in _aliases(p))
            whole = [p for p in named if PERSON.fullmatch(p)]
            self.person = whole[0] if whole else ""
        if not path:
            self.title, self.heading = (), ""
        section = re.sub(r"^[\d.]+\s+", "", path[-1]) if len(path) > 1 else ""
        if section != self.section:
            self.section, self.last = section, ""

    def read(self, statement: Statement) -> None:
        """Note whom or what a following pronoun would mean."""
        for clause in clauses(statement.text.rstrip(), self.last):
            if clause.subject:
                self.last = stands_for(clause.subject)
        order = re.match(
            r"[A-Z][a-z]+ ((?:the|a|an|your) [\w -]{3,40}?)"
            r"(?= (?:in|on|at|for|with|to|from|until|and|before|after|by)\b|[.,;:]|$)",
            statement.text,
        )
        if order and not subject(statement.text):
            self.last = re.sub(r"^(?:an?|your)\b", "the", order[1])
        people = [s.text for s in spans(statement.text) if s.kind == "name" and PERSON.fullmatch(s.text)]
        if people and not self.person:
            self.person = people[0]

    def resolved(self, statement: Statement) -> str:
        """The statement with a name in the place of a pronoun at its start, where it is clear."""
        text = re.sub(r"\s+", " ", statement.text).strip()
        match = re.match(r"(He|She|It|They|His|Her|Its|Their)\b(?!')", text)
        if not match:
            return text
        word, rest = match[1], text[match.end() :]
        who = self.person or self.last if word in ("He", "She", "His", "Her") else self.last
        if who.casefold() not in self.passage.casefold():
            return text
        plain = PERSON.fullmatch(who) or re.fullmatch(r"(?:[Tt]he|[Aa]n?) [\w-]+(?: [\w-]+){0,2}", who)
        if not plain or set(who.split()) & VERBS:
            return text
        own = "'s" if word in ("His", "Her", "Its", "Their") else ""
        return f"{who[0].upper()}{who[1:]}{own}{rest}"

    def entitled(self, answer: str) -> bool:
        """Whether an answer is only a name that the title has, which every question may say."""
        return (
            bool(answer) and any(re.search(rf"\b{re.escape(answer)}\b", t) for t in self.title) and answer[0].isupper()
        )

    def named(self, question: str, n: int) -> str:
        """A wording that says what the document is about; `n` varies how. `IT` in a wording stands for that.

        One of four that can stand alone, with a name, a figure or five words of content, does not say it: a reader who
        has one document in mind does not either.
        """
        if not self.title:
            return question.replace(f" of {IT}", "").replace(IT, "it")
        title = self.title[n % len(self.title)]
        if IT in question:
            return question.replace(IT, _the(title))
        words = set(re.findall(r"\w[\w-]*", question.casefold()))
        if any(_distinctive(t) & words for t in self.title):
            return question
        low = f"{question[0].lower()}{question[1:]}" if _lowers(question) else question
        if n % 4 == 0:
            return f"{title}: {low}"
        if n % 4 == 1 and _specific(question):
            return question
        if n % 4 < 3 and question.endswith("?"):
            return f"{question[:-1]} ({title})?"
        if self.section or not self.english:
            return f"{title}, {self.section or self.title[0]}: {low}"
        return f"About {_the(title)}: {low}"


def english(text: str) -> bool:
    """Whether a text is English: Latin letters and, of twelve words or more, one in twelve that English is made of.

    >>> english("Rinse it."), english("\u0421\u0431\u043e\u0440 40.")
    (True, False)
    >>> english("Die Stadt nach der Flut liegt um acht Uhr vom Kai am Ende des Hafens ab.")
    False
    """
    words = re.findall(r"[^\W\d_]+", text.casefold())
    latin = sum(w[0] < "\u0250" for w in words)
    common = sum(w in _ENGLISH for w in words)
    return latin * 2 >= len(words) and (len(words) < 12 or common * 12 >= len(words))


def _specific(question: str) -> bool:
    """Whether a question can stand alone: it has a name or a figure, or five words of content."""
    words = re.findall(r"\w[\w-]*", question)
    return any(w[0].isupper() or w[0].isdigit() for w in words[1:]) or sum(len(w) > 3 for w in words) >= 5


def _aliases(title: str) -> list[str]:
    """Shorter names of what a title names: its first two words, its code, its first and last word."""
    words = title.split()
    out = [title]
    if len(words) > 2 and words[0][0].isupper() and words[1][:1].isupper():
        out.append(" ".join(words[:2]))
    if len(words) > 2 and words[0][0].isupper() and len(words[0]) > 4 and len(words) <= 4:
        out.append(f"{words[0]} {words[-1].lower()}")
    out += [w for w in words if any(c.isdigit() for c in w) and any(c.isalpha() for c in w)]
    return list(dict.fromkeys(out))


def _distinctive(title: str) -> set[str]:
    """The words of a title that name its subject: with a digit, or capitalised and not the first."""
    words = re.findall(r"\w[\w-]*", title)
    named = {w.casefold() for w in words if any(c.isdigit() for c in w)}
    named |= {w.casefold() for w in words[: 1 if len(words) == 1 else 2] if w[0].isupper() and len(w) > 3}
    return named


def _the(title: str) -> str:
    """A title inside a sentence: with an article where it ends with a common noun."""
    article = "" if not title.split()[-1].islower() or title.lower().startswith(("the ", "a ")) else "the "
    return f"{article}{title}"


def _lowers(question: str) -> bool:
    return bool(
        re.match(
            r"(?:What|When|Where|Who|Why|How|Which|By|In|At|From|After|Within|The|A|An|For|To|Until|Since|On)\b",
            question,
        )
    )
