"""LLM-Embedder: one map of queries for knowledge, memories, examples and tools, learned from what helps the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Subject
from byheart.core.query import Query
from byheart.core.records import Hit
from byheart.recall.retrieve.hybrid import hits

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """A query of a task, named by its instruction, with candidates, the right candidate first.

    `rewards` state how much each candidate helps, and the best rewarded is then the right candidate; None where only
    the label is known. `spared` are other keys that would serve as well: they are never taken for negatives.
    """

    instruction: str
    query: str
    keys: tuple[str, ...]
    rewards: tuple[float, ...] | None = None
    spared: tuple[str, ...] = ()


class LLMEmbedder:
    """Finds by the embedder's vectors after a map of the query that was learned for all tasks together.

    What helps a language model is not what sounds alike, and it differs by task: a question wants its answer, an
    exercise a solved one of its kind. An instruction tells the tasks apart. The reader itself shows what helps: a
    candidate's reward is how far it brings the right output up among others. The query alone is mapped, so the vectors
    in the store stay, and no more is needed of a linear map: q' . k = q . k + q^T A^T B^T k.

        q' = q + B relu(A q + C i) before it is scaled to length 1,  s_k = q' . k / temperature
        loss = contrastive * L_c + L_d,  L_c = -log softmax of s over the right key and all else in the batch
        L_d = - sum_k w_k log (exp s_k / sum over k' below k or in the batch exp s_k'),  w = softmax(r / alpha)

    with i the vector of the instruction and "below" by the reward: where rewards lie close their order is learned,
    where a single reward stands out it is contrastive learning (graded, or stabilised, distillation). A batch has one
    task, because negatives of other tasks teach nothing.

    Not fitted, it is the embedder's cosine. Nothing teaches it by itself: lessons are given to `fit`, and a `Memory`
    keeps the map until something is forgotten.

    Parameters
    ----------
    instruction: of the task that `search` serves. rank: rows of A. temperature: tau. alpha: temperature of rewards.
    contrastive: weight of L_c.
    graded: off, L_d is the divergence between w and the softmax over the candidates alone.
    homogeneous: off, batches are drawn from all tasks.
    rate: of Adam, falling to 0. steps, batch: of training. seed: of the start and the batches.

    Departs from the paper: a map of a frozen embedder's query vectors is trained, not the embedder, so the instruction
    goes in as a vector and keys have none. Tau is 0.1 and alpha 0.3, where the authors have 0.01 and 1; the rate is not
    paced by task (v3). The reward ranks the right output among outputs given, not sampled. Copies of a query's own
    candidates in its batch are not its negatives.

    >>> import tempfile
    >>> from byheart import Memory
    >>> with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder="hash") as memory:
    ...     _ = memory.remember(["A ship sails.", "A boat yard is shut."])
    ...     lessons = [Lesson("", "boat", ("ship", "boat yard")), Lesson("", "bread", ("loaf", "bread bin"))]
    ...     memory.methods.get("llm-embedder").fit(lessons, memory.embedder)
    ...     memory.methods.keep("llm-embedder")
    ...     memory.recall("boat", k=1, method="llm-embedder")[0].text
    'A ship sails.'

    References: Zhang et al. 2023, arXiv:2310.07554, equations 1 to 3 and stabilised distillation (v1), equation 4 and
    rank-aware reward (v3); FlagOpen/FlagEmbedding, llm_embedder/src/retrieval/modeling_dense.py.
    """

    name: ClassVar[str] = "llm-embedder"
    paper: ClassVar[str] = "llm-embedder"
    arxiv: ClassVar[str] = "2310.07554"

    def __init__(
        self,
        *,
        instruction: str = "",
        rank: int = 256,
        temperature: float = 0.1,
        alpha: float = 0.3,
        contrastive: float = 0.2,
        graded: bool = True,
        homogeneous: bool = True,
        rate: float = 3e-3,
        steps: int = 300,
        batch: int = 16,
        seed: int = 0,
    ) -> None:
        if min(rank, steps, batch) < 1:
            raise BadInput(f"rank={rank}, steps={steps}, batch={batch}: give 1 or more of each")
        if not (temperature > 0 and alpha > 0 and rate > 0 and contrastive >= 0):
            raise BadInput(
                f"temperature={temperature}, alpha={alpha}, rate={rate}, contrastive={contrastive}: give numbers above "
                "0, the last may be 0"
            )
        self.instruction, self.rank, self.temperature, self.contrastive = instruction, rank, temperature, contrastive
        self.alpha = alpha
        self.graded, self.homogeneous = graded, homogeneous
        self.rate, self.steps, self.batch, self.seed = rate, steps, batch, seed
        self._weights: dict[str, Floats] = {}

    def search(self, query: Query) -> list[Hit]:
        """The `query.k` best engrams by cosine with the mapped query; only engrams with a vector are seen."""
        embedder = query.encoder("llm-embedder")
        if query.empty:
            return []
        nearest = query.index.dense(self.mapped(query.clean, embedder), query.k, query.at, query.where)
        return hits(query.index, dict(nearest))

    def mapped(self, query: str, embedder: Embedder) -> Floats:
        """The unit vector (d,) to search with for a query of this task."""
        both = np.asarray(embedder.encode([query, *([self.instruction] if self.instruction else [])]), np.float64)
        if not self._weights:
            return both[0]
        if self._weights["A"].shape[1] != len(both[0]):
            raise BadInput(
                f"this map was learned in {self._weights['A'].shape[1]} dimensions, the embedder gives "
                f"{len(both[0])}; use the embedder it learned with"
            )
        instruction = both[1] if self.instruction else np.zeros_like(both[0])
        a, b, c = (self._weights[n] for n in "ABC")
        turned = both[0] + b @ np.maximum(a @ both[0] + c @ instruction, 0.0)
        return turned / max(float(np.linalg.norm(turned)), 1e-12)

    def serving(self, instruction: str) -> LLMEmbedder:
        """The same map for another task."""
        settings = {n: v for n, v in vars(self).items() if not n.startswith("_")}
        made = LLMEmbedder(**{**settings, "instruction": instruction})
        made._weights = self._weights
        return made

    def fit(self, lessons: Sequence[Lesson], embedder: Embedder) -> None:
        """Learn the map from lessons of all tasks, from the start; each needs as many candidates as the others."""
        import torch

        sizes = {len(x.keys) for x in lessons}
        wrong = [x for x in lessons if x.rewards is not None and len(x.rewards) != len(x.keys)]
        if len(sizes) != 1 or sizes == {0} or wrong:
            raise BadInput(
                f"lessons with {sorted(sizes)} candidates and {len(wrong)} with other counts of rewards; give one "
                "lesson or more, all of one size, with a reward for each candidate or none"
            )
        data = _Data([_descending(x) for x in lessons], embedder, self.alpha)
        width = data.vectors.shape[-1]
        rng = np.random.default_rng(self.seed)
        start = rng.normal(size=(2, self.rank, width)) / np.sqrt(width)
        a, c = (torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in start)
        b = torch.zeros(width, self.rank, requires_grad=True)
        optimizer = torch.optim.AdamW([a, b, c], lr=self.rate, weight_decay=0.01)
        pools = data.tasks if self.homogeneous else [list(range(len(lessons)))]
        shares = np.array([len(p) for p in pools]) / len(lessons)
        for step in range(self.steps):
            pool = pools[int(rng.choice(len(pools), p=shares))]
            rows = rng.choice(pool, min(self.batch, len(pool)), replace=False).tolist()
            query = data.vectors[rows, 0]
            turned = query + torch.relu(query @ a.T + data.instructions[rows] @ c.T) @ b.T
            turned = torch.nn.functional.normalize(turned, dim=1)
            scores = turned @ data.vectors[rows, 1:].flatten(0, 1).T / self.temperature
            scores = scores.masked_fill(data.spared(rows), -torch.inf)
            optimizer.param_groups[0]["lr"] = self.rate * (1 - step / self.steps)
            optimizer.zero_grad()
            self.loss(scores, data.given[rows], data.known[rows]).backward()
            optimizer.step()
        self._weights = {n: w.detach().numpy().astype(np.float64) for n, w in (("A", a), ("B", b), ("C", c))}

    def loss(self, scores: Tensor, given: Tensor, known: Tensor) -> Tensor:
        """The loss of a batch, mean over its queries; of a batch without rewards it is L_c alone.

        `scores` (n, n * m) of each query with all candidates, its own from place m times its number on, best reward
        first, those that are no negatives -inf; `given` (n, m) the weights w of its own; `known` (n,) whether it has
        rewards.
        """
        import torch

        n, m = given.shape
        own = torch.arange(n)[:, None] * m + torch.arange(m)
        plain = -torch.log_softmax(scores, 1).gather(1, own[:, :1]).mean()
        if not known.any():
            return plain
        total = self.contrastive * plain
        if not self.graded:
            each = -(given * torch.log_softmax(scores.gather(1, own), 1)).sum(1)
            return total + (each * known).mean()
        left = scores
        each = torch.zeros(n)
        for i in range(m):
            each = each - given[:, i] * torch.log_softmax(left, 1).gather(1, own[:, i : i + 1])[:, 0]
            left = left.scatter(1, own[:, i : i + 1], -torch.inf)
        return total + (each * known).mean()

    def state_dict(self) -> dict[str, Floats]:
        """What was learned: A and C (rank, d), B (d, rank); nothing before `fit`."""
        return dict(self._weights)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._weights = {n: np.array(state[n], np.float64) for n in state}


class _Data:
    """Lessons as tensors: vectors (n, 1 + m, d) of query and candidates, instructions (n, d), weights (n, m)."""

    def __init__(self, lessons: Sequence[Lesson], embedder: Embedder, alpha: float) -> None:
        import torch

        size = len(lessons[0].keys)
        texts = [t for x in lessons for t in (x.query, *x.keys)]
        self.vectors = torch.tensor(np.asarray(embedder.encode(texts), np.float32)).reshape(len(lessons), 1 + size, -1)
        names = list(dict.fromkeys(x.instruction for x in lessons))
        instructions = torch.tensor(np.asarray(embedder.encode([n or " " for n in names]), np.float32))
        instructions[[not n for n in names]] = 0.0
        self.instructions = instructions[[names.index(x.instruction) for x in lessons]]
        self.given = (torch.tensor([x.rewards or (0.0,) * size for x in lessons]) / alpha).softmax(1)
        self.known = torch.tensor([x.rewards is not None for x in lessons])
        self.tasks = [[n for n, x in enumerate(lessons) if x.instruction == name] for name in names]
        self._lessons = lessons

    def spared(self, rows: Sequence[int]) -> Tensor:
        """Which candidates of a batch (n, n * m) are no negatives of a query: copies of its own, and what it spares."""
        import torch

        some = [self._lessons[r] for r in rows]
        all_keys = [k for x in some for k in x.keys]
        size = len(some[0].keys)
        mask = torch.tensor([[k in x.keys or k in x.spared for k in all_keys] for x in some])
        for n in range(len(some)):
            mask[n, n * size : (n + 1) * size] = False
        return mask


def _descending(lesson: Lesson) -> Lesson:
    """The lesson with its candidates from the best rewarded to the least."""
    given = lesson.rewards
    if given is None:
        return lesson
    order = sorted(range(len(given)), key=lambda i: -given[i])
    return replace(lesson, keys=tuple(lesson.keys[i] for i in order), rewards=tuple(given[i] for i in order))


def likelihoods(subject: Subject, prompts: Sequence[str], outputs: Sequence[str]) -> Floats:
    """Mean log-probability per token, in nats, of each output after each prompt (prompts, outputs)."""
    scores = subject.score([(p, o) for p in prompts for o in outputs])
    means = [float(np.mean(t)) if t else -np.inf for t in scores]
    return np.array(means).reshape(len(prompts), len(outputs))


def ranked(likely: Floats) -> tuple[float, ...]:
    """The reward of each candidate: the number of other outputs that the right output, the first, is ahead of.

    The rank without any candidate, which the paper subtracts, is the same for all and lost in the softmax.

    >>> ranked(np.log([[0.5, 0.2, 0.3], [0.1, 0.2, 0.05]]))
    (2.0, 1.0)
    """
    return tuple((likely[:, :1] > likely[:, 1:]).sum(1).astype(float).tolist())
