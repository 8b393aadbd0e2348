"""Verbs of weights: learn, recite, forget, exam."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from byheart.memory import given
from byheart.memory.plain import Plain

if TYPE_CHECKING:
    from byheart.core.records import Certificate, Engram, Learned, Studied
    from byheart.memory.parts import Parts, Progress
    from byheart.memory.sources import Source


def learn(
    memory: Parts,
    source: Annotated[
        Source,
        Plain(
            "A file to read, or a .csv, .tsv, .json or .jsonl file of question and answer pairs.",
            kind=str,
            read=given.lessons,
            vet=given.vet_source,
        ),
    ],
    strategy: Annotated[
        Any,
        Plain(
            "A strategy, or several with commas between; list them: byheart methods.",
            kind=str,
            read=given.strategies,
        ),
    ] = "default",
    budget: Annotated[float, "Share of the old that may be lost before everything is rolled back."] = 0.05,
    general: Annotated[
        str | Path | Sequence[str] | None, "A file of general text to keep fluent in (none is needed)."
    ] = None,
    *,
    writer: Annotated[
        str | None, "The address of a model that writes the questions, one request a source; else rules do."
    ] = None,
    least: Annotated[
        float, "Least gain in the share of lessons answered in wordings not trained on, else roll back."
    ] = 0.1,
    dry_run: Annotated[bool, "Show what would be taught, and the time and memory it takes; teach nothing."] = False,
    seed: Annotated[int, "Of the order of examples, and of all that strategies draw."] = 0,
    progress: Progress | None = None,
) -> Learned:
    """Teach the weights, or roll back.

    What is taught is a file, texts, question/answer pairs, or engrams of this memory; all or nothing. Pairs may be rows
    of instructions or chats, in a list or a file (`byheart.memory.pairs`). Of texts, what a reader would ask is taught;
    `study` and `dry_run` show it beforehand. A wording of each question is never trained on, and is kept for the exams.

    Examines before and after. Everything is put back and `committed` is False where `budget` is exceeded: by the rise
    of general loss, or by the fall of the quiz of common knowledge or of reading with the text there (their lower 95%
    limits count), each against the model as it came; or by the share of what was taught earlier that is lost. So it is
    where the share of lessons that are answered in the wordings kept back gains less than `least`.

    `strategy` is a name from `byheart methods`, several with commas between, or Strategy objects; `general` is text to
    stay fluent in (the default samples its own). Stopped or killed midway, the same call goes on from its last
    checkpoint.
    """
    from byheart.core.records import Learned
    from byheart.memory import access, learning, studying
    from byheart.memory.lessons import lessons_in, writing
    from byheart.memory.pairs import paired
    from byheart.memory.sources import drafted, general_texts

    access.refuse_weights(memory, "learn")
    drafts = drafted(paired(source), memory.now())
    lessons, texts = lessons_in(drafts, writing(writer)), general_texts(general)
    if dry_run:
        plan = studying.study(memory, drafts, lessons, strategy=strategy, path=None, seed=seed, progress=progress)
        report = {"lessons": list(plan.lessons), "seconds": plan.seconds, "bytes": plan.bytes}
        return Learned(version=None, committed=False, reason="dry run: nothing was taught", report=report)
    return learning.learn(
        memory,
        drafts,
        lessons,
        strategy=strategy,
        spare=budget,
        least=least,
        general=texts,
        seed=seed,
        progress=progress,
    )


def study(
    memory: Parts,
    source: Annotated[
        Source,
        Plain(
            "A file to read, or a file of question and answer pairs.",
            kind=str,
            read=given.lessons,
            vet=given.vet_source,
        ),
    ],
    out: Annotated[str | Path | None, Plain("Where to write the lessons, as lines of JSON.", kind=str | None)] = None,
    strategy: Annotated[
        Any,
        Plain("The strategy that they will be taught with.", kind=str, read=given.strategies),
    ] = "default",
    *,
    writer: Annotated[
        str | None, "The address of a model that writes the questions, one request a source; else rules do."
    ] = None,
    seed: Annotated[int, "Of what training would draw."] = 0,
    progress: Progress | None = None,
) -> Studied:
    """Show what `learn` would teach of a source.

    Gives its lessons, each a question with an answer, further wordings to train on and wordings held back for exams,
    and about how long `learn` will take and how much memory. Edit the file `out` and give it to `learn`: what you
    strike is not taught. Nothing is stored.
    """
    from byheart.memory import access, studying
    from byheart.memory.lessons import lessons_in, writing
    from byheart.memory.pairs import paired
    from byheart.memory.sources import drafted

    access.refuse_weights(memory, "study")
    drafts = drafted(paired(source), memory.now())
    path, lessons = None if out is None else Path(out), lessons_in(drafts, writing(writer))
    return studying.study(memory, drafts, lessons, strategy=strategy, path=path, seed=seed, progress=progress)


def recite(
    memory: Parts,
    questions: Annotated[str | Sequence[str], Plain("What to ask.", kind=list[str])],
    sure: Annotated[float, "How likely an answer's words must be to the model to be kept."] = 0.5,
    *,
    progress: Progress | None = None,
) -> list[Engram]:
    """Keep as text what the weights say.

    Asks closed-book and keeps each answer whose tokens are as likely as `sure` on average. The pairs name the version
    that gave them as their source.
    """
    from byheart.memory import access, reciting

    access.refuse_weights(memory, "recite")
    return reciting.recite(memory, questions, sure, progress)


def forget(
    memory: Parts,
    what: Annotated[str | Sequence[Any], "A query, or engram ids with commas between."],
    method: Annotated[Literal["auto", "relearn", "npo"], "How to remove from weights; auto is relearn."] = "auto",
    *,
    k: Annotated[int, "How many answers to sample for each forgotten question in the audit."] = 32,
    seed: Annotated[int, "Of what training and the audit draw."] = 0,
    progress: Progress | None = None,
) -> Certificate:
    """Remove something in every form, with proof.

    Ends with a certificate, or with a refusal that says what could not be shown. `what` is a query (every engram that
    says it, word for word), ids, or question/answer pairs. "relearn" trains again what was taught, without the
    forgotten, from the last version that never saw it; "npo" unlearns the current weights, faster and weaker.
    """
    from byheart.memory import forgetting

    try:
        return forgetting.forget(memory, what, method=method, k=k, seed=seed, progress=progress)
    finally:
        memory.methods.clear()
        memory.__dict__.pop("remembered", None)


def exam(
    memory: Parts,
    *,
    questions: Annotated[
        str | Path | Sequence[dict[str, Any]] | None,
        Plain("A file of your own questions and answers to ask too.", kind=str | None),
    ] = None,
    seed: Annotated[int, "Of what the exams draw."] = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Examine what the weights hold.

    What is recalled, as taught ("recall/direct") and in wordings never trained on ("recall/paraphrase"), recognised and
    retained, general ability and reading beside the untaught model's. Gives each exam's mean, n and 95% interval; the
    per-item results are stored with the version. `questions` are asked closed-book as the exam "recall/own" (pairs, in
    any of the shapes that `learn` reads; "accept" may list other right answers), and their results are given whole and
    not stored.
    """
    from byheart.memory import access, account
    from byheart.memory.pairs import pairs_of

    access.refuse_weights(memory, "exam")
    own = None if questions is None else pairs_of(questions)
    return account.exam(memory, own, seed=seed, progress=progress)
