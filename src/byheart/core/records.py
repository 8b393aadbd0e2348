"""The records that pass between packages and out to users: plain, immutable, JSON both ways."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

State = Literal["active", "archived", "superseded", "forgotten"]
Form = Literal["text", "activations", "weights"]


class Record(BaseModel):
    """Base of all records: immutable, no stray fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        return self.model_dump_json()


class Engram(Record):
    """One memory: its content, where it came from, when it holds, and the forms it is kept in.

    `at` (when it was said), `valid_from` and `valid_to` (when it is true) are ISO-8601 strings in UTC; `created` is
    when it was stored. `question` and `answer` are set when the memory was given as a pair. `key` names what it is a
    fact about: of those with the same key and owner one is current, the others are its history; its words are
    searched with the text, unless it begins with "#". `parents` are the ids of the engrams that it was made from.
    """

    id: str
    text: str
    source: str | None = None
    position: int = Field(default=0, ge=-(2**63), lt=2**63)
    speaker: str | None = None
    owner: str | None = None
    at: str | None = None
    valid_from: str | None = None
    valid_to: str | None = None
    created: str
    state: State = "active"
    forms: tuple[Form, ...] = ("text",)
    version: str | None = None
    question: str | None = None
    answer: str | None = None
    key: str | None = None
    parents: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def since(self) -> str:
        """From when it holds, as far as is known: when it became true, was said, or was stored."""
        return self.valid_from or self.at or self.created

    @property
    def indexed(self) -> str:
        """What a search reads: the text, and before it the key, where that is words.

        >>> Engram(id="a", text="She sold the Volvo.", key="Marta/car", created="").indexed
        'Marta/car: She sold the Volvo.'
        """
        return self.text if self.key is None or self.key.startswith("#") else f"{self.key}: {self.text}"


class Op(Record):
    """What an updater proposes for a memory; only the store carries it out.

    "add" keeps the new `engram` besides what there is; "append" too, knowing `target` to be about the same;
    "replace" keeps it in the place of `target`, which becomes history; "delete" says that `target` no longer holds
    (a new `engram` may say so); "pass" keeps nothing new. `reason` is for people.
    """

    kind: Literal["add", "append", "replace", "delete", "pass"]
    engram: Engram | None = None
    target: str | None = None
    reason: str = ""


class Proposal(Record):
    """What a memory proposes to do with engrams, and why; nothing is done until it is asked for.

    "consolidate" puts what text has into weights, "rehearse" teaches again what weights may lose, "merge" makes one of
    several, "archive" puts out of sight. `retention` is how well it is expected to be kept now, in [0, 1].
    """

    kind: Literal["consolidate", "rehearse", "merge", "archive"]
    engrams: tuple[str, ...]
    reason: str
    retention: float | None = None


class Brief(NamedTuple):
    """What a search weighs of an engram beside its scores: `length` in characters, whether it asks something."""

    source: str | None
    position: int
    speaker: str | None
    length: int
    asks: bool


class Hit(Record):
    """One search result; `score` is comparable within one query only."""

    id: str
    text: str
    score: float
    source: str | None = None
    position: int = 0
    at: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Answer(Record):
    """An answer, the form of memory it came from, and what it cites.

    `confidence` is the geometric mean probability of the answer's tokens, in [0, 1]; None when the
    writer is an endpoint that gives no token probabilities.
    """

    text: str
    form: Literal["text", "weights", "none"]
    hits: tuple[Hit, ...] = ()
    confidence: float | None = None


class Item(Record):
    """One exam question and its gold answer, tied to the engram it examines.

    `accept` holds other forms of the gold answer that count as right, such as "8" beside "eight".
    """

    id: str
    question: str
    answer: str
    accept: tuple[str, ...] = ()
    engram: str | None = None
    probe: str = "direct"


class Result(Record):
    """One item's outcome in one exam: enough to recompute every summary.

    `value` is in the metric's own unit (0 or 1 for recall and recognition, nats per token for
    losses); `chance` is the value a subject without knowledge would get.
    """

    exam: str
    item: str
    value: float
    chance: float | None = None
    engram: str | None = None
    version: str | None = None
    seed: int = 0
    detail: dict[str, Any] = Field(default_factory=dict)


class Version(Record):
    """A committed state of a Memory: which weights, which training, what the exams said.

    `weights` maps each tensor that differs from the model as it came to the hash of its content;
    `adapter` and `state` name stored blobs (a PEFT adapter, what the strategies carry on to the next
    stage). `recipe` is what `learn` was called with, so that the training can be repeated.
    """

    id: str
    parent: str | None = None
    created: str
    message: str = ""
    strategy: str | None = None
    weights: dict[str, str] = Field(default_factory=dict)
    adapter: str | None = None
    state: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    taught: tuple[str, ...] = ()
    summary: dict[str, Any] = Field(default_factory=dict)
    erased: bool = False


class Learned(Record):
    """What `learn` did: the version, whether it was committed, what was taught and what was lost.

    `taught` and `lost` are engram ids; `report` holds the exam figures before and after.
    """

    version: str | None
    committed: bool
    taught: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    reason: str = ""
    report: dict[str, Any] = Field(default_factory=dict)


class Studied(Record):
    """What `learn` would teach: its lessons, and about how many seconds and bytes of memory learning them takes.

    A lesson has a question, an answer, further wordings of the question to train on, and wordings held back for exams.
    `path` is the file that they were written to.
    """

    lessons: tuple[dict[str, Any], ...]
    seconds: float
    bytes: int
    path: str | None = None


class Check(Record):
    """One line of a certificate. `passed` is None when the check could not be made (and why)."""

    name: str
    passed: bool | None
    measured: float | int | str | None = None
    limit: float | int | str | None = None
    detail: str = ""


class Certificate(Record):
    """The audit after `forget`. It passes only when every check was made and passed."""

    passed: bool
    checks: tuple[Check, ...]
    forgotten: tuple[str, ...] = ()
    method: str = ""
    version: str | None = None
    created: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        mark = {True: "pass", False: "FAIL", None: "not shown"}
        lines = [f"forget: {'PASSED' if self.passed else 'REFUSED'} ({self.method})"]
        for c in self.checks:
            limit = "" if c.limit is None else f" (limit {c.limit})"
            measured = "" if c.measured is None else f": {c.measured}{limit}"
            lines.append(f"  {mark[c.passed]:9} {c.name}{measured} {c.detail}".rstrip())
        return "\n".join(lines)
