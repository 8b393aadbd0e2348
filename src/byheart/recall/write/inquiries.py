"""What a reader would ask about a document: answer spans of its statements, and several wordings of each question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from byheart.core.records import Engram
from byheart.recall.spans import Span, spans
from byheart.recall.statements import Statement, generic, statements
from byheart.recall.write import questions
from byheart.recall.write.clauses import PERSON, VERBS, clauses, stands_for, subject, triple
from byheart.recall.write.verbs import PLACES
from byheart.recall.write.fronting import fronted, in_place, turned, wh

_BARE = re.compile(r"(?:[^\w]*|[%\u00b0\u20ac\u00a3$]|(?:kg|g|l|ml|cm|mm|m|s|h|min|\u00b0?C|W|V|A|dB|bar|yes|no|none|n/a|tbd|-+)\W*)", re.I)
_STRAY = frozenset(
    "a an the and or but of in on at to for from by with as if it is are was be this that these those there one then so not no yes also both each up down off out away back over under again it its they them he she what who".split()
)
_TITLE = re.compile(r"\s+[\u2014\u2013|]\s+|\s+-\s+|:\s+|,\s+(?=[A-Z])|\s*\((?=[A-Z])")
_GENERIC = re.compile(
    r"^(?:minutes|agenda|notes|manual|user'?s? (?:manual|guide)|owner'?s (?:manual|handbook)|handbook|policy|contract|agreement"
    r"|release notes|price list|recipe|faq|frequently asked questions|protocol|overview|introduction|general|about|contents|readme)$",
    re.I,
)
_CONDITION = re.compile(r"^(?P<when>(?:If|When|Once|Unless|In case|Where|Until|Before|After|To|For) [^,;:]{6,120}), (?:then )?(?P<then>[^.;]{6,160})")
_LATER = re.compile(
    r"^(?P<main>[^;:]{8,120}?),? (?P<word>if|unless|provided that|as soon as|only if|until|because|so that|in order to|as long as|except) (?P<clause>[^;]{4,140})$"
)
_ORDER = re.compile(r"[a-z]+ (?:the|a|an|your|it|them|in|out|up|on|off|for|all|every|to|with|at|\+)(?: |$)")
_ONLY = re.compile(r"\bonly (?:in|at|with|by|on|from|for|through|after|to|via|under) [^,;.]{3,60}")
_WHY = ("because", "so that", "in order to")
_MOST = 4


@dataclass(frozen=True)
class Inquiry:
    """A question with its answer, a literal span of the document.

    Parameters
    ----------
    question: the first wording; trained on.
    answer: the span.
    wordings: further wordings to train on.
    held: wordings that are never trained on, for exams.
    statement: the sentence, item or row that says it.
    engram: the id of the passage.
    kind: "pair" (given as such), "field", "cell", "sentence", "condition" or "list".
    """

    question: str
    answer: str
    wordings: tuple[str, ...]
    held: tuple[str, ...]
    statement: str
    engram: str
    kind: str


class Inquiries:
    """Rules for English documents of any kind: manuals, policies, minutes, price lists, contracts, biographies.

    A statement (`recall.statements`) is a sentence, a list item, a table row or a field. Its answers are the spans that
    a reader would ask for (`recall.spans`): amounts with their units, durations, dates, times, money, names, codes; the
    cells of a row and the value of a field; what holds under a condition, and the condition. Each is asked for in several
    ways: in the order of English questions where the rules see the verb, with the sentence's order kept, by the field's
    name. A wording names what the document is about, by its title, unless the words do already. Pronouns at a
    statement's start stand for the last subject, or for the person whom the document is about, where its passage names
    them: whoever forgets a passage forgets all that its questions say.

    The last wording is held back for exams, where there are at least two. An answer of a unit sign, a dash or a stray
    word gives no question; a question that has two answers in the document gives none.

    Parameters
    ----------
    most: questions of one statement at most.

    >>> text = "# Brevik 300 pump\\n\\n| Item | Value |\\n|---|---|\\n| Weight | 3.4 kg |\\n\\nIt runs for 45 s after the power is cut."
    >>> from byheart.recall.write.chunks import Chunks
    >>> for inquiry in Inquiries().write(Chunks().write(text)):
    ...     print(inquiry.question, "|", inquiry.answer)
    What is the weight of the Brevik 300 pump? | 3.4 kg
    Brevik 300 pump: how long does it run after the power is cut? | 45 s
    """

    def __init__(self, *, most: int = _MOST) -> None:
        self.most = most

    def write(self, engrams: Sequence[Engram]) -> list[Inquiry]:
        """Inquiries in the order of the text; none with the question of another."""
        made: list[Inquiry] = []
        about: dict[str | None, _About] = {}
        for engram in engrams:
            if engram.question and engram.answer:
                made.append(_given(engram))
                continue
            heading = str(engram.metadata.get("heading") or "")
            context = about.setdefault(engram.source, _About())
            context.enter(heading, engram.text)
            for statement in statements(engram.text, heading):
                made += list(self._statement(statement, engram.id, context))
                context.read(statement)
        return _distinct(made)

    def _statement(self, statement: Statement, engram: str, about: _About) -> Iterator[Inquiry]:
        if statement.kind == "code" or statement.text.endswith(("?", ":")):
            return
        count = 0
        for question, answer, kind in self._asked(statement, about):
            if count == self.most or not askable(answer) or answer.casefold() in question[0].casefold():
                continue
            asked = [about.named(q, n) for n, q in enumerate(dict.fromkeys(question))]
            first, *rest = dict.fromkeys(asked)
            held = (rest.pop(),) if rest else ()
            yield Inquiry(first, answer, tuple(rest), held, statement.whole, engram, kind)
            count += 1

    def _asked(self, statement: Statement, about: _About) -> Iterator[tuple[list[str], str, str]]:
        """(wordings, answer, kind) of a statement, the likeliest to be asked first."""
        if statement.kind == "row":
            yield from _row(statement)
            return
        if statement.kind == "field":
            key, value = statement.cells[0]
            yield from _field(key, value.rstrip(".;"), about.section)
            return
        text = about.resolved(statement)
        lead = f"{statement.before} " if statement.before and text == statement.text else ""
        yield from _conditions(text)
        plain = text.rstrip(".!;")
        by_grammar = {a: q for q, a in questions.ask(plain) if a in text} if not questions.leans(plain) else {}
        for match in _ONLY.finditer(plain):
            yield [
                f"What is the only way: {lead}{plain[:match.start()]}...?",
                lead + in_place(plain, match.start(), match.end(), "how or where"),
                f"What is missing here: {lead}{plain[: match.start()]}...{plain[match.end() :]}",
            ], match[0], "condition"
        for span in spans(text):
            if _asks_itself(span, text):
                continue
            phrases, cut = wh(span, text[: span.start])
            start = span.start - cut
            asked = [by_grammar[a] for a in by_grammar if span.text in a][:1]
            asked += [w for p in phrases if (w := fronted(text, start, span.end, p))]
            asked = list(dict.fromkeys(asked))
            last = asked[1:2]
            yield [
                *asked[:1],
                lead + in_place(text, start, span.end, phrases[0]),
                *asked[2:],
                f"What {_NOUNS[span.kind]} is missing here: {lead}{text[:span.start]}...{text[span.end:]}",
                *last,
            ], _answer(span, text), "sentence"
        for answer, question in by_grammar.items():
            yield [question, *_of_object(plain, answer), _missing(plain, answer)], answer, "sentence"
        parts = triple(plain) if questions.single(plain) else None
        if parts and len(parts[2].split()) <= 8:
            asked = questions.asks(*parts)
            yield [asked, f"{plain[: plain.rindex(parts[2])].strip()} what?", _missing(plain, parts[2])], parts[2], "sentence"
        elif (who := subject(plain)) and len(plain.split()) <= 16 and not questions.leans(plain):
            rest = plain[len(who) :].partition(";")[0].strip()
            yield [f"What about {_lower(who)}?", f"{who}: what holds?", f"What is true of {_lower(who)}?"], rest, "sentence"
        elif statement.kind == "item" and statement.before.endswith(":") and len(plain.split()) <= 10:
            intro = statement.before.rstrip(": ")
            yield [f"What is there under \"{intro}\"?", f"{intro}: what?", f"What is listed with \"{intro}\"?"], plain, "list"


def askable(answer: str) -> bool:
    """Whether an answer says something: no unit sign, dash or stray word, and not a paragraph.

    >>> askable("%"), askable("the"), askable("4.5 l"), askable("before dusk")
    (False, False, True, True)
    """
    words = re.findall(r"\w+", answer.casefold())
    if not words or _BARE.fullmatch(answer.strip()) or len(words) > 24:
        return False
    return any(w not in _STRAY for w in words)


@dataclass
class _About:
    """What a document is about while it is read: its title's parts, the section, the last subject and person."""

    title: tuple[str, ...] = ()
    heading: str = ""
    section: str = ""
    person: str = ""
    last: str = ""
    passage: str = ""

    def enter(self, heading: str, text: str) -> None:
        self.passage = text
        path = [p.strip() for p in heading.split(" > ") if p.strip()]
        if path and path[0] != self.heading:
            self.heading = path[0]
            parts = [re.sub(r"^[\d.]+\s+|\W+$", "", p).strip() for p in _TITLE.split(path[0])]
            named = [p for p in parts if p and not _GENERIC.match(p) and re.search("[A-Za-z]", p)]
            self.title = tuple(a for p in (named or parts[:1]) for a in _aliases(p))
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
        order = re.match(r"[A-Z][a-z]+ ((?:the|a|an|your) [\w -]{3,40}?)(?= (?:in|on|at|for|with|to|from|until|and|before|after|by)\b|[.,;:]|$)", statement.text)
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

    def named(self, question: str, n: int) -> str:
        """A wording that says what the document is about; `n` varies how. `IT` in a wording stands for that."""
        if not self.title:
            return question.replace(f" of {IT}", "").replace(IT, "it")
        title = self.title[n % len(self.title)]
        if IT in question:
            return question.replace(IT, _the(title))
        words = set(re.findall(r"\w[\w-]*", question.casefold()))
        if any(_distinctive(t) & words for t in self.title):
            return question
        low = f"{question[0].lower()}{question[1:]}" if _lowers(question) else question
        if n % 3 == 0:
            return f"{title}: {low}"
        if n % 3 == 1 and question.endswith("?"):
            return f"{question[:-1]} ({title})?"
        return f"{title}, {self.section}: {low}" if self.section else f"About {_the(title)}: {low}"


