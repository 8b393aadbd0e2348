"""The seam that every training method plugs into: no-op hooks, named by what they touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from byheart.core.methods import Variants

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Role = Literal["new", "replay", "forget", "retain"]
IGNORE = -100
"""The label of a position that is not scored."""


@dataclass(frozen=True)
class Batch:
    """Model inputs and what they are for.

    `inputs` maps names to tensors whose first axis is the batch (`input_ids`, `attention_mask`,
    `labels` for a language model; `x`, `labels` for a classifier). `keys` are the examples' indices
    in `Stage.pools[role]`, so a method can keep something per example; none when the inputs are not
    those of a pool, or were changed. The loss of a role is averaged over all its batches; a strategy
    that needs two losses for one role names its batches with `draw`, and each draw is averaged apart.
    So many consecutive rows as `group` says go to the same process.
    """

    inputs: dict[str, Tensor]
    role: Role = "new"
    keys: tuple[int, ...] = ()
    draw: str = ""
    group: int = 1

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


@dataclass
class Stage:
    """One stretch of training on one set of examples: a task, a file, an experience.

    `examples` are tokenised examples (or feature/label pairs) of this stage, `old` those of the
    stages before. `pools` holds, by role, the examples that `Batch.keys` index: those of the stage
    under "new", and what strategies offer in `begin`; an empty pool says that the batches of this
    role come without keys. `collate` turns examples into model inputs on the right device; `read` runs the
    model and returns a `kit.readout.Readout`. `artifacts` is where a strategy leaves what should be
    stored beside the weights (a LoRA adapter, say). `seed` is fixed per stage.
    """

    model: nn.Module
    examples: Sequence[dict[str, Any]]
    collate: Any
    read: Any
    index: int = 0
    name: str = ""
    seed: int = 0
    steps: int = 0
    batch_size: int = 8
    old: Sequence[dict[str, Any]] = ()
    artifacts: dict[str, Any] = field(default_factory=dict)
    pools: dict[str, Sequence[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pools.setdefault("new", self.examples)

    def offer(self, role: Role, examples: Sequence[dict[str, Any]]) -> int:
        """Add examples to a role's pool; returns the key of the first."""
        pool = list(self.pools.get(role, ()))
        self.pools[role] = [*pool, *examples]
        return len(pool)

    def generator(self, *salts: str | int) -> torch.Generator:
        """A CPU generator that depends on the seed and `salts` alone, so that resuming needs no state.

        The salts begin with the name of what draws. A strategy draws from `Strategy.generator`, which puts its own
        name and position first. The seed is 63 bits of the BLAKE2b hash of all of them.
        """
        import torch

        digest = blake2b(repr((self.seed, *salts)).encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)

    def batch(self, examples: Sequence[dict[str, Any]], role: Role, keys: Sequence[int] = (), draw: str = "") -> Batch:
        return Batch(self.collate(examples), role, tuple(keys), draw)


@dataclass
class Step:
    """One micro-step inside an optimizer step: the batches at hand and the model's reading of each.

    `reads[i]` is the `Readout` of `batches[i]`. `index` counts optimizer steps from 0, `progress`
    runs from 0 to 1. In `gradients` and `parameters` (once per optimizer step) `batches` are those
    of the last micro-step. `totals` are the scored positions of the whole optimizer step by role and draw,
    in all its `micro` micro-steps and on all `processes`. `master(parameter)` is the tensor that the
    optimizer changes: a float32 copy of a low-precision parameter, else the parameter itself.
    """

    stage: Stage
    index: int
    progress: float
    batches: list[Batch] = field(default_factory=list)
    reads: list[Any] = field(default_factory=list)
    master: Callable[[Tensor], Tensor] = lambda parameter: parameter
    totals: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    micro: int = 1
    processes: int = 1

    def mean(self, total: Tensor, *roles: Role) -> Tensor:
        """A sum over the scored positions of `roles` at hand, as a term that makes it their mean over the whole step.

        Micro-steps and processes then count by their positions, as in the losses of roles.
        """
        whole: Any = sum(n for (role, _), n in self.totals.items() if role in roles)
        if not self.totals:
            whole = sum(len(read.targets) for _, read in self.of(*roles))
        return total * (self.micro * self.processes / max(float(whole), 1.0))

    @property
    def model(self) -> nn.Module:
        return self.stage.model

    def of(self, *roles: Role) -> Iterator[tuple[Batch, Any]]:
        """The (batch, readout) pairs with one of these roles."""
        return ((b, r) for b, r in zip(self.batches, self.reads, strict=True) if b.role in roles)


