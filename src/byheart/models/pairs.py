"""Cross-encoders: models that read a query and a passage together and score how well the passage answers the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.models import source


class PairScorer:
    """Any sequence classifier of pairs that transformers loads, by a hub id or a local folder. Loaded on first use.

    One output is taken as it is, of two the second less the first, which are the log-odds of "answers". Pairs are read
    in batches of like length, cut to `max_length` tokens from the longer side.
    """

    def __init__(self, name: str, *, batch: int = 32, max_length: int = 512) -> None:
        if min(batch, max_length) < 1:
            raise BadInput(f"batch={batch}, max_length={max_length}: give 1 or more of each; the defaults are 32, 512")
        self.name, self.batch, self.max_length = name, batch, max_length
        self._loaded: tuple[Any, Any] | None = None

    @property
    def loaded(self) -> tuple[Any, Any]:
        """The classifier and its tokenizer.

        Raises `BadInput` for a model without a trained head of one or two outputs, and what `source.find` raises.
        """
        if self._loaded is None:
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
            from transformers.utils import logging

            folder = source.find(self.name)
            verbosity = logging.get_verbosity()
            logging.disable_progress_bar()
            logging.set_verbosity_error()  # the error below reports a missing head
            try:
                model, report = AutoModelForSequenceClassification.from_pretrained(
                    folder, dtype=torch.float32, output_loading_info=True
                )
                tokenizer = AutoTokenizer.from_pretrained(folder)
            finally:
                logging.set_verbosity(verbosity)
                logging.enable_progress_bar()
            if report["missing_keys"]:
                lacks = ", ".join(sorted(report["missing_keys"]))
                raise BadInput(f"model {self.name!r} lacks {lacks}, so it classifies nothing; give a cross-encoder")
            if model.config.num_labels not in (1, 2):
                raise BadInput(
                    f"model {self.name!r} has {model.config.num_labels} outputs; give a cross-encoder with one or two"
                )
            if tokenizer.pad_token is None:
                tokenizer.pad_token = tokenizer.eos_token
                model.config.pad_token_id = tokenizer.pad_token_id
            self._loaded = model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer
        return self._loaded

    def relevance(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """How well each text answers the query (n,); higher is better, on the model's own scale."""
        import torch

        model, tokenizer = self.loaded
        query, *texts = (t.encode("utf-8", "ignore").decode() for t in (query, *texts))
        longest = min(self.max_length, tokenizer.model_max_length)
        out = np.zeros(len(texts))
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.inference_mode():
            for at in range(0, len(order), self.batch):
                chosen = order[at : at + self.batch]
                pairs = [query] * len(chosen), [texts[i] for i in chosen]
                inputs = tokenizer(*pairs, padding=True, truncation=True, max_length=longest, return_tensors="pt")
                logits = model(**inputs.to(model.device)).logits.double()
                out[chosen] = (logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]).cpu().numpy()
        return out
