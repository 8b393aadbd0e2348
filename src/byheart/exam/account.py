"""What a report shows of a memory: its versions with their figures, its lessons, what was forgotten."""

from __future__ import annotations

from byheart.core.records import Certificate, Record


class Scored(Record):
    """A version and its exam results; shares in [0, 1], losses in nats per token.

    `recall`, `paraphrase` and `reversed` are closed-book, `retention` is the recall of everything
    taught before this version, `loss` is on general text, `kl` from the untaught model.
    """

    id: str
    created: str
    parent: str | None = None
    message: str = ""
    strategy: str | None = None
    taught: int = 0
    recall: float | None = None
    paraphrase: float | None = None
    reversed: float | None = None
    recognition: float | None = None
    retention: float | None = None
    loss: float | None = None
    kl: float | None = None
    quiz: float | None = None

    @property
    def untaught(self) -> bool:
        """Whether this is the model as it came."""
        return self.parent is None and not self.taught


class Curve(Record):
    """How well the lessons of a version are recalled at that version and later: `(version, recall)`."""

    label: str
    points: tuple[tuple[str, float], ...]


class Trade(Record):
    """An attempt to learn: the share of the new that was learned and of the old that stayed."""

    label: str
    plasticity: float
    stability: float
    strategy: str | None = None
    committed: bool = True


class Fact(Record):
    """One engram that was taught: what it says, when it was taught, whether it is recalled now.

    `ever` is whether any version up to the current one recalled it (None: no exam asked it), `lost` the version whose
    exam was the first not to, after the last that did.
    """

    id: str
    question: str
    answer: str
    version: str | None = None
    recalled: bool | None = None
    ever: bool | None = None
    lost: str | None = None
    source: str | None = None

    @property
    def outcome(self) -> str:
        """What came of teaching it: "learned", "lost", "not learned" or "not examined"."""
        if self.recalled is None:
            return "not examined"
        return "learned" if self.recalled else "lost" if self.ever else "not learned"


class Gone(Record):
    """A forgotten engram: its id, when it went and how; nothing of its text."""

    id: str
    at: str = ""
    method: str = ""


class ReportData(Record):
    """Everything that the page shows; `base_loss` is the untaught model's loss on general text."""

    title: str
    model: str
    created: str
    engrams: int = 0
    current: str | None = None
    base_loss: float | None = None
    versions: tuple[Scored, ...] = ()
    curves: tuple[Curve, ...] = ()
    trades: tuple[Trade, ...] = ()
    facts: tuple[Fact, ...] = ()
    forgotten: tuple[Gone, ...] = ()
    certificates: tuple[Certificate, ...] = ()
