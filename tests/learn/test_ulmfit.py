"""ULMFiT: rates of layers and of steps by hand, unfreezing by epochs, refusals."""

import pytest
import torch

from byheart.core.errors import BadInput
from byheart.learn.ulmfit import ULMFiT
from byheart.nets.perceptron import Perceptron
from byheart.train.loop import Settings, train

ROWS = [{"x": torch.ones(4) * n, "labels": n % 2} for n in range(4)]


def model() -> Perceptron:
    return Perceptron(inputs=4, widths=(3, 3), classes=2)


def test_the_rate_rises_to_its_peak_and_falls_to_a_share_of_it() -> None:
    guard = ULMFiT(cut=0.1, ratio=32.0)
    assert guard.rate(0.0) == pytest.approx(1 / 32)
    assert guard.rate(0.05) == pytest.approx((1 + 0.5 * 31) / 32)
    assert guard.rate(0.1) == pytest.approx(1.0)
    assert guard.rate(1.0) == pytest.approx(1 / 32)


def test_a_layer_learns_slower_by_a_factor_than_the_one_above() -> None:
    guard, net = ULMFiT(fall=2.6), model()
    train(net, ROWS, [guard], Settings(steps=1))
    factors = guard.groups(net)
    assert factors["layers.1.weight"] == pytest.approx(1 / 2.6)
    assert factors["layers.0.weight"] == pytest.approx(1 / 2.6**2)
    assert "head.weight" not in factors


def test_layers_wake_one_an_epoch_from_the_top() -> None:
    net = model()
    start = {n: p.detach().clone() for n, p in net.named_parameters()}

    def moved() -> set[str]:
        return {n.rsplit(".", 1)[0] for n, p in net.named_parameters() if not torch.equal(p, start[n])}

    seen = []
    train(net, ROWS, [ULMFiT()], Settings(lr=0.1, steps=3, batch_size=4), on_step=lambda *_: seen.append(moved()))
    assert seen == [{"head"}, {"head", "layers.1"}, {"head", "layers.1", "layers.0"}]


@pytest.mark.parametrize("settings", [{"fall": 0.5}, {"ratio": 0.0}, {"cut": 0.0}, {"cut": 1.0}])
def test_rates_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="give 1 or more"):
        ULMFiT(**settings)
