"""The command line: `byheart VERB ...`, derived from the verbs' signatures.

Exit codes: 0 done; 1 the answer is no (rolled back, refused, damaged); 2 the input cannot be used;
3 a study fell short; 130 interrupted. Nothing heavy is imported before a verb runs.
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from byheart.app import bench, storing, studies
from byheart.app.terminal import bars, console, dump, heed_interrupts
from byheart.core.errors import BadInput, ByheartError
from byheart.memory import plain
from byheart.memory.given import schema
from byheart.memory.verbs import VERBS, Verb

if TYPE_CHECKING:
    from byheart.core.catalogue import Entry, Paper

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHARED = {
    "folder": Annotated[str, typer.Option("--memory", "-m", envvar="BYHEART_MEMORY", help="The memory's folder.")],
    "model": Annotated[str | None, typer.Option(help="The language model, when the folder is made.")],
    "embedder": Annotated[str | None, typer.Option(help="The embedder, when the folder is made.")],
    "namespace": Annotated[
        str | None, typer.Option("--namespace", "-n", help="A memory of its own within the folder, such as a user's.")
    ],
    "owner": Annotated[str | None, typer.Option(help="Whose engrams to see and to change, of several owners'.")],
    "system": Annotated[str | None, typer.Option(help="A published memory system, when the folder is made.")],
    "store": Annotated[
        str | None,
        typer.Option(envvar="BYHEART_STORE", help="postgresql://user@host/db#name, when the folder is made."),
    ],
    "as_json": Annotated[bool, typer.Option("--json", help="Print JSON; errors too.")],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")],
}
DEFAULTS: dict[str, Any] = {"folder": "./brain", "as_json": False, "quiet": False}

app = typer.Typer(
    name="byheart",
    help="Teach a language model new things, keep what it knew, make it forget, and measure all three.",
    epilog="Exit codes: 0 done, 1 the answer is no (rolled back, refused, damaged), 2 bad input, "
    "3 a study fell short, 130 interrupted.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from byheart import __version__

        typer.echo(f"byheart {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# the verbs of a memory


def _command(verb: Verb) -> Callable[..., None]:
    """A command that asks for the verb's parameters in plain words, and for those that every verb has."""
    wanted = plain.words(verb.run)
    mappings = {w.name: _flags(w)[0] for w in wanted if _maps(w.kind)}
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = []
    for word in wanted:
        annotation, default = _option(word)
        parameters.append(inspect.Parameter(word.name, kind, annotation=annotation, default=default))
    then = verb.then
    if then is not None:
        flag = typer.Option(f"--{then.name.replace('_', '-')}", help=(then.run.__doc__ or "").splitlines()[0])
        parameters.append(inspect.Parameter(then.name, kind, annotation=Annotated[bool, flag], default=False))
    for name, annotation in SHARED.items():
        parameters.append(inspect.Parameter(name, kind, annotation=annotation, default=DEFAULTS.get(name)))

    def command(**words: Any) -> None:
        shared = {k: words.pop(k) for k in SHARED}
        folder, namespace, as_json, quiet = (shared.pop(k) for k in ("folder", "namespace", "as_json", "quiet"))
        for name, flag in mappings.items():
            words[name] = _mapping(flag, words[name] or []) or None
        from byheart.store.folder import within

        home = within(folder, namespace)
        if not verb.creates and not home.exists():
            raise BadInput(
                f"no memory at {str(home)!r}; make one with byheart remember FILE, or name another with --memory"
            )
        follow = words.pop(then.name) if then is not None else False
        chosen = plain.values(verb.run, words)
        if not home.exists():
            plain.vet(verb.run, chosen)
        with bars(as_json or quiet) as progress, _open(home, shared) as memory:
            try:
                result = getattr(memory, verb.run.__name__)(**chosen, progress=progress)
                refused = verb.refused(result)
                if then is not None and follow:
                    outcome = getattr(memory, then.run.__name__)(result, progress=progress)
                    result, refused = {"proposals": result, "done": outcome}, then.refused(outcome)
            finally:
                _cost(memory, as_json)
        _print(verb.name, result, as_json)
        if verb.name == "list" and len(result) == words["limit"]:
            typer.echo(f"the newest {len(result)}; for more, raise --limit", err=True)
        if refused:
            raise typer.Exit(1)

    command.__name__ = verb.run.__name__
    command.__doc__ = verb.run.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _cost(memory: Any, as_json: bool) -> None:
    """What an endpoint was asked, on standard error, whether or not the verb did its work."""
    if memory.usage.requests:
        line = json.dumps({"usage": {"model": memory.model_name, **vars(memory.usage)}})
        typer.echo(line if as_json else f"asked {memory.model_name}: {memory.usage}", err=True)


