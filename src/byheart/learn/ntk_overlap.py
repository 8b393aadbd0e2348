"""OGD and PCA-OGD: step only where earlier examples' outputs do not move, to first order."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from byheart.core.errors import BadInput
from byheart.core.methods import Variants
from byheart.core.strategy import Stage, Step, Strategy
from byheart.kit.adapter import refuse
from byheart.kit.buffer import pick


class OGD(Strategy):
    """Takes from every step what lies along the stored output gradients of earlier stages.

    In the linear regime of wide networks an old output moves by its gradient times the step, so what one
    task takes from another is the overlap of their gradients (the NTK overlap matrix V_S^T V_T). Closing
    the directions of earlier gradients sets it to zero on them; the leading components of many gradients
    close more of the overlap than as many single gradients.

    theta <- theta + (I - B B^T) delta, B an orthonormal basis of grad f_y(x) over stored examples x of
    earlier stages (OGD), or of their leading principal directions (PCA-OGD)

    Parameters
    ----------
    directions: stored for each stage, 100 in the paper; 0 projects nothing.
    samples: examples that the leading directions are taken from (3000 in the paper); 0 keeps the gradients
        of `directions` random examples as they are, which is OGD.

    A step is multiplied twice with all directions of all earlier stages, hundreds of vectors as long as the weights:
    on a small perceptron it takes 2.5 to 2.7 times as long as plain training, and more with every stage.

    Departs from the paper: the optimizer's step is projected instead of the gradient, for Adam would turn
    it back; principal directions are uncentred, as in the paper's analysis.

    >>> import torch
    >>> from byheart.train.loop import stages
    >>> tasks = [[{"input": torch.eye(2)[i], "labels": 0}] for i in (0, 1)]
    >>> model, seen = torch.nn.Linear(2, 2, bias=False), []
    >>> for _ in stages(model, tasks, [OGD()]):
    ...     seen.append(model.weight.detach().clone())
    >>> (seen[0] != seen[1]).tolist()  # the gradient of the first task's logit 0 is the first weight
    [[False, True], [False, True]]

    References: Doan et al. 2021, "A Theoretical Analysis of Catastrophic Forgetting through the NTK Overlap
    Matrix", arXiv:2010.04003, algorithm 1; Farajtabar et al. 2019, arXiv:1910.07104 (OGD).
    """

    name = "ogd"
    paper = "ntk-overlap"
    arxiv = "2010.04003"
    variants: ClassVar[Variants] = {"pca-ogd": {"samples": 3000}}

    serves = frozenset({"classifier"})
    neutral: ClassVar[dict[str, Any]] = {"directions": 0}

    def __init__(self, *, directions: int = 100, samples: int = 0) -> None:
        if samples and samples < directions:
            raise BadInput(
                f"samples={samples} cannot give {directions} directions; give at least as many, or 0 for OGD"
            )
        self.directions, self.samples = directions, samples
        self.basis = torch.zeros(0, 0)
        self.before: list[Tensor] = []

    def idle_first(self) -> bool:
        return True

    def groups(self, model: nn.Module) -> dict[str, float]:
        if self.directions:
            refuse(model, "OGD")
        return {}

    def gradients(self, step: Step) -> None:
        if len(self.basis):
            self.before = [step.master(p).detach().clone() for p in step.model.parameters()]

    @torch.no_grad()
    def parameters(self, step: Step) -> None:
        if not self.before:
            return
        now = [step.master(p) for p in step.model.parameters()]
        delta = torch.cat([(a - b).float().flatten() for a, b in zip(now, self.before, strict=True)])
        basis = self.basis.to(delta.device)
        inside = ((basis @ delta) @ basis).split([p.numel() for p in now])
        for p, part, was in zip(now, inside, self.before, strict=True):
            if not torch.equal(p, was):
                p.sub_(part.view_as(p).to(p.dtype))
        self.before = []

    def end(self, stage: Stage) -> None:
        self.before = []
        if not self.directions:
            return
        count = max(self.samples, self.directions)
        keys = pick(len(stage.examples), count, self.generator(stage, "examples"))
        directions = output_gradients(stage, keys)
        if self.samples:
            directions = torch.linalg.svd(directions, full_matrices=False).Vh[: self.directions]
        if len(self.basis):
            known = self.basis.to(directions.device)
            directions = torch.cat([known, directions - (directions @ known.T) @ known])
        self.basis = _orthonormal(directions)

    def state_dict(self) -> dict[str, Any]:
        return {"basis": self.basis}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.basis = state["basis"]


def output_gradients(stage: Stage, keys: list[int]) -> Tensor:
    """Gradients of the true class's logit over all parameters, one example a row: (examples, parameters)."""
    parameters = list(stage.model.parameters())
    live = [p for p in parameters if p.requires_grad]
    rows = []
    for k in keys:
        read = stage.read(stage.model, stage.collate([stage.examples[k]]))
        logit = read.logits.gather(1, read.targets[:, None]).sum()
        gradients = dict(zip(map(id, live), torch.autograd.grad(logit, live, allow_unused=True), strict=True))
        parts = [gradients.get(id(p)) for p in parameters]
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).float().flatten()
                    for p, g in zip(parameters, parts, strict=True)
                ]
            )
        )
    return torch.stack(rows)


def _orthonormal(rows: Tensor) -> Tensor:
    """An orthonormal basis of the rows' span, in rows; directions that are all but dependent are left out."""
    triangle = torch.linalg.qr(rows.double().T)
    independent = triangle.R.diagonal().abs() > 1e-5 * triangle.R.diagonal().abs().max()
    return triangle.Q[:, independent].T.float().contiguous()
