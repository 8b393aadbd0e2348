"""Null space: train weights only along directions that the guarded inputs hardly use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Batch, Role, Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.buffer import pick
from byheart.kit.covariance import Covariances, fed, split, transposed


class NullSpace(Strategy):
    """Lets each weight matrix move only where the inputs of guarded text do not reach.

    Inputs of a layer lie near a few directions. A change that is orthogonal to those leaves the
    layer's outputs on guarded text as they were, and most directions are left to learn in.

    W <- W_start + (W - W_start) P after every optimizer step, P = I - V V^T, with V the fewest leading
    eigenvectors of sum x x^T over the layer's inputs x that hold `energy` of its trace

    Guarded are the pools of `roles` (list `Replay` or `SelfReplay` too) and earlier stages' examples.
    Biases, norms and embeddings are not held; freeze them with `Selective` or `FreezeBottom`.

    Parameters
    ----------
    energy: share of the trace whose directions are closed, 0.9 here; 0 closes none.
    roles: the pools whose inputs are guarded.
    remember: at the end of a stage add its own examples, and carry the covariances (d x d floats
        for each input of a trained matrix) to later stages. A matrix frozen then has none of them.
    tokens: guarded tokens read for each pool or stage at most, drawn at random.
    every: optimizer steps between projections (the last weights are always projected). One costs as
        much as training on some 60 tokens in SmolLM2; with more, the steps between are not held.
    scored: count only the positions that are scored, so that a beginning which many texts share does
        not take up the trace.

    Departs from the paper: directions are chosen by their share of the trace, as GPM does,
    instead of by eigenvalues within a factor of the smallest; P is not divided by its norm; the
    weights are projected, not each update, so that rounding does not add up; every token counts
    instead of the mean input of a batch.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": i}] for i in (0, 1)]
    >>> model, columns = torch.nn.Sequential(torch.nn.Linear(2, 2)), []
    >>> for _ in stages(model, tasks, [NullSpace()]):
    ...     columns.append(model[0].weight.detach().clone())
    >>> (columns[0] != columns[1]).any(0).tolist()  # the first task's input was (1, 0)
    [False, True]

    References: Wang et al. 2021, "Training Networks in Null Space of Feature Covariance for
    Continual Learning", arXiv:2103.07113; Saha et al. 2021, "Gradient Projection Memory for
    Continual Learning", arXiv:2103.09762; for editing, Fang et al. 2024, arXiv:2410.02355.
    """

    name = "null-space"
    arxiv = "2103.07113"

    neutral: ClassVar[dict[str, Any]] = {"energy": 0.0}

    def __init__(
        self,
        *,
        energy: float = 0.9,
        roles: Sequence[Role] = ("replay",),
        remember: bool = True,
        tokens: int = 16384,
        every: int = 1,
        scored: bool = False,
    ) -> None:
        if not 0 <= energy <= 1:
            raise BadInput(f"energy={energy} is no share of a whole; give 0 to 1")
        self.energy, self.roles, self.remember = energy, tuple(roles), remember
        self.tokens, self.every, self.scored = tokens, every, scored
        self.covariances = Covariances()
        self.measured = self.loose = False
        self.start: dict[str, Tensor] = {}
        self.closed: list[tuple[Any, Tensor, Tensor, bool]] = []

    def idle_first(self) -> bool:
        return True

    def begin(self, stage: Stage) -> None:
        self.measured, self.loose, self.closed = False, False, []
        if self.energy:
            trained = {n: m.weight for n, m in fed(stage.model).items() if m.weight.requires_grad}
            self.start = {n: w.detach().clone() for n, w in trained.items()}

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.energy:
            refuse(model, "NullSpace")
        return {}

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        if self.energy:  # here it is known what is frozen, and the first step is not yet taken
            self._close(stage)
        return stream

    def _close(self, stage: Stage) -> None:
        modules = fed(stage.model)
        self.start = {n: w for n, w in self.start.items() if modules[n].weight.requires_grad}
        if not self.measured:
            for role in self.roles:
                self._measure(stage, stage.pools.get(role, ()))
            self.measured = True
        split_by: dict[str, tuple[Tensor, Tensor]] = {}
        for name, start in self.start.items():
            covariance = self.covariances.of(name)
            if covariance is not None:
                owner = self.covariances.owners[name]
                if owner not in split_by:
                    split_by[owner] = split(covariance.to(start.device), self.energy)
                leading, rest = split_by[owner]
                thin = leading.shape[1] <= rest.shape[1]  # P = I - V V^T = U U^T, whichever is cheaper
                self.closed.append((modules[name], start, leading if thin else rest, thin))

    def _measure(self, stage: Stage, examples: Sequence[dict[str, Any]]) -> None:
        """Add the inputs of the trained matrices on these examples."""
        sizes: dict[int, int] = {}
        for k in pick(len(examples), len(examples), self.generator(stage, "examples")):
            if sum(sizes.values()) >= self.tokens:
                break
            sizes[k] = len(examples[k].get("input_ids", (0,)))
        order = sorted(sizes, key=lambda k: sizes[k])
        for at in range(0, len(order), stage.batch_size):
            keys = order[at : at + stage.batch_size]
            inputs = stage.collate([examples[k] for k in keys])
            mask = inputs.get("attention_mask")
            if mask is None and "input_ids" in inputs:  # packed rows, padded on the right
                lengths = torch.tensor([sizes[k] for k in keys], device=inputs["input_ids"].device)
                mask = torch.arange(inputs["input_ids"].shape[1], device=lengths.device) < lengths[:, None]
            if self.scored and "input_ids" in inputs:
                ahead = torch.nn.functional.pad(inputs["labels"][:, 1:], (0, 1), value=IGNORE) != IGNORE
                mask = ahead if mask is None else ahead & mask.bool()
            self.covariances.add(stage.model, stage.read, inputs, self.start, mask)

    def parameters(self, step: Step) -> None:
        self.loose = (step.index + 1) % self.every != 0
        if not self.loose:
            self._project(step.master)

    @torch.no_grad()
    def _project(self, master: Callable[[Tensor], Tensor]) -> None:
        for module, start, basis, leading in self.closed:
            weight = master(module.weight)
            moved = weight.float() - start
            rows = moved.T if transposed(module) else moved
            inside = (rows @ basis) @ basis.T
            rows = rows.sub_(inside) if leading else inside
            weight.copy_((rows.T if transposed(module) else rows).add_(start))

    def end(self, stage: Stage) -> None:
        if self.loose:  # the optimizer and its masters are gone
            self._project(lambda parameter: parameter)
        if self.energy and self.remember:
            self._measure(stage, stage.examples)
        else:
            self.covariances = Covariances()
        self.measured, self.loose, self.start, self.closed = False, False, {}, []

    def state_dict(self) -> dict[str, Any]:
        return {"covariances": self.covariances.state_dict(), "measured": self.measured}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.covariances.load_state_dict(state["covariances"])
        self.measured = state["measured"]
