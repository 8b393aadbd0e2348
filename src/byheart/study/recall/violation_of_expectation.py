"""Leer et al. 2023, "Violation of Expectation via Metacognitive Prompting Reduces Theory of Mind Prediction Error"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from byheart.core.protocols import Subject
from byheart.core.records import Engram, Op
from byheart.models.embedder import Remembered, load_embedder
from byheart.models.lm import load
from byheart.recall.update.violation_of_expectation import ViolationOfExpectation
from byheart.store.sqlite import Store
from byheart.study.base.carrying import carry_out, scratch
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.dialogue.customers import Customer, Exchange


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    users: int
    visits: int
    model: str
    embedder: str
    read: int = 3


class Surprises(Study[Size]):
    """A user's replies predicted from facts stored at earlier surprises, and from other facts.

    The paper has GPT-4 expect what a tutor's user will say, revises that by facts recalled about the user, compares it
    with what came, and keeps facts derived from the difference; judged by the model, predictions of real users with
    such facts are wrong less often than without.
    Here: invented users get twelve questions in changing words on three visits and reply as most people do or, on
    half of the topics, in their own way; one reply in ten strays, and half of the messages say something else besides.
    What most people reply is known. A reply is expected by MiniLM, out of the four that a topic has, from the facts
    that are recalled or else from what most people say; the next visit is then predicted. `surprise` keeps facts of
    messages that were not expected, `likelihood` of those that SmolLM2-135M finds unlikely, `random` as many statements
    as `surprise`, drawn from all statements, `everything` all of them, `nothing` none. `nats` are those that the
    language model needs for a token of the replies that came, with the same facts in its prompt.

    `near` is from the cosines of the questions. Of 2.5 and 3 `nats` on seed 101, 2.5 agrees better with what was
    predicted wrongly (0.82 and 0.78 of messages).

    All criteria hold but `fallen`, whose three values (0.21, 0.45, 0.21) are too few to tell by. Likelihood judges
    worse: it agrees with the error on 0.63 of messages, as small talk is unlikely too, and leaves 0.31 of predictions
    wrong where distance leaves 0.16.
    Tried: SmolLM2-135M to expect as well, the likeliest of the four replies. It is wrong as often with all facts before
    it as with none (0.54 and 0.58, seed 100), as it repeats what most people say; so the embedder expects.

    Seeds 0 to 2 came first: all held but that errors fall from the first visit to the last, 0.289 with limits of 0.053
    and 0.526. Then three more seeds.
    """

    claim = "facts kept from messages that were not expected make a user's next messages better predicted"
    quote = (
        "By storing and retrieving facts derived in cases where LLM expectation about the user was violated, "
        "we find that LLMs are able to learn about users in ways that echo theories of human learning."
    )
    source = "abstract; the metacognitive prompting framework and its results"
    primary = Criterion("over_nothing", says="share of predictions that surprises save from error", at_least=0.15)
    secondary = (
        Criterion("over_random", says="the same beyond as many statements drawn at random", at_least=0.06),
        Criterion("fallen", says="error on the first visit above that on the last", at_least=0.1),
        Criterion("nats_saved", says="nats per token of a reply, without facts above with", at_least=0.5),
    )
    seeds = range(20, 26)
    burnt = frozenset(range(6))
    scales = Scales(
        smoke=Size(users=1, visits=1, model="tiny", embedder="hash"),
        small=Size(users=12, visits=3, model="smollm2-135m", embedder="minilm"),
        full=Size(users=40, visits=5, model="smollm2-135m", embedder="minilm"),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        encoder = Remembered(load_embedder(size.embedder))
        lm, keeps = load(size.model), ViolationOfExpectation()
        made = [
            _User(keeps, encoder, lm if n < size.read else None, Customer(seed=1000 * seed + n), size.visits).measured()
            for n in range(size.users)
        ]
        names = dict.fromkeys(name for m in made for name in m)
        out = {name: fmean(m[name] for m in made if name in m) for name in names}
        return out | {
            "over_nothing": out["error_nothing"] - out["error_surprise"],
            "over_random": out["error_random"] - out["error_surprise"],
            "fallen": out["surprise_first_visit"] - out["surprise_last_visit"],
            "nats_saved": out["nats_nothing"] - out["nats_surprise"],
        }


class _User:
    """A user. Several memories learn from earlier visits and predict the replies on the last visit."""

    def __init__(
        self, keeps: ViolationOfExpectation, encoder: Remembered, lm: Subject | None, user: Customer, visits: int
    ) -> None:
        self.keeps, self.encoder, self.lm = keeps, encoder, lm
        self.met = [e for n in range(visits) for e in user.visit(n)]
        self.last_visit = list(user.visit(visits, strays=False))
        self.rng = np.random.default_rng(user.seed)

    def measured(self) -> dict[str, float]:
        """Errors by what is stored: nothing, surprises, as many statements drawn at random, all statements."""
        out: dict[str, float] = {}
        with scratch(self.encoder) as store:
            out |= self._predicted("nothing", store)
        out |= self._learned("surprise", None)
        if self.lm is not None:
            out |= self._learned("likelihood", self.lm)
        statements = {op.engram.text: op for e in self.met for op in self._statements(e) if op.engram is not None}
        drawn = self.rng.permutation(len(statements))[: round(out["kept_surprise"])]
        for name, chosen in (("random", sorted(drawn)), ("everything", range(len(statements)))):
            with scratch(self.encoder) as store:
                carry_out(store, self.encoder, [list(statements.values())[i] for i in chosen])
                out |= self._predicted(name, store)
        return out

    def _learned(self, name: str, judge: Subject | None) -> dict[str, float]:
        """Predict every message and store the surprises, then predict the last visit."""
        rows = []
        with scratch(self.encoder) as store:
            for e in self.met:
                expected = self._expected(store, e)
                ops = self.keeps.reconcile(store, [_message(e, expected)], self.encoder, judge)
                carry_out(store, self.encoder, ops)
                rows.append((expected != e.reply, ops[-1].reason == "surprised"))
            figures = {
                f"{name}_first_visit": fmean(wrong for wrong, _ in rows[: len(self.last_visit)]),
                f"{name}_last_visit": fmean(wrong for wrong, _ in rows[-len(self.last_visit) :]),
                f"{name}_agrees": fmean(wrong == noted for wrong, noted in rows),
            }
            return figures | self._predicted(name, store)

    def _statements(self, e: Exchange) -> list[Op]:
        """All statements of a message, in the form in which surprises are stored."""
        with scratch(self.encoder) as empty:
            ops = ViolationOfExpectation(same=1.0).reconcile(empty, [_message(e, "")], self.encoder)
        return [op for op in ops if op.kind == "add"]

    def _expected(self, store: Store, e: Exchange) -> str:
        """The reply that the facts favour, or else what most people say."""
        return self.keeps.expect(store, self.encoder, e.question, choices=e.topic.replies) or e.topic.replies[0]

    def _predicted(self, name: str, store: Store) -> dict[str, float]:
        """Share of wrong predictions, and a language model's nats per token of the replies that came."""
        out = {
            f"error_{name}": fmean(self._expected(store, e) != e.reply for e in self.last_visit),
            f"kept_{name}": float(store.count()),
        }
        if self.lm is not None:
            known = [self.keeps.facts(store, self.encoder, e.question) for e in self.last_visit]
            pairs = [
                (self.keeps.prompt(e.question, k, _usual(e)), e.reply)
                for e, k in zip(self.last_visit, known, strict=True)
            ]
            out[f"nats_{name}"] = fmean(-math.fsum(s) / len(s) for s in self.lm.score(pairs))
        return out


def _message(e: Exchange, expected: str) -> Op:
    """A user's message with the message before it and the expected reply."""
    record = {"asked": e.question, "expected": expected, "before": _usual(e)}
    name = f"{e.question} {e.message}".replace(",", "")
    return Op(kind="add", engram=Engram(id=name, text=e.message, created="", metadata=record))


def _usual(e: Exchange) -> str:
    return f"Most people reply: {e.topic.replies[0]}"