def _maps(kind: Any) -> bool:
    """Whether a parameter takes names with values."""
    return any(get_origin(k) is dict for k in (kind, *get_args(kind)))


def _option(word: plain.Word) -> tuple[Any, Any]:
    """A word as typer's: an argument when it must be given or is given by place, else an option."""
    if word.default is plain.REQUIRED or word.plain.argument:
        return Annotated[word.kind, typer.Argument(help=word.plain.help)], word.default
    flags = _flags(word)
    if _maps(word.kind):
        return Annotated[list[str] | None, typer.Option(*flags, help=word.plain.help, metavar="KEY=VALUE")], None
    return Annotated[word.kind, typer.Option(*flags, help=word.plain.help)], word.default


def _flags(word: plain.Word) -> tuple[str, ...]:
    """The flags of an option: those of its annotation, else its name."""
    flag = word.name.replace("_", "-")
    return word.plain.flags or ((f"-{flag}", f"--{flag}") if len(flag) == 1 else (f"--{flag}",))


def _mapping(flag: str, items: list[str]) -> dict[str, str]:
    for item in items:
        if "=" not in item:
            raise BadInput(f"{item!r} is no KEY=VALUE; write for example {flag} a=b")
    return dict(item.split("=", 1) for item in items)


def _open(folder: Path, chosen: dict[str, str | None]) -> Any:
    """The memory in a folder."""
    from byheart.memory import Memory

    return Memory.open(folder, **{k: v for k, v in chosen.items() if v is not None})


for _verb in VERBS:
    app.command(_verb.name, help=_verb.run.__doc__, rich_help_panel="Memory")(_command(_verb))


# the catalogue


@app.command(rich_help_panel="Library")
def papers(as_json: Json = False) -> None:
    """List the papers and what their studies found."""
    from byheart.app.show import table
    from byheart.core import catalogue

    rows = [_paper(p) for p in catalogue.papers()]
    if as_json:
        dump(rows)
    else:
        table(
            console(),
            ("slug", "status", "package", "title"),
            ((r["slug"], _status(r), r["package"], r["title"]) for r in rows),
        )


@app.command(rich_help_panel="Library")
def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method's settings.")] = None, as_json: Json = False
) -> None:
    """List the methods, or the settings of one."""
    from byheart.app.show import table
    from byheart.core import catalogue

    if name is None:
        rows = [_method(e) for e in catalogue.methods()]
        if as_json:
            dump(rows)
        else:
            table(console(), ("name", "kind", "what it does"), ((r["name"], r["kind"], r["summary"]) for r in rows))
        return
    method = _method(catalogue.entry(name))
    settings = [_setting(k, t, d) for k, (t, d) in schema(name).items()]
    if as_json:
        dump({**method, "settings": settings})
        return
    out = console()
    out.print(f"{method['name']}: {method['summary']}", markup=False)
    out.print(f"from byheart.{method['module']} import {method['class']}", style="dim", markup=False)
    table(
        out,
        ("setting", "type", "default"),
        ((s["setting"], s["type"], "required" if s["required"] else repr(s["default"])) for s in settings),
    )


@app.command(rich_help_panel="Library")
def find(
    text: Annotated[str, typer.Argument(help="A name, words of a title, or an arXiv id.")], as_json: Json = False
) -> None:
    """Find methods and papers by name, title, arXiv."""
    from byheart.core import catalogue
    from byheart.core.errors import Unknown

    matches = catalogue.find(text)
    if not matches:
        known = [e.name for e in catalogue.methods()] + [p.slug for p in catalogue.papers()]
        raise Unknown.name("method or paper", text, known, "byheart papers, byheart methods")
    rows = [_method(f) if isinstance(f, catalogue.Entry) else _paper(f) for f in matches]
    if as_json:
        dump(rows)
        return
    out = console()
    for row in rows[:20]:
        if "class" in row:
            out.print(f"{row['kind']} {row['name']}", style="bold", markup=False, end=" ")
            out.print(f"byheart.{row['module']}.{row['class']}", markup=False)
            out.print(f"  {row['summary']}", markup=False)
        else:
            arxiv = f" arXiv:{row['arxiv']}" if row["arxiv"] else ""
            out.print(f"paper {row['slug']}", style="bold", markup=False, end=" ")
            out.print(f"{row['title']} ({row['package']}; {_status(row)}){arxiv}", markup=False)
            for what, where in catalogue.places(row["slug"]).items():
                out.print(f"  {what}: {where}", markup=False)
    if len(rows) > 20:
        out.print(f"and {len(rows) - 20} more; use more words, or --json for all", markup=False)


