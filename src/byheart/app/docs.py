"""The generated pages: methods, command line, papers. `python -m byheart.app.docs [--check] [FOLDER]`.

Method pages come from the classes' docstrings and constructors, read from their syntax; the command
line's page from `--help`; the table of papers from the catalogue and the committed results.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from byheart.app import paper_pages
from byheart.app.markdown import MADE, arxiv, blocks, table
from byheart.core import catalogue
from byheart.core.methods import ROOT

WHICH = """\
New facts about people who do not exist, taught in stages with as many examples for every arm, then tested closed-book.
Recalled: at the end, over all stages. Paraphrased: in wordings not trained on. Earlier kept: the same over all stages
but the last. General loss: its rise on texts about other things. Quiz: common knowledge. An arm is good enough when
it recalls 95% and general loss rises by 1% at most; recommended is the one of these that costs least, and `learn` does
what is recommended when no strategy is named.

As many steps and new examples are read by all; what replays reads old ones beside them, which the tokens tell. The
learning rate is 1e-4 (LoRA, O-LoRA and SEFE 1e-3, sparse memory 0.1, TRL's LoRA 2e-4, its full fine-tuning its own
2e-5) and was not tuned arm by arm, but for sparse memory's, the best of three on another seed; that of the default,
1.7e-3, was, with all else in it, on other seeds. `trl` and `trl-lora` read each question in one wording, all others in
many, so their paraphrases are not compared on equal terms."""


def pages() -> dict[str, str]:
    """Every generated page by its path below `docs`."""
    made = {"methods/index.md": _index(), "cli.md": _cli(), **paper_pages.pages(), **_strategies()}
    return made | {f"methods/{e.name}.md": _method(e) for e in catalogue.methods()}


def stale(folder: Path) -> list[str]:
    """The pages that are missing, out of date, or left over from something that is gone."""
    wanted = pages()
    made = [*(folder / "methods").glob("*.md"), *(folder / "papers").glob("*.*"), *folder.glob("strategies.*")]
    written = {p.relative_to(folder).as_posix() for p in made}
    differ = [n for n, text in wanted.items() if not (folder / n).exists() or _read(folder / n) != text]
    return sorted({*differ, *(written - set(wanted))})


def write(folder: Path) -> list[str]:
    """Bring the folder up to date; returns what changed."""
    wanted = pages()
    changed = stale(folder)
    for name in changed:
        path = folder / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
    return changed


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _index() -> str:
    rows = []
    for e in catalogue.methods():
        rows.append((f"[{e.name}]({e.name}.md)", e.kind, catalogue.summary(e), arxiv(e.arxiv)))
    return f"{MADE}# Methods\n\n{table(('method', 'kind', 'what it does', 'paper'), rows)}\n"


def _method(e: catalogue.Entry) -> str:
    module, _, name = e.target.partition(":")
    node = next(
        n for n in ast.parse(_read(e.file)).body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name
    )
    head = f"{MADE}# {e.name}\n\n"
    where = f"```python\nfrom byheart.{module} import {name}\n```\n\n"
    if e.defaults:
        where += "With " + ", ".join(f"`{k}={v!r}`" for k, v in e.defaults.items()) + ".\n\n"
    tail = "\n".join(f"| `{n}` | `{t}` | {_default(d)} |" for n, t, d in _settings(node))
    table = f"\n## Constructor\n\n| setting | type | default |\n| --- | --- | --- |\n{tail}\n" if tail else ""
    return head + where + "\n\n".join(blocks(ast.get_docstring(node) or "")) + "\n" + table


def _settings(node: ast.ClassDef | ast.FunctionDef) -> Iterator[tuple[str, str, str | None]]:
    """Name, type and default of every setting, as written."""
    inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    function = inits[0] if inits and isinstance(node, ast.ClassDef) else node
    if not isinstance(function, ast.FunctionDef):
        return
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        kind = ast.unparse(argument.annotation) if argument.annotation else ""
        yield argument.arg, kind.replace("|", "\\|"), ast.unparse(default) if default else None


def _default(text: str | None) -> str:
    return "required" if text is None else f"`{text}`"


def _cli() -> str:
    parts = [f"{MADE}# Command line\n", _help()]
    parts += [f"{'#' * (1 + len(c))} byheart {' '.join(c)}\n\n{_help(*c)}" for c in commands()]
    return "\n".join(parts)


def commands() -> list[tuple[str, ...]]:
    """The words after `byheart` of every command, those of a group after the group itself."""
    from typer.main import get_command

    from byheart.app.cli import app

    def below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in getattr(group, "commands", {}).items():
            yield (*words, name)
            yield from below(command, (*words, name))

    return list(below(get_command(app), ()))


def _help(*command: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BYHEART")}
    shown = subprocess.run(
        [sys.executable, "-m", "byheart", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "COLUMNS": "88", "TERMINAL_WIDTH": "88", "NO_COLOR": "1"},
    ).stdout
    lines = [line.rstrip() for line in shown.strip().splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _strategies() -> dict[str, str]:
    """What every strategy teaches and what it costs: the committed tables of `byheart bench learn` and of its step."""
    from byheart.bench import teaching as bench

    results = ROOT.parents[1] / "bench" / "results"
    taught = [json.loads(_read(f)) for f in results.glob("learn*.json")]
    taught.sort(key=lambda t: (-t["facts"], t["seed"]))
    if not taught:
        return {}
    left = "; ".join(f"`{name}` {why}" for name, why in bench.APART.items())
    parts = [f"{MADE}# Which strategy\n\n{WHICH} Not here: {left}."]
    for run in taught:
        advice = f"Recommended: `{run['recommended']}`." if run["recommended"] else "None is good enough."
        rows = [bench.cells(f"`{n}`", run["arms"][n]) for n in bench.ranked(run["arms"])]
        title = f"{run['facts']} facts in {run['stages']} stages, {run['model']}, seed {run['seed']}"
        note = f"{run['note']} " if "note" in run else ""
        parts.append(f"## {title}\n\n{note}{advice}\n\n{table(bench.COLUMNS, rows)}")
    widest = max(taught, key=lambda t: len(t["arms"]))
    parts.insert(1, "![Recall against general loss kept](strategies.svg)")
    steps = results / "strategies.json"
    if steps.exists():
        parts.append(_overheads(json.loads(_read(steps))))
    return {"strategies.md": "\n\n".join(parts) + "\n", "strategies.svg": bench.drawn(widest["arms"]) + "\n"}


def _overheads(measured: dict[str, Any]) -> str:
    """What a step takes under every strategy, beside plain fine-tuning in the same run."""
    head = ("strategy", "time of a step", "around the stage", "state kept", "peak memory")
    rows = sorted(measured["strategies"].items(), key=lambda item: item[1].get("ratio", 1e9))
    tables = [
        table(head, [_overhead(n.removeprefix("digits:"), row) for n, row in rows if n.startswith("digits:") == digits])
        for digits in (False, True)
    ]
    note = f"{measured['note']} " if "note" in measured else ""
    words = (
        f"{note}Second of two stages, {measured['steps']} steps of {measured['batch']} examples, {measured['model']}, "
        f"threads: {measured['threads']}; time beside plain fine-tuning, which ran before, between and after."
    )
    small = "Those that serve classifiers alone, on a perceptron that learns ten digits in two halves:"
    classifiers = any(n.startswith("digits:") for n, _ in rows)
    return f"## What a step costs\n\n{words}\n\n{tables[0]}" + (f"\n\n{small}\n\n{tables[1]}" if classifiers else "")


def _overhead(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    if "error" in row:
        return f"`{name}`", row["error"], "", "", ""
    sizes = (f"{row[k] / 2**20:,.0f} MiB" for k in ("state_bytes", "peak_rss_bytes"))
    return f"`{name}`", f"{row['ratio']:.2f}", f"{row['seconds_around']:.1f} s", *sizes


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check only say which are stale; returns the exit code."""
    folders = [a for a in arguments if a != "--check"]
    folder = Path(folders[0]) if folders else ROOT.parents[1] / "docs"
    if "--check" in arguments:
        names = stale(folder)
        for name in names:
            print(f"stale: {folder / name} (run: make docs)")
        return 1 if names else 0
    for name in write(folder):
        print(f"wrote {folder / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
