"""LoKI: write new knowledge into the feed-forward outputs that old answers lean on least."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.anatomy import layers, unit
from byheart.kit.buffer import pick
from byheart.kit.modes import evaluating
from byheart.kit.readout import Reader


class LoKI(Strategy):
    """Trains only those rows of the feed-forward down-projections that old answers owe least to.

    Feed-forward layers write knowledge into the stream of features. Integrated gradients measure what each of their
    outputs adds to an answer's probability (knowledge vector attribution). Rows of the outputs that add least can be
    trained with little damage, in every layer alike.

    attribution_j = z_j (1 / m) sum_k dP(answer) / dz_j at (k / m) z, z the outputs of one down-projection;
    of every example the smallest `share` of each layer is noted, and the rows noted most often are trained

    Parameters
    ----------
    share: rows trained in each down-projection, 0.05 to 0.3 in the paper; 0 trains the whole model.
    examples: knowledge to preserve, with scored answers (50 questions for each subject of MMLU in the
        paper); None takes the earlier stages', and trains everything while there are none.
    samples: examples attributed at most, drawn at random. steps: m, 7.
    signed: take the lowest attributions, as the authors' code does, instead of the smallest.
    chosen: rows by weight name, as `owed` finds them once for a model; None finds them in every stage, in `steps`
        passes for every layer and batch: 662 s for 40 examples and SmolLM2-135M on one thread.

    Departs from the paper: attributions count by magnitude, for the lowest are strongly negative: rows that bear on
    answers as much as the highest (in SmolLM2-135M silencing the lowest hundredth raises the loss by 535%, the highest
    by 276%, the smallest by 0.6%); all scored positions count instead of the last alone; outputs are scaled up
    from zero instead of from those of an empty input; biases are frozen.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import train
    >>> net = model(width=32, vocabulary=16)
    >>> before = net.model.layers[0].mlp.down_proj.weight.detach().clone()
    >>> done = train(net, [{"input_ids": [5, 6, 7]}], [LoKI(share=0.25, examples=[{"input_ids": [3, 4]}])])
    >>> int((net.model.layers[0].mlp.down_proj.weight != before).any(1).sum())
    8

    References: Wang et al. 2025, "LoKI: Low-damage Knowledge Implanting of Large Language Models",
    arXiv:2505.22120, section 3 (attribution, layer-balanced selection).
    """

    name = "loki"
    paper = "loki"
    arxiv = "2505.22120"

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"share": 0.0}

    def __init__(
        self,
        *,
        share: float = 0.1,
        examples: Sequence[dict[str, Any]] | None = None,
        samples: int = 256,
        steps: int = 7,
        signed: bool = False,
        chosen: Mapping[str, Tensor] | None = None,
    ) -> None:
        if not 0 <= share <= 1:
            raise BadInput(f"share={share} is no share of a whole; give 0 to 1")
        self.share, self.examples, self.samples, self.steps = share, examples, samples, steps
        self.signed, self.chosen = signed, chosen
        self.rows: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}

    def idle_first(self) -> bool:
        return self.examples is None and self.chosen is None

    def begin(self, stage: Stage) -> None:
        self.rows, self.start = {}, {}
        pool = stage.old if self.examples is None else self.examples
        if not self.share or not (pool or self.chosen):
            return
        refuse(stage.model, "LoKI")
        self.rows = self._survey(stage, pool) if self.chosen is None else dict(self.chosen)
        missing = sorted(set(self.rows) - {n for n, _ in stage.model.named_parameters()})
        if missing:
            raise BadInput(
                f"{type(stage.model).__name__} has no {missing[0]}; give rows that `owed` returns for this model"
            )
        self.start = {n: stage.model.get_parameter(n).detach().clone() for n in self.rows}

    def _survey(self, stage: Stage, pool: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """The rows that answers of the pool owe least to."""
        drawn = [pool[k] for k in pick(len(pool), self.samples, self.generator(stage, "survey"))]
        size = stage.batch_size
        batches = (stage.collate(drawn[at : at + size]) for at in range(0, len(drawn), size))
        return owed((attributions(stage.model, b, self.steps) for b in batches), self.share, signed=self.signed)

    def groups(self, model: nn.Module) -> dict[str, float]:
        return {n: 0.0 for n, _ in model.named_parameters() if n not in self.rows} if self.rows else {}

    def gradients(self, step: Step) -> None:
        for name, rows in self.rows.items():
            grad = step.model.get_parameter(name).grad
            if grad is not None:
                chosen_rows = grad[rows.to(grad.device)]
                grad.zero_()
                grad[rows.to(grad.device)] = chosen_rows

    def parameters(self, step: Step) -> None:
        for name, rows in self.rows.items():  # weight decay would move the other rows too
            master = step.master(step.model.get_parameter(name))
            chosen_rows = master[rows.to(master.device)]
            master.copy_(self.start[name])
            master[rows.to(master.device)] = chosen_rows

    def end(self, stage: Stage) -> None:
        self.rows, self.start = {}, {}


def owed(
    scores: Iterable[Mapping[str, Tensor]],
    share: float,
    *,
    most: bool = False,
    balanced: bool = True,
    signed: bool = False,
) -> dict[str, Tensor]:
    """The rows that answers owe least (or most) to, by weight name, from `attributions` of one batch after another.

    Those are taken that are most often among the smallest (greatest) share of an example's, by magnitude unless
    `signed`: as many in each down-projection, or, not `balanced`, wherever they are.
    """
    counts: dict[str, Tensor] = {}
    for of_example in scores:
        groups = [[n] for n in of_example] if balanced else [list(of_example)]
        for names in groups:
            joined = torch.cat([of_example[n] if signed else of_example[n].abs() for n in names], 1)
            quota = max(1, int(share * joined.shape[1]))
            chosen = joined.argsort(dim=1, descending=most, stable=True)[:, :quota].flatten()
            count = torch.bincount(chosen, minlength=joined.shape[1]).split([of_example[n].shape[1] for n in names])
            counts |= {n: counts.get(n, 0) + c for n, c in zip(names, count, strict=True)}
    groups = [[n] for n in counts] if balanced else [list(counts)]
    rows: dict[str, Tensor] = {}
    for names in groups:
        joined = torch.cat([counts[n] for n in names])
        chosen = torch.zeros_like(joined, dtype=torch.bool)
        chosen[joined.argsort(descending=True, stable=True)[: max(1, int(share * len(joined)))]] = True
        parts = chosen.split([len(counts[n]) for n in names])
        rows |= {n: c.nonzero()[:, 0] for n, c in zip(names, parts, strict=True) if c.any()}
    return rows


def attributions(model: nn.Module, inputs: dict[str, Tensor], steps: int = 7) -> dict[str, Tensor]:
    """What each output of each down-projection adds to the probability of the right answers: (B, D) by weight name.

    Summed over the positions that predict scored tokens.
    """
    names = [n for group in layers(model) for n in group if unit(n)[1] == "down" and n.endswith("weight")]
    if not names:
        raise BadInput(f"{type(model).__name__} has no down-projections; leave LoKI out")
    reader = Reader(model)
    scored = torch.zeros_like(inputs["labels"], dtype=torch.bool)
    scored[:, :-1] = inputs["labels"][:, 1:] != IGNORE
    added = {}
    with evaluating(model):
        for name in names:
            module = model.get_submodule(name.rpartition(".")[0])
            outputs: list[Tensor] = []
            scale = 1.0

            def put(module: Any, given: Any, z: Tensor, outputs: list[Tensor] = outputs) -> Tensor:
                outputs[:] = [z.detach(), (scale * z.detach()).requires_grad_()]  # noqa: B023
                return outputs[1]

            total: Tensor | float = 0.0
            handle = module.register_forward_hook(put)
            try:
                for k in range(1, steps + 1):
                    scale = k / steps
                    read = reader(inputs)
                    chance = read.logits.float().softmax(-1).gather(1, read.targets[:, None]).sum()
                    total = total + torch.autograd.grad(chance, outputs[1])[0].float()
            finally:
                handle.remove()
            added[name] = (outputs[0].float() * total / steps * scored[..., None]).sum(1).cpu()
    return added
