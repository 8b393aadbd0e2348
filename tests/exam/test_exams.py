"""Recall, recognition and general ability: the oracle passes, the amnesiac scores chance."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from byheart.core.protocols import Generation, Prompt
from byheart.core.records import Item, Result
from byheart.exam.general import common, drift, mean_loss, passages, quiz
from byheart.exam.general import loss as general_loss
from byheart.exam.interval import wilson
from byheart.exam.leak import leak
from byheart.exam.match import right
from byheart.exam.recall import ask, lost, recall, recognition
from byheart.models import load
from byheart.models.lm import LanguageModel
from byheart.world.facts.people import people


def items(seed: int, n: int = 10) -> list[Item]:
    """The facts of `n` people as questions."""
    facts = [f for person in people(n, seed=seed) for f in person]
    return [Item(id=f"{seed}-{i}", question=f.question, answer=f.answer, engram=f"e{i}") for i, f in enumerate(facts)]


class Subject:
    """Answers from a table, and "I do not know." to anything else; scores by `liking`."""

    def __init__(self, known: Sequence[Item]) -> None:
        self.known = {i.question: i.answer for i in known}
        self.budgets: list[int] = []

    def generate(self, prompts: Sequence[Prompt], *, max_tokens: int = 64, **_: Any) -> list[list[Generation]]:
        self.budgets.append(max_tokens)
        return [
            [Generation(f"It is {self.known[q]}." if q in self.known else "I do not know.")]
            for q in questions_in(prompts)
        ]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[list[float]]:
        questions = questions_in([p for p, _ in pairs])
        return [[self.liking(q, a)] * len(a.split()) for q, (_, a) in zip(questions, pairs, strict=True)]

    def liking(self, question: str, answer: str) -> float:
        return -0.1 if self.known.get(question) == answer else -5.0


class Amnesiac(Subject):
    """Finds some answers likelier than others, whatever is asked."""

    def __init__(self, seed: int) -> None:
        super().__init__([])
        self.seed = seed

    def liking(self, question: str, answer: str) -> float:
        return -random.Random(f"{self.seed} {answer}").random()


class Guesser(Amnesiac):
    """Guesses anew for every question."""

    def liking(self, question: str, answer: str) -> float:
        return super().liking("", f"{question} {answer}")


def questions_in(prompts: Sequence[Prompt]) -> list[str]:
    return [p[-1]["content"] if isinstance(p, list) else p for p in prompts]


def test_the_oracle_passes() -> None:
    posed = items(1)
    oracle = Subject(posed)
    for results in (recall(oracle, posed), recognition(oracle, posed)):
        assert [r.value for r in results] == [1.0] * 100
        assert [(r.item, r.engram) for r in results] == [(i.id, i.engram) for i in posed]
    assert {r.exam for r in recall(oracle, posed)} == {"recall/direct"}
    assert {r.chance for r in recognition(oracle, posed)} == {1 / 4}
    assert set(oracle.budgets) == {24, max(len(i.answer.encode()) for i in posed) + 4}


def test_one_who_learned_half_scores_half() -> None:
    posed = items(1)
    assert sum(r.value for r in recall(Subject(posed[::2]), posed)) == 50
    assert recall(Subject([]), []) == recognition(Subject([]), []) == []


def test_another_form_of_the_gold_answer_is_right_and_no_foil() -> None:
    posed = [
        Item(id="legs", question="How many legs has a spider?", answer="eight", accept=("8", "8 legs")),
        Item(id="arms", question="How many arms has an octopus?", answer="8"),
        Item(id="days", question="How many days has a week?", answer="seven"),
    ]
    in_figures = Subject([i.model_copy(update={"answer": "8"}) for i in posed])
    assert [r.value for r in recall(in_figures, posed)] == [1.0, 1.0, 0.0]
    assert [r.value for r in recall(Subject(posed), posed)] == [1.0, 1.0, 1.0]
    assert [r.value for r in leak(in_figures, posed, k=1)] == [1.0, 1.0, 0.0]
    assert [r.chance for r in recognition(Subject(posed), posed)] == [1 / 2, 1 / 3, 1 / 3]


@pytest.mark.parametrize("foils", [1, 3])
@pytest.mark.parametrize("subject", [Amnesiac, Guesser])
def test_the_amnesiac_scores_chance(subject: type[Amnesiac], foils: int) -> None:
    values = [r.value for seed in range(8) for r in recognition(subject(seed), items(seed), foils=foils, seed=seed)]
    low, high = wilson(sum(values), len(values), z=3)
    assert len(values) == 800
    assert low < 1 / (1 + foils) < high
    assert high - low < 0.12, "the interval would hold anything"
    assert sum(r.value for r in recall(subject(0), items(0))) == 0


def test_foils_are_answers_to_the_same_kind_of_question() -> None:
    posed = items(3)
    kinds: dict[str, str] = {}
    for person in people(10, seed=3):
        kinds |= {f.answer: f.relation for f in person}
    pairs: list[tuple[str, str]] = []

    class Watch(Subject):
        def liking(self, question: str, answer: str) -> float:
            pairs.append((question, answer))
            return 0.0

    results = recognition(Watch(posed), posed)
    gold = {i.question: i.answer for i in posed}
    assert [(q, a) for q, a in pairs if kinds[a] != kinds[gold[q]]] == []
    assert len(set(pairs)) == len(pairs) == 400
    assert {r.value for r in results} == {0.0}, "gold must be likelier than the foils, not as likely"


def test_foils_are_the_same_for_a_seed_and_chance_is_of_those_drawn() -> None:
    posed = items(2, n=2)[:3]
    first, again = (recognition(Guesser(1), posed, foils=5, seed=4) for _ in range(2))
    assert first == again
    assert {r.chance for r in first} == {1 / 3}  # three answers in all
    (alone,) = recognition(Subject(posed), posed[:1])
    assert (alone.value, alone.chance) == (0.0, 1.0)


def test_recall_takes_many_items_in_batches_and_tells_how_far_it_is() -> None:
    posed, seen = items(1), []
    recall(Subject(posed), posed, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(64, 100), (100, 100)]


def test_lost_is_what_was_right_and_is_wrong() -> None:
    def of(*values: float) -> list[Result]:
        return [Result(exam="recall/direct", item=str(i), value=v) for i, v in enumerate(values)]

    assert lost(of(1, 1, 0, 0), of(1, 0, 1, 0)) == ["1"]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load("tiny")


@torch.no_grad()
def logprobs(lm: LanguageModel, text: str) -> torch.Tensor:
    """(T, V) log-probabilities before each token of the text, from one plain call of the model."""
    ids = torch.tensor([lm.text_example(text)["input_ids"]])
    return lm.model(ids).logits[0, :-1].log_softmax(-1)


def test_general_loss_is_the_mean_over_tokens(lm: LanguageModel) -> None:
    texts = ["A short one.", "And one that is rather longer.", ""]
    results = general_loss(lm, texts)
    wanted = []
    for text in texts[:2]:
        targets = torch.tensor(lm.text_example(text)["input_ids"][1:])
        wanted.append(-logprobs(lm, text).gather(1, targets[:, None])[:, 0])
    assert [r.item for r in results] == ["text-0", "text-1"]
    assert [r.value for r in results] == pytest.approx([w.mean().item() for w in wanted], rel=1e-5)
    assert [r.detail["tokens"] for r in results] == [len(w) for w in wanted]
    assert mean_loss(results) == pytest.approx(torch.cat(wanted).mean().item(), rel=1e-5)
    assert results[0].value == pytest.approx(math.log(259), abs=0.5), "an untrained model knows nothing"


def test_drift_is_the_divergence_of_every_token_and_zero_from_itself(lm: LanguageModel) -> None:
    texts = ["A short one.", "And one that is rather longer.", ""]
    assert [r.value for r in drift(lm, lm, texts)] == pytest.approx([0, 0, 0], abs=1e-6)
    moved = LanguageModel(copy.deepcopy(lm.model), lm.tokenizer)
    with torch.no_grad():
        moved.model.model.layers[1].mlp.down_proj.weight += 0.3
    got = [r.value for r in drift(lm, moved, texts)]
    for value, text in zip(got, texts[:2], strict=False):
        p, q = logprobs(lm, text), logprobs(moved, text)
        assert value == pytest.approx((p.exp() * (p - q)).sum(-1).mean().item(), rel=1e-4)
        assert value > 1e-3
    assert got[2] == 0.0
    assert [r.value for r in drift(moved, lm, texts)][:2] != pytest.approx(got[:2], rel=1e-3), "KL has a direction"


def test_the_built_in_text_and_quiz() -> None:
    assert len(passages()) >= 10
    assert len(set(passages())) == len(passages())
    assert len(quiz()) == 300
    for field in ("id", "question"):
        assert len({getattr(q, field) for q in quiz()}) == len(quiz())
    assert all(q.answer and q.question.endswith("?") and q.probe == "quiz" for q in quiz())
    assert all("|" not in q.answer and all(q.accept) and not right(q.question, q) for q in quiz())
    (legs,) = (q for q in quiz() if q.question == "How many legs does a dog have?")
    assert (legs.answer, legs.accept) == ("four", ("4",))
    results = common(Subject(quiz()[:5]))
    assert [r.item for r in results] == [q.id for q in quiz()]
    assert [r.item for r in common(Subject([]), quiz()[3:5])] == ["quiz-3", "quiz-4"]
    assert {r.exam for r in results} == {"recall/quiz"}
    assert sum(r.value for r in results) == 5


def test_questions_are_put_as_chat() -> None:
    assert ask("Who?") == [{"role": "user", "content": "Who?"}]
