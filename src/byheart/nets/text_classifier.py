"""A classifier of texts on top of a causal language model, which stays whole inside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from byheart.kit.anatomy import decoder
from byheart.kit.modes import drawing


class TextClassifier(nn.Module):
    """A recurrent layer, attention over its states and a linear layer, above a language model's features.

    The language model (`lm`) keeps its own output layer. Called with right-padded `input_ids` (B, T) it gives an
    output with `logits` (B, classes) and `hidden_states`, whose last, (B, width), the linear layer sees. What is
    new is drawn from `seed`, the global generator left as it was.

    Chronopoulou et al. 2019, arXiv:1902.10547, figure 1.

    >>> from byheart.models.tiny import model
    >>> TextClassifier(model(), classes=3)(torch.tensor([[5, 6, 7]])).logits.shape
    torch.Size([1, 3])
    """

    def __init__(self, lm: Any, *, classes: int, width: int = 32, seed: int = 0) -> None:
        super().__init__()
        self.lm = lm
        with drawing(seed):
            self.recurrent = nn.LSTM(lm.config.hidden_size, width, batch_first=True)
            self.attention = nn.Linear(width, 1)
            self.classes = nn.Linear(width, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SequenceClassifierOutput:
        features = decoder(self.lm)(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        states, _ = self.recurrent(features)
        scores = torch.tanh(self.attention(states)).squeeze(-1)  # (B, T)
        if attention_mask is not None:
            scores = scores.masked_fill(attention_mask == 0, -torch.inf)
        summary = (scores.softmax(-1)[..., None] * states).sum(1)
        return SequenceClassifierOutput(logits=self.classes(summary), hidden_states=(summary,))