IT = "\1"
_NOUNS = {
    "money": "amount of money", "duration": "length of time", "date": "date", "clock": "time", "share": "percentage",
    "quantity": "amount", "initials": "person", "code": "code or word", "name": "name", "number": "number",
}  # fmt: skip


def _lower(who: str) -> str:
    """A subject inside a sentence: small where it begins with a common word."""
    words = who.split()
    common = words[0] in ("The", "A", "An", "All", "Every", "Any", "No") or (len(words) > 1 and words[-1].islower())
    return who[0].lower() + who[1:] if common else who


def _missing(plain: str, answer: str) -> str:
    """The sentence with dots in the place of the answer."""
    at = plain.rfind(answer)
    return f"What is missing here: {plain[:at]}...{plain[at + len(answer):]}"


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


def _the(title: str, start: bool = False) -> str:
    """A title inside a sentence: with an article where it ends with a common noun."""
    article = "" if not title.split()[-1].islower() or title.lower().startswith(("the ", "a ")) else "the "
    return title if start else f"{article}{title}"


def _lowers(question: str) -> bool:
    return bool(re.match(r"(?:What|When|Where|Who|Why|How|Which|By|In|At|From|After|Within|The|A|An|For|To|Until|Since|On)\b", question))


def _given(engram: Engram) -> Inquiry:
    question, answer = engram.question or "", engram.answer or ""
    paraphrases = engram.metadata.get("paraphrases", engram.metadata.get("paraphrase", ()))
    held = (paraphrases,) if isinstance(paraphrases, str) else tuple(paraphrases)
    return Inquiry(question, answer, (), held or tuple(turned(question)), engram.text, engram.id, "pair")


