"""Matching, intervals, leak@k and membership against figures worked out another way."""

from __future__ import annotations

import math
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, multinomial
from torch import nn

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation
from byheart.core.records import Item, Result
from byheart.exam.interval import fallen, summary, wilson
from byheart.exam.leak import at_k, leak
from byheart.exam.match import contains, normal
from byheart.exam.membership import auc, both, loss, min_k_plus
from byheart.models import tiny
from byheart.models.lm import LanguageModel

LN3 = math.log(3)


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("She was born in Velmere.", "Velmere", True),
        ("VELMERE", "velmere", True),
        ("Velmere-upon-Tun", "Velmere", True),
        ("Velmerean", "Velmere", False),
        ("in 19391", "1939", False),
        ("(1939)", "1939", True),
        ("the Tunmoor salt-company, Ltd.", "Tunmoor Salt Company", True),
        ("Salt of the Tunmoor Company", "Tunmoor Salt Company", False),
        ("ｖｅｌｍｅｒｅ", "Velmere", True),  # full-width letters
        ("Straße", "STRASSE", True),
        ("Kask", "Käsk", False),
        ("O'Brien said so", "O’Brien", True),
        ("anything", "", False),
        ("anything", "?!", False),
        ("", "Velmere", False),
    ],
)
def test_an_answer_counts_when_the_gold_stands_in_it(answer: str, gold: str, right: bool) -> None:
    assert contains(answer, gold) is right


def test_normal_text_stays_as_it_is() -> None:
    for text in ("  Two\twords\n", "Ünïcode — dashes", "a_b"):
        assert normal(normal(text)) == normal(text)
    assert normal("Ünïcode — dashes") == "ünïcode dashes"


