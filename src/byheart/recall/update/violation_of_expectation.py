"""Violation of expectation: facts about a user are stored where a message was not as expected, and only there."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Subject
from byheart.core.records import Engram, Op
from byheart.recall.read.evidence import content
from byheart.recall.sentences import sentences
from byheart.recall.update.present import StoreView
from byheart.recall.write.atomic_facts import AtomicFacts


class ViolationOfExpectation:
    """Expects a user's next message, compares it with what came, and keeps what it says if it was a surprise.

    What a model expects anyway need not be stored; what surprises it is what it did not know of this user. Facts that
    come of surprises are recalled for the next expectation, so that the same thing surprises once.

        surprise = 1 - max over sentences s of the message of cos(expected, s),          without a subject
                   -mean log p(message | earlier turns, facts recalled for it), with a subject (nats per token)

    A message comes as an addition with the user as its owner; its metadata has `asked`, the text that the user answers,
    `expected`, the message that was expected then ("" is a surprise; where it is left out, what `expect` says of what
    is kept), and `before`, if more was known. The
    facts of a message that surprises are added, each with the question, so that it can be understood alone; those
    that are known, or were expected, are not. The message itself is passed. What has no such metadata passes unchanged.

    Parameters
    ----------
    alike: cosine from which a message is what was expected. nats: surprise per token from which it is not.
    same: cosine from which two facts are the same. near: cosine from which two questions are about the same.
    recalled: facts that an expectation is made from.
    derive: whether a subject writes the facts; else they are the sentences of the message, cut into single facts.
    max_tokens: of what a subject writes.

    Departs from the paper: there a language model expects, revises its expectation by the facts recalled, compares,
    and derives facts, each by a prompt. Here expecting is a single prompt that has the facts already; likelihood or
    distance compares; rules write the facts unless `derive` is set. Without a subject the replies to questions like
    this are expected.

    It learns from stored facts: the facts of a user make the next expectations, and without any of it
    every message is a surprise.

    >>> import tempfile
    >>> from byheart import Memory
    >>> with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder="hash") as memory:
    ...     message = {"text": "Green tea, please.", "asked": "What will you drink?"}
    ...     _ = memory.remember([message], update="violation-of-expectation")
    ...     keeps = memory.methods.get("violation-of-expectation")
    ...     keeps.expect(memory.store, memory.embedder, "What will you drink?")
    'Green tea, please.'
    >>> from byheart.models.embedder import HashEmbedder
    >>> metadata = {"asked": "What will you drink?", "expected": "Coffee, please."}
    >>> message = Engram(id="1", text="Green tea for me.", owner="ann", created="", metadata=metadata)
    >>> keeps = ViolationOfExpectation()
    >>> [round(keeps.surprise(HashEmbedder(), message.text, e), 2) for e in ("Green tea for me.", "Coffee, please.")]
    [0.0, 1.0]

    References: Leer et al. 2023, arXiv:2310.06983, the metacognitive prompting framework; the authors'
    github.com/plastic-labs/tutor-gpt, prompts voe_thought, voe and check_voe_list.
    """

    name: ClassVar[str] = "violation-of-expectation"
    paper: ClassVar[str] = "violation-of-expectation"
    arxiv: ClassVar[str] = "2310.06983"

    def __init__(
        self,
        *,
        alike: float = 0.8,
        nats: float = 2.5,
        same: float = 0.9,
        near: float = 0.4,
        recalled: int = 3,
        derive: bool = False,
        max_tokens: int = 128,
    ) -> None:
        for name, value in (("alike", alike), ("same", same), ("near", near)):
            if not 0 < value <= 1:
                raise BadInput(f"{name}={value}: give a cosine above 0 and up to 1")
        if nats < 0:
            raise BadInput(f"nats={nats}: no message is likelier than certain; give 0 or more")
        if min(recalled, max_tokens) < 1:
            raise BadInput(f"recalled={recalled}, max_tokens={max_tokens}: give 1 or more of each")
        self.alike, self.nats, self.same, self.near = alike, nats, same, near
        self.recalled, self.derive, self.max_tokens = recalled, derive, max_tokens

    def reconcile(
        self, view: StoreView, ops: Sequence[Op], embedder: Embedder, subject: Subject | None = None
    ) -> list[Op]:
        """The operations with a user's messages as the facts that surprised; others pass through unchanged."""
        out: list[Op] = []
        for op in ops:
            metadata = op.engram.metadata if op.engram is not None else {}
            if op.kind != "add" or op.engram is None or not isinstance(metadata.get("asked"), str):
                out.append(op)
                continue
            expected = self._expected(view, embedder, op.engram, subject)
            surprised = self._surprised(view, embedder, op.engram, expected, subject)
            new = self._new(view, embedder, op.engram, expected, subject, out) if surprised else []
            out += new
            first = new[0].engram.id if new and new[0].engram else None
            out.append(Op(kind="pass", engram=op.engram, target=first, reason="surprised" if surprised else "expected"))
        return out

    def surprise(self, embedder: Embedder, message: str, expected: str) -> float:
        """How far a message is from what was expected: 1 minus the largest cosine of its sentences; 1 at most."""
        if not expected.strip():
            return 1.0
        vectors = np.asarray(embedder.encode([expected, *(sentences(message) or [message])]), np.float64)
        return float(min(1.0, 1.0 - (vectors[1:] @ vectors[0]).max()))

    def facts(self, view: StoreView, embedder: Embedder, question: str, owner: str | None = None) -> list[Engram]:
        """Facts of a user that bear on a question, the most alike first."""
        vector = np.asarray(embedder.encode([question])[0], np.float64)
        return view.get([i for i, _ in view.dense(vector, self.recalled, None, {"owner": owner})])

    def expect(
        self,
        view: StoreView,
        embedder: Embedder,
        question: str,
        subject: Subject | None = None,
        choices: Sequence[str] = (),
        owner: str | None = None,
        before: str = "",
    ) -> str:
        """The message that is expected next: of `choices` the likeliest, else what the subject writes.

        `before` is further text for a subject: the conversation so far, or what users say in general.
        Without a subject, facts whose question is `near` this question speak for the choices that are like the reply to
        it, or give their words where there are no choices; "" when there are none.
        """
        known = self.facts(view, embedder, question, owner)
        if subject is not None and not choices:
            return subject.generate([self.prompt(question, known, before)], max_tokens=self.max_tokens)[0][0].text
        if subject is not None:
            scored = subject.score([(self.prompt(question, known, before), c) for c in choices])
            return choices[int(np.argmax([math.fsum(s) / max(1, len(s)) for s in scored]))]
        replies = [(str(e.metadata["about"]), str(e.metadata["said"])) for e in known if "said" in e.metadata]
        if not replies:
            return ""
        vectors = np.asarray(embedder.encode([question, *choices, *(t for pair in replies for t in pair)]), np.float64)
        about, spoken = vectors[1 + len(choices) :: 2] @ vectors[0], vectors[2 + len(choices) :: 2]
        weight = np.where(about >= self.near, about, 0.0)
        if not weight.any():
            return ""
        if not choices:
            return replies[int(weight.argmax())][1]
        return choices[int(np.argmax(weight @ (spoken @ vectors[1 : 1 + len(choices)].T)))]

    def prompt(self, question: str, known: Sequence[Engram], before: str = "") -> list[dict[str, str]]:
        """The prompt with which a language model expects a reply."""
        parts = [before, "What is known about the user:\n" + "\n".join(f"- {e.text}" for e in known) if known else ""]
        asks = f"The user is asked: {question}\nWrite the user's reply."
        return [{"role": "user", "content": "\n\n".join(t for t in (*parts, asks) if t)}]

    def _expected(self, view: StoreView, embedder: Embedder, message: Engram, subject: Subject | None) -> str:
        """The message that was expected: from the metadata, or from the facts of its user."""
        metadata = message.metadata
        if "expected" in metadata:
            return str(metadata["expected"] or "")
        before = str(metadata.get("before") or "")
        return self.expect(view, embedder, str(metadata["asked"]), subject, owner=message.owner, before=before)

    def _surprised(
        self, view: StoreView, embedder: Embedder, message: Engram, expected: str, subject: Subject | None
    ) -> bool:
        """Whether a message was not what was expected."""
        if subject is None:
            return self.surprise(embedder, message.text, expected) > 1 - self.alike
        question = str(message.metadata["asked"])
        known = self.facts(view, embedder, question, message.owner)
        (scored,) = subject.score(
            [(self.prompt(question, known, str(message.metadata.get("before") or "")), message.text)]
        )
        return -math.fsum(scored) / max(1, len(scored)) >= self.nats

    def _new(
        self,
        view: StoreView,
        embedder: Embedder,
        message: Engram,
        expected: str,
        subject: Subject | None,
        coming: Sequence[Op],
    ) -> list[Op]:
        """Additions for the statements of a message that are not known and were not expected."""
        question = str(message.metadata["asked"])
        statements = self._derived(message, expected, subject) if self.derive and subject else _sentences(message)
        out: list[Op] = []
        for n, statement in enumerate(statements):
            vector, own, awaited = np.asarray(
                embedder.encode([f"{question} {statement}", statement, expected]), np.float64
            )
            if own @ awaited >= self.alike:
                continue
            nearest = view.dense(vector, 1, None, {"owner": message.owner})
            earlier = [e for o in [*coming, *out] if (e := o.engram) and o.kind == "add" and e.owner == message.owner]
            near = [score for _, score in nearest] + [float(embedder.encode([e.text])[0] @ vector) for e in earlier]
            if max(near, default=0.0) >= self.same:
                continue
            more: dict[str, Any] = {"about": question, "said": statement}
            fact = message.model_copy(
                update={
                    "id": f"{message.id} {n}",
                    "text": f"{question} {statement}",
                    "metadata": more,
                    "parents": (message.id,),
                }
            )
            out.append(Op(kind="add", engram=fact, reason="surprised"))
        return out

    def _derived(self, message: Engram, expected: str, subject: Subject) -> list[str]:
        """The facts that a subject lists, one on each line."""
        prompt = (
            f"A user was asked: {message.metadata['asked']}\nIt was expected that the user would say: {expected}\n"
            f"The user said: {message.text}\n\nList what this tells about the user that was not expected, one fact a "
            "line, each understandable alone. Do not guess. If nothing is new, reply 'None'."
        )
        reply = subject.generate([[{"role": "user", "content": prompt}]], max_tokens=self.max_tokens)[0][0].text
        lines = reply.encode("utf-8", "ignore").decode().replace("\0", "").splitlines()
        facts = [re.sub(r"^\s*(?:[-*•]|\d{1,3}[.)])\s*", "", line).strip() for line in lines]
        return [f for f in facts if content(f) and f.strip(" .").lower() != "none"]


def _sentences(message: Engram) -> list[str]:
    """The statements of a message, in their order."""
    if not re.search(r"\w", message.text):
        return []
    written = AtomicFacts().write(message.text)
    return [op.engram.text for op in written if op.engram is not None]
