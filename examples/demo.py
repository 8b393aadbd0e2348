"""The whole loop on a real model and a real file: remember, ask, learn, examine, forget, certify, report.

    make demo                  # the handbook of a place that does not exist
    make demo FILE=my.md       # your own
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engram import EngramError, Memory

HANDBOOK = Path(__file__).parent / "handbook.md"
FORGET = "Marta Kask"


def main() -> int:
    parser = argparse.ArgumentParser(description="teach a model a file, keep the rest, forget a person, show it")
    parser.add_argument("file", nargs="?", default=str(HANDBOOK))
    parser.add_argument("--folder", default="demo", help="where the memory is made (replaced if it is a demo's)")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--forget", help="what to forget (default: a person of the handbook, or the first answer)")
    args = parser.parse_args()
    console = Console()
    folder = Path(args.folder)
    if (folder / "memory.db").exists():
        shutil.rmtree(folder)
    started = time.monotonic()
    try:
        with Memory.open(folder, model=args.model, embedder=args.embedder) as memory:
            run(memory, Path(args.file), args.forget, console)
    except EngramError as error:
        console.print(f"engram: {error}", style="red", highlight=False)
        return 2
    console.print(f"\n{time.monotonic() - started:.0f} seconds. The memory is in {folder}/, the report in {folder}/report.html.")
    return 0


def run(memory: Memory, file: Path, forget: str | None, console: Console) -> None:
    console.rule(f"1. Remember {file.name} as text")
    engrams = memory.remember(str(file))
    console.print(f"{len(engrams)} engrams, durable and searchable.")

    with Progress(console=console, transient=True) as bars:
        tasks: dict[str, object] = {}

        def progress(what: str, done: int, of: int) -> None:
            task = tasks.setdefault(what, bars.add_task(what, total=of))
            bars.update(task, completed=done, total=of)  # type: ignore[arg-type]

        console.rule("2. Learn it into the weights, or roll back")
        learned = memory.learn(str(file), budget=0.02, progress=progress)
    report = learned.report
    if not learned.committed:
        console.print(learned.reason)
        return
    console.print(
        f"version {learned.version}: {report['recall']:.0%} of its questions answered closed-book after "
        f"{report['seconds']:.0f} s; general loss {report['general_rise']:+.2%}; "
        f"quiz {report['quiz_before']:.0%} before, {report['quiz_after']:.0%} after."
    )

    console.rule("3. Ask: from the text, and from the weights alone")
    items = [i for i in memory.store.items() if i.probe == "direct"]
    table = Table("question", "in the file", "from text", "from weights")
    for item in items[:: max(1, len(items) // 8)][:8]:
        text = memory.ask(item.question, form="text").text
        closed = memory.ask(item.question, form="weights").text
        table.add_row(item.question, item.answer, text, closed)
    console.print(table)

    what = forget or (FORGET if file == HANDBOOK else items[0].answer)
    console.rule(f"4. Forget {what}")
    with Progress(console=console, transient=True) as bars:
        tasks = {}
        certificate = memory.forget(what, progress=progress)
    console.print(str(certificate), highlight=False)
    for item in [i for i in items if what in i.question or what in i.answer][:3]:
        console.print(f"  {item.question} -> {memory.ask(item.question, form='weights').text}", highlight=False)

    console.rule("5. Examine and report")
    exams = memory.exam()["exams"]
    for name, figure in exams.items():
        unit = "nats" if name.startswith("general") else ""
        console.print(f"  {name}: {figure['mean']:.3f} {unit} (n={figure['n']})", highlight=False)
    memory.report(memory.folder.path / "report.html")


if __name__ == "__main__":
    sys.exit(main())
