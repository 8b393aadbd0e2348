"""Divergences between two models' predictions at the same positions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean KL(teacher || student) over positions, in nats; logits (N, V) each.

    With a temperature T both are softened by T and the result is multiplied by T^2, so that
    gradients keep their size (Hinton et al. 2015, arXiv:1503.02531, section 2).

    >>> import torch
    >>> round(kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0986123, 0.0]])).item(), 4)
    0.1438
    """
    t = F.log_softmax(teacher.float() / temperature, -1)
    s = F.log_softmax(student.float() / temperature, -1)
    return F.kl_div(s, t, reduction="batchmean", log_target=True) * temperature**2
