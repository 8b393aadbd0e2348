"""The report: a single page, with no script and nothing from the network.

Every picture has its numbers in a table behind it. A forgotten engram is listed by id alone: the page
is a file like any other, and must not keep what was erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from byheart.core.records import Certificate
from byheart.exam.account import Fact, ReportData, Scored
from byheart.exam.plot import Line, Point, key, lines, percent, scatter

SHOWN = 50  # items of a list; of more, as many are shown, evenly spread
MISSING = "not measured"
SECTIONS = (
    ("curves", "Forgetting curves"),
    ("facts", "Learned, lost, forgotten"),
    ("certificates", "Certificates"),
    ("exams", "Exams"),
    ("versions", "Versions"),
    ("all", "All facts"),
)


def render(data: ReportData) -> str:
    """The whole page as HTML."""
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    titles = dict(SECTIONS)
    bodies = {
        "curves": _pictures(data),
        "facts": _outcomes(data),
        "certificates": _certificates(data.certificates),
        "exams": _exams(data),
        "versions": _versions(data.versions),
        "all": _facts(data.facts),
    }
    sections = "".join(
        f'<section aria-labelledby="{s}"><h2 id="{s}">{titles[s]}</h2>{body}</section>' for s, body in bodies.items()
    )
    links = "".join(f'<a href="#{s}">{t}</a>' for s, t in SECTIONS)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
        f'<meta name="color-scheme" content="light dark"/><title>{escape(data.title)}: memory report</title>'
        f"<style>{style}</style></head><body><main><header><h1>{escape(data.title)}</h1>"
        f'<p class="lead">Memory of <b>{escape(data.model)}</b> on {escape(_day(data.created))}, '
        f"version <b>{escape(data.current or 'none')}</b>, {_count(data.engrams, 'engram')}.</p>"
        f'<nav aria-label="Sections">{links}</nav></header>{_cards(data)}{sections}'
        "<footer>Written by byheart. Shares count exam questions; closed-book means that the model answered "
        "without looking anything up. Intervals and single answers are in the memory's records.</footer>"
        "</main></body></html>\n"
    )


def _cards(data: ReportData) -> str:
    latest = _latest(data)
    cards = []
    if latest:
        cards.append(_card("recalled closed-book", _share(latest.recall), _beside("paraphrased", latest.paraphrase)))
        cards.append(_card("of the old retained", _share(latest.retention), _beside("recognised", latest.recognition)))
        change = _change(latest.loss, data.base_loss)
        note = "" if latest.loss is None else f"{latest.loss:.3f} nats per token"
        cards.append(_card("loss on general text", change or MISSING, note))
    cards.append(_card("versions", str(len(data.versions)), _count(len(data.facts), "fact") + " taught"))
    if data.certificates:
        passed = sum(c.passed for c in data.certificates)
        tone = "good" if passed == len(data.certificates) else "bad"
        value = f"{passed} of {len(data.certificates)}"
        cards.append(_card("certificates passed", value, _count(len(data.forgotten), "engram") + " forgotten", tone))
    return f'<div class="grid cards">{"".join(cards)}</div>'


def _card(name: str, value: str, note: str = "", tone: str = "") -> str:
    small = f'<div class="note">{escape(note)}</div>' if note else ""
    tone = "missing" if value == MISSING else tone
    shown = f'<div class="value {tone}">{escape(value)}</div>'
    return f'<div class="card figure">{shown}<div class="name">{escape(name)}</div>{small}</div>'


def _pictures(data: ReportData) -> str:
    return f'<div class="grid two">{_curves(data)}{_trades(data)}</div>'


def _curves(data: ReportData) -> str:
    if not data.curves:
        return _empty("No forgetting curves yet: they begin when something has been learned and examined.")
    order = [v.id for v in data.versions]
    order += [i for c in data.curves for i, _ in c.points if i not in order]
    shown = {i for c in data.curves for i, _ in c.points}
    names = [i for i in dict.fromkeys(order) if i in shown]
    curves = [Line(c.label, [dict(c.points).get(i) for i in names]) for c in data.curves]
    legend = "".join(f"<li>{key(n)}<span>{escape(c.label)}</span></li>" for n, c in enumerate(data.curves))
    heads = ["version", *[f"of {c.label}" for c in curves], "quiz", "general loss"]
    rows = [
        [_name(v), *[_share(c.values[names.index(v.id)] if v.id in names else None, "") for c in curves], *_ability(v)]
        for v in [v for v in data.versions if v.id in names or v.untaught]
    ]
    return (
        '<figure class="card"><h3>What each lesson left behind</h3>'
        f'{lines(names, curves, "version", "closed-book recall")}<ul class="legend">{legend}</ul>'
        "<figcaption>Recall of what each version taught, at that version and at later ones. A flat line is a memory "
        f"that held.</figcaption>{_behind(heads, rows)}</figure>"
    )


def _trades(data: ReportData) -> str:
    if not data.trades:
        return _empty("No lesson on record whose gain and cost were both measured: byheart learn FILE makes one.")
    points = [
        Point(
            t.label,
            t.stability,
            t.plasticity,
            not t.committed,
            f"{t.label}: learned {percent(t.plasticity)} of the new, kept {percent(t.stability)} of the old"
            + ("" if t.committed else ", rolled back"),
        )
        for t in data.trades
    ]
    rows = [
        [
            t.label,
            t.strategy or "",
            _share(t.plasticity),
            _share(t.stability),
            "committed" if t.committed else "rolled back",
        ]
        for t in data.trades
    ]
    heads = ["version", "strategy", "new learned", "old kept", "outcome"]
    return (
        '<figure class="card"><h3>Plasticity against stability</h3>'
        f"{scatter(points, 'old kept (stability)', 'new learned (plasticity)')}"
        "<figcaption>One point per attempt; the upper right corner is the best. Open points were rolled back."
        f"</figcaption>{_behind(heads, rows)}</figure>"
    )


def _outcomes(data: ReportData) -> str:
    facts = {o: [f for f in data.facts if f.outcome == o] for o in ("learned", "lost", "not learned", "not examined")}
    gone = [
        f'<li><code>{escape(g.id)}</code> <span class="soft">{escape(_join(_day(g.at), g.method))}</span></li>'
        for g in data.forgotten
    ]
    missing = len(facts["not examined"])
    rest = f"{_count(missing, 'fact')} not examined at this version: byheart exam" if missing else ""
    return (
        '<div class="grid outcomes">'
        f"{_list('Learned', 'recalled closed-book now', _items(facts['learned']), 'good')}"
        f"{_list('Lost', 'recalled at an earlier version, not now', _items(facts['lost']), 'bad')}"
        f"{_list('Not learned', 'taught, never recalled', _items(facts['not learned']), 'unsure')}"
        f"{_list('Forgotten', 'erased on request; only ids are kept', gone, '')}</div>"
        + (f'<p class="soft">{escape(rest)}</p>' if rest else "")
    )


def _items(facts: Iterable[Fact]) -> list[str]:
    return [
        f'<li>{escape(f.question)}<span class="answer">{escape(_join(f.answer, f.lost and f"lost in {f.lost}"))}</span>'
        "</li>"
        for f in facts
    ]


def _list(title: str, note: str, items: Sequence[str], tone: str) -> str:
    count = len(items)
    if count > SHOWN:
        note = f"{note}; {SHOWN} of {count} shown"
        items = [items[i * count // SHOWN] for i in range(SHOWN)]
    body = f'<ul class="list" tabindex="0" aria-label="{title}">{"".join(items)}</ul>' if items else ""
    shown = f'<span class="count {tone if items else ""}">{count}</span>'
    return f'<div class="card"><div class="head"><h3>{title}</h3>{shown}</div><p class="soft">{note}</p>{body}</div>'


def _certificates(certificates: Sequence[Certificate]) -> str:
    if not certificates:
        return _empty("Nothing was forgotten on request. byheart forget WHAT ends with a certificate.")
    cards = []
    for c in certificates:
        word, tone = ("passed", "good") if c.passed else ("refused", "bad")
        checks = "".join(
            f"<li><span>{_mark(k.passed)}</span><span>{escape(k.name)}</span>"
            f'<span class="measured">{escape(_measured(k.measured, k.limit))}</span>'
            f'<span class="detail soft">{escape(k.detail)}</span></li>'
            for k in c.checks
        )
        facts = _join(_day(c.created), c.method, c.version or "", f"{c.seconds:.0f} s" if c.seconds else "")
        cards.append(
            f'<article class="card"><div class="head"><h3>Forget {_count(len(c.forgotten), "engram")}</h3>'
            f'<span class="badge {tone}">{word}</span></div><p class="soft">{escape(facts)}</p>'
            f'<ul class="checks">{checks}</ul></article>'
        )
    return f'<div class="stack">{"".join(cards)}</div>'


def _mark(passed: bool | None) -> str:
    words = {True: ("good", "✓ pass"), False: ("bad", "✗ fail"), None: ("unsure", "? not shown")}
    tone, text = words[passed]
    return f'<span class="badge {tone}">{text}</span>'


def _measured(value: Any, limit: Any) -> str:
    shown = "" if value is None else _number(value)
    return shown if limit is None else f"{shown} (limit {_number(limit)})"


def _exams(data: ReportData) -> str:
    if not data.versions:
        return _empty("No exams yet: byheart exam makes the first.")
    heads = ["version", "recall", "paraphrased", "reversed", "recognition", "retention", "quiz", "general loss"]
    rows = [
        [
            _name(v),
            *[_share(s, "") for s in (v.recall, v.paraphrase, v.reversed, v.recognition, v.retention)],
            *_ability(v),
            "" if v.untaught else _change(v.loss, data.base_loss),
            "" if v.kl is None else f"{v.kl:.4f}",
        ]
        for v in data.versions
    ]
    return f'<div class="card">{_table([*heads, "change", "KL to base"], rows, "Exam figures by version")}</div>'


def _versions(versions: Sequence[Scored]) -> str:
    if not versions:
        return _empty("No versions yet: byheart learn FILE commits the first.")
    items = "".join(
        f"<li><b>{escape(v.id)}</b> {escape(v.message)}<br/>"
        f'<span class="soft">{escape(_join(_day(v.created), v.strategy or "", _after(v.parent), _taught(v.taught)))}'
        "</span></li>"
        for v in reversed(versions)
    )
    return f'<div class="card"><ol class="versions">{items}</ol></div>'


def _facts(facts: Sequence[Fact]) -> str:
    if not facts:
        return _empty("No facts were taught yet.")
    rows = [
        [f.question, f.answer, f.version or "", f.outcome + (f" in {f.lost}" if f.lost else ""), f.source or ""]
        for f in facts
    ]
    heads = ["question", "answer", "taught in", "outcome", "source"]
    return f'<div class="card">{_table(heads, rows, _count(len(facts), "fact"), words=2)}</div>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, words: int = 0) -> str:
    """A table in a frame that scrolls; the first `words` columns hold prose."""

    def cell(i: int, text: str) -> str:
        wide = "wide" if i < words else "number" if text and text[0] in "+-0123456789" and words == 0 and i else ""
        return f'<td class="{wide}">{escape(text)}</td>' if wide else f"<td>{escape(text)}</td>"

    number = ["" if i == 0 or words else ' class="number"' for i in range(len(heads))]
    top = "".join(f'<th scope="col"{n}>{escape(h)}</th>' for h, n in zip(heads, number, strict=True))
    body = "".join(f"<tr>{''.join(cell(i, t) for i, t in enumerate(row))}</tr>" for row in rows)
    inner = f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">{inner}</div>'


def _behind(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"<details><summary>The numbers</summary>{_table(heads, rows, 'The numbers of this picture')}</details>"


def _empty(text: str) -> str:
    return f'<p class="empty">{escape(text)}</p>'


def _latest(data: ReportData) -> Scored | None:
    named = [v for v in data.versions if v.id == data.current]
    return next(reversed(named or list(data.versions)), None)


def _name(v: Scored) -> str:
    return f"{v.id}, untaught" if v.untaught else v.id


def _ability(v: Scored) -> list[str]:
    """The quiz of common knowledge and the loss on general text."""
    return [_share(v.quiz, ""), "" if v.loss is None else f"{v.loss:.4f}"]


def _share(value: float | None, missing: str = MISSING) -> str:
    return missing if value is None else percent(value)


def _beside(name: str, value: float | None) -> str:
    return "" if value is None else f"{percent(value)} {name}"


def _change(loss: float | None, base: float | None) -> str:
    """The loss against the untaught model's, in percent with its sign."""
    if loss is None or not base:
        return ""
    return f"{100 * (loss / base - 1):+.2f}%"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _day(stamp: str) -> str:
    return stamp[:16].replace("T", " ")


def _after(parent: str | None) -> str:
    return f"after {parent}" if parent else ""


def _taught(n: int) -> str:
    return f"{_count(n, 'fact')} taught" if n else ""


def _join(*parts: str | None) -> str:
    return ", ".join(p for p in parts if p)
