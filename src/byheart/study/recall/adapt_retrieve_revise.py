"""Wan et al. 2023, "Reformulating Domain Adaptation of Large Language Models as Adapt-Retrieve-Revise", 2310.03328."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from byheart.core.protocols import Prompt
from byheart.core.records import Hit
from byheart.exam.match import contains
from byheart.exam.recall import ask
from byheart.learn.teach_lmm_skills import Selective
from byheart.models.embedder import load_embedder
from byheart.models.lm import LanguageModel, load
from byheart.recall.read.adapt_retrieve_revise import AdaptRetrieveRevise
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings, train
from byheart.world.facts.people import TOWN, TOWN_END, people

# The law's words for a deed or a thing, and everyday wordings. The second half of the wordings is held out for tests.
DEEDS = {
    "withdraws {o} from its owner": (
        "took {o} without asking",
        "made off with {o}",
        "stole {o}",
        "walked away with {o}",
    ),
    "impairs {o}": ("broke {o}", "knocked a hole into {o}", "damaged {o}", "smashed {o}"),
    "trades in {o} without a licence": (
        "sold {o} in secret",
        "sold {o} at the back door",
        "bought and sold {o}",
        "had {o} for sale",
    ),
    "conceals {o} from the assessor": (
        "hid {o} when the tax was due",
        "kept {o} out of the tax book",
        "never declared {o}",
        "hid {o} from the tax office",
    ),
    "operates {o} while inebriated": (
        "used {o} after much wine",
        "was drunk while using {o}",
        "was full of beer and used {o}",
        "had too much to drink and used {o}",
    ),
}
THINGS = {
    "a vessel": ("a rowing boat", "a barge", "a canoe", "a sailing boat"),
    "a beast of burden": ("a donkey", "an ox", "a mule", "a cart horse"),
    "a musical instrument": ("a lute", "an oboe", "a fiddle", "a harp"),
    "a timepiece": ("a wall clock", "an hourglass", "a pocket watch", "an alarm clock"),
    "a kiln": ("a bread oven", "a pottery furnace", "a baker's oven", "a brick oven"),
}


@dataclass(frozen=True)
class Case:
    """A deed in everyday words, and the number of the article that it falls under."""

    question: str
    article: int


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    model: str
    embedder: str
    steps: int
    test: int
    batch: int = 8
    passages: int = 3
    lr: float = 3e-4


class Law(Study[Size]):
    """Evidence retrieved by the draft of a model trained on the domain, against evidence retrieved by the question.

    The paper goes on training a 7B model on Chinese law, has it draft an answer, finds evidence by the draft and lets
    GPT-4 assess the evidence and revise the draft: on four tasks 33 points better than GPT-4 alone, 15 and 24 better
    than two ways of retrieving without a draft.
    Here: the law of an invented town, 25 articles on five deeds to five things, in words that nobody uses ("whoever
    impairs a timepiece pays 57 crowns"); cases are in everyday words and ask for the fine. SmolLM2-135M is trained on
    cases with their articles. The test cases are in held-out wordings, for deeds and things alike. MiniLM retrieves
    three articles by cosine. The reviser is SmolLM2 again, trained to read fares between towns, in equal parts from
    evidence alone and with a draft that is wrong three times in four. It has seen nothing of the law. Gate and up are
    trained, 20 steps of 8 examples for each of the two models. Without a draft the same model reads the same number of
    articles, retrieved by the question.

    The reviser was chosen on seed 100. Untrained SmolLM2 is right on 0.02 of the cases, although retrieval had the
    right article (0.94 by the draft, 0.88 by the question, which then asked what the law says). Trained on facts of
    people it answers with their dishes and towns and is right on 0.20; trained on fares, on 0.84. Drafts name the
    right article and a wrong fine: 0.04 are right.

    Seeds 0 to 2 came first: all held but that the draft finds more evidence than the question, 0.193 with limits of
    -0.013 and 0.399 (0.22, 0.06 and 0.30). Then three more seeds.
    """

    claim = "an adapted model's draft finds better evidence than the question, and revised by that it beats both"
    quote = (
        "In the zero-shot setting of four Chinese legal tasks, our method improves accuracy by 33.3% compared "
        "to the direct generation by GPT-4."
    )
    source = "abstract"
    primary = Criterion("over_direct", says="revised over the reviser without evidence", at_least=0.3)
    secondary = (
        Criterion("found_gain", says="right article among three, by the draft over the question", at_least=0.1),
        Criterion("over_draft", says="right answers, revised over the draft alone", at_least=0.3),
        Criterion("over_question", says="revised over read from what the question finds", at_least=0.15),
        Criterion("by_evidence", says="revised by the draft's evidence over the question's", at_least=0.05),
    )
    seeds = range(20, 26)
    burnt = frozenset(range(6))
    scales = Scales(
        smoke=Size(model="tiny", embedder="hash", steps=2, test=3),
        small=Size(model="smollm2-135m", embedder="minilm", steps=20, test=50),
        full=Size(model="smollm2-135m", embedder="minilm", steps=120, test=500),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        rng = np.random.default_rng(seed)
        made = AdaptRetrieveRevise(passages=size.passages, draft_tokens=24, max_tokens=8)
        fines = rng.permutation(np.arange(11, 100)).tolist()
        articles = [Hit(id=f"{n}", text=law(n, fines[n]), score=0.0) for n in range(len(DEEDS) * len(THINGS))]
        names = [p[0].subject for p in people(40, seed=seed)]
        taught = cases(size.steps * size.batch, names, rng, held_out=False)
        posed = cases(size.test, names, rng, held_out=True)
        base = load(size.model)
        adapted = LanguageModel(copy.deepcopy(base.model), base.tokenizer, base.name)
        rows = [base.example(ask(c.question), articles[c.article].text) for c in taught]
        settings = Settings(lr=size.lr, steps=size.steps, batch_size=size.batch, seed=seed)
        train(adapted.model, rows, Selective(part="gate_up"), settings)
        rows = [base.example(p, a) for p, a in lessons(made, size.steps * size.batch, rng)]
        train(base.model, rows, Selective(part="gate_up"), settings)

        def written(lm: LanguageModel, prompts: Sequence[Prompt], tokens: int) -> list[str]:
            return [t[0].text for t in lm.generate(prompts, max_tokens=tokens)]

        def right(replies: Sequence[str]) -> float:
            return fmean(contains(text, f"{fines[c.article]}") for text, c in zip(replies, posed, strict=True))

        prompts = [ask(c.question) for c in posed]
        drafts, direct = written(adapted, prompts, made.draft_tokens), written(base, prompts, made.draft_tokens)
        encoder = load_embedder(size.embedder)
        vectors = encoder.encode([a.text for a in articles])

        def retrieved(queries: Sequence[str]) -> list[list[Hit]]:
            near = encoder.encode(queries) @ vectors.T
            return [[articles[i] for i in np.argsort(-row, kind="stable")[: size.passages]] for row in near]

        def there(hits: Sequence[Sequence[Hit]]) -> float:
            return fmean(articles[c.article] in h for h, c in zip(hits, posed, strict=True))

        def revised(hits: Sequence[Sequence[Hit]], drafts: Sequence[str]) -> list[str]:
            given = zip(posed, drafts, hits, strict=True)
            return written(base, [made.prompt(c.question, d, h) for c, d, h in given], made.max_tokens)

        def read(hits: Sequence[Sequence[Hit]]) -> list[str]:
            given = zip(posed, hits, strict=True)
            return written(base, [plain(c.question, h) for c, h in given], made.max_tokens)

        by_question, by_draft = retrieved([c.question for c in posed]), retrieved(drafts)
        out = {
            "found_by_question": there(by_question),
            "found_by_direct": there(retrieved(direct)),
            "found_by_draft": there(by_draft),
            "first_by_question": there([h[:1] for h in by_question]),
            "first_by_draft": there([h[:1] for h in by_draft]),
            "direct": right(direct),
            "draft": right(drafts),
            "read_by_question": right(read(by_question)),
            "read_by_draft": right(read(by_draft)),
            "revised_by_question": right(revised(by_question, drafts)),
            "revised": right(revised(by_draft, drafts)),
        }
        return out | {
            "found_gain": out["found_by_draft"] - out["found_by_question"],
            "over_draft": out["revised"] - out["draft"],
            "over_question": out["revised"] - out["read_by_question"],
            "over_direct": out["revised"] - out["direct"],
            "by_evidence": out["revised"] - out["revised_by_question"],
        }


def lessons(made: AdaptRetrieveRevise, count: int, rng: np.random.Generator) -> list[tuple[Prompt, str]]:
    """Prompts and answers that train reading in another domain: fares between towns, half with a mostly wrong draft."""
    towns = [a + b for a in TOWN for b in TOWN_END]
    out: list[tuple[Prompt, str]] = []
    for n in range(count):
        start, end, *others = (towns[i] for i in rng.permutation(len(towns))[: made.passages + 1])
        ways = [(start, end), *((start, o) if i % 2 else (o, end) for i, o in enumerate(others))]
        fares = rng.permutation(np.arange(11, 100))[: len(ways) + 1].tolist()
        lines = [fare(*way, price) for way, price in zip(ways, fares, strict=False)]
        hits = [Hit(id=f"{i}", text=lines[i], score=0.0) for i in rng.permutation(len(lines))]
        question = f"Somebody sails from {start} to {end}. How many crowns does that cost?"
        draft = fare(start, end, fares[0] if rng.random() < 0.25 else fares[-1])
        out.append((made.prompt(question, draft, hits) if n % 2 else plain(question, hits), f"{fares[0]} crowns"))
    return out


def fare(start: str, end: str, price: int) -> str:
    """The sentence that gives the price of a ticket."""
    return f"A ticket from {start} to {end} costs {price} crowns."


def law(n: int, fine: int) -> str:
    """The text of the n-th article, with its fine."""
    deed, thing = list(DEEDS)[n // len(THINGS)], list(THINGS)[n % len(THINGS)]
    return f"Whoever {deed.format(o=thing)} pays {fine} crowns."


def cases(count: int, names: Sequence[str], rng: np.random.Generator, *, held_out: bool) -> list[Case]:
    """`count` cases, every article in turn, in the wordings of the training or in those `held_out` for tests."""
    deeds, things = list(DEEDS.values()), list(THINGS.values())
    out = []
    for i in range(count):
        n = i % (len(deeds) * len(things))
        deed, thing = deeds[n // len(things)], things[n % len(things)]
        half = len(deed) // 2
        did, with_ = (w[half * held_out + int(rng.integers(half))] for w in (deed, thing))
        name = names[int(rng.integers(len(names)))]
        out.append(Case(f"{name} {did.format(o=with_)}. How many crowns does that cost?", n))
    return out


def plain(question: str, hits: Sequence[Hit]) -> list[dict[str, str]]:
    """The prompt of a reader with evidence and without a draft."""
    listed = "\n".join(f"Evidence {n}: {h.text}" for n, h in enumerate(hits, 1))
    task = "Judge which evidence bears on the question, and reply with the answer alone, in a few words."
    return [{"role": "system", "content": task}, {"role": "user", "content": f"Question: {question}\n{listed}"}]
