"""Keeping facts current: which known statement a new statement makes untrue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Subject
from byheart.core.records import Engram, Op
from byheart.recall.names import NAME, names
from byheart.recall.sentences import sentences
from byheart.recall.update.present import Present, StoreView

Vector = NDArray[np.float32]
WEIGHTS: Mapping[str, float] = {
    "text": 6.35,
    "frame": -2.3,
    "value": 2.1,
    "kind of value": 1.35,
    "says so": 1.55,
    "ends": 2.5,
    "adds": -2.2,
    "added": -2.1,
    "best": 1.2,
    "margin": 1.7,
    "bias": -7.3,
}
LONGEST = 40
STRANGER = 3.6  # how alike a statement about another matter is expected to be
_FIRST = re.compile(r"\b(I|I'm|I've|my|mine|me|we|our|us)\b", re.I)


def _any(*phrases: str) -> re.Pattern[str]:
    """One of these words (a star stands for any ending) or phrases, in any case."""
    patterns = "|".join(p.replace("*", r"\w*") for p in phrases)
    return re.compile(rf"\b(?:{patterns})\b", re.I)


_CHANGE = _any(
    *"now new chang* mov* switch* instead since replac* transfer* became becom* reschedul* push* took taken".split(),
    *"left rais* promot* dropp* reset turned start* relocat* lately recently updat*".split(),
    *("from now on", "these days"),
)
_END = _any(
    *"anymore stopp* quit sold cancel* retire* dismiss* never without don't doesn't".split(),
    *("no longer", "any more", "gave up", "given up", "dropped out", "has no", "have no", "is on no", "out of"),
    *("does not", "do not"),
)
_ADD = _any(
    *"also another too besides once like likes love loves enjoy* fond keen hate* dislike* visit* spent travel*".split(),
    *"speaks? knows? conversation reads? watched saw seen bought ordered got received present met friends?".split(),
    *"collects? gathers? climbed stood went tried recommends? borrowed allergic reacts siblings? brothers?".split(),
    *"sisters? sons? daughters? child* cousins?".split(),
    *("as well", "been to", "cannot stand", "grew up with"),
)
_NUMBER = re.compile(r"\b[A-Z]?\d(?:[\w:.]*\w)?")


class View(Protocol):
    """What an updater sees of a memory: active statements of one owner, and their history."""

    def near(self, vector: Vector, k: int, owner: str | None) -> list[Engram]:
        """The k active statements most alike by meaning."""
        ...

    def line(self, engram: Engram) -> list[Engram]:
        """The statements under the same key, the engram included."""
        ...

    def cosine(self, vector: Vector, ids: Sequence[str]) -> dict[str, float]:
        """How alike these statements are to a vector."""
        ...


class KeepMeUpdated:
    """For every new statement the statement that it replaces, if any: same subject, same matter, another value.

    A memory that only adds says two things at once when something changes. Each new statement is held against what
    is known of its subject (the names both share; the speaker, when both say "I"), and a linear classifier tells
    whether it replaces a statement:

    p = sigmoid(w . x),  the most probable statement with p >= `certain` is replaced

    with x: the cosine of the texts and of their frames (texts without names and numbers), each the largest over all
    under the statement's key; the cosine of the values and whether both have the same kind; whether the
    new statement says that something changed or ended; whether either tells of something of which there may be
    several; whether the statement is the most alike of its subject's, and by how much.

    Parameters
    ----------
    certain: probability from which a statement is replaced (0.5).
    window: known statements looked at (24).
    weights: by the names of `WEIGHTS`.

    Departs from the paper: the paper trains a T5 on 6,000 labelled pairs for PASS, APPEND, REPLACE and DELETE; here a
    linear model over the embedder's cosines and a few word lists, learned on the first half of `world.facts.changes`.
    What is replaced becomes history and is not dropped. A statement that ends another replaces it, and so says what
    holds.

    References: Bae et al., Keep Me Updated! Memory Management in Long-term Conversations, arXiv:2210.08750, section 4.

    >>> from byheart.models.embedder import load_embedder
    >>> texts = ["Marta's car is a Volvo.", "Marta likes chess.", "Marta's car is a Fiat."]
    >>> first, second, new = (Engram(id=i, text=t, created="") for i, t in zip("abc", texts, strict=True))
    >>> embedder = load_embedder("hash")
    >>> view = Statements([first, second], embedder)
    >>> op = KeepMeUpdated().place(view, new, embedder)
    >>> op.kind, op.target
    ('replace', 'a')
    """

    name: ClassVar[str] = "keep-me-updated"
    paper: ClassVar[str] = "keep-me-updated"
    arxiv: ClassVar[str] = "2210.08750"

    def __init__(self, *, certain: float = 0.5, window: int = 24, weights: Mapping[str, float] | None = None) -> None:
        weights = WEIGHTS if weights is None else weights
        if set(weights) != set(WEIGHTS):
            wrong = sorted(set(weights) ^ set(WEIGHTS))
            raise BadInput(f"weights for {', '.join(wrong)} missing or unknown; give one for each of {list(WEIGHTS)}")
        if not 0 < certain <= 1:
            raise BadInput(f"certain={certain} is no probability above 0; the default is 0.5")
        if window < 1:
            raise BadInput(f"window={window}: at least 1 statement must be looked at; the default is 24")
        self.certain = certain
        self.window = window
        self.weights = dict(weights)

    def reconcile(
        self, view: StoreView, ops: Sequence[Op], embedder: Embedder, subject: Subject | None = None
    ) -> list[Op]:
        """The operations with additions turned into replacements, in their order; others pass through unchanged.

        `view` is the store; no `subject` is used.
        """
        present = Present(view)
        for op in ops:
            new = op.engram
            if op.kind == "add" and new is not None and new.key is None:
                op = self.place(present, new, embedder)
            present.keep(op, _vector(embedder, new.text) if new is not None else np.zeros(embedder.dimension, "f4"))
        return present.ops

    def place(self, view: View, draft: Engram, embedder: Embedder) -> Op:
        """The operation for a new engram; an engram that is no single statement, or a question, is added as it is."""
        if not is_statement(draft):
            return Op(kind="add", engram=draft)
        known, features = self.features(view, draft, embedder)
        if not known:
            return Op(kind="add", engram=draft)
        chances = 1 / (1 + np.exp(-features @ np.array([self.weights[n] for n in WEIGHTS])))
        best = int(np.argmax(chances))
        if chances[best] < self.certain:
            return Op(kind="add", engram=draft)
        reason = f"{known[best].text!r} is no longer so (certain to {chances[best]:.0%})"
        return Op(kind="replace", engram=draft, target=known[best].id, reason=reason)

    def features(self, view: View, draft: Engram, embedder: Embedder) -> tuple[list[Engram], NDArray[np.float64]]:
        """The known statements about the same subject, and a row of features (N, F) for each."""
        vector = _vector(embedder, draft.text)
        around = [e for e in view.near(vector, self.window, draft.owner) if e.id != draft.id and is_statement(e)]
        known = [(e, shared) for e in around if (shared := subject(e, draft)) is not None]
        if not known:
            return [], np.zeros((0, len(WEIGHTS)))
        lines = [view.line(e) for e, _ in known]
        alike = view.cosine(vector, [x.id for line in lines for x in line])
        says_so, ends, adds = (float(bool(p.search(draft.text))) for p in (_CHANGE, _END, _ADD))
        rows = []
        for (e, shared), line in zip(known, lines, strict=True):
            own, frame = parts(draft.text, shared)
            framed = _vector(embedder, frame)
            split = [parts(x.text, shared) for x in line]
            value = parts(e.text, shared)[0]
            rows.append(
                {
                    "text": max(alike.get(x.id, 0.0) for x in line),
                    "frame": max(float(framed @ _vector(embedder, f)) for _, f in split),
                    "value": float(_vector(embedder, own) @ _vector(embedder, value)),
                    "kind of value": float(_kind(own) == _kind(value)),
                    "says so": says_so,
                    "ends": ends,
                    "adds": adds,
                    "added": float(bool(_ADD.search(e.text))),
                    "bias": 1.0,
                }
            )
        first = [4 * (r["text"] + r["frame"]) for r in rows]
        for n, row in enumerate(rows):
            other = max([STRANGER, *(x for m, x in enumerate(first) if m != n)])
            row["best"] = float(first[n] >= max(*first, STRANGER))
            row["margin"] = max(-6.0, min(6.0, first[n] - other))
        return [e for e, _ in known], np.array([[r[n] for n in WEIGHTS] for r in rows])


class Statements:
    """A view of statements held in memory; `keep` makes it follow what was decided.

    Parameters
    ----------
    known: statements, none of them replaced. embedder: gives their vectors.
    """

    def __init__(self, known: Sequence[Engram], embedder: Embedder) -> None:
        self.embedder = embedder
        self.active: dict[str, Engram] = {}
        self.lines: dict[str, list[Engram]] = {}
        for e in known:
            self.keep(Op(kind="add", engram=e))

    def keep(self, op: Op) -> None:
        """Carry out an operation."""
        if op.engram is None:
            return
        if op.target is not None and op.kind in ("replace", "delete"):
            del self.active[op.target]
            self.lines[op.engram.id] = [*self.lines.pop(op.target), op.engram]
        else:
            self.lines[op.engram.id] = [op.engram]
        self.active[op.engram.id] = op.engram

    def near(self, vector: Vector, k: int, owner: str | None) -> list[Engram]:
        """The k active statements most alike by meaning."""
        own = [e for e in self.active.values() if e.owner == owner]
        return sorted(own, key=lambda e: -float(vector @ _vector(self.embedder, e.text)))[:k]

    def line(self, engram: Engram) -> list[Engram]:
        """The statements under the same key, the engram included."""
        return self.lines[engram.id]

    def cosine(self, vector: Vector, ids: Sequence[str]) -> dict[str, float]:
        """How alike these statements are to a vector."""
        engrams = {e.id: e for line in self.lines.values() for e in line}
        return {i: float(vector @ _vector(self.embedder, engrams[i].text)) for i in ids if i in engrams}


def is_statement(engram: Engram) -> bool:
    """Whether an engram is a single statement: a sentence of at most 40 words that is no question."""
    text = engram.text.strip()
    if engram.question or len(text) > 400 or "\n" in text or text.endswith("?"):
        return False
    return len(text.split()) <= LONGEST and len(sentences(text)) == 1


def subject(first: Engram, other: Engram) -> tuple[str, ...] | None:
    """What two statements are both about: names that both hold, () for a common "I" or none, None when they differ.

    A shared name counts where either of the two begins with it; else both state it of other subjects.
    """
    a, b = names(first.text), names(other.text)
    shared = tuple(n for n in a if n in b)
    if shared:
        return shared if a[0] in shared or b[0] in shared else None
    both_speak = bool(_FIRST.search(first.text)) and bool(_FIRST.search(other.text))
    if both_speak:
        return () if first.speaker == other.speaker else None
    return () if not a and not b else None


def parts(text: str, shared: Sequence[str]) -> tuple[str, str]:
    """The value that a statement gives, and its frame: the text without the subject, names and numbers.

    >>> parts("Marta's manager is Ilven Strand.", ("Marta",))
    ('Ilven Strand', "someone's manager is something.")
    """
    for name in shared:
        text = text.replace(name, "someone")
    values = [*NAME.finditer(text[1:]), *_NUMBER.finditer(text)]
    frame = _NUMBER.sub("something", text)
    frame = frame[0] + NAME.sub("something", frame[1:])
    if values:
        value = max(values, key=lambda m: m.start())[0]
    else:
        words = re.findall(r"[\w-]+", text)
        value = words[-1] if words else text
    return value, frame


def _kind(value: str) -> str:
    if re.search(r"\d", value):
        return "time" if ":" in value else "number"
    return "name" if value[:1].isupper() else "word"


def _vector(embedder: Embedder, text: str) -> Vector:
    encoder: Any = embedder
    return _encoded(encoder, text)


@lru_cache(maxsize=20_000)
def _encoded(embedder: Any, text: str) -> Vector:
    vector: Vector = embedder.encode([text])[0]
    return vector


def fit(rows: NDArray[np.float64], replaced: NDArray[np.bool_], *, decay: float = 0.3) -> dict[str, float]:
    """Weights by logistic regression (Newton's method) on features (N, F) and whether each statement was replaced.

    loss = - sum_i log p(y_i | x_i) + decay/2 |w|^2, the bias left out of the penalty
    """
    w = np.zeros(rows.shape[1])
    penalty = np.full(rows.shape[1], decay)
    penalty[list(WEIGHTS).index("bias")] = 1e-9
    for _ in range(50):
        p = 1 / (1 + np.exp(-rows @ w))
        slope = rows.T @ (p - replaced) + penalty * w
        curve = (rows * (p * (1 - p))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    return dict(zip(WEIGHTS, w.tolist(), strict=True))