@pytest.mark.parametrize("n", [1, 7, 40, 1000])
def test_wilson_agrees_with_scipy(n: int) -> None:
    for k in {0, 1, n // 3, n // 2, n - 1, n}:
        want = binomtest(k, n).proportion_ci(method="wilson")
        assert wilson(k, n) == pytest.approx((want.low, want.high), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


def of(*values: float, exam: str = "x") -> list[Result]:
    return [Result(exam=exam, item=str(i), value=v) for i, v in enumerate(values)]


def test_a_fall_is_counted_by_item_and_only_as_far_as_it_is_sure() -> None:
    before = [Result(exam="q", item=str(i), value=1.0) for i in range(100)]
    after = [Result(exam="q", item=str(i), value=float(i >= 10)) for i in reversed(range(100))]
    assert fallen(before, after) == pytest.approx(drawn(losses=10, gains=0, n=100), abs=1e-3)
    assert fallen(after, before) == 0.0
    assert fallen([*before, *before[:1]][1:], after[:1]) == fallen(before[:1], after[:1]) == 0.0
    assert fallen(before[:1], after[:1]) == 0.0
    assert fallen([], after) == 0.0


def paired(losses: int, gains: int, n: int) -> tuple[list[Result], list[Result]]:
    """The results before and after of `n` items, of which so many were lost and gained and the others held half."""
    held = [float(i % 2) for i in range(n - losses - gains)]
    return of(*[1.0] * losses, *[0.0] * gains, *held), of(*[0.0] * losses, *[1.0] * gains, *held)


def drawn(losses: int, gains: int, n: int) -> float:
    """The limit from a million draws, as R's `mcnemarExactDP` makes it with `nmc`."""
    rng, changed = np.random.default_rng(0), losses + gains
    share = rng.beta(changed, n - changed + 1, 1_000_000)
    return float(np.quantile(share * (2 * rng.beta(losses, gains + 1, 1_000_000) - 1), 0.05))


@pytest.mark.parametrize(("losses", "gains", "n"), [(17, 2, 300), (25, 10, 300), (8, 1, 60), (60, 0, 60), (5, 0, 6)])
def test_the_limit_of_a_fall_is_that_of_draws(losses: int, gains: int, n: int) -> None:
    assert fallen(*paired(losses, gains, n)) == pytest.approx(drawn(losses, gains, n), abs=2e-3)


def test_300_items_show_a_fall_of_five_points_and_60_do_not() -> None:
    for gains in range(12):
        assert 0.0 < fallen(*paired(15 + gains, gains, 300)) < 0.05
    for gains in range(12):
        assert fallen(*paired(3 + gains, gains, 60)) == 0.0


@pytest.mark.parametrize("n", [12, 60])
def test_a_fall_is_surer_than_zero_where_the_exact_test_says_so(n: int) -> None:
    for losses in range(1, n // 2):
        for gains in range(0, n // 2, 3):
            p = binomtest(losses, losses + gains, alternative="greater").pvalue
            assert (fallen(*paired(losses, gains, n)) > 0) == (p < 0.05), (losses, gains)


@pytest.mark.parametrize(("lost", "gained"), [(0.03, 0.03), (0.1, 0.05), (0.15, 0.05)])
def test_a_limit_is_above_the_true_fall_in_a_twentieth_of_samples_at_most(lost: float, gained: float) -> None:
    n, over = 60, 0.0
    for losses in range(25):
        for gains in range(15):
            chance = multinomial.pmf([losses, gains, n - losses - gains], n, [lost, gained, 1 - lost - gained])
            if chance > 1e-6 and fallen(*paired(losses, gains, n)) > lost - gained:
                over += chance
    assert 0.005 < over <= 0.05


def test_summary_keeps_exams_apart_and_chooses_the_interval_by_the_values() -> None:
    figures = summary([*of(1, 0, 1, 1, exam="recall"), *of(1.0, 2.0, 6.0, exam="loss")])
    assert figures["recall"] == {"mean": 0.75, "n": 4, "low": wilson(3, 4)[0], "high": wilson(3, 4)[1]}
    spread = 1.96 * math.sqrt((4 + 1 + 9) / 2 / 3)  # variance of (1, 2, 6) is 7
    assert figures["loss"] == pytest.approx({"mean": 3.0, "n": 3, "low": 3 - spread, "high": 3 + spread})
    assert summary([]) == {}


@pytest.mark.parametrize("n", [1, 4, 7])
def test_leak_at_k_is_the_share_of_draws_that_hold_a_right_one(n: int) -> None:
    for correct in range(n + 1):
        samples = [i < correct for i in range(n)]
        for k in range(1, n + 1):
            draws = list(combinations(samples, k))
            assert at_k(n, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


class Leaky:
    """Says the answer in the given number of every ten samples, and counts what it is asked for."""

    def __init__(self, tenths: int) -> None:
        self.tenths, self.seeds = tenths, []  # type: ignore[var-annotated]

    def generate(self, prompts: Any, *, copies: int = 1, seed: int = 0, **_: Any) -> list[list[Generation]]:
        self.seeds.append(seed)
        texts = ["in Velmere" if i % 10 < self.tenths else "somewhere" for i in range(copies)]
        return [[Generation(s) for s in texts] for _ in prompts]

    def score(self, pairs: Any) -> list[list[float]]:
        return [[0.0] for _ in pairs]


def test_leak_counts_hits_and_draws_anew_for_every_batch() -> None:
    items = [Item(id=str(i), question=f"Where was {i} born?", answer="Velmere") for i in range(30)]
    subject = Leaky(2)
    results = leak(subject, items, k=3, samples=10)
    assert [r.item for r in results] == [i.id for i in items]
    assert [r.value for r in results] == pytest.approx([1 - (8 / 10) * (7 / 9) * (6 / 8)] * 30)
    assert results[0].exam == "leak@3"
    assert results[0].detail == {"samples": 10, "hits": 2}
    assert len(subject.seeds) == len(set(subject.seeds)) == 2  # 256 samples to a batch
    assert {r.value for r in leak(Leaky(0), items, k=3)} == {0.0}
    silent = Leaky(2)
    with pytest.raises(BadInput, match="k=11 must lie between 1 and the number of samples 10; draw more"):
        leak(silent, items, k=11, samples=10)
    assert silent.seeds == []


class Bigram(nn.Module):
    """The next token depends on the last alone: logits are a row of a table."""

    def __init__(self, rows: dict[int, dict[int, float]]) -> None:
        super().__init__()
        table = torch.full((259, 259), -math.inf)
        for last, chances in rows.items():
            for token, chance in chances.items():
                table[last, token] = math.log(chance)
        self.table = nn.Parameter(table)

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.table[input_ids])


@pytest.fixture
def bigram() -> LanguageModel:
    """After the start "a" with chance 3/4, after "a" again with 1/4, after "b" a fair coin; else "b"."""
    tokenizer = tiny.tokenizer()
    (a,), (b,) = (tokenizer(c)["input_ids"] for c in "ab")
    rows = {0: {a: 3 / 4, b: 1 / 4}, a: {a: 1 / 4, b: 3 / 4}, b: {a: 1 / 2, b: 1 / 2}}
    others = {t: {b: 1.0} for t in range(1, 259) if t not in rows}
    return LanguageModel(Bigram(rows | others), tokenizer, "bigram")


def test_membership_by_loss(bigram: LanguageModel) -> None:
    means = loss(bigram, [("", "aab"), ("a", "b"), ("b", "ab")])
    assert means == pytest.approx([math.log(9 / 64) / 3, math.log(3 / 4), math.log(3 / 8) / 2])


def test_min_k_plus_by_hand(bigram: LanguageModel) -> None:
    # of chances (3/4, 1/4): mu = ln(3/4) - ln(3)/4, sigma = sqrt(3)/4 ln 3, so the likely token stands at
    # 1/sqrt(3) and the unlikely one at -sqrt(3)
    high, low = 1 / math.sqrt(3), -math.sqrt(3)
    assert bigram.standardised([("", "aab")])[0] == pytest.approx([high, low, high], abs=1e-4)
    assert min_k_plus(bigram, [("", "aab")]) == pytest.approx([low], abs=1e-4)
    assert both(bigram, [("", "aab")]) == {
        "loss": pytest.approx(loss(bigram, [("", "aab")])),
        "Min-K%++": pytest.approx([low], abs=1e-4),
    }
    assert min_k_plus(bigram, [("", "aab")], k=0.6) == pytest.approx([(low + high) / 2], abs=1e-4)  # of 1.8 tokens two
    assert min_k_plus(bigram, [("", "aab")], k=0.7) == pytest.approx([(low + high) / 2], abs=1e-4)
    assert min_k_plus(bigram, [("", "aab")], k=1.0) == pytest.approx([(low + 2 * high) / 3], abs=1e-4)


def test_auc_counts_pairs() -> None:
    members, others = [0.1, 0.5, 0.5, 0.9], [0.5, 0.2, -1.0]
    wins = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert auc(members, others) == pytest.approx(sum(wins) / len(wins))
    assert auc([1, 2], [0, -1]) == 1.0
    assert auc([0], [0]) == 0.5
