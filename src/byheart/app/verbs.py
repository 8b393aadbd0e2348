"""The verbs of a memory, once: command line, HTTP and MCP all call these functions with plain parameters.

Each takes an open `Memory` and typed, serialisable parameters (their help is in the annotation) and
gives back records. The ways in derive their parameters from the signatures, so a verb is changed here
and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from byheart.app.given import ids, pairs, statement, strategies

if TYPE_CHECKING:
    from byheart.core.records import Answer, Certificate, Engram, Hit, Learned, Proposal
    from byheart.memory import Memory

Progress = Callable[[str, int, int], None]


def remember(
    memory: Memory,
    what: Annotated[str, "A file to read, a text, or - for standard input."],
    update: Annotated[bool, "Statements take the place of those that they make untrue, found by meaning."] = False,
    write: Annotated[
        str | None, "The writer that makes engrams of a text: passages, or one of byheart methods."
    ] = None,
    updater: Annotated[str | None, "The updater, if not keep-me-updated."] = None,
    key: Annotated[str | None, "What a statement is a fact about, such as Marta/home: the newest is current."] = None,
    at: Annotated[str | None, "When a text was said (ISO-8601)."] = None,
    valid_from: Annotated[str | None, "From when it is true (ISO-8601)."] = None,
    valid_to: Annotated[str | None, "Until when it is true (ISO-8601)."] = None,
    source: Annotated[str | None, "Where a text is from; a file is its own source."] = None,
    *,
    progress: Progress | None = None,
) -> list[Engram]:
    """Keep a file or a text.

    It is durable, and can be recalled, when this returns. What a file no longer says is history.
    """
    said = sys.stdin.read() if what == "-" else what
    told = statement(said, write, key=key, at=at, valid_from=valid_from, valid_to=valid_to, source=source)
    return memory.remember(told, write=write, update=updater or update, progress=progress)


def list_(
    memory: Memory,
    state: Annotated[
        Literal["active", "archived", "superseded", "any"], "Those that hold, were put away, or are history."
    ] = "active",
    source: Annotated[str | None, "Only those of this source, such as a file."] = None,
    limit: Annotated[int, "How many at most."] = 20,
    *,
    progress: Progress | None = None,
) -> list[Engram]:
    """List engrams, newest first."""
    return memory.engrams(None if state == "any" else state, source, limit, progress=progress)


def history(
    memory: Memory, what: Annotated[str, "An engram's id, or a key."], *, progress: Progress | None = None
) -> list[Engram]:
    """What was said of one matter over time, oldest first."""
    return memory.history(what, progress=progress)


def archive(
    memory: Memory, what: Annotated[str, "Engram ids with commas between."], *, progress: Progress | None = None
) -> list[Engram]:
    """Put engrams out of sight of recall; restore brings them back."""
    return memory.archive(ids(what), progress=progress)


def restore(
    memory: Memory, what: Annotated[str, "Engram ids with commas between."], *, progress: Progress | None = None
) -> list[Engram]:
    """Bring archived engrams back."""
    return memory.restore(ids(what), progress=progress)


def compose(
    memory: Memory,
    what: Annotated[str, "Engram ids with commas between."],
    text: Annotated[str | None, "What they say together (their texts, if not given)."] = None,
    *,
    progress: Progress | None = None,
) -> Engram:
    """Make one engram of several, beside them."""
    return memory.compose(ids(what), text, progress=progress)


def merge(
    memory: Memory,
    what: Annotated[str, "Engram ids with commas between."],
    text: Annotated[str | None, "What they say together (their texts, if not given)."] = None,
    *,
    progress: Progress | None = None,
) -> Engram:
    """Make one engram in the place of several, which become its history."""
    return memory.merge(ids(what), text, progress=progress)


def split(
    memory: Memory,
    what: Annotated[str, "An engram's id."],
    texts: Annotated[list[str] | None, "What it is to become (one for each thing it says, if not given)."] = None,
    *,
    progress: Progress | None = None,
) -> list[Engram]:
    """Make several engrams in the place of one, which becomes their history."""
    return memory.split(what, texts, progress=progress)


def plan(
    memory: Memory,
    at: Annotated[str | None, "What is due at this time (ISO-8601), not now."] = None,
    carry_out: Annotated[bool, "Do it."] = False,
    *,
    progress: Progress | None = None,
) -> list[Proposal] | dict[str, Any]:
    """Say what is due: to teach, to teach again, to merge, to archive.

    With the reason for each. What is used often and settled goes into weights; what nobody asked for fades.
    Carried out, it says what came of it, and ends with 1 when a lesson was rolled back.
    """
    found = memory.plan(at, progress=progress)
    if not carry_out:
        return found
    return {"proposals": found, "done": memory.carry_out(found, progress=progress)}


def grant(
    memory: Memory,
    to: Annotated[str, "The other owner."],
    right: Annotated[Literal["read", "write", "none"], "To see, to change too, or neither any more."] = "read",
    *,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Let another owner see what --owner keeps.

    Gives all that this owner has granted so far.
    """
    from byheart.memory.access import granted

    memory.grant(to, None if right == "none" else right, progress=progress)
    return dict(granted(memory))


def recite(
    memory: Memory,
    questions: Annotated[list[str], "What to ask."],
    sure: Annotated[float, "How likely an answer's words must be to the model to be kept."] = 0.5,
    *,
    progress: Progress | None = None,
) -> list[Engram]:
    """Keep as text what the weights say."""
    return memory.recite(questions, sure, progress=progress)