def _answer(span: Span, text: str) -> str:
    """The span with the word before it that its meaning hangs on."""
    lead = re.search(r"\b(before|until|after|by|above|below|over|under|within|every|at least|at most|up to|from) $", text[: span.start])
    return f"{lead[1]} {span.text}" if lead and span.kind in ("date", "clock", "duration") and lead[1] in ("before", "until", "after", "every", "within") else span.text


def _asks_itself(span: Span, text: str) -> bool:
    """Spans that nobody would ask for: the statement's own subject name alone, a bare small number in a name."""
    return span.kind == "number" and re.search(r"\b(?:no\.?|page|step|section|figure|fig\.?|chapter|table|plot|room|line) $", text[: span.start], re.I) is not None


def _row(statement: Statement) -> Iterator[tuple[list[str], str, str]]:
    """A row's cells, each by its column's name; of a row that is a person's, what that person does, and who does it."""
    first, *rest = statement.cells
    if len(statement.cells) == 1:
        first, rest = ("", ""), [first]
    head, row = first
    person = re.fullmatch(r"who|owner|responsible|person|name|assignee|member|by whom", head.strip().lower())
    for column, cell in rest:
        name, others = _small(column), "; ".join(c for _, c in rest if c != cell)
        if not row:
            yield [f"What is the {name} of {IT}?", f"{column}: what?"], cell, "cell"
        elif re.match(r"by\b|due|deadline|until|when|date", name):
            what = f"{row}, {others}" if others else row
            yield [f"By when: {what}?", f"What is the date for this: {what}?", f"When is it due: {what}?"], cell, "cell"
        elif person:
            yield [f"What does {row} have to do?", f"{row} has which task?", f"What is {row}'s task?"], cell, "cell"
            yield [f"Who has to do this: {cell}?", f"{cell}: who does it?", f"Whose task is it: {cell}?"], row, "cell"
        elif len(rest) == 1 and generic(column):
            yield from _field(row, cell, "")
        elif re.match(r"meaning|what it means|cause|problem", name):
            yield [f"What does {row} mean?", f"{row} stands for what?", f"What is wrong when {row} is shown?"], cell, "cell"
        elif re.match(r"what to do|remedy|solution|action|fix", name):
            yield [f"What do I have to do when {row} is shown?", f"What helps against {row} ({others})?"], cell, "cell"
        else:
            yield [f"What is the {name} of {row}?", f"Which {name} does {row} have?", f"{row}: what is the {name}?"], cell, "cell"


