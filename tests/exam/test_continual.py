"""Continual-evaluation metrics against numbers read off a curve by eye."""

from __future__ import annotations

import math

import pytest

from byheart.exam import continual

# two tasks; the first is learned in rows 0 and 1, the second in rows 2 to 4
CURVE = [[0.2, 0.5], [0.9, 0.1], [0.3, 0.2], [0.4, 0.7], [0.8, 0.6]]
ENDS = [1, 4]


def test_the_lowest_accuracy_is_looked_for_after_a_task_was_learned() -> None:
    assert continual.min_accuracy(CURVE, ENDS) == pytest.approx(0.3)  # 0.2 was before
    assert continual.worst_case_accuracy(CURVE, ENDS) == pytest.approx(0.6 / 2 + 0.3 / 2)
    assert math.isnan(continual.min_accuracy(CURVE[:2], [1]))
    assert continual.worst_case_accuracy([[0.2], [0.9]], [1]) == 0.9
    three = [[0.9, 0, 0], [0.5, 0.8, 0], [0.6, 0.7, 0.4]]
    assert continual.min_accuracy(three, [0, 1, 2]) == pytest.approx((0.5 + 0.7) / 2)
    assert continual.worst_case_accuracy(three, [0, 1, 2]) == pytest.approx((0.4 + 0.5 + 0.7) / 3)


def test_a_window_starts_where_a_task_is_first_trained() -> None:
    assert continual.windowed_forgetting(CURVE, 2, ENDS) == pytest.approx((0.6 + 0.1) / 2)
    assert continual.windowed_forgetting(CURVE, 2) == pytest.approx((0.6 + 0.4) / 2)  # as if task 2 had been seen
    assert continual.windowed_plasticity(CURVE, 2, ENDS) == pytest.approx((0.7 + 0.5) / 2)
    assert continual.windowed_plasticity(CURVE, 3, ENDS) == pytest.approx((0.7 + 0.5) / 2)


def test_a_drop_counts_only_within_its_window() -> None:
    slow = [[1.0], [0.9], [0.8], [0.7]]
    assert [continual.windowed_forgetting(slow, w) for w in (1, 2, 3, 4, 9)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.3])
    assert continual.windowed_plasticity(slow, 4) == 0.0
