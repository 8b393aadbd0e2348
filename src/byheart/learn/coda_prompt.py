"""CODA-Prompt: assemble a prompt for each input from components that grow with every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Batch, Stage, Step, Strategy
from byheart.kit.head import head, head_names
from byheart.kit.prompting import NAME, Parts, Prompts, cosine, install, remove, shapes, unscoped


class CodaPrompt(Strategy):
    """Leaves the model frozen and learns prompts: sums of components, weighed by how each input attends to them.

    What is frozen cannot be forgotten. Weights instead of a choice of prompts make the whole of it trainable
    from end to end, so later stages can use what earlier ones learned, and old components stay as they are.

    p = sum_m alpha_m P_m, alpha_m = cos(q(x) * A_m, K_m), put before the keys and values of a layer's attention;
    L = CE over the stage's own classes + mu sum_(B in P, K, A) mean (B B^T - I)^2; only this stage's components and the
    output layer are trained

    q(x) is what the frozen model without prompts makes of the input at its last token but one: the input is to end
    in what is predicted, as a text ends in its class. After a stage the model is without prompts again; it reads with
    them inside `with guard.reading(model):`, whole inputs only.

    Parameters
    ----------
    components: M for every stage, 10 in the paper (100 for ten tasks); 0 turns the method off.
    length: keys and values of a prompt together, 8. layers: those with prompts, the first five.
    orthogonal: mu, 0.1 in the paper (the authors' later code has 0).
    attend: with A; without it alpha_m = cos(q(x), K_m).
    local: score a stage's classes against each other alone.

    Departs from the paper: the query is the last token's but one instead of a class token's; prompts of a
    layer with rotary positions stand at no position; new components start orthogonal to the old (the authors'
    later code; the paper makes all at the beginning); where the output layer is tied to the embedding, that moves too.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import Settings, stages
    >>> guard, net = CodaPrompt(components=3), model()
    >>> tasks = [[{"input_ids": [5, 6, y], "labels": [-100, -100, y]}] for y in (8, 9)]
    >>> for _ in stages(net, tasks, [guard], Settings(lr=1e-3)):
    ...     print(len(guard.pool[0]["key"]))
    3
    6

    References: Smith et al. 2023, "CODA-Prompt: COntinual Decomposed Attention-based Prompting for Rehearsal-Free
    Continual Learning", arXiv:2211.13218, equations 3 to 8.
    """

    name = "coda-prompt"
    paper = "coda-prompt"
    arxiv = "2211.13218"

    claims = frozenset({"objective:new", "adapter"})
    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"components": 0}

    def __init__(
        self,
        *,
        components: int = 10,
        length: int = 8,
        layers: Sequence[int] = (0, 1, 2, 3, 4),
        orthogonal: float = 0.1,
        attend: bool = True,
        local: bool = True,
    ) -> None:
        if length < 2 or length % 2:
            raise BadInput(f"length={length} is not keys and values in pairs; give an even number from 2 on")
        self.components, self.length, self.layers = components, length, tuple(layers)
        self.orthogonal, self.attend, self.local = orthogonal, attend, local
        self.pool: dict[int, Parts] = {}
        self.prompts: Prompts | None = None
        self.handles: list[Any] = []
        self.current = torch.zeros(0, dtype=torch.long)

    def rule(self, training: bool) -> Callable[[Tensor, Parts], Tensor]:
        """What gives every component its weight."""
        return cosine if self.attend else unscoped

    def begin(self, stage: Stage) -> None:
        if not self.components:
            return
        sizes = shapes(stage.model)
        chosen = [n for n in self.layers if n < len(sizes)]
        if not chosen:
            raise BadInput(f"layers={self.layers} are beyond the model's {len(sizes)}; give numbers below that")
        features = head(stage.model).weight.shape[1]
        new = {n: self.fresh(stage, n, features, *sizes[n]) for n in chosen}
        self.prompts = Prompts(self.earlier(), new, self.rule(training=True)).to(next(stage.model.parameters()).device)
        self.handles = install(stage.model, self.prompts)
        self.current = classes(stage)

    def earlier(self) -> dict[int, Parts]:
        """The components that stay as they are."""
        return self.pool

    def fresh(self, stage: Stage, layer: int, features: int, heads: int, width: int) -> Parts:
        """A stage's components of a layer before training."""
        form = {"key": (features,), "scope": (features,), "prompt": (self.length // 2, 2, heads, width)}
        old = self.pool.get(layer)
        made = {}
        for salt, (name, shape) in enumerate(form.items()):
            before = None if old is None else old[name].flatten(1).cpu()
            rows = apart(self.components, shape, before, self.generator(stage, "components", layer, salt))
            made[name] = rows.view(self.components, *shape)
        return made

    def groups(self, model: nn.Module) -> dict[str, float]:
        if not self.components:
            return {}
        trained = set(head_names(model))
        return {n: 0.0 for n, _ in model.named_parameters() if n not in trained and f"{NAME}.new." not in n}

    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        return among(self.current, read) if self.components and self.local else read.loss()

    def terms(self, step: Step) -> dict[str, Tensor]:
        if self.prompts is None or not self.orthogonal:
            return {}
        parts = [t.flatten(1) for n in map(int, self.prompts.new) for t in self.prompts.parts(n).values()]
        overlaps = [(t @ t.T - torch.eye(len(t), device=t.device)).square().mean() for t in parts]
        return {"coda_prompt": self.orthogonal * torch.stack(overlaps).sum()}

    def end(self, stage: Stage) -> None:
        if self.prompts is None:
            return
        for n in map(int, self.prompts.new):
            self.pool[n] = {name: t.detach().clone() for name, t in self.prompts.parts(n).items()}
        remove(stage.model, self.handles)
        self.prompts, self.handles = None, []

    @contextmanager
    def reading(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model with the prompts of all stages so far."""
        if not self.pool:
            raise BadInput("no prompts yet; train at least one stage first")
        prompts = Prompts({}, self.pool, self.rule(training=False)).requires_grad_(False)
        handles = install(model, prompts)
        try:
            yield model
        finally:
            remove(model, handles)

    def state_dict(self) -> dict[str, Any]:
        return {"pool": self.pool}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.pool = dict(state["pool"])


def classes(stage: Stage) -> Tensor:
    """What a stage of language-model examples has as targets, in order."""
    targets = {y for e in stage.examples for y in e.get("labels", e["input_ids"])[1:] if y != IGNORE}
    return torch.tensor(sorted(targets))


def among(current: Tensor, read: Any) -> Tensor:
    """Mean cross-entropy of a readout with the outputs of no other than the current classes (and its targets)."""
    if not len(read.targets):
        return read.loss()
    chosen = torch.cat([current.to(read.targets), read.targets]).unique()
    return F.cross_entropy(read.logits.float()[:, chosen], torch.searchsorted(chosen, read.targets))


def apart(count: int, shape: Sequence[int], old: Tensor | None, generator: torch.Generator) -> Tensor:
    """Random rows (count, size) of length one, orthogonal to each other and to the rows of `old` while there is room.

    >>> apart(1, (2,), torch.tensor([[0.0, 3.0]]), torch.Generator()).abs().tolist()
    [[1.0, 0.0]]
    """
    size = int(torch.Size(shape).numel())
    drawn = torch.randn(size, count, generator=generator)
    if count + (0 if old is None else len(old)) > size:
        return F.normalize(drawn.T, dim=1)
    if old is not None:
        basis = torch.linalg.qr(old.T.float()).Q
        drawn = drawn - basis @ (basis.T @ drawn)
    return torch.linalg.qr(drawn).Q.T.contiguous()
