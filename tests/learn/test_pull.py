"""The quadratic penalty of EWC, SI, MAS and L2 to the start: autograd's own values and gradients, in any precision."""

from __future__ import annotations

import pytest
import torch

from byheart.kit.pull import quadratic


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("weighed", [True, False])
def test_it_is_what_autograd_makes_of_the_formula(dtype: torch.dtype, weighed: bool) -> None:
    g = torch.Generator().manual_seed(4)
    start, anchor, importance = (torch.randn(5, 7, generator=g) for _ in range(3))
    importance = importance.abs() if weighed else None
    ours, theirs = (start.to(dtype).clone().requires_grad_(True) for _ in range(2))
    before = ours.detach().clone()
    penalty = 0.7 * quadratic(ours, anchor, importance)
    formula = 0.7 * ((1 if importance is None else importance) * (theirs.float() - anchor).square()).sum()
    penalty.backward()
    formula.backward()
    assert penalty.item() == pytest.approx(formula.item(), rel=1e-5)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert ours.grad.dtype == dtype
    assert torch.allclose(ours.grad.float(), theirs.grad.float(), rtol=1e-5 if dtype != torch.bfloat16 else 1e-2)
    assert ours.grad.abs().max() > 0.1
    assert torch.equal(ours.detach(), before), "the weights themselves must not move"


def test_an_anchor_in_low_precision_is_compared_in_full() -> None:
    w = torch.tensor([1.0, 256.0], dtype=torch.bfloat16, requires_grad=True)
    anchor = torch.tensor([1.0078125, 257.0 - 1], dtype=torch.bfloat16)
    assert quadratic(w, anchor).item() == pytest.approx(0.0078125**2)