class Strategy:
    """One idea against forgetting while training. Override the hooks that the idea touches.

    `claims` names what only one strategy in a composition may hold: `"objective:<role>"` (then
    `objective` replaces the mean cross-entropy of that role) or `"step"` (then `own_step` replaces
    backward and optimizer). `serves` says which models it makes sense for. `neutral` are constructor
    arguments that make it plain fine-tuning, exactly; `biting` are those that make it act on a model
    of two layers, where the defaults would not. The contract tests use both. `taught_at` is the rate at which
    `Memory.learn` trains a language model with it, where that of full fine-tuning does not suit what it trains.

    `name`, `paper`, `arxiv` and `variants` are what the catalogue says of it (`core.methods`).
    `position` is the strategy's place in the composition that trains (0 is the first); `Strategies` sets it.
    """

    name: ClassVar[str] = ""
    paper: ClassVar[str | None] = None
    arxiv: ClassVar[str | None] = None
    variants: ClassVar[Variants] = {}

    claims: frozenset[str] = frozenset()
    serves: frozenset[str] = frozenset({"lm", "classifier"})
    neutral: ClassVar[dict[str, Any]] = {}
    biting: ClassVar[dict[str, Any]] = {}
    taught_at: ClassVar[float | None] = None
    position: int = 0

    @classmethod
    def label(cls) -> str:
        """The name that the class declares, else the class's name."""
        return vars(cls).get("name") or cls.__name__

    def generator(self, stage: Stage, purpose: str, *numbers: int) -> torch.Generator:
        """A CPU generator for one purpose of this strategy, such as `("batch", micro-step)`.

        Its draws depend on the stage's seed, the strategy's label and position, the purpose and the numbers alone:
        those of another strategy, or of a second strategy of this class, differ, and a resumed run repeats them.
        """
        return stage.generator(self.label(), self.position, purpose, *numbers)

    def idle_first(self) -> bool:
        """Whether it does nothing in a first stage, where there is nothing yet to protect or to read again."""
        return False

    # boundaries
    def begin(self, stage: Stage) -> None:
        """Before the first step of a stage, and again when a killed stage is resumed."""

    def end(self, stage: Stage) -> None:
        """After the last step of a stage."""

    # data
    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        """Add to or change the batches of each micro-step; the number beside them counts micro-steps.

        Draw from `self.generator(stage, "batch", number)`: a resumed run starts in the middle.
        """
        return stream

    # loss
    def objective(self, step: Step, batch: Batch, read: Any) -> Tensor:
        """The loss of a role this strategy has claimed: a scalar, averaged over scored positions."""
        raise TypeError(f"{type(self).__name__} claims an objective but does not define it")

    def terms(self, step: Step) -> dict[str, Tensor]:
        """Named scalar terms that the engine adds to the loss."""
        return {}

    # gradient and parameters
    def gradients(self, step: Step) -> None:
        """Change `.grad` in place, after accumulation and before clipping."""

    def own_step(self, step: Step, optimizer: torch.optim.Optimizer) -> None:
        """Replace the optimizer's step (needs the claim `"step"`); change `step.master(p)`, never p."""
        raise TypeError(f"{type(self).__name__} claims the step but does not define it")

    def parameters(self, step: Step) -> None:
        """Change `step.master(p)` in place for parameters p, after the optimizer; p itself is then set from it."""

    # schedule
    def groups(self, model: nn.Module) -> dict[str, float]:
        """Learning-rate multipliers by parameter name; 0 freezes, a name left out keeps 1."""
        return {}

    def rate(self, progress: float) -> float:
        """A further factor on the learning rate at this progress (0 to 1)."""
        return 1.0

    def finished(self, step: Step) -> bool:
        """Whether the stage may stop early; asked after every optimizer step."""
        return False

    # use
    @contextmanager
    def reading(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model as it is to be used after training, for a strategy whose model is more than its weights.

        A memory keeps weights alone, so `Memory.learn` refuses strategies that override this.
        """
        yield model

    # state
    def state_dict(self) -> dict[str, Any]:
        """What must survive a kill or a further stage: tensors, numbers, strings, lists, dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
