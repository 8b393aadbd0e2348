"""What is put into another state for a while comes back, on every device and in every module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from byheart.kit.modes import drawing, evaluating
from byheart.kit.readout import Readout
from byheart.models import tiny


class Devices:
    """Stands for CUDA: a state for each of two devices, and what was done to them."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.states = [torch.tensor([1]), torch.tensor([2])]
        patched.setattr(torch.cuda, "is_initialized", lambda: True)
        patched.setattr(torch.cuda, "get_rng_state_all", lambda: [s.clone() for s in self.states])
        patched.setattr(torch.cuda, "set_rng_state_all", self.take)
        patched.setattr(torch.cuda, "manual_seed_all", lambda seed: self.take([torch.tensor([seed])] * 2))

    def take(self, states: list[Tensor]) -> None:
        self.states = [s.clone() for s in states]

    def values(self) -> list[int]:
        return [int(s) for s in self.states]


def test_generators_of_all_devices_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = Devices(monkeypatch)
    before = torch.get_rng_state()
    with drawing(7):
        assert devices.values() == [7, 7]
        drawn = torch.rand(3)
        devices.take([torch.tensor([8]), torch.tensor([9])])
    assert devices.values() == [1, 2]
    assert torch.equal(before, torch.get_rng_state())

    def fail() -> None:
        with drawing(7):
            assert torch.equal(torch.rand(3), drawn)
            devices.take([torch.tensor([8]), torch.tensor([9])])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert devices.values() == [1, 2]
    assert torch.equal(before, torch.get_rng_state())


def test_a_generator_of_cuda_is_left_alone_where_cuda_is_not_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it touched CUDA")

    for name in ("get_rng_state_all", "set_rng_state_all", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, never)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    with drawing(7):
        torch.rand(1)


def test_a_tiny_model_leaves_the_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = Devices(monkeypatch)
    before = torch.get_rng_state()
    tiny.model(0)
    assert devices.values() == [1, 2]
    assert torch.equal(before, torch.get_rng_state())


def test_every_module_comes_back_in_its_own_mode() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()).eval())
    with evaluating(model):
        assert not any(m.training for m in model.modules())
        model.append(nn.Dropout())
    assert [m.training for m in model.modules()] == [True, True, False, False, False, True]


def test_logits_of_a_batch_read_without_gradients_have_none_whenever_they_are_made() -> None:
    head = nn.Linear(2, 3)
    with torch.inference_mode():
        hidden = torch.ones(1, 2)
    read = Readout(lambda: head(hidden), torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))
    assert not read.logits.requires_grad
