"""In-Memory Learning: rules in words, induced from the outcomes of guesses, revised and used for the next guess."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Subject
from byheart.core.records import Engram, Op
from byheart.recall.sentences import sentences
from byheart.recall.update.present import StoreView

_ALL = "notes"


class Count(NamedTuple):
    """How often a guess was made, and how often it was right; momentum makes fractions of both."""

    tried: float = 0.0
    right: float = 0.0


Counts = Mapping[str, Count]
"""By sign (a sentence of a description); the empty sign counts every guess of the kind."""


class InMemoryLearning:
    """Learns to tell kinds of things apart by keeping notes on which signs made its guesses right.

    Nobody labels anything: an agent guesses, the world shows whether the guess was right, and that is enough to say in
    words what speaks for a kind and what against it. Notes are read before the next guesses, so these teach more than
    the first. A batch is inducted into new notes, and the old ones are revised by them:

        n(kind, sign) <- momentum n(kind, sign) + (guesses of kind where the sign was seen, those that were right)
        score(kind | signs) = b + sum over signs of (logit p - b),  b = logit (right + 1) / (tried + kinds)
        p = (right + strength sigmoid(b)) / (tried + strength)  of the kind and the sign

    with the counts of b over all guesses of the kind. A guess comes as an addition: its text describes a thing, each
    sentence is a sign; `guess` and `right` stand in its metadata. It is passed, and only the notes are stored, an
    engram for each kind (or one for all, if a subject writes them). What has no such metadata passes unchanged.

    Parameters
    ----------
    momentum: what old notes count for when new ones come; 0 keeps the notes of the last batch.
    strength: guesses that a sign must outweigh. signs: most that a note names for a kind, and against it.
    max_tokens: of notes that a subject writes.

    Departs from the paper: there a language model inducts, revises and infers, by prompts; so it does here if a subject
    is given, which gets the old notes with each batch unless `momentum` is 0. Without a subject, induction is counting,
    and momentum a number. Read were the abstract and summaries, which leave batch size and momentum open.

    It learns from what is remembered; `infer` asks the notes, which `recall` finds too. Without notes it knows nothing
    of any kind, and scores all alike.

    >>> import tempfile
    >>> from byheart import Memory
    >>> with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder="hash") as memory:
    ...     seen = [("It has fur.", "zog", True), ("It can fly.", "zog", False)]
    ...     guesses = [{"text": t, "guess": g, "right": r} for t, g, r in seen]
    ...     _ = memory.remember(guesses, update="in-memory-learning")
    ...     learner = memory.methods.get("in-memory-learning")
    ...     [round(learner.infer(memory.store, text, ["zog", "wug"])[0], 1) for text, _, _ in seen]
    [0.7, -0.7]
    >>> outcome = {"guess": "zog", "right": True}
    >>> op = Op(kind="add", engram=Engram(id="1", text="It has fur. It can fly.", created="", metadata=outcome))
    >>> counted([op.engram])["zog"]["It has fur."]
    Count(tried=1.0, right=1.0)

    References: Wang et al. 2024, arXiv:2403.02757, abstract; induction, revision and inference as summaries of it
    describe them.
    """

    name: ClassVar[str] = "in-memory-learning"
    paper: ClassVar[str] = "in-memory-learning"
    arxiv: ClassVar[str] = "2403.02757"

    def __init__(self, *, momentum: float = 0.95, strength: float = 2.0, signs: int = 5, max_tokens: int = 256) -> None:
        if not 0 <= momentum <= 1:
            raise BadInput(f"momentum={momentum}: give a number from 0 (the last batch) to 1 (every batch alike)")
        if strength <= 0:
            raise BadInput(f"strength={strength} would let one guess decide; give a number above 0")
        if min(signs, max_tokens) < 1:
            raise BadInput(f"signs={signs}, max_tokens={max_tokens}: give 1 or more of each")
        self.momentum, self.strength, self.signs, self.max_tokens = momentum, strength, signs, max_tokens

    def reconcile(
        self, view: StoreView, ops: Sequence[Op], embedder: Embedder, subject: Subject | None = None
    ) -> list[Op]:
        """The operations with guesses passed, and before the first of an owner's the notes that all of them make."""
        batches: dict[str | None, list[Engram]] = {}
        for op in ops:
            if op.engram is not None and _is_guess(op):
                batches.setdefault(op.engram.owner, []).append(op.engram)
        out: list[Op] = []
        notes: dict[str | None, str] = {}
        for op in ops:
            if op.engram is None or not _is_guess(op):
                out.append(op)
                continue
            owner = op.engram.owner
            if owner not in notes:
                made = (
                    self._by_subject(view, batches[owner], subject) if subject else self._by_rule(view, batches[owner])
                )
                notes[owner] = made[0].engram.id if made and made[0].engram else ""
                out += made
            if notes[owner]:
                out.append(Op(kind="pass", engram=op.engram, target=notes[owner], reason="noted"))
        return out

    def infer(
        self,
        view: StoreView,
        text: str,
        kinds: Sequence[str],
        subject: Subject | None = None,
        owner: str | None = None,
    ) -> list[float]:
        """A score for each kind that a thing may be of, by the notes; a subject's is its mean log-probability."""
        notes = {kind: _note(view, kind, owner) for kind in [_ALL, *kinds]}
        if subject is not None:
            rules = "\n".join(n.text for n in notes.values() if n is not None)
            prompt = f"{rules}\n\n{text}\nIs it a {', a '.join(kinds[:-1])} or a {kinds[-1]}? Reply with one word."
            scored = subject.score([([{"role": "user", "content": prompt.strip()}], kind) for kind in kinds])
            return [math.fsum(s) / max(1, len(s)) for s in scored]
        signs = dict.fromkeys(sentences(text))
        out = []
        for kind in kinds:
            note = notes[kind]
            known = counts(note) if note else {}
            every = known.get("", Count())
            base = (every.right + 1) / (every.tried + max(2, len(kinds)))
            score = _logit(base)
            for sign in signs:
                tried, right = known.get(sign, Count())
                p = (right + self.strength * base) / (tried + self.strength)
                score += _logit(p) - _logit(base)
            out.append(score)
        return out

    def _by_rule(self, view: StoreView, batch: Sequence[Engram]) -> list[Op]:
        """A note for each kind that was guessed, counted; those on other kinds stay as they are."""
        owner, fresh = batch[0].owner, counted(batch)
        out = []
        for kind in sorted(fresh):
            old = _note(view, kind, owner)
            before, new = counts(old) if old else {}, fresh[kind]
            merged = {
                sign: Count(
                    *(
                        self.momentum * a + b
                        for a, b in zip(before.get(sign, Count()), new.get(sign, Count()), strict=True)
                    )
                )
                for sign in [*before, *(s for s in new if s not in before)]
            }
            out.append(
                _revision(batch[0], kind, self.sentence(kind, merged), old, {s: list(c) for s, c in merged.items()})
            )
        return out

    def sentence(self, kind: str, known: Counts) -> str:
        """What the counts of a kind say in words, the surest signs first."""
        tried, right = known.get("", Count())
        rate = right / max(tried, 1e-9)
        ranked = sorted(
            ((c.right - rate * c.tried, sign, c) for sign, c in known.items() if sign),
            key=lambda pair: (-abs(pair[0]), pair[1]),
        )
        parts = [f"Guessing a {kind} was right {right:.0f} times of {tried:.0f}."]
        for words, sense in ((f"Signs of a {kind}:", 1), ("Signs against it:", -1)):
            chosen = [f"{s} ({c.right:.0f} of {c.tried:.0f})" for lift, s, c in ranked if lift * sense > 0][
                : self.signs
            ]
            parts += [f"{words} {' '.join(chosen)}"] if chosen else []
        return " ".join(parts)

    def _by_subject(self, view: StoreView, batch: Sequence[Engram], subject: Subject) -> list[Op]:
        """One note for all kinds, written by the subject; nothing when it says nothing."""
        old = _note(view, _ALL, batch[0].owner)
        seen = "\n".join(
            f"{e.text} I said: {e.metadata['guess']}. That was {'right' if e.metadata['right'] else 'wrong'}."
            for e in batch
        )
        prompt = f"{seen}\n\nWrite short rules that tell which kind a thing is, from what was right and wrong above."
        if old is not None and self.momentum > 0:
            prompt += f" Revise these older rules; keep what still holds:\n{old.text}"
        reply = subject.generate([[{"role": "user", "content": prompt}]], max_tokens=self.max_tokens)[0][0].text
        text = reply.encode("utf-8", "ignore").decode().replace("\0", "").strip()
        return [_revision(batch[0], _ALL, text, old, None)] if text else []


