"""Membership scores: how strongly a model behaves as if it had been trained on a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from byheart.core.protocols import Prompt


def loss(model: Any, pairs: Sequence[tuple[Prompt, str]]) -> list[float]:
    """Mean log-probability per token of each continuation; higher means more like a member."""
    return [float(np.mean(s)) for s in model.score(pairs)]


def min_k_plus(model: Any, pairs: Sequence[tuple[Prompt, str]], k: float = 0.2) -> list[float]:
    """Min-K%++: mean of the lowest share `k` of (log p - mu) / sigma over a continuation's tokens.

    mu and sigma are the mean and standard deviation of log p under the model's own next-token
    distribution (Zhang et al. 2024, arXiv:2404.02936, equation 3). `model` needs `standardised`.

    Departs from the paper: the share of n tokens is k n rounded, one token at least, where the authors' code rounds
    down; answers are shorter than the texts it was made for, and one token of eight says less than two.
    """
    return [_lowest(s, k) for s in model.standardised(pairs)]


def both(model: Any, pairs: Sequence[tuple[Prompt, str]], k: float = 0.2) -> dict[str, list[float]]:
    """The two scores by their names, from one reading of the pairs. `model` needs `moments`."""
    read = model.moments(pairs)
    return {
        "loss": [float(np.mean([p for p, _, _ in tokens])) for tokens in read],
        "Min-K%++": [_lowest([(p - mu) / sigma for p, mu, sigma in tokens], k) for tokens in read],
    }


def _lowest(scores: Sequence[float], k: float) -> float:
    return float(np.mean(sorted(scores)[: max(1, round(k * len(scores)))]))


def auc(members: Sequence[float], others: Sequence[float]) -> float:
    """Chance that a member scores higher than a non-member, ties half (Mann-Whitney).

    >>> auc([3, 2], [1, 2])
    0.875
    """
    a, b = np.asarray(members)[:, None], np.asarray(others)[None, :]
    return float(((a > b) + 0.5 * (a == b)).mean())
