"""`byheart replicate`: run the studies, print what came out, store it."""

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
    stale: Annotated[bool, typer.Option("--stale", help="Every paper whose result is no longer of the code.")] = False,
    scale: Annotated[
        Literal["smoke", "small", "full"], typer.Option(help="How big: seconds, minutes, or as long as it takes.")
    ] = "small",
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds, from --first on (each study's own, if not given).", min=1)
    ] = None,
    first: Annotated[int | None, typer.Option(help="The first of the seeds.", min=0)] = None,
    power: Annotated[
        bool, typer.Option("--power", help="Run tuning seeds and say how many seeds the verdict needs.")
    ] = False,
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

    Ends with 0 when every claim holds, and with 3 when one fails, is inconclusive or cannot be tested here.
    """
    from byheart.app import terminal
    from byheart.core import results
    from byheart.study.base import study as studies

    if listed:
        rows = [{"paper": s, "status": results.shown(s), "claim": studies.find(s).claim} for s in studies.slugs()]
        if as_json:
            terminal.dump(rows)
        else:
            from byheart.app.show import table

            lines = ((r["paper"], r["status"], r["claim"]) for r in rows)
            table(terminal.console(), ("paper", "status", "claim"), lines)
        return
    if bool(slugs) + every + stale != 1:
        raise BadInput("name papers, or give --all or --stale, one of the three; --list shows which there are")
    chosen = list(slugs or []) or [s for s in studies.slugs() if every or results.stale(s)]
    if not slugs and scale != "smoke" and not data:
        lacking = [s for s in chosen if studies.find(s).needs]
        chosen = [s for s in chosen if s not in lacking]
        if lacking:
            typer.echo(f"left out, for they need --data: {', '.join(lacking)}", err=True)
    numbers = None if seeds is None and first is None else range(first or 0, (first or 0) + (seeds or 3))
    if power:
        _powers(chosen, numbers, jobs, data, as_json, quiet)
        return
    records = _run(chosen, numbers, scale, jobs, ray, data, out, as_json, quiet)
    if as_json:
        terminal.dump(records if not slugs or len(records) > 1 else records[0])
    if any(r["verdict"] != "holds" for r in records):
        raise typer.Exit(FELL_SHORT)


def _run(
    slugs: list[str],
    seeds: range | None,
    scale: Literal["smoke", "small", "full"],
    jobs: int,
    ray: bool,
    data: str | None,
    out: str | None,
    as_json: bool,
    quiet: bool,
) -> list[dict[str, Any]]:
    """The records of studies, those that `out` holds already among them."""
    from byheart.app import terminal
    from byheart.study.base import record as store
    from byheart.study.base import replicate as runs
    from byheart.study.base import study as studies

    console = terminal.console()
    records: dict[str, dict[str, Any]] = {}

    def done(record: dict[str, Any]) -> None:
        records[record["paper"]] = record
        if out is not None:
            store.write(record, Path(out))
            if record["fingerprint"]:
                store.write_today(record["paper"], Path(out), record["fingerprint"])
        if not as_json:
            show(record, console)

    for slug in slugs if out else ():
        own = seeds if seeds is not None else studies.find(slug).seeds
        if stored := store.stored(Path(out or ""), slug, scale, own):
            records[slug] = stored
            typer.echo(
                f"{slug}: {stored['verdict']}, as {out}/{slug}.json holds it; delete that to run it again", err=True
            )
    with terminal.bars(quiet or as_json) as progress:
        runs.replicate(
            [s for s in slugs if s not in records],
            scale=scale,
            seeds=seeds,
            jobs=jobs,
            ray=ray,
            data=Path(data) if data else None,
            begun=Path(out) / "begun" if out else None,
            progress=lambda _, n, total: progress("studies", n, total),
            done=done,
        )
    return [records[s] for s in slugs]


def _powers(slugs: list[str], seeds: range | None, jobs: int, data: str | None, as_json: bool, quiet: bool) -> None:
    """Say of each study how many seeds its primary criterion needs, by its spread on tuning seeds."""
    from byheart.app import terminal
    from byheart.study.base import replicate as runs

    with terminal.bars(quiet or as_json) as progress:
        needs = {
            slug: runs.power(slug, seeds or range(100, 105), jobs=jobs, data=Path(data) if data else None,
                             progress=lambda _, n, total: progress("tuning seeds", n, total))
            for slug in slugs
        }  # fmt: skip
    if as_json:
        terminal.dump({slug: {**vars(need), "seeds": list(need.seeds)} for slug, need in needs.items()})
        return
    for slug, need in needs.items():
        count = "more than 40 seeds, or no margin" if need.needed is None else f"{need.needed} seeds"
        typer.echo(f"{slug}: margin {need.margin:.4f}, spread {need.spread:.4f}: {count}")


def show(record: dict[str, Any], console: Console) -> None:
    """One study's result in words."""
    from byheart.core import results

    console.print(f"{record['paper']}: {record['verdict']} ({record['reason']})", style="bold", markup=False)
    console.print(f"  claim: {record['claim']} ({record['source']})", markup=False)
    for role, c in results.criteria(record):
        spread = "" if c["interval"] is None else f" [{c['interval'][0]:.3f}, {c['interval'][1]:.3f}]"
        text = f"{c['says']}: {c['measure']} {results.limit(c)}, measured {c['mean']:.3f}{spread}"
        console.print(f"  {role}, {c['verdict']}: {text}", markup=False)
    seeds = ", ".join(map(str, record["seeds"]))
    took = f"{record['seconds']:.0f} s, {record['processor_seconds']:.0f} s of processor time"
    console.print(f"  scale {record['scale']}, seeds {seeds}, {took}", style="dim", markup=False)
