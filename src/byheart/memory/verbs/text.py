"""Verbs of text: remember, list, history, archive, restore, compose, merge, split, plan, grant, recall, ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from byheart.memory import given
from byheart.memory.plain import Plain

if TYPE_CHECKING:
    from byheart.core.records import Answer, Engram, Hit, Learned, Proposal, State
    from byheart.memory.parts import Parts, Progress
    from byheart.memory.planning import Acting
    from byheart.memory.sources import Source

IDS = Plain("Engram ids with commas between.", kind=str, name="what", read=given.ids)


def remember(
    memory: Parts,
    source: Annotated[
        Source,
        Plain(
            "A file to read, a text, or - for standard input.",
            kind=str,
            name="what",
            read=given.statement,
            vet=given.vet_source,
        ),
    ],
    *,
    write: Annotated[
        str | None, "The writer that makes engrams of a text: passages, or one of byheart methods."
    ] = None,
    update: Annotated[
        bool | str | None,
        Plain(
            "Statements take the place of those that they make untrue, found by meaning.",
            kind=bool,
            default=False,
            read=given.updating,
        ),
    ] = None,
    progress: Progress | None = None,
) -> list[Engram]:
    """Keep a file or a text.

    Takes a list of texts or dicts too. Dicts take `text`, `source`, `at`, `speaker`, `key`; other keys become
    metadata. A pair of `question` and `answer` is one engram. Durable and searchable when it returns; what is there
    already is not stored twice. Raises `BadInput` for a missing, binary or empty file, with nothing stored.

    What is no longer true becomes history (`history`, `recall` with `at`): of facts with the same `key`, best
    subject/attribute as in "Marta/home", the one that began last is current; passages that a file no longer has go
    when it is read again; and with `update` a statement takes the place of the one that it makes untrue, found by
    meaning.

    `write` names the writer that makes engrams of a text (`byheart methods`: passages by default, or "atomic-facts",
    "qa-memory", "structural-memory"), `update` the updater (True is "keep-me-updated"). Where the model is an endpoint
    they ask it, a writer once for each source; `usage` says what that took.
    """
    from byheart.memory import access, remembering

    updater = memory.system.update if update is None else update or None
    updater = "keep-me-updated" if updater is True else updater
    drafts = access.owned(memory, remembering.written(memory, source, write or memory.system.write, progress))
    return remembering.remember(memory, source, drafts, update=updater, progress=progress)


def engrams(
    memory: Parts,
    state: Annotated[
        State | None,
        Plain(
            "Those that hold, were put away, or are history.",
            kind=Literal["active", "archived", "superseded", "any"],
            read=given.state,
        ),
    ] = "active",
    source: Annotated[str | None, "Only those of this source, such as a file."] = None,
    limit: Annotated[int | None, Plain("How many at most.", kind=int, default=20, flags=("-k", "--limit"))] = None,
    *,
    progress: Progress | None = None,
) -> list[Engram]:
    """List engrams, newest first.

    Those of a state (None: of any) and a source (None: of all), so many at most.
    """
    from byheart.memory import access

    return access.listed(memory, state, source, limit)


def history(
    memory: Parts, what: Annotated[str, "An engram's id, or a key."], *, progress: Progress | None = None
) -> list[Engram]:
    """What was said of one matter over time, oldest first."""
    from byheart.memory import remembering

    return remembering.history(memory, what)


def archive(memory: Parts, ids: Annotated[Sequence[str], IDS], *, progress: Progress | None = None) -> list[Engram]:
    """Put engrams out of sight of recall; restore brings them back. Nothing is lost."""
    from byheart.memory import remembering

    return remembering.archive(memory, ids, back=False)


def restore(memory: Parts, ids: Annotated[Sequence[str], IDS], *, progress: Progress | None = None) -> list[Engram]:
    """Bring archived engrams back; one with a key takes its place in that key's history."""
    from byheart.memory import remembering

    return remembering.archive(memory, ids, back=True)


def compose(
    memory: Parts,
    ids: Annotated[Sequence[str], IDS],
    text: Annotated[str | None, "What they say together (their texts, if not given)."] = None,
    *,
    progress: Progress | None = None,
) -> Engram:
    """Make one engram of several, beside them, with them for parents.

    Of one owner's active engrams; `BadInput` else.
    """
    from byheart.memory import shaping

    return shaping.compose(memory, ids, text)


