"""The diagonal of the Fisher information, from squared gradients of single examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.kit.modes import evaluating
from byheart.kit.readout import Readout

Labels = Literal["model", "data"]


def fisher(
    model: nn.Module,
    read: Callable[[nn.Module, dict[str, Tensor]], Readout],
    examples: Iterable[tuple[dict[str, Tensor], torch.Generator]],
    *,
    labels: Labels = "model",
) -> dict[str, Tensor]:
    """F_i = mean over examples of (d log p(y | x) / d theta_i)^2, by parameter name, in float32.

    Each example is given alone, as model inputs with a batch of one and its generator: squares of
    gradients summed over a batch would measure something else (Kunstner et al. 2019,
    arXiv:1905.12558). The log-likelihood of an example is summed over its scored positions.
    `labels="model"` draws y from the model, which is the true Fisher; `"data"` takes the example's
    own labels (the empirical Fisher, which vanishes on examples that the model has memorised).
    """
    watched = {n: p for n, p in model.named_parameters() if p.requires_grad}
    totals = {n: torch.zeros_like(p, dtype=torch.float32) for n, p in watched.items()}
    count = 0
    with evaluating(model):
        for inputs, generator in examples:
            out = read(model, inputs)
            count += 1
            if len(out.targets) == 0:
                continue
            targets = out.targets
            if labels == "model":
                chances = out.logits.detach().float().softmax(-1).cpu()
                targets = torch.multinomial(chances, 1, generator=generator)[:, 0].to(targets.device)
            loss = F.cross_entropy(out.logits.float(), targets, reduction="sum")
            grads = torch.autograd.grad(loss, list(watched.values()), allow_unused=True)
            for total, grad in zip(totals.values(), grads, strict=True):
                if grad is not None:
                    total += grad.float().square()
    return {n: total / max(count, 1) for n, total in totals.items()}
