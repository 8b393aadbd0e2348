"""Records as lines and tables for a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def plain(value: Any) -> Any:
    """A result as what JSON can hold: records, dataclasses and paths turned to dicts and strings."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def table(console: Console, heads: Iterable[str], rows: Iterable[Iterable[Any]], stretch: int = -1) -> None:
    """Print rows under heads; the column `stretch` takes what width is left."""
    from rich.table import Table
    from rich.text import Text

    heads = list(heads)
    out = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for i, head in enumerate(heads):
        last = i == stretch % len(heads)
        out.add_column(head, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in rows:
        out.add_row(*[Text(brief(cell)) for cell in row])
    console.print(out, soft_wrap=False)


def brief(value: Any) -> str:
    """A cell: numbers to four figures, nothing for None.

    >>> brief(0.123456), brief(None), brief(3)
    ('0.1235', '', '3')
    """
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show(verb: str, result: Any, console: Console) -> None:
    """Print what a verb gave back."""
    data = plain(result)
    printer = globals().get(f"_{verb}")
    if printer:
        printer(data, console)
    elif isinstance(data, dict):
        _fields(data, console)
    else:
        console.print(data, markup=False)


def _fields(data: dict[str, Any], console: Console, indent: str = "") -> None:
    for key, value in data.items():
        if isinstance(value, dict):
            console.print(f"{indent}{key}", markup=False)
            _fields(value, console, indent + "  ")
        elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
            console.print(f"{indent}{key}: {len(value)}", markup=False)
        else:
            text = ", ".join(map(brief, value)) if isinstance(value, list) else brief(value)
            console.print(f"{indent}{key}: {text}", markup=False)


def _history(data: list[dict[str, Any]], console: Console) -> None:
    rows = ((e["valid_from"] or e["at"] or e["created"], e["valid_to"], e["state"], e["id"], e["text"]) for e in data)
    table(console, ("from", "until", "state", "id", "text"), rows)


_archive = _restore = _split = _recite = _history


def _list(data: list[dict[str, Any]], console: Console) -> None:
    if not data:
        console.print("none")
        return
    rows = ((e["id"], e["state"], e["key"], e["source"], _start(e["text"])) for e in data)
    table(console, ("id", "state", "key", "source", "text"), rows)


def _start(text: str, size: int = 80) -> str:
    """The start of a text, on one line.

    >>> _start("one\\ntwo three", 7)
    'one two…'
    """
    line = " ".join(text.split())
    return line if len(line) <= size else f"{line[:size].rstrip()}…"


def _grant(data: dict[str, str], console: Console) -> None:
    if not data:
        console.print("nothing is granted")
        return
    table(console, ("owner", "may"), data.items())


def _compose(data: dict[str, Any], console: Console) -> None:
    _history([data], console)


_merge = _compose


def _plan(data: list[dict[str, Any]] | dict[str, Any], console: Console) -> None:
    due, done = (data["proposals"], data["done"]) if isinstance(data, dict) else (data, [])
    if not due:
        console.print("nothing is due")
        return
    table(console, ("what", "engrams", "why"), ((p["kind"], ", ".join(p["engrams"]), p["reason"]) for p in due))
    for outcome in done:
        if "committed" in outcome:
            _learn(outcome, console)
        else:
            what = "archived" if outcome["state"] == "archived" else f"merged {', '.join(outcome['parents'])} into"
            console.print(f"{what} {outcome['id']}: {_start(outcome['text'])}", markup=False)


def _remember(data: list[dict[str, Any]], console: Console) -> None:
    sources = sorted({e["source"] for e in data if e.get("source")})
    console.print(f"remembered {len(data)} engrams" + (f" from {', '.join(sources)}" if sources else ""), markup=False)


def _recall(data: list[dict[str, Any]], console: Console) -> None:
    if not data:
        console.print("nothing found")
        return
    table(console, ("score", "id", "source", "text"), ((h["score"], h["id"], h["source"], h["text"]) for h in data))


def _ask(data: dict[str, Any], console: Console) -> None:
    if data["form"] == "none":
        console.print("not known" + ("; the nearest:" if data["hits"] else ""))
        for hit in data["hits"]:
            console.print(
                f"  [{hit['id']}] {hit.get('source') or ''} {_start(hit['text'], 100)}", style="dim", markup=False
            )
        return
    console.print(data["text"], markup=False)
    sure = "" if data.get("confidence") is None else f", confidence {data['confidence']:.2f}"
    console.print(f"(from {data['form']}{sure})", style="dim", markup=False)
    for hit in data["hits"]:
        line = " ".join(hit["text"].split())
        console.print(f"  [{hit['id']}] {hit.get('source') or ''} {line[:100]}".rstrip(), style="dim", markup=False)


def _learn(data: dict[str, Any], console: Console) -> None:
    if "lessons" in (data.get("report") or {}):
        _study(data["report"], console)
        return
    head = f"committed {data['version']}" if data["committed"] else "rolled back, nothing changed"
    console.print(f"{head}: {len(data['taught'])} taught, {len(data['lost'])} lost", style="bold", markup=False)
    if data.get("reason"):
        console.print(data["reason"], markup=False)
    f = data.get("report") or {}
    if "verbatim" in f:
        console.print(
            f"answered in wordings never trained on: {f['recall']:.0%} ({f['recall_before']:.0%} before); as taught: "
            f"{f['verbatim']:.0%}"
        )
        rows = (
            (
                "loss on general text",
                f["general_base"],
                f["general_before"],
                f["general_after"],
                f"{f['general_rise']:+.2%}",
            ),
            ("quiz", *(f"{f[k]:.1%}" for k in ("quiz_base", "quiz_before", "quiz_after")), _fallen(f["quiz_fall"])),
            (
                "reading",
                *(f"{f[k]:.1%}" for k in ("reading_base", "reading_before", "reading_after")),
                _fallen(f["reading_fall"]),
            ),
        )
        table(console, ("", "as it came", "before", "now", "in all"), rows)
        told = ("recall", "verbatim", "general", "quiz", "reading")
        f = {k: v for k, v in f.items() if not k.startswith(told)}
    _fields(f, console, "  ")


def _fallen(least: float) -> str:
    return f"fell by {least:.1%} at least" if least > 0 else "no sure fall"


def _study(data: dict[str, Any], console: Console) -> None:
    rows = ((x["question"], x["answer"], len(x["wordings"]), len(x["held"])) for x in data["lessons"])
    table(console, ("question", "answer", "more wordings", "held back"), rows)
    minutes, gigabytes = data["seconds"] / 60, data["bytes"] / 1e9
    console.print(f"{len(data['lessons'])} lessons; learning them takes about {minutes:.1f} min and {gigabytes:.1f} GB")
    if data.get("path"):
        console.print(f"wrote {data['path']}; edit it, then: byheart learn {data['path']}", markup=False)


def _forget(data: dict[str, Any], console: Console) -> None:
    from byheart.core.records import Certificate

    console.print(str(Certificate.model_validate(data)), markup=False)


def _log(data: list[dict[str, Any]], console: Console) -> None:
    rows = (
        (
            v["id"],
            v["created"][:19],
            v["strategy"],
            len(v["taught"]),
            v["message"] + (" (erased)" if v["erased"] else ""),
        )
        for v in data
    )
    table(console, ("version", "when", "strategy", "taught", "what"), rows)


def _exam(data: dict[str, Any], console: Console) -> None:
    console.print(f"version {data['version']}", style="bold", markup=False)
    rows = ((name, f["mean"], f"{brief(f['low'])} to {brief(f['high'])}", f["n"]) for name, f in data["exams"].items())
    table(console, ("exam", "mean", "95% interval", "n"), rows)


def _diff(data: dict[str, Any], console: Console) -> None:
    for kind in ("gained", "lost", "not_examined"):
        facts = data[kind]
        if facts or kind != "not_examined":
            console.print(f"{kind.replace('_', ' ')}: {len(facts)}", style="bold", markup=False)
        for fact in facts:
            console.print(f"  {fact['question']} {fact['answer']}", markup=False)
    console.print(f"tensors changed: {data['tensors_changed']}", markup=False)
    before, after = data["general_loss"]
    if before is not None and after is not None:
        console.print(f"loss on general text: {brief(before)} to {brief(after)}", markup=False)


def _revert(data: dict[str, Any], console: Console) -> None:
    console.print(f"now at {data['id']} {data['message']}".rstrip(), markup=False)


def _check(data: list[str], console: Console) -> None:
    for line in data or ["clean"]:
        console.print(line, markup=False)


def _report(data: str, console: Console) -> None:
    console.print(f"wrote {Path(data)}", markup=False)


_export = _report
