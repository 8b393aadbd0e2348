"""Two Gaussians fitted to numbers: many small one-dimensional mixtures at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
FLOOR = 1e-6
TOLERANCE = 1e-3
STEPS = 100


def higher(values: Rows, given: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which numbers of each row belong to the Gaussian of the higher mean; (B, n) both ways.

    `given` marks the numbers that count, so that rows may be of different length. Each row is fitted by
    expectation maximisation from the best split of its sorted numbers in two, with the floor of the variance
    (1e-6), the tolerance (1e-3 of mean log-likelihood) and the 100 steps that scikit-learn's GaussianMixture has.

    >>> higher(np.array([[0.1, 0.9, 0.2, 0.8, 0.15, 0.12]])).astype(int)
    array([[0, 1, 0, 1, 0, 0]])
    """
    values = np.asarray(values, np.float64)
    given = np.ones(values.shape, bool) if given is None else given
    share = _split(values, given)
    before = np.full(len(values), -np.inf)
    moving = np.ones(len(values), bool)
    weights, means, spreads = _moments(values, share)
    chances = _chances(values, weights, means, spreads)
    for _ in range(STEPS):
        log_density = np.where(given, np.logaddexp(chances[..., 0], chances[..., 1]), 0.0)
        now = log_density.sum(1) / given.sum(1)
        share = np.exp(chances - log_density[..., None]) * given[..., None]
        moments = _moments(values[moving], share[moving])
        weights[moving], means[moving], spreads[moving] = moments
        chances[moving] = _chances(values[moving], *moments)
        moving &= np.abs(now - before) >= TOLERANCE
        before = now
        if not moving.any():
            break
    best = means.argmax(1)
    return (chances.argmax(2) == best[:, None]) & given


def _split(values: Rows, given: NDArray[np.bool_]) -> Rows:
    """Shares (B, n, 2) of the two halves with the least sum of squares around their means."""
    ordered = np.sort(np.where(given, values, np.inf), 1)
    counted = np.isfinite(ordered)
    numbers = np.where(counted, ordered, 0.0)
    sums, n = numbers.cumsum(1), counted.cumsum(1)
    total, many = sums[:, -1:], n[:, -1:]
    left = np.maximum(n, 1)
    right = many - n
    gain = sums**2 / left + np.where(right > 0, (total - sums) ** 2 / np.maximum(right, 1), 0.0)
    at = np.where(right > 0, gain, -np.inf).argmax(1)
    limit = np.take_along_axis(ordered, at[:, None], 1)
    low = values <= limit
    return (np.stack([low, ~low], 2) & given[..., None]).astype(np.float64)


def _moments(values: Rows, share: Rows) -> tuple[Rows, Rows, Rows]:
    """Weights, means and variances (B, 2) of the components, each number counted by its share."""
    counts = share.sum(1) + 10 * np.finfo(float).eps
    means = (share * values[..., None]).sum(1) / counts
    spreads = (share * (values[..., None] - means[:, None]) ** 2).sum(1) / counts + FLOOR
    return counts / counts.sum(1, keepdims=True), means, spreads


def _chances(values: Rows, weights: Rows, means: Rows, spreads: Rows) -> Rows:
    """Log of weight times density (B, n, 2)."""
    away = (values[..., None] - means[:, None]) ** 2 / spreads[:, None]
    return np.log(weights)[:, None] - 0.5 * (np.log(2 * np.pi * spreads)[:, None] + away)
