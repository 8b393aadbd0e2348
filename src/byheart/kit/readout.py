"""Reading a model: logits and targets at the scored positions, for language models and classifiers alike.

A language model spends a tenth to a third of its time on logits. Only positions whose target counts
are projected onto the vocabulary here, which on SmolLM2-135M makes a step with a quarter of its
positions scored about 1.2 times faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.strategy import IGNORE
from byheart.kit import tree
from byheart.kit.anatomy import decoder
from byheart.kit.modes import evaluating


class Readout:
    """A model's outputs at the N scored positions of a batch.

    `logits` (N, V), `targets` (N,), `rows` (N,) the example each position belongs to, `hidden`
    (N, D) the features that the output layer saw (None where the model does not show them). Read
    without gradients, the logits are computed at their first use: many readers of a pool need the
    features alone, and the vocabulary is the dearer half.
    """

    def __init__(
        self, logits: Tensor | Callable[[], Tensor], targets: Tensor, rows: Tensor, hidden: Tensor | None = None
    ) -> None:
        self._logits = logits
        self.targets, self.rows, self.hidden = targets, rows, hidden

    @property
    def logits(self) -> Tensor:
        """Logits at the scored positions, (N, V); without gradients where the batch was read without."""
        if not isinstance(self._logits, Tensor):
            with torch.no_grad():
                self._logits = self._logits()
        return self._logits

    def losses(self) -> Tensor:
        """Cross-entropy per scored position, in nats: (N,)."""
        return F.cross_entropy(self.logits.float(), self.targets, reduction="none")

    def loss(self) -> Tensor:
        """Mean cross-entropy over scored positions; 0 (with a gradient path) when there are none."""
        if len(self.targets) == 0:
            return self.logits.sum() * 0.0
        return F.cross_entropy(self.logits.float(), self.targets)

    def correct(self) -> Tensor:
        """Whether the arg-max is the target, per scored position: (N,) bool."""
        return self.logits.argmax(-1) == self.targets

    def parts(self, sizes: Sequence[int]) -> list[Readout]:
        """This, read of several batches together, as one readout for each; `sizes` are their rows."""
        starts = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
        ends = torch.searchsorted(self.rows, torch.tensor(starts, device=self.rows.device)).tolist()
        out = []
        for start, a, b in zip(starts, ends, ends[1:], strict=False):
            hidden = None if self.hidden is None else self.hidden[a:b]
            out.append(Readout(self.logits[a:b], self.targets[a:b], self.rows[a:b] - start, hidden))
        return out


class Reader(nn.Module):
    """Wraps any model so that calling it on a batch gives a `Readout`.

    A batch with `input_ids` is read as a language model's (labels are shifted by one and -100 is
    not scored); any other batch as a classifier's (`labels` holds one class per example). Being a
    module, it can itself be wrapped for several processes.

    With `share`, what rows begin with alike is read once (`kit.tree`); modules of the model then see one
    row of all distinct tokens, and so it is not done without gradients where hooks listen to them.
    """

    def __init__(self, model: nn.Module, *, share: bool = False) -> None:
        super().__init__()
        self.model = model
        self.share = share
        self._split: bool | None = None

    def forward(self, inputs: dict[str, Tensor], past: Any = None) -> Readout:
        """Read a batch; `past` is a cache of what all its rows begin with, which it uses up."""
        given: dict[str, Any] = dict(inputs)
        labels = given.pop("labels")
        if "input_ids" not in given or labels.dim() != 2:
            return self._read_classifier(given, labels)
        if past is not None:
            given["past_key_values"] = past
        return self._read_lm(given, labels, self._planned(given))

    def together(self, batches: Sequence[dict[str, Tensor]]) -> list[Readout]:
        """Read the batches of a step (lessons, old examples, general text), in one pass where they make one tree.

        Every weight then has one gradient to take in, and rows of different batches share what they begin with.
        """
        joined = _joined(batches) if self.share and len(batches) > 1 else None
        if joined is not None:
            labels = joined.pop("labels")
            planned = self._planned(joined)
            if planned is not None:
                return self._read_lm(joined, labels, planned).parts([len(b["labels"]) for b in batches])
        return [self(b) for b in batches]

    def _planned(self, inputs: dict[str, Any]) -> tree.Tree | None:
        """A batch as a tree, where it may be read so and that is worth it."""
        if self._split is None:
            self._split = _splits(self.model, inputs)
            self.share = self.share and self._split and _shares(self.model)
        if not self.share or set(inputs) != {"input_ids", "attention_mask"}:
            return None
        if not torch.is_grad_enabled() and _heard(self.model):
            return None
        return tree.plan(inputs["input_ids"], inputs["attention_mask"])

    def _read_lm(self, inputs: dict[str, Any], labels: Tensor, planned: tree.Tree | None) -> Readout:
        scored = labels[:, 1:] != IGNORE
        rows, columns = scored.nonzero(as_tuple=True)
        targets = labels[:, 1:][scored]
        if not self._split:
            logits = self.model(**inputs, use_cache=False).logits
            return Readout(logits[rows, columns], targets, rows)
        inner = decoder(self.model)
        if planned is None:
            hidden = inner(**inputs, use_cache=False).last_hidden_state[rows, columns]
        else:
            at = torch.from_numpy(planned.at).to(rows.device)[rows, columns]
            hidden = inner(**tree.inputs(planned, inner), use_cache=False).last_hidden_state[0, at]
        head: Any = self.model.get_output_embeddings()  # type: ignore[operator]
        return Readout(head(hidden) if torch.is_grad_enabled() else partial(head, hidden), targets, rows, hidden)

    def _read_classifier(self, inputs: dict[str, Tensor], labels: Tensor) -> Readout:
        output = self.model(**inputs)
        logits = output.logits if hasattr(output, "logits") else output
        states = getattr(output, "hidden_states", None)
        hidden = states[-1] if states is not None else None
        if hidden is not None and hidden.dim() != 2:
            hidden = None
        return Readout(logits, labels, torch.arange(len(labels), device=labels.device), hidden)


class Together(nn.Module):
    """`Reader.together` as a module, to be wrapped for several processes."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, batches: Sequence[dict[str, Tensor]]) -> list[Readout]:
        return self.reader.together(batches)


