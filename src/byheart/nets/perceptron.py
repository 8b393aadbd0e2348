"""A perceptron that speaks like a transformers classifier, for studies that take seconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from byheart.kit.modes import drawing


class Perceptron(nn.Module):
    """Linear layers with ReLU between them; drawn from `seed`, the global generator left as it was.

    Called with `x` (B, inputs) it gives an output with `logits` (B, classes) and `hidden_states`, whose
    last, (B, widths[-1]), is what the output layer sees. `mask` (B, classes) bool leaves out classes:
    that is how a task that is named at test time (task-incremental learning) keeps to its own.

    >>> out = Perceptron(inputs=4, widths=(8,), classes=3)(torch.zeros(2, 4))
    >>> out.logits.shape, out.hidden_states[-1].shape
    (torch.Size([2, 3]), torch.Size([2, 8]))
    """

    def __init__(
        self, *, inputs: int = 64, widths: Sequence[int] = (100, 100), classes: int = 10, seed: int = 0
    ) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        with drawing(seed):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
            self.head = nn.Linear(sizes[-1], classes)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> SequenceClassifierOutput:
        hidden = []
        for layer in self.layers:
            x = torch.relu(layer(x))
            hidden.append(x)
        logits = self.head(x)
        if mask is not None:
            logits = logits.masked_fill(~mask, -1e9)
        return SequenceClassifierOutput(logits=logits, hidden_states=tuple(hidden))
