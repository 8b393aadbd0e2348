"""A page for each paper that has a part here: its claim, our methods, how to run it, what came out, departures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from byheart.app.markdown import MADE, arxiv, blocks, table
from byheart.core import catalogue, results
from byheart.core.catalogue import Paper
from byheart.core.methods import Entry

ROLES: dict[results.Role, str] = {"primary": "decides", "secondary": "secondary", "precondition": "must hold first"}
ROW, LEFT, WIDE = 26, 430, 300


def pages() -> dict[str, str]:
    """Pages and pictures by their path below `docs`, the table of all papers among them."""
    made = {"papers.md": _overview()}
    for paper in catalogue.papers():
        if has_part(paper):
            made[f"papers/{paper.slug}.md"] = _page(paper)
            if record := results.result(paper.slug):
                made[f"papers/{paper.slug}.svg"] = _picture(record)
    return made


def has_part(paper: Paper) -> bool:
    """Whether something of a paper runs here: a method or a study."""
    return bool(_methods(paper)) or results.result(paper.slug) is not None


def _methods(paper: Paper) -> list[Entry]:
    return [e for e in catalogue.methods() if e.paper == paper.slug]


def _overview() -> str:
    """The table of all papers."""
    counts: dict[str, int] = {}
    rows = []
    for p in catalogue.papers():
        status = results.shown(p.slug)
        counts[status] = counts.get(status, 0) + 1
        slug = f"[{p.slug}](papers/{p.slug}.md)" if has_part(p) else p.slug
        methods = ", ".join(f"[{e.name}](methods/{e.name}.md)" for e in _methods(p))
        rows.append((slug, p.title, p.package, p.kind, methods, status, arxiv(p.arxiv)))
    total = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    words = (
        f"{len(rows)} papers: {total}. A status is what the record of the paper's study says. A result is stale when "
        "the code, the thresholds, the settings or the seeds of its study are others now; `byheart replicate --stale` "
        "runs those again.\n\n"
    )
    head = ("slug", "title", "package", "kind", "methods", "status", "paper")
    return f"{MADE}# Papers\n\n{words}{table(head, rows)}\n"


def _page(paper: Paper) -> str:
    record = results.result(paper.slug)
    parts = [f"{MADE}# {paper.title}", f"`{paper.slug}` {arxiv(paper.arxiv)}".strip()]
    if record:
        parts[1] += f" · **{results.shown(paper.slug)}** ({record['scope']})"
        parts += [
            "## What the paper claims",
            f"> {record['quote']}",
            f"Tested: {record['claim']} ({record['source']}).",
        ]
    else:
        parts += ["## What must be shown", paper.show]
    if entries := _methods(paper):
        lines = [f"- [{e.name}](../methods/{e.name}.md): {catalogue.summary(e)}" for e in entries]
        parts += ["## Methods here", "\n".join(lines)]
    if record:
        parts += list(_outcome(paper, record))
    parts += list(_departures(entries))
    return "\n\n".join(parts) + "\n"


def _outcome(paper: Paper, record: Mapping[str, Any]) -> Iterator[str]:
    """How to run the study, what came out, and the study's own words."""
    data = " --data FOLDER" if record.get("data") else ""
    yield "## How to run it"
    yield f"```sh\nbyheart replicate {paper.slug}{data}\n```"
    yield "## What came out"
    yield f"**{record['verdict']}**: {record['reason']}."
    if reasons := results.stale(paper.slug):
        yield "This result is stale: " + "; ".join(reasons) + "."
    rows = []
    for role, c in results.criteria(record):
        spread = "" if c["interval"] is None else f" ({c['interval'][0]:.3f} to {c['interval'][1]:.3f})"
        threshold, mean = f"`{c['measure']}` {results.limit(c)}", f"{c['mean']:.3f}{spread}"
        rows.append((c["says"], ROLES[role], threshold, mean, c["verdict"]))
    yield table(("what is measured", "", "threshold", "mean over seeds and its 95% limits", ""), rows)
    yield f"![Every criterion beside its threshold]({paper.slug}.svg)"
    yield _circumstances(record)
    if grid := record["grid"]:
        tried = [
            (name, ", ".join(map(str, g["values"])), f"{g['chosen']}{' (at the edge)' if g['edge'] else ''}",
             results.spans(g["seeds"]) if g["seeds"] else "")
            for name, g in grid.items()
        ]  # fmt: skip
        yield "Settings were chosen on tuning seeds:"
        yield table(("setting", "values tried", "taken", "seeds"), tried)
    if "note" in record:
        yield record["note"]
    if story := _story(paper):
        yield "## The study"
        yield story