def _joined(batches: Sequence[dict[str, Tensor]]) -> dict[str, Tensor] | None:
    """Batches of a language model as one, padded on the right; None when they hold anything else."""
    fill = {"input_ids": 0, "attention_mask": 0, "labels": IGNORE}
    if any(set(b) != set(fill) or b["labels"].shape != b["input_ids"].shape for b in batches):
        return None
    width = max(b["input_ids"].shape[1] for b in batches)
    return {
        k: torch.cat([F.pad(b[k], (0, width - b[k].shape[1]), value=value) for b in batches])
        for k, value in fill.items()
    }


def _heard(model: nn.Module) -> bool:
    """Whether any module has a hook that sees what goes through it."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def _shares(model: Any) -> bool:
    """Whether rows may be read as a tree: a mask of one's own would widen a sliding window."""
    sliding = getattr(model.config, "sliding_window", None)
    return not sliding and tree.works(decoder(model), model.config.vocab_size)


@torch.no_grad()
def _splits(model: nn.Module, inputs: dict[str, Tensor]) -> bool:
    """Whether output layer applied to decoder gives the model's logits (soft-capped ones differ)."""
    name: Any = getattr(model, "base_model_prefix", "")
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if not name or not hasattr(model, name) or head is None:
        return False
    probe = {"input_ids": inputs["input_ids"][:1, :4]}
    try:
        with evaluating(model):
            whole = model(**probe, use_cache=False).logits
            parts = head(decoder(model)(**probe, use_cache=False).last_hidden_state)
        return whole.shape == parts.shape and torch.allclose(whole, parts, rtol=1e-2, atol=1e-2)
    except (TypeError, AttributeError, RuntimeError):
        return False
