"""Two Gaussians: what scikit-learn finds from the same start, rows of different length, rows that are all one."""

from __future__ import annotations

import numpy as np
import pytest

from byheart.kit.mixture import _moments, _split, higher


def rows(seed: int, count: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low, high = rng.normal(0.3, 0.05, (count, n)), rng.normal(0.5, 0.08, (count, n))
    return np.where(rng.random((count, n)) < 0.7, low, high)


def test_the_same_as_scikit_learn_from_the_same_start() -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    values = rows(0, 60, 30)
    weights, means, spreads = _moments(values, _split(values, np.ones(values.shape, bool)))
    upper = higher(values)
    for n, row in enumerate(values):
        model = mixture.GaussianMixture(
            2,
            weights_init=weights[n],
            means_init=means[n][:, None],
            precisions_init=1 / spreads[n][:, None, None],
        )
        labels = model.fit_predict(row[:, None])
        assert (upper[n] == (labels == model.means_.argmax())).all(), n


def test_mostly_the_same_as_the_authors_call() -> None:
    """scikit-learn starts from k-means with a random first centre, which may end elsewhere."""
    mixture = pytest.importorskip("sklearn.mixture")
    values = rows(1, 60, 30)
    upper = higher(values)
    alike = []
    for n, row in enumerate(values):
        model = mixture.GaussianMixture(2, random_state=0).fit(row[:, None])
        alike.append(((model.predict(row[:, None]) == model.means_.argmax()) == upper[n]).mean())
    assert np.mean(alike) > 0.95


def test_the_best_split_is_the_best_of_all() -> None:
    for row in rows(2, 20, 9):
        ordered = np.sort(row)

        def cost(at: int, ordered: np.ndarray = ordered) -> float:
            return sum(float(((part - part.mean()) ** 2).sum()) for part in (ordered[:at], ordered[at:]))

        wanted = min(range(1, 9), key=cost)
        share = _split(row[None], np.ones((1, 9), bool))[0]
        assert share[:, 0].sum() == wanted
        assert set(row[share[:, 0] == 1]) == set(ordered[:wanted])


def test_rows_of_different_length_are_fitted_alone() -> None:
    values = rows(3, 5, 30)
    given = np.arange(30) < np.array([[30], [22], [25], [20], [30]])
    together = higher(values, given)
    for n, row in enumerate(values):
        many = int(given[n].sum())
        assert (together[n, :many] == higher(row[None, :many])[0]).all()
        assert not together[n, many:].any()


def test_numbers_that_are_all_one_belong_together() -> None:
    assert higher(np.full((1, 6), 0.4)).all() or not higher(np.full((1, 6), 0.4)).any()
    assert higher(np.array([[0.2]])).shape == (1, 1)