def _circumstances(record: Mapping[str, Any]) -> str:
    """Scale, seeds, time, and what binds the result."""
    since = record["criteria_since"]
    bound = f"The thresholds have stood since {since}." if since else "No commit binds the thresholds."
    power = record["power"]
    seeds = f"Scale {record['scale']}, seeds {results.spans(record['seeds'])}"
    computed = (
        f"The number of seeds was computed before the run (spread {power['spread']:g}, margin {power['margin']:g})."
        if power
        else "The number of seeds was not computed before the run."
    )
    ran = f"{seeds}, {record['processor_seconds']:.0f} s of processor time. {bound} {computed}"
    return f"{ran} [All figures](../results/{record['paper']}.json)."


def _story(paper: Paper) -> str:
    """The docstring of a study's class: what the paper did, what is done here, why it fell short if it did."""
    file = paper.study
    if not file.exists():
        return ""
    link = f"[The study](../../src/byheart/study/{paper.folder}/{file.name}) in its own words.\n\n"
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        words = ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef) else ""
        if "Here:" in words:
            return link + "\n\n".join(blocks(words))
    return ""


def _departures(entries: Sequence[Entry]) -> Iterator[str]:
    """What the methods say of where they depart from the paper."""
    names: dict[str, str] = {}
    for e in entries:
        text = re.search(r"^ *(Departs from the paper:.*?)(?:\n\s*\n|\Z)", catalogue.docstring(e), re.S | re.M)
        if text:
            names.setdefault(" ".join(text[1].split()), e.name)
    if names:
        yield "## Departures"
        yield "\n".join(f"- `{name}`: {text}" for text, name in names.items())


def _picture(record: Mapping[str, Any]) -> str:
    """An SVG: the mean and limits of each criterion beside its threshold, each to its own scale; right is better."""
    criteria = [c for _, c in results.criteria(record)]
    height = ROW * len(criteria) + 34
    middle = LEFT + WIDE // 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + 20} {height}" font-family="sans-serif" '
        f'font-size="12"><title>{escape(record["paper"])}: {record["verdict"]}</title>',
        f'<rect width="100%" height="{height}" fill="#fff"/>',
        f'<rect x="{middle}" y="22" width="{WIDE // 2}" height="{height - 30}" fill="#e8f5e9"/>',
        f'<text x="{middle}" y="14" text-anchor="middle" fill="#555">threshold (right of it is better)</text>',
        f'<line x1="{middle}" y1="20" x2="{middle}" y2="{height - 6}" stroke="#555"/>',
    ]
    colours = {"holds": "#2e7d32", "fails": "#c62828"}
    for n, c in enumerate(criteria):
        sign, limit = (1, c["at_least"]) if "at_least" in c else (-1, c["at_most"])
        values = [c["mean"], *(c["interval"] or [c["mean"]])]
        apart = [sign * (v - limit) for v in values]
        scale = 0.46 * WIDE / (max(map(abs, apart)) or 1.0)
        x = [middle + a * scale for a in apart]
        y, colour = 34 + ROW * n, colours.get(c["verdict"], "#b26a00")
        words = c["says"] if len(c["says"]) <= 66 else c["says"][:64] + "…"
        weight = ' font-weight="bold"' if n == 0 else ""
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end"{weight}>{escape(words)}</text>',
            f'<line x1="{min(x):.1f}" y1="{y}" x2="{max(x):.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>',
            f'<circle cx="{x[0]:.1f}" cy="{y}" r="4.5" fill="{colour}"/>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