_HOW = (
    (r"\bweight\b", "How heavy is {of}?"), (r"\blength\b", "How long is {of}?"), (r"\bheight\b", "How tall is {of}?"),
    (r"\bwidth\b", "How wide is {of}?"), (r"\bdepth\b", "How deep is {of}?"), (r"\bnoise\b|\bsound", "How loud is {of}?"),
    (r"\bprice\b|\bcost\b|\bfee\b", "How much does {of} cost?"), (r"\bcapacity\b|\bvolume\b", "How much does {of} hold?"),
    (r"\bduration\b|\btime\b", "How long does {of} take?"), (r"\bdate\b", "When is {of}?"), (r"\bplace\b|\bvenue\b|\blocation\b", "Where is {of}?"),
    (r"\b(?:starts?|from|begins?)\b", "From when is {of} valid?"), (r"\bage\b", "How old is {of}?"),
)  # fmt: skip


def _field(key: str, value: str, section: str) -> Iterator[tuple[list[str], str, str]]:
    """A `key: value` line: asked for by its key, and where the key says how, in plain words; long values by their spans."""
    name = _small(key)
    inner = [s for s in spans(value) if s.kind != "number" or len(value.split()) > 4]
    someone = any(s.start == 0 and _person(s) for s in inner)
    if re.search(r"\b(?:by|from|to|at|in|on|for|of)$", name):
        word = "whom" if someone else "when" if any(s.kind in ("date", "clock") for s in inner) else "what"
        asked = [f"{key} {word}?", f"What stands after \"{key}\"?"]
    else:
        word, be = ("Who" if someone else "What"), ("are" if _plural(name) else "is")
        asked = [f"{word} {be} the {name} of {IT}?", f"{key}: {word.lower()}?"]
        asked += [pattern.format(of=IT) for r, pattern in _HOW if re.search(r, name)][:1]
        if section and section.casefold() != name:
            asked += [f"{word} {be} the {name} under \"{section}\"?"]
    if len(value.split()) <= 20:
        yield asked, value, "field"
    if len(value.split()) > 3 or re.search("[,/;]", value):
        for span in inner:
            if span.kind in ("initials", "name") and sum(s.kind == span.kind for s in inner) > 1:
                continue
            phrases, cut = wh(span, value[: span.start])
            gap = [f"{key}: {in_place(value, span.start - cut, span.end, p)}" for p in phrases]
            yield [*gap[:1], f"What {_NOUNS[span.kind]} is missing here: {key}: {value[:span.start]}...{value[span.end:]}", *gap[1:]], span.text, "field"


