"""Zhang et al. 2023, "Large Language Models Are Semi-Parametric Reinforcement Learning Agents", arXiv:2306.07929."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from byheart.core.protocols import Embedder, Subject
from byheart.core.records import Engram, Op
from byheart.models.embedder import Remembered, load_embedder
from byheart.recall.update.rememberer import Rememberer
from byheart.store.sqlite import Store
from byheart.study.base.carrying import carry_out, scratch
from byheart.study.base.criterion import Criterion
from byheart.study.base.study import Scales, Study
from byheart.world.control.errands import Errand, House, State

LONGEST = 20
"""Steps after which an errand has failed."""
TRUST, GAMMA = 8.0, 0.9
HEATS = {"memory": 0.2, "one_step": 0.5, "positive": 0.5, "returns": 0.2, "none": 1.0}
"""How evenly actions are drawn, by arm: of 0.15, 0.25, 0.5 and 1 (and 0.2 between) what each does best with."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    kinds: int
    epochs: int
    embedder: str


class Experience(Study[Size]):
    """A policy that is not trained, with experience of other errands in the same house and without.

    The paper prompts a language model with two experiences of like tasks and observations, their best and worst actions
    beside them, and updates these by n-step Q-learning: success rises by 4% on WebShop and 2% on WikiHow over what was
    best before, and falls again without bootstrapping over n steps and without discouraged actions. Here: errands in a
    house in which nobody says where things are (`world.control.errands`), half of the reward for the thing and half for
    bringing it. Five passes over half of the errands, then the others, three times each, with what was learned; MiniLM.
    No language model acts: an action seems likely by the words that it shares with the errand, and the words of another
    errand give way to those of this one, which takes the place of drawing the analogy in context. Actions are drawn
    with softmax(score / heat). `one_step` learns with n=1, `returns` from whole episodes without a maximum (as the
    authors' WebShop script does; no claim is made of it), `positive` tells of no bad actions, `none` has no experience.

    On seeds 100 to 102 the trust was chosen of 2, 4 and 8, for every arm the heat it does best with of 0.15, 0.25, 0.5
    and 1, and gamma of 1, the authors', and 0.9: with 1 a way round is worth as much as the straight one, and errands
    that were met succeed in 0.67 instead of 0.87 (seed 102). At first things had no kinds and a reward came only at the
    end: random errands then almost never succeeded, and what was learned of one errand (0.75 of those met) was of no
    use for others (0.18).

    That the maximum is better than the mean of whole returns is not shown: 0.76 and 0.67 here, but 0.62 and 0.67, 0.63
    and 0.74 on seeds 100 and 102. Tried: SmolLM2-135M to score the actions (seed 100, eight new errands, states on the
    straight way). The right action comes first in 0.05 of them without experience and in 0.13 with exemplars in the
    prompt, where shared words have 0.40; with experience added to the score in 0.68, with words in 0.70.
    """

    claim = "a policy that is not trained does better with an experience memory learned by n-step Q, good and bad told"
    quote = (
        "The average results with different initialization and training sets exceed the prior SOTA by 4% and "
        "2% for the success rate on two task sets and demonstrate the superiority and robustness of "
        "REMEMBERER."
    )
    source = "abstract; tables of WebShop and WikiHow; ablations without bootstrapping and without discouraged actions"
    primary = Criterion("over_none", says="success on new errands above the same policy without", at_least=0.3)
    secondary = (
        Criterion("over_one_step", says="the same above learning without n-step bootstrapping", at_least=0.2),
        Criterion("over_positive", says="the same above telling of good actions alone", at_least=0.1),
    )
    scales = Scales(
        smoke=Size(kinds=1, epochs=1, embedder="hash"),
        small=Size(kinds=5, epochs=5, embedder="minilm"),
        full=Size(kinds=5, epochs=10, embedder="minilm"),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        encoder = Remembered(load_embedder(size.embedder))
        house = House(kinds=size.kinds, seed=seed)
        errands = house.errands()
        order = np.random.default_rng(seed).permutation(len(errands))
        known, new = ([errands[i] for i in half] for half in np.array_split(order, 2))
        arms = {
            "memory": Rememberer(trust=TRUST, gamma=GAMMA),
            "one_step": Rememberer(trust=TRUST, gamma=GAMMA, steps=1),
            "positive": Rememberer(trust=TRUST, gamma=GAMMA, negative=False),
            "returns": Rememberer(trust=TRUST, gamma=GAMMA, steps=LONGEST),
            "none": Rememberer(trust=0.0),
        }
        out: dict[str, float] = {}
        for name, learner in arms.items():
            with scratch(encoder) as store:
                agent = _Agent(house, store, encoder, learner, HEATS[name], seed)
                if learner.trust:
                    out[f"{name}_training"] = fmean(agent.run(e, learn=True) for _ in range(size.epochs) for e in known)
                    out[f"{name}_moments"] = store.count()
                out[f"{name}_known"] = fmean(agent.run(e) for e in known)
                out[name] = fmean(agent.run(e) for _ in range(3) for e in new)
        return out | {f"over_{name}": out["memory"] - out[name] for name in arms if name != "memory"}


class _Agent:
    """Acts by likelihood and by experience, and learns from whole episodes."""

    def __init__(
        self, house: House, store: Store, embedder: Embedder, learner: Rememberer, heat: float, seed: int
    ) -> None:
        self.house, self.store, self.embedder, self.learner = house, store, embedder, learner
        self.heat, self.rng, self.episodes = heat, np.random.default_rng(seed), 0

    def run(self, errand: Errand, *, learn: bool = False, subject: Subject | None = None) -> float:
        """Whether an errand earned the full reward. With `learn`, its steps go into the memory."""
        state, gained, ops = State(), 0.0, []
        self.episodes += 1
        for n in range(LONGEST):
            sight, choices = self.house.see(state), self.house.actions(state)
            scores = self.learner.weigh(self.store, self.embedder, errand.text, sight, choices, subject)
            action = choices[self._drawn(scores)]
            state, reward = self.house.act(errand, state, action)
            record = {"task": errand.text, "observation": sight, "action": action, "reward": reward}
            name = f"{self.episodes} {n}"
            ops.append(
                Op(
                    kind="add",
                    engram=Engram(id=name, text=action, source=f"{self.episodes}", created="", metadata=record),
                )
            )
            gained += reward
            if state.over:
                break
        if learn:
            carry_out(self.store, self.embedder, self.learner.reconcile(self.store, ops, self.embedder))
        return gained == 1.0

    def _drawn(self, scores: Sequence[float]) -> int:
        weights = np.exp((np.array(scores) - max(scores)) / self.heat)
        return int(self.rng.choice(len(scores), p=weights / weights.sum()))
