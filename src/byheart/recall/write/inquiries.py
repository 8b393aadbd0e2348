"""What a reader would ask about a document: answer spans of its statements, and several wordings of each question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from byheart.core.records import Engram
from byheart.recall.spans import Span, spans
from byheart.recall.statements import Statement, statements
from byheart.recall.write import questions
from byheart.recall.write.about import About
from byheart.recall.write.cells import NOUNS, Candidate, of_field, of_row
from byheart.recall.write.clauses import subject, triple
from byheart.recall.write.fronting import fronted, in_place, turned, wh

_BARE = re.compile(
    r"(?:[^\w]*|[%\u00b0\u20ac\u00a3$]|(?:kg|g|l|ml|cm|mm|m|s|h|min|\u00b0?C|W|V|A|dB|bar|yes|no|none|n/a|tbd|-+)\W*)",
    re.I,
)
_STRAY = frozenset(
    (
        "a an the and or but of in on at to for from by with as if it is are was be this that these those there one "
        "then so not no yes also both each up down off out away back over under again its they them he she what who"
    ).split()
)
_CONDITION = re.compile(
    r"^(?P<when>(?:If|When|Once|Unless|In case|Where|Until|Before|After|To|For) [^,;:]{6,120}), (?:then )?"
    r"(?P<then>[^.;]{6,160})"
)
_LATER = re.compile(
    r"^(?P<main>[^;:]{8,120}?),? (?P<word>if|unless|provided that|as soon as|only if|until|because|so that|in order to"
    r"|as long as|except) (?P<clause>[^;]{4,140})$"
)
_ORDER = re.compile(r"[a-z]+ (?:the|a|an|your|it|them|in|out|up|on|off|for|all|every|to|with|at|\+)(?: |$)")
_ONLY = re.compile(r"\bonly (?:in|at|with|by|on|from|for|through|after|to|via|under) [^,;.]{3,60}")
_WHY = ("because", "so that", "in order to")
_MOST = 4
SHORT = 5  # words of an answer, up to which one inside another is the same
WORDINGS = 5  # of a question at most, the one held back with them


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
    cells of a row and the value of a field; what holds under a condition, and the condition. Each is asked for in
    several ways: in the order of English questions where the rules see the verb, with the sentence's order kept, by the
    field's name. A wording names what the document is about, by its title, unless the words do already. Pronouns at a
    statement's start stand for the last subject, or for the person whom the document is about, where its passage names
    them: whoever forgets a passage forgets all that its questions say.

    Of a text in another language the cells and fields are asked by their names, and of sentences the spans are left
    out.

    The last wording is held back for exams, where there are at least two. An answer of a unit sign, a dash or a stray
    word gives no question; a question that has two answers in the document gives none.

    Parameters
    ----------
    most: questions of one statement at most.

    >>> table = "| Item | Value |\\n|---|---|\\n| Weight | 3.4 kg |"
    >>> text = f"# Brevik 300 pump\\n\\n{table}\\n\\nIt runs for 45 s after the power is cut."
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
        about: dict[str | None, About] = {}
        for engram in engrams:
            if engram.question and engram.answer:
                made.append(_given(engram))
                continue
            heading = str(engram.metadata.get("heading") or "")
            context = about.setdefault(engram.source, About())
            context.enter(heading, engram.text)
            for statement in statements(engram.text, heading):
                made += list(self._statement(statement, engram.id, context))
                context.read(statement)
        return _distinct(made)

    def _statement(self, statement: Statement, engram: str, about: About) -> Iterator[Inquiry]:
        if statement.kind == "code" or statement.text.endswith(("?", ":")):
            return
        candidates: list[Candidate] = []
        for wordings, answer, kind in self._candidates(statement, about):
            if not askable(answer) or answer.casefold() in wordings[0].casefold() or about.entitled(answer):
                continue
            same = next((a for a in candidates if _same(a[1], answer)), None)
            if same is None:
                candidates.append((wordings, answer, kind))
            elif len(same[0]) < WORDINGS and _core(same[1]) == _core(answer) and _alike(same[0][0], wordings[0]):
                same[0][1:1] = wordings[:1]
        for wordings, answer, kind in candidates[: self.most]:
            first, *rest = dict.fromkeys(about.named(w, n) for n, w in enumerate(dict.fromkeys(wordings)))
            held = (rest.pop(),) if rest else ()
            yield Inquiry(first, answer, tuple(rest), held, statement.whole, engram, kind)

    def _candidates(self, statement: Statement, about: About) -> Iterator[Candidate]:
        """(wordings, answer, kind) of a statement, the likeliest to be asked first."""
        if not about.english:
            yield from _gaps(statement)
            return
        if statement.kind == "row":
            yield from of_row(statement)
            return
        if statement.kind == "field":
            key, value = statement.cells[0]
            yield from of_field(key, value.rstrip(".;"), about.section)
            return
        text = about.resolved(statement)
        lead = f"{statement.before} " if statement.before and text == statement.text else ""
        yield from _conditions(text)
        plain = text.rstrip(".!;")
        by_grammar = {a: q for q, a in questions.ask(plain) if a in text} if not questions.leans(plain) else {}
        for match in _ONLY.finditer(plain):
            yield (
                [
                    f"What is the only way: {lead}{plain[: match.start()]}...?",
                    lead + in_place(plain, match.start(), match.end(), "how or where"),
                    f"What is missing here: {lead}{plain[: match.start()]}...{plain[match.end() :]}",
                ],
                match[0],
                "condition",
            )
        for span in spans(text):
            if _asks_itself(span, text):
                continue
            phrases, cut = wh(span, text[: span.start])
            start = span.start - cut
            fronts = [by_grammar[a] for a in by_grammar if span.text in a][:1]
            fronts += [w for p in phrases if (w := fronted(text, start, span.end, p))]
            fronts = list(dict.fromkeys(fronts))
            last = fronts[1:2]
            yield (
                [
                    *fronts[:1],
                    lead + in_place(text, start, span.end, phrases[0]),
                    *fronts[2:],
                    f"What {NOUNS[span.kind]} is missing here: {lead}{text[: span.start]}...{text[span.end :]}",
                    *last,
                ],
                _answer(span, text),
                "sentence",
            )
        for answer, worded in by_grammar.items():
            yield [worded, *_of_object(plain, answer), _missing(plain, answer)], answer, "sentence"
        parts = triple(plain) if questions.single(plain) else None
        if parts and len(parts[2].split()) <= 8:
            worded = questions.asks(*parts)
            yield (
                [worded, f"{plain[: plain.rindex(parts[2])].strip()} what?", _missing(plain, parts[2])],
                parts[2],
                "sentence",
            )
        elif (who := subject(plain)) and len(plain.split()) <= 16 and not questions.leans(plain):
            rest = plain[len(who) :].partition(";")[0].strip()
            yield (
                [f"What about {_lower(who)}?", f"{who}: what holds?", f"What is true of {_lower(who)}?"],
                rest,
                "sentence",
            )
        elif statement.kind == "item" and statement.before.endswith(":") and len(plain.split()) <= 10:
            intro = statement.before.rstrip(": ")
            yield (
                [f'What is there under "{intro}"?', f"{intro}: what?", f'What is listed with "{intro}"?'],
                plain,
                "list",
            )


def _same(a: str, b: str) -> bool:
    """Whether two short answers of a statement are the same, one perhaps with more words around it."""
    return max(len(a.split()), len(b.split())) <= SHORT and (_contains(a, b) or _contains(b, a))


def _core(answer: str) -> list[str]:
    return [w for w in re.findall(r"\w+", answer.casefold()) if w not in _STRAY]


def _alike(a: str, b: str) -> bool:
    """Whether two questions ask for a person both, or neither does."""
    return bool(re.match("who|by whom", a, re.I)) == bool(re.match("who|by whom", b, re.I))


def _contains(text: str, part: str) -> bool:
    """Whether a text has another as whole words."""
    return re.search(rf"(?<!\w){re.escape(part.casefold())}(?!\w)", text.casefold()) is not None


def _gaps(statement: Statement) -> Iterator[Candidate]:
    """The cells of a row or field by their names, and sentences without their spans: no word of English is added."""
    if statement.cells:
        row = statement.cells[0][1] if statement.kind == "row" else ""
        for name, value in statement.cells[1 if row else 0 :]:
            key = ", ".join(part for part in (row, name) if part)
            yield [f"{key}?", f"{key}: ..."], value.rstrip(".;"), "gap"
        return
    for span in spans(statement.text):
        before, after = statement.text[: span.start], statement.text[span.end :]
        yield [f"{before}...{after}", f"{before}___{after}", f"{before}?{after}"], span.text, "gap"


def askable(answer: str) -> bool:
    """Whether an answer says something: no unit sign, dash or stray word, and not a paragraph.

    >>> askable("%"), askable("the"), askable("4.5 l"), askable("before dusk")
    (False, False, True, True)
    """
    words = re.findall(r"\w+", answer.casefold())
    if not words or _BARE.fullmatch(answer.strip()) or len(words) > 24:
        return False
    return any(w not in _STRAY for w in words)


def _lower(who: str) -> str:
    """A subject inside a sentence: small where it begins with a common word."""
    words = who.split()
    common = words[0] in ("The", "A", "An", "All", "Every", "Any", "No") or (len(words) > 1 and words[-1].islower())
    return who[0].lower() + who[1:] if common else who


def _missing(plain: str, answer: str) -> str:
    """The sentence with dots in the place of the answer."""
    at = plain.rfind(answer)
    return f"What is missing here: {plain[:at]}...{plain[at + len(answer) :]}"


def _given(engram: Engram) -> Inquiry:
    question, answer = engram.question or "", engram.answer or ""
    paraphrases = engram.metadata.get("paraphrases", engram.metadata.get("paraphrase", ()))
    held = (paraphrases,) if isinstance(paraphrases, str) else tuple(paraphrases)
    more, back = engram.metadata.get("wordings"), engram.metadata.get("held")
    if isinstance(more, list) or isinstance(back, list):  # as `study` writes them
        return Inquiry(question, answer, tuple(more or ()), tuple(back or ()), engram.text, engram.id, "pair")
    return Inquiry(question, answer, (), held or tuple(turned(question)), engram.text, engram.id, "pair")


def _answer(span: Span, text: str) -> str:
    """The span with the word before it that its meaning hangs on."""
    lead = re.search(r"\b(before|until|after|within|every) $", text[: span.start])
    return f"{lead[1]} {span.text}" if lead and span.kind in ("date", "clock", "duration") else span.text


def _asks_itself(span: Span, text: str) -> bool:
    """Spans that nobody would ask for: the statement's own subject name alone, a bare small number in a name."""
    return (
        span.kind == "number"
        and re.search(
            r"\b(?:no\.?|page|step|section|figure|fig\.?|chapter|table|plot|room|line) $", text[: span.start], re.I
        )
        is not None
    )


def _conditions(text: str) -> Iterator[Candidate]:
    """What happens under a condition, the condition, and the reason."""
    plain = text.rstrip(".!")
    match = _CONDITION.match(plain)
    if match:
        when, then = match["when"], match["then"].strip()
        low = when[0].lower() + when[1:]
        order = _ORDER.match(then)
        if order or not re.match(r"After|Before|Until|To|For", when):
            wordings = [f"What do I have to do {low}?" if order else f"What happens {low}?", f"{when}: what then?"]
            yield [*wordings, f"What is to be done {low}?" if order else f"What is the case {low}?"], then, "condition"
    later = _LATER.match(plain)
    if later:
        main, word, clause = later["main"], later["word"], later["clause"].rstrip()
        low = main[0].lower() + main[1:]
        if word in _WHY:
            order = _ORDER.match(low)
            yield (
                [f"Why do I have to {low}?" if order else f"Why: {low}?", f"For what reason: {low}?", f"{main}: why?"],
                clause if word != "in order to" else f"to {clause}",
                "condition",
            )
        else:
            yield (
                [f"Under which condition: {low}?", f"When does it hold that {low}?", f"{main} under what condition?"],
                f"{word} {clause}",
                "condition",
            )


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