def merge(
    memory: Parts,
    ids: Annotated[Sequence[str], IDS],
    text: Annotated[str | None, "What they say together (their texts, each once, if not given)."] = None,
    *,
    progress: Progress | None = None,
) -> Engram:
    """Make one engram in the place of several, which become its history."""
    from byheart.memory import shaping

    return shaping.merge(memory, ids, text)


def split(
    memory: Parts,
    id: Annotated[str, Plain("An engram's id.", name="what")],
    texts: Annotated[
        Sequence[str] | None,
        Plain("What it is to become (one for each thing it says, if not given).", kind=list[str] | None),
    ] = None,
    *,
    progress: Progress | None = None,
) -> list[Engram]:
    """Make several engrams in the place of one, which becomes their history."""
    from byheart.memory import shaping

    return shaping.split(memory, id, texts)


def plan(
    memory: Parts,
    at: Annotated[str | None, "What is due at this time (ISO-8601), not now."] = None,
    *,
    progress: Progress | None = None,
) -> list[Proposal]:
    """Say what is due: to teach, to teach again, to merge, to archive.

    With the reason for each. What is used often and settled goes into weights; what was taught is rehearsed along a
    forgetting curve that this memory's own exams give; what nobody asked for fades. Nothing is done: `carry_out` does
    it. On the command line --carry-out does, says what came of it, and ends with 1 when a lesson was rolled back.
    """
    from byheart.memory import planning

    return planning.plan(memory, at)


def carry_out(
    memory: Acting, proposals: Sequence[Proposal], *, seed: int = 0, progress: Progress | None = None
) -> list[Engram | Learned]:
    """Do what plan proposes, all of it or some; lessons together in one lesson."""
    from byheart.memory import planning

    return planning.carry_out(memory, proposals, seed, progress)


def grant(
    memory: Parts,
    to: Annotated[str, "The other owner."],
    right: Annotated[
        Literal["read", "write"] | None,
        Plain(
            "To see, to change too, or neither any more.",
            kind=Literal["read", "write", "none"],
            default="read",
            read=given.right,
        ),
    ],
    *,
    progress: Progress | None = None,
) -> dict[str, Literal["read", "write"]]:
    """Let another owner see what this owner keeps.

    "read" lets it see, "write" change too, None takes the right back. Gives all that this owner has granted so far.
    """
    from byheart.memory import access

    access.grant(memory, to, right)
    return dict(access.granted(memory))


def recall(
    memory: Parts,
    query: Annotated[str, "What to look for."],
    k: Annotated[int, "How many hits at most."] = 10,
    at: Annotated[str | None, "Only what held at this time (ISO-8601)."] = None,
    where: Annotated[dict[str, Any] | None, "Only engrams with these fields or this metadata."] = None,
    *,
    method: Annotated[str | None, "Another retriever, and rerankers, with commas between: byheart methods."] = None,
    progress: Progress | None = None,
) -> list[Hit]:
    """Search the text: scored hits and their sources, by words, meaning, and what stands beside a hit, in one score.

    Where turns have speakers, who says them and what surrounds them count too. `at` asks for what held then, history
    included. `method` names another retriever and rerankers, in order; a cross-encoder with its model:
    "cross-encoder=HUB-ID-OR-FOLDER".
    """
    from byheart.memory import asking

    hits = asking.find(memory, query, k, at, where, method or memory.system.method).hits
    memory.used(h.id for h in hits[:1])
    return hits


def ask(
    memory: Parts,
    question: Annotated[str, "The question."],
    form: Annotated[Literal["auto", "text", "weights"], "Answer from text, from weights alone, or as fits."] = "auto",
    *,
    k: Annotated[int, "How many hits to read at most."] = 6,
    reader: Annotated[str | None, "Another way to read text: byheart methods."] = None,
    progress: Progress | None = None,
) -> Answer:
    """Answer a question, from text or from weights, or not at all.

    Says what the answer cites and which form of memory it came from. "auto" reads the text first; where that does not
    say it, the weights answer closed-book what they were taught, and nothing else: the form is "none" then, the text
    empty, and the hits are the nearest. "weights" always answers from the weights alone. The memory's system finds the
    passages. A system that learns from use ("reflective-memory") learns from what the answer cites.
    """
    from byheart.memory import asking

    return asking.answer(memory, question, form, k, reader or memory.system.reader, memory.system.method)
