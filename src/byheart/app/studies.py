"""`byheart replicate`: run the studies, print what they found, store it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from byheart.core.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

FELL_SHORT = 3


def replicate(
    slugs: Annotated[list[str] | None, typer.Argument(help="The papers, by slug.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every paper that has a study.")] = False,
    scale: Annotated[
        Literal["smoke", "small", "full"], typer.Option(help="How big: seconds, minutes, or as long as it takes.")
    ] = "small",
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 3,
    first: Annotated[int, typer.Option(help="The first of the seeds.", min=0)] = 0,
    jobs: Annotated[int, typer.Option(help="Processes side by side; the cores are shared.", min=1)] = 1,
    ray: Annotated[bool, typer.Option("--ray", help="Run on a Ray cluster.")] = False,
    data: Annotated[str | None, typer.Option(help="The folder of public data sets, for studies that need one.")] = None,
    out: Annotated[
        str | None, typer.Option(help="A folder for the results, one JSON file each; what it holds is not run again.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list the studies.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Run papers' studies: claim, threshold, measured, verdict.

    Ends with 0 when every claim holds, and with 3 when one fails or is inconclusive.
    """
    from byheart.app import terminal
    from byheart.core import catalogue
    from byheart.study import trial

    if listed:
        rows = [{"paper": s, "status": catalogue.status(s), "claim": trial.find(s).claim} for s in trial.slugs()]
        if as_json:
            terminal.dump(rows)
        else:
            from byheart.app.show import table

            shown = ((r["paper"], r["status"], r["claim"]) for r in rows)
            table(terminal.console(), ("paper", "status", "claim"), shown)
        return
    if bool(slugs) == every:
        raise BadInput("name papers or give --all, one of the two; byheart replicate --list shows which there are")
    from byheart.study import replicate as runs

    console = terminal.console()
    found: dict[str, dict[str, Any]] = {}

    def done(one: dict[str, Any]) -> None:
        found[one["paper"]] = one
        if out is not None:
            runs.write(one, Path(out))
        if not as_json:
            show(one, console)

    wanted, chosen = trial.slugs() if every else list(slugs or []), range(first, first + seeds)
    if every and scale != "smoke" and not data:
        lacking = [s for s in wanted if trial.find(s).needs]
        wanted = [s for s in wanted if s not in lacking]
        typer.echo(f"left out, for they need --data: {', '.join(lacking)}", err=True)
    found |= {s: one for s in wanted if out and (one := runs.stored(Path(out), s, scale, chosen))}
    for slug, one in found.items():
        typer.echo(f"{slug}: {one['verdict']}, as {out}/{slug}.json holds it; delete that to run it again", err=True)
    with terminal.bars(quiet or as_json) as progress:
        runs.replicate(
            [s for s in wanted if s not in found],
            scale=scale,
            seeds=chosen,
            jobs=jobs,
            ray=ray,
            data=Path(data) if data else None,
            kept=Path(out) / "begun" if out else None,
            progress=lambda _, n, total: progress("studies", n, total),
            done=done,
        )
    told = [found[s] for s in wanted]
    if as_json:
        terminal.dump(told if every or len(told) > 1 else told[0])
    if any(f["verdict"] != "holds" for f in told):
        raise typer.Exit(FELL_SHORT)


def show(found: dict[str, Any], console: Console) -> None:
    """One study's result in words."""
    console.print(f"{found['paper']}: {found['verdict']}", style="bold", markup=False)
    console.print(f"  claim: {found['claim']} ({found['source']})", markup=False)
    for c in found["criteria"]:
        limit = f">= {c['at_least']:g}" if "at_least" in c else f"<= {c['at_most']:g}"
        spread = "" if c["interval"] is None else f" [{c['interval'][0]:.3f}, {c['interval'][1]:.3f}]"
        console.print(
            f"  {c['verdict']}: {c['says']}: {c['measure']} {limit}, measured {c['mean']:.3f}{spread}", markup=False
        )
    seeds = ", ".join(map(str, found["seeds"]))
    took = f"{found['seconds']:.0f} s, {found['processor_seconds']:.0f} s of processor time"
    console.print(f"  scale {found['scale']}, seeds {seeds}, {took}", style="dim", markup=False)