def counted(batch: Sequence[Engram]) -> dict[str, dict[str, Count]]:
    """For each kind that was guessed the counts of its signs."""
    out: dict[str, dict[str, Count]] = {}
    for e in batch:
        known = out.setdefault(str(e.metadata["guess"]), {})
        for sign in ["", *dict.fromkeys(sentences(e.text))]:
            tried, right = known.get(sign, Count())
            known[sign] = Count(tried + 1, right + bool(e.metadata["right"]))
    return out


def counts(note: Engram) -> dict[str, Count]:
    """The counts that a note was written from; none when a subject wrote it."""
    stored = note.metadata.get("counts")
    return {str(s): Count(*map(float, c)) for s, c in stored.items()} if isinstance(stored, dict) else {}


def _is_guess(op: Op) -> bool:
    metadata: Mapping[str, Any] = op.engram.metadata if op.engram is not None else {}
    return op.kind == "add" and isinstance(metadata.get("guess"), str) and isinstance(metadata.get("right"), bool)


def _note(view: StoreView, kind: str, owner: str | None) -> Engram | None:
    """The current note on a kind."""
    return next((e for e in reversed(view.keyed(f"note on {kind}", owner)) if e.state == "active"), None)


def _revision(draft: Engram, kind: str, text: str, old: Engram | None, known: dict[str, list[float]] | None) -> Op:
    """The operation that stores a note under its kind's key."""
    metadata: dict[str, Any] = {"note": kind, **({"counts": known} if known is not None else {})}
    name = f"{draft.id} note {kind}"
    engram = Engram(
        id=name, text=text, owner=draft.owner, at=draft.at, created=draft.created, key=f"note on {kind}",
        metadata=metadata, parents=(old.id,) if old else (),
    )  # fmt: skip
    return Op(kind="replace" if old else "add", engram=engram, target=old.id if old else None, reason="revised notes")


def _logit(p: float) -> float:
    return math.log(p / (1 - p)) if 0 < p < 1 else math.copysign(30.0, p - 0.5)
