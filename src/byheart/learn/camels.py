"""CaMeLS: a second model says how much each token of a document is worth learning."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Batch, Stage, Step, Strategy
from byheart.kit.anatomy import decoder
from byheart.kit.buffer import pick
from byheart.kit.divergence import kl
from byheart.kit.modes import drawing, evaluating
from byheart.kit.readout import Reader, Readout


class CaMeLS(Strategy):
    """Weighs every token's loss by a small model that was trained to make one step on a document answer its questions.

    Most of the gradient of a document comes from words that nobody could foresee and nobody will ask for. Which
    tokens carry the answers can be learned from documents with questions: try a weighting, take the step, see how
    well the questions are answered, and differentiate through the step to the weights.

    using:    L = mean_i w_i CE_i
    training: theta' = theta - alpha grad mean_i w_i CE_i(theta), a document at a time;
              phi <- Adam on CE(answers; theta') + c KL(theta || theta'), with w = softplus(phi(tokens up to i))

    In an example, `asked` holds the questions about it, themselves examples. The weights are trained once, at the
    first start of a stage: on examples of earlier stages that have `asked`; where there are none, on those of the
    stage; and where there are none of these either, on the stage's examples, each its own question.

    Parameters
    ----------
    rounds: steps of Adam on the weights; 0 leaves all tokens alike. The paper goes over its documents up
        to 50 times and keeps the weights that are best on others. outer: its learning rate.
    documents: how many are read one after the other before the questions, 6 in the paper.
    segments: how often that is done, each time from the model that came of it, before phi is changed and
        theta is put back; 4 in the paper.
    inner: alpha. locality: c, 0.1 in the paper. width: of the hidden layer between features and weight.

    Departs from the paper: the weighting model starts as a copy of the model that is taught, not as one trained apart;
    locality is measured on a document that is not being read, not on web text; `rounds` is fixed.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import Settings, train
    >>> ask = {"input_ids": [5, 9, 6], "labels": [-100, -100, 6]}
    >>> taught = CaMeLS(rounds=2, documents=1, segments=1, outer=1e-3, inner=0.1)
    >>> done = train(model(), [{"input_ids": [5, 8, 6, 7], "asked": [ask]}], [taught], Settings(steps=1))
    >>> [len(w) for w in taught.weigh({"input_ids": torch.tensor([[5, 8, 6, 7]])})]
    [4]

    References: Hu et al. 2023, "Meta-Learning Online Adaptation of Language Models", arXiv:2305.15076, section 3 and
    figure 3.
    """

    name = "camels"
    paper = "camels"
    arxiv = "2305.15076"

    claims = frozenset({"objective:new"})
    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"rounds": 0}
    biting: ClassVar[dict[str, Any]] = {"rounds": 2, "documents": 2, "segments": 2, "inner": 0.1, "outer": 1e-3}

    def __init__(
        self,
        *,
        rounds: int = 1000,
        documents: int = 6,
        segments: int = 4,
        inner: float = 5e-4,
        outer: float = 1e-5,
        locality: float = 0.1,
        width: int = 128,
    ) -> None:
        if documents < 1 or segments < 1:
            raise BadInput(f"documents={documents} and segments={segments} make no training; give 1 or more")
        self.rounds, self.documents, self.segments = rounds, documents, segments
        self.inner, self.outer, self.locality, self.width = inner, outer, locality, width
        self.weigher: Weigher | None = None
        self.learned: dict[str, Tensor] = {}

    def begin(self, stage: Stage) -> None:
        if not self.rounds:
            return
        if not getattr(stage.model, "base_model_prefix", ""):
            raise BadInput(
                f"{type(stage.model).__name__} shows no decoder to weigh tokens by; use a transformers model"
            )
        self.weigher = Weigher(stage.model, self.width, self.generator(stage, "weigher").initial_seed())
        if self.learned:
            self.weigher.load_state_dict(self.learned)
        else:
            with evaluating(stage.model):
                self._learn(self.weigher, stage)
            self.learned = {n: t.detach().clone() for n, t in self.weigher.state_dict().items()}
        self.weigher.requires_grad_(False)

    def objective(self, step: Step, batch: Batch, read: Readout) -> Tensor:
        if self.weigher is None or not len(read.targets):
            return read.loss()
        return (scored(self.weigh(batch.inputs), batch.inputs) * read.losses()).mean()

    @torch.no_grad()
    def weigh(self, inputs: dict[str, Tensor]) -> Tensor:
        """What every token is worth, (B, T); of those that are not scored it says nothing."""
        if self.weigher is None:
            return torch.ones(inputs["input_ids"].shape, device=inputs["input_ids"].device)
        return self.weigher(inputs)

    def _learn(self, weigher: Weigher, stage: Stage) -> None:
        """Train the weights on documents with questions; the model stays as it is."""
        pool = [e for e in stage.old if e.get("asked")] or [e for e in stage.examples if e.get("asked")]
        pool = pool or list(stage.examples)
        optimizer = torch.optim.Adam(weigher.parameters(), lr=self.outer)
        reader = Reader(stage.model)
        base = {n: p.detach().float() for n, p in reader.named_parameters()}
        moved = {n for n, p in reader.named_parameters() if p.requires_grad}
        for number in range(self.rounds):
            order = [pool[k] for k in pick(len(pool), len(pool), self.generator(stage, "documents", number))]
            optimizer.zero_grad()
            weights = base
            for segment in range(self.segments):
                first = segment * self.documents
                chosen = order[first : first + self.documents]
                if not chosen:
                    break
                other = order[-1 - segment % len(order)]
                start = {n: w.detach().requires_grad_(n in moved) for n, w in weights.items()}
                with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
                    weights = self._read(weigher, reader, stage, start, chosen)
                    loss = self._judge(reader, stage, start, weights, chosen, other)
                    (loss / self.segments).backward(inputs=list(weigher.parameters()))
            optimizer.step()

    def _read(
        self,
        weigher: Weigher,
        reader: Reader,
        stage: Stage,
        weights: dict[str, Tensor],
        documents: Sequence[dict[str, Any]],
    ) -> dict[str, Tensor]:
        """The model's weights after a weighted step on each document, as a function of the weigher's."""
        for document in documents:
            inputs = stage.collate([document])
            read = functional_call(reader, weights, (inputs,))
            loss = (scored(weigher(inputs), inputs) * read.losses()).mean()
            live = [n for n, w in weights.items() if w.requires_grad]
            gradients = torch.autograd.grad(loss, [weights[n] for n in live], create_graph=True, allow_unused=True)
            steps = {n: g for n, g in zip(live, gradients, strict=True) if g is not None}
            weights = {n: w - self.inner * steps[n] if n in steps else w for n, w in weights.items()}
        return weights

    def _judge(
        self,
        reader: Reader,
        stage: Stage,
        before: dict[str, Tensor],
        after: dict[str, Tensor],
        documents: Sequence[dict[str, Any]],
        other: dict[str, Any],
    ) -> Tensor:
        """How badly the documents' questions are answered, and how far the model has moved on another document."""
        questions = [q for d in documents for q in d.get("asked") or [d]]
        loss = functional_call(reader, after, (stage.collate(questions),)).loss()
        if self.locality:
            inputs = stage.collate([other])
            was = functional_call(reader, before, (inputs,)).logits.detach()
            loss = loss + self.locality * kl(was, functional_call(reader, after, (inputs,)).logits)
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"learned": self.learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learned = state["learned"]
        if self.weigher is not None and self.learned:
            self.weigher.load_state_dict(self.learned)


class Weigher(nn.Module):
    """A decoder with a weight above zero for every token, from that token and those before it; at first all alike."""

    def __init__(self, model: nn.Module, width: int, seed: int) -> None:
        super().__init__()
        self.decoder = copy.deepcopy(decoder(model)).float().eval().requires_grad_(True)
        device = next(self.decoder.parameters()).device
        with drawing(seed):
            self.hidden = nn.Linear(self.decoder.config.hidden_size, width).to(device)
        self.out = nn.Linear(width, 1, device=device)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        given = {k: v for k, v in inputs.items() if k != "labels"}
        features = self.decoder(**given, use_cache=False).last_hidden_state
        return F.softplus(self.out(F.gelu(self.hidden(features))).squeeze(-1), beta=3.0)


def scored(weights: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """Of weights for all tokens, (B, T), those of the scored ones: (N,), in a readout's order."""
    return weights[:, 1:][inputs["labels"][:, 1:] != IGNORE]