def _person(span: Span) -> bool:
    bare = re.sub(r"^(?:Dr|Mr|Mrs|Ms|Prof)\.? ", "", span.text)
    titled = bare != span.text
    return span.kind == "initials" or span.kind == "name" and (titled or bool(PERSON.fullmatch(bare)) and not PLACES & set(bare.split()))


def _plural(name: str) -> bool:
    return name.endswith("s") and not name.endswith(("ss", "us", "is")) and " of " not in name


def _small(key: str) -> str:
    return key if len(key) > 1 and (key[1].isupper() or key[0].isdigit()) else key[:1].lower() + key[1:]


def _conditions(text: str) -> Iterator[tuple[list[str], str, str]]:
    """What happens under a condition, the condition, and the reason."""
    plain = text.rstrip(".!")
    match = _CONDITION.match(plain)
    if match:
        when, then = match["when"], match["then"].strip()
        low = when[0].lower() + when[1:]
        order = _ORDER.match(then)
        if order or not re.match(r"After|Before|Until|To|For", when):
            asked = [f"What do I have to do {low}?" if order else f"What happens {low}?", f"{when}: what then?"]
            yield [*asked, f"What is to be done {low}?" if order else f"What is the case {low}?"], then, "condition"
    later = _LATER.match(plain)
    if later:
        main, word, clause = later["main"], later["word"], later["clause"].rstrip()
        low = main[0].lower() + main[1:]
        if word in _WHY:
            order = _ORDER.match(low)
            yield [f"Why do I have to {low}?" if order else f"Why: {low}?", f"For what reason: {low}?", f"{main}: why?"], clause if word != "in order to" else f"to {clause}", "condition"
        else:
            yield [f"Under which condition: {low}?", f"When does it hold that {low}?", f"{main} under what condition?"], f"{word} {clause}", "condition"


def _of_object(plain: str, answer: str) -> list[str]:
    at = plain.rfind(answer)
    return [in_place(plain, at, at + len(answer), "who" if at == 0 else "what")] if at >= 0 else []


def _distinct(inquiries: Sequence[Inquiry]) -> list[Inquiry]:
    """Each question once; one with two answers is left out, unless another wording of it has only one."""
    answers: dict[str, set[str]] = {}
    for inquiry in inquiries:
        for wording in (inquiry.question, *inquiry.wordings, *inquiry.held):
            answers.setdefault(wording.casefold(), set()).add(inquiry.answer.casefold())
    out: dict[str, Inquiry] = {}
    for inquiry in inquiries:
        if inquiry.kind == "pair":
            out.setdefault(inquiry.question.casefold(), inquiry)
            continue
        clear = [w for w in (inquiry.question, *inquiry.wordings) if len(answers[w.casefold()]) == 1]
        held = tuple(w for w in inquiry.held if len(answers[w.casefold()]) == 1)
        if clear:
            made = replace(inquiry, question=clear[0], wordings=tuple(clear[1:]), held=held)
            out.setdefault(made.question.casefold(), made)
    return list(out.values())
