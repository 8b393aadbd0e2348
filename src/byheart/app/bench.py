"""`byheart bench`: every strategy on the same teaching job, every retriever on the same dialogues.

A finished arm is not run again, so a table of hours can be built in pieces. `byheart.bench` measures.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from byheart.core.errors import BadInput

app = typer.Typer(help="Compare on equal terms.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Compare on equal terms."""


@app.command()
def learn(
    arms: Annotated[
        list[str] | None, typer.Argument(help="Strategies; if none, all that it can run, and TRL's.")
    ] = None,
    model: Annotated[str, typer.Option(help="The language model.")] = "smollm2-135m",
    facts: Annotated[int, typer.Option(help="New facts in all.", min=4)] = 200,
    stages: Annotated[int, typer.Option(help="Stages they are taught in.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="Of the people taught and of training.")] = 1,
    out: Annotated[
        str, typer.Option(help="The table as JSON; arms found in it are run again only if they failed.")
    ] = "learn.json",
    picture: Annotated[str | None, typer.Option(help="A picture to write, as SVG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    arm: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Teach new facts in stages with every strategy, and print one table."""
    from byheart.app import terminal
    from byheart.app.show import table
    from byheart.bench import teaching

    if facts % (10 * stages):
        need = f"give a multiple of {10 * stages}"
        raise BadInput(f"{facts} facts do not make {stages} stages of whole people, ten facts each; {need}")
    if arm is not None:
        typer.echo(json.dumps(teaching.run(arm, model=model, facts=facts, stages=stages, seed=seed)))
        return
    for option, path in (("--out", out), ("--picture", picture)):
        writable(option, path)
    job = {"model": model, "facts": facts, "stages": stages, "seed": seed}
    wanted = list(
        arms
        or [*teaching.COMBINATIONS, *(n for n in teaching.strategies() if n not in teaching.APART), *teaching.PEERS]
    )
    for name in wanted:
        teaching.check(name)
    done = teaching.stored(Path(out), job)
    for n, name in enumerate(wanted, 1):
        if "error" not in done["arms"].get(name, {"error": "not run yet"}):
            continue
        if not as_json:
            typer.echo(f"{n} of {len(wanted)}: {name}", err=True)
        done["arms"][name] = teaching.apart(name, job)
        Path(out).write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    done["recommended"] = teaching.recommended(done["arms"])
    Path(out).write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    if picture:
        Path(picture).write_text(teaching.drawn(done["arms"]), encoding="utf-8")
    if as_json:
        terminal.dump(done)
    else:
        rows = (teaching.cells(name, done["arms"][name]) for name in teaching.ranked(done["arms"]))
        table(terminal.console(), teaching.COLUMNS, rows)
        none = f"no arm recalls {teaching.RECALL:.0%} with general loss up {teaching.RISE:.0%} at most"
        typer.echo(f"recommended: {done['recommended']}" if done["recommended"] else none)
    if any("error" in done["arms"][name] for name in wanted):
        raise typer.Exit(1)


@app.command()
def recall(
    data: Annotated[Path, typer.Option(help="A .json file of LoCoMo or LongMemEval, or a folder with some.")],
    embedder: Annotated[str, typer.Option(help="What turns words into vectors.")] = "minilm",
    k: Annotated[int, typer.Option(help="Hits that count.", min=1)] = 10,
    out: Annotated[str | None, typer.Option(help="The table as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the turns that hold an answer in long dialogues, with every retriever, and print one table."""
    from byheart.app import terminal
    from byheart.app.show import table
    from byheart.bench import recalling
    from byheart.models.embedder import load_embedder
    from byheart.world.dialogue.dialogues import read

    writable("--out", out)
    dialogues = read(data)
    with terminal.bars(as_json) as progress:
        row = {**recalling.bench(dialogues, load_embedder(embedder), k=k, progress=progress), "embedder": embedder}
    if out:
        Path(out).write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    if as_json:
        terminal.dump(row)
        return
    table(terminal.console(), recalling.COLUMNS, recalling.cells(row))
    if row["parts"]:
        table(terminal.console(), recalling.PART_COLUMNS, recalling.part_cells(row))
    typer.echo(
        f"{row['questions']} questions about {row['turns']} turns of {row['dialogues']} dialogues; stored in "
        f"{row['seconds_to_store']:.1f} s, {row['embedder_share_of_storing']:.0%} of them for the embedder, which "
        f"takes {row['ms_to_embed_a_question']:.0f} ms for a question besides the search, "
        f"{row['embedder_share_of_a_ranked_search']:.0%} of both with the last retriever"
    )


def writable(option: str, path: str | None) -> None:
    """Refuse a place where nothing can be written before hours of work are done for it."""
    place = None if path is None else Path(path)
    if place is not None and (place.is_dir() or not os.access(place if place.exists() else place.parent, os.W_OK)):
        raise BadInput(f"{option} {path} cannot be written; give a file in a folder that is there and is yours")
