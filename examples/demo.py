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
from rich.table import Table

from byheart import ByheartError, Memory
from byheart.app.terminal import bars

HANDBOOK = Path(__file__).parent / "handbook.md"
FORGET = "Marta Kask"


def main() -> int:
    parser = argparse.ArgumentParser(description="teach a model a file, keep the rest, forget a person, show it")
    parser.add_argument("file", nargs="?", default=str(HANDBOOK))
    parser.add_argument("--folder", default="demo", help="where the memory is made; a memory there is replaced")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--forget", help="what to forget (default: a person of the handbook, or the first answer)")
    args = parser.parse_args()
    console = Console(highlight=False)
    folder = Path(args.folder)
    if (folder / "memory.db").exists():
        shutil.rmtree(folder)
    started = time.monotonic()
    try:
        with Memory.open(folder, model=args.model, embedder=args.embedder) as memory:
            committed = run(memory, Path(args.file), args.forget, console)
    except ByheartError as error:
        console.print(f"byheart: {error}", style="red", markup=False)
        return 2
    console.print(
        f"\n{time.monotonic() - started:.0f} seconds. The memory is in {folder}/, the page is {folder}/report.html"
    )
    return 0 if committed else 1


def run(memory: Memory, file: Path, forget: str | None, console: Console) -> bool:
    """The five steps; False when learning was rolled back."""
    console.rule(f"1. Remember {file.name} as text")
    engrams = memory.remember(str(file))
    console.print(f"{len(engrams)} engrams, durable and searchable.")

    console.rule("2. Learn it into the weights, or roll back")
    with bars(silent=False) as progress:
        # so small a model pays for a page with some points of the quiz; the line below says how many
        learned = memory.learn(str(file), budget=0.1, progress=progress)
    report = learned.report
    if not learned.committed:
        console.print(learned.reason)
        return False
    console.print(
        f"Version {learned.version}: of its questions, {report['recall']:.0%} are answered closed-book in wordings "
        f"never trained on ({report['recall_before']:.0%} before), {report['verbatim']:.0%} as taught, after "
        f"{report['seconds']:.0f} s of training; general loss {report['general_rise']:+.2%}; quiz of common knowledge "
        f"{report['quiz_before']:.0%} before, {report['quiz_after']:.0%} after; reading {report['reading_before']:.0%} "
        f"before, {report['reading_after']:.0%} after."
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
    with bars(silent=False) as progress:
        certificate = memory.forget(what, progress=progress)
    console.print(str(certificate), markup=False)
    for item in [i for i in items if what in i.question or what in i.answer][:3]:
        console.print(f"  {item.question} -> {memory.ask(item.question, form='weights').text}", markup=False)

    console.rule("5. Examine what is left, and report")
    with bars(silent=False) as progress:
        exams = memory.exam(progress=progress)["exams"]
    for name, figure in exams.items():
        unit = "nats" if name.startswith("general") else ""
        console.print(f"  {name}: {figure['mean']:.3f} {unit} (n={figure['n']})")
    memory.report(memory.folder.path / "report.html")
    return True


if __name__ == "__main__":
    sys.exit(main())