def recall(
    memory: Memory,
    query: Annotated[str, "What to look for."],
    k: Annotated[int, "How many hits at most."] = 10,
    at: Annotated[str | None, "Only what held at this time (ISO-8601)."] = None,
    where: Annotated[dict[str, str] | None, "Only engrams with this metadata."] = None,
    method: Annotated[str | None, "Another retriever, and rerankers, with commas between: byheart methods."] = None,
    *,
    progress: Progress | None = None,
) -> list[Hit]:
    """Search the text: scored hits and their sources."""
    return memory.recall(query, k=k, at=at, where=where, method=method, progress=progress)


def ask(
    memory: Memory,
    question: Annotated[str, "The question."],
    form: Annotated[Literal["auto", "text", "weights"], "Answer from text, from weights alone, or as fits."] = "auto",
    reader: Annotated[str | None, "Another way to read text: byheart methods."] = None,
    *,
    progress: Progress | None = None,
) -> Answer:
    """Answer a question, from text or from weights.

    Says what the answer cites and which form of memory it came from.
    """
    return memory.ask(question, form=form, reader=reader, progress=progress)


def learn(
    memory: Memory,
    source: Annotated[str, "A file to read, or a .json or .jsonl file of question and answer pairs."],
    strategy: Annotated[str, "A strategy, or several with commas between; list them: byheart methods."] = "default",
    budget: Annotated[float, "Share of the old that may be lost before everything is rolled back."] = 0.01,
    general: Annotated[str | None, "A file of general text to keep fluent in (none is needed)."] = None,
    settings: Annotated[
        dict[str, str] | None, "A setting of a strategy, such as strength=10 or ewc.strength=10."
    ] = None,
    *,
    progress: Progress | None = None,
) -> Learned:
    """Teach the weights, or roll back.

    Examines before and after, and commits only if no more than the budget was lost. Stopped midway,
    the same command goes on from the last checkpoint.
    """
    return memory.learn(
        pairs(source) if source.endswith((".json", ".jsonl")) else source,
        strategy=strategies(strategy, settings or {}),
        budget=budget,
        general=general,
        progress=progress,
    )


def exam(memory: Memory, *, progress: Progress | None = None) -> Any:
    """Examine what the weights hold.

    What is recalled, recognised and retained, and general ability beside the untaught model's.
    """
    return memory.exam(progress=progress)


def forget(
    memory: Memory,
    what: Annotated[str, "A query, or engram ids with commas between."],
    method: Annotated[Literal["auto", "relearn", "npo"], "How to remove from weights; auto is relearn."] = "auto",
    *,
    progress: Progress | None = None,
) -> Certificate:
    """Remove something in every form, with proof.

    Ends with a certificate, or with a refusal that says what could not be shown.
    """
    return memory.forget(what, method=method, progress=progress)


def log(memory: Memory, *, progress: Progress | None = None) -> Any:
    """The versions, newest first."""
    return memory.log(progress=progress)


def diff(
    memory: Memory,
    a: Annotated[str, "The earlier version."],
    b: Annotated[str, "The later version."],
    *,
    progress: Progress | None = None,
) -> Any:
    """Facts gained and lost between two versions."""
    return memory.diff(a, b, progress=progress)


def revert(
    memory: Memory, version: Annotated[str, "The version to go back to."], *, progress: Progress | None = None
) -> Any:
    """Go back to a version, weights bit for bit."""
    return memory.revert(version, progress=progress)


def report(
    memory: Memory, path: Annotated[str, "The page to write."] = "report.html", *, progress: Progress | None = None
) -> Any:
    """Write a page on what was learned, kept, lost.

    Self-contained: forgetting curves, plasticity against stability, certificates, versions.
    """
    return memory.report(path, progress=progress) or path


def export(
    memory: Memory,
    path: Annotated[str, "The folder to write."],
    version: Annotated[str | None, "Which version (the current one if not given)."] = None,
    adapter: Annotated[bool, "Write a PEFT adapter instead of a whole checkpoint."] = False,
    *,
    progress: Progress | None = None,
) -> Any:
    """Write a transformers checkpoint or PEFT adapter."""
    return memory.export(path, version=version, adapter=adapter, progress=progress) or path


def check(memory: Memory, *, progress: Progress | None = None) -> list[str]:
    """Compare files, checksums and indexes.

    Says what is damaged, or nothing.
    """
    return memory.check(progress=progress)


VERBS: tuple[Callable[..., Any], ...] = (
    remember,
    list_,
    history,
    archive,
    restore,
    compose,
    merge,
    split,
    plan,
    grant,
    recite,
    recall,
    ask,
    learn,
    exam,
    forget,
    log,
    diff,
    revert,
    report,
    export,
    check,
)
CREATES = frozenset({"remember", "learn"})


def vet(given: dict[str, Any]) -> None:
    """Refuse bad input of a verb that creates a memory before there is one."""
    from byheart.core.catalogue import make
    from byheart.memory.sources import drafted

    if "strategy" not in given:
        if given["what"] != "-":
            fields = {k: given.get(k) for k in ("key", "at", "valid_from", "valid_to", "source")}
            drafted(statement(given["what"], given.get("write"), **fields))
        return
    source = given["source"]
    drafted(pairs(source) if source.endswith((".json", ".jsonl")) else source)
    chosen = strategies(given["strategy"], given.get("settings") or {})
    if isinstance(chosen, str) and chosen != "default":
        make(chosen)