@app.command(rich_help_panel="Library")
def models(as_json: Json = False) -> None:
    """List the models and embedders known by name."""
    from byheart.models import source

    if as_json:
        dump({"models": source.MODELS, "embedders": source.EMBEDDERS})
        return
    typer.echo(f"models: {', '.join(source.MODELS)}, any hub id, any local folder")
    typer.echo(f"embedders: {', '.join(source.EMBEDDERS)}, any hub id, any local folder")


@app.command(rich_help_panel="Library")
def serve(
    model: Annotated[str, typer.Option(help="The language model to serve.")] = "smollm2-135m",
    embedder: Annotated[str | None, typer.Option(help="An embedder to serve too.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen at.", min=1, max=65535)] = 8000,
    key: Annotated[str | None, typer.Option(envvar="BYHEART_KEY", help="Ask callers for this key.")] = None,
) -> None:
    """Serve a model over the OpenAI protocol."""
    try:
        from byheart.app import serve as server
    except ModuleNotFoundError as error:
        raise BadInput(f"{error.name} is not installed; run: pip install 'byheart[serve]'") from None
    typer.echo(f"serving {model} at http://{host}:{port}/v1 (stop with Ctrl-C)", err=True)
    server.run(model, embedder, host, port, key)


app.command(rich_help_panel="Library")(studies.replicate)
app.add_typer(bench.app, name="bench", rich_help_panel="Library")
app.add_typer(storing.app, name="store", rich_help_panel="Memory")


def _setting(name: str, kind: Any, default: Any) -> dict[str, Any]:
    required = default is inspect.Parameter.empty
    shown = None if required else default
    return {"setting": name, "type": inspect.formatannotation(kind), "default": shown, "required": required}


def _method(e: Entry) -> dict[str, Any]:
    from byheart.core import catalogue

    module, _, name = e.target.partition(":")
    fields = {"name": e.name, "kind": e.kind, "module": module, "class": name, "summary": catalogue.summary(e)}
    return {**fields, "paper": e.paper, "arxiv": e.arxiv, "defaults": e.defaults}


def _paper(p: Paper) -> dict[str, Any]:
    from byheart.core import catalogue, results

    methods = [e.name for e in catalogue.methods() if e.paper == p.slug]
    return {**vars(p), "status": results.status(p.slug), "stale": results.stale(p.slug), "methods": methods}


def _status(row: dict[str, Any]) -> str:
    return f"{row['status']} (stale)" if row["stale"] else str(row["status"])


# output


def _print(verb: str, result: Any, as_json: bool) -> None:
    from byheart.app.show import plain, show

    if as_json:
        dump(plain(result))
    else:
        show(verb, result, console())


def _fail(kind: str, message: str, as_json: bool) -> None:
    """One line on standard error, and with --json an object on standard output."""
    line = " ".join(message.split())
    typer.echo(f"byheart: {line}", err=True)
    if as_json:
        dump({"error": {"type": kind, "message": line}})


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if arguments is None:
        heed_interrupts()
    try:
        code = app(args=words or ["--help"], prog_name="byheart", standalone_mode=False)
    except ByheartError as error:
        _fail(type(error).__name__, str(error), as_json)
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        # typer's usage errors have no public base class that all its releases share
        if not hasattr(error, "format_message"):
            raise
        command = "".join(f" {a}" for a in words[:1] if a.isalpha())
        reason = error.format_message().rstrip(".")
        _fail("Usage", f"{reason}, in: byheart {shlex.join(words)}; see byheart{command} --help", as_json)
        code = 2
    if code == 130:
        again = "nothing acknowledged is lost; run the same command again to go on from the last checkpoint"
        _fail("Interrupted", again, as_json)
        if arguments is None:  # interrupted inside an exec, Python would end by the signal and not by this code
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code or 0)
