"""Costs counted by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from byheart.core.errors import BadInput
from byheart.exam.efficiency import Cost, Meter, compute, relative, size


def test_a_backward_pass_counts_as_two_forward_passes() -> None:
    assert compute([Cost(read=7)]) == 7
    assert compute([Cost(trained=7)]) == 21
    assert compute([]) == 0


def test_memory_is_taken_at_its_highest_and_storage_at_the_end() -> None:
    mine = [Cost(trained=1, held=30, stored=9), Cost(trained=2, held=10, stored=3)]
    assert relative(mine, [Cost(read=18, held=20, stored=6)]) == {"compute": 0.5, "memory": 1.5, "storage": 0.5}
    assert relative(mine, [Cost(held=1)])["storage"] == float("inf")
    with pytest.raises(BadInput, match="no stages"):
        relative([], mine)


def test_what_is_reached_twice_is_held_once() -> None:
    shared, model = torch.zeros(10), nn.Linear(3, 2)

    class Holder:
        def __init__(self) -> None:
            self.a, self.b, self.model, self.name, self.count = [shared], {"x": shared}, model, "name", 3

    assert size(Holder()) == 40 + 4 * (6 + 2) + 8
    assert size(Holder(), leave=[model]) == 40 + 8
    assert size([shared, shared[:5]]) == 60, "a view is a tensor of its own here"


def test_a_copy_is_metered_too_and_a_pause_is_not() -> None:
    model, x = nn.Linear(2, 1), torch.zeros(4, 2)
    with Meter().watch(model) as meter:
        teacher = copy.deepcopy(model).requires_grad_(False)
        teacher(x)
        model(x)
        measured = meter.pausing(lambda m: float(m(x).detach().sum()))
        measured(model)
    model(x)
    assert (meter.read, meter.trained) == (4, 4)
