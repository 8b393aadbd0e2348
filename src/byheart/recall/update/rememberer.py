"""REMEMBERER: what actions were worth in which moments, learned off-policy and shown as good and bad examples."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import blake2b
from itertools import groupby
from typing import ClassVar, NamedTuple

import numpy as np

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Subject
from byheart.core.records import Engram, Op
from byheart.recall.read.evidence import content
from byheart.recall.update.present import StoreView

Actions = Mapping[str, tuple[float, int]]
"""For each action Q, and N, how often it was updated."""


class Exemplar(NamedTuple):
    """A stored moment: how alike it is to the present, its best action if that was worth something, its bad actions."""

    engram: Engram
    alike: float
    best: tuple[str, float] | None
    bad: tuple[str, ...]


@dataclass(frozen=True)
class _Step:
    task: str
    observation: str
    action: str
    reward: float
    draft: Engram

    @property
    def key(self) -> str:
        return moment(self.task, self.observation)


class Rememberer:
    """Turns the steps of episodes into experience, one engram for each moment, and acts by the moments most alike.

    A policy that cannot be trained can be shown what came of its actions. Experience is kept as values and not as
    transcripts, so failures count as much as successes, and the good end of one episode is credited to the beginning
    of another that shares a moment with it: the maximum asks what is best from there, not what was done.

        Q(g, o_t, a_t) += (1/N) (sum_{i<n} gamma^i r_{t+i} + gamma^n max_b Q(g, o_{t+n}, b) - Q(g, o_t, a_t))
        alike = weight cos(g, g') + (1 - weight) cos(o, o')

    with task g, observation o, N the times that the action was updated, and no maximum where the episode ends within
    n steps. A step comes as an addition with `task`, `observation`, `action` and the `reward` for it in its metadata;
    additions in a row with one source are one episode, given whole. What has no such metadata passes unchanged.

    Parameters
    ----------
    steps: n, rewards counted before what follows is estimated. gamma: the discount.
    shown: m, moments that advise. weight: share of the task in how alike two moments are. pool: moments compared.
    negative: whether actions that were worth nothing are told of. trust: weight of experience beside what seems likely.

    Departs from the paper: where o_{t+n} was never met its value is 0 (the authors' code takes the most alike
    moment's). No action is made up where none was good or none bad. The memory has no limit. A language model is shown
    the same exemplars, but it scores the actions that there are and writes none, and experience is added to its score.
    Without one, an action seems likely by the words it shares with the task. It cannot draw analogies, so words of a
    moment's task that stand where this task has others give way to those (`carried`).

    It learns from what is remembered, and whoever acts asks it what that says (`weigh`, `exemplars`); without
    experience it weighs by the words alone.

    >>> import tempfile
    >>> from byheart import Memory
    >>> with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder="hash") as memory:
    ...     step = {"task": "bring tea", "observation": "a door", "action": "open", "reward": 1.0}
    ...     _ = memory.remember([{"text": "bring tea: a door", "source": "a try", **step}], update="rememberer")
    ...     moment = "bring tea", "a door", ["open", "knock"]
    ...     [round(s) for s in memory.methods.get("rememberer").weigh(memory.store, memory.embedder, *moment)]
    [8, 0]
    >>> learner = Rememberer(steps=2, gamma=0.5)
    >>> learner.target([1.0, 1.0, 4.0], 0, 8.0), learner.target([1.0, 1.0, 4.0], 1, 8.0)
    (3.5, 3.0)

    References: Zhang et al. 2023, arXiv:2306.07929, sections on the experience memory and its update; the authors'
    github.com/OpenDFM/Rememberer, history.py and agent_protos.py.
    """

    name: ClassVar[str] = "rememberer"
    paper: ClassVar[str] = "rememberer"
    arxiv: ClassVar[str] = "2306.07929"

    def __init__(
        self,
        *,
        steps: int = 5,
        gamma: float = 1.0,
        shown: int = 2,
        weight: float = 0.5,
        pool: int = 32,
        negative: bool = True,
        trust: float = 8.0,
    ) -> None:
        if min(steps, shown, pool) < 1:
            raise BadInput(f"steps={steps}, shown={shown}, pool={pool}: give 1 or more of each")
        if not 0 <= gamma <= 1 or not 0 <= weight <= 1:
            raise BadInput(f"gamma={gamma}, weight={weight}: give numbers from 0 to 1; the defaults are 1 and 0.5")
        if trust < 0:
            raise BadInput(f"trust={trust} would turn experience round; give 0 or more")
        self.steps, self.gamma, self.shown, self.weight = steps, gamma, shown, weight
        self.pool, self.negative, self.trust = pool, negative, trust

    def reconcile(
        self, view: StoreView, ops: Sequence[Op], embedder: Embedder, subject: Subject | None = None
    ) -> list[Op]:
        """The operations with episodes as additions to and replacements of moments; others pass through unchanged.

        Nothing is embedded and no `subject` is used.
        """
        out: list[Op] = []
        places: dict[tuple[str, str | None], int] = {}
        for _, run in groupby(ops, lambda op: op.engram.source if op.kind == "add" and op.engram else None):
            steps: list[_Step] = []
            for op in run:
                step = _step(op)
                if step is None:
                    out.append(op)
                else:
                    steps.append(step)
            if steps:
                self._learn(view, steps, out, places)
        return out

    def target(self, rewards: Sequence[float], t: int, best: float) -> float:
        """The n-step estimate for step t of an episode; `best` is max Q where it stood n steps later, if it did."""
        n, gamma = self.steps, self.gamma
        gained = math.fsum(gamma**i * r for i, r in enumerate(rewards[t : t + n]))
        return gained + (gamma**n * best if t + n < len(rewards) else 0.0)

    def _learn(
        self, view: StoreView, steps: Sequence[_Step], out: list[Op], places: dict[tuple[str, str | None], int]
    ) -> None:
        """Update the moments of an episode in the order of its steps; `places` gives the operation that stores each."""
        rewards = [s.reward for s in steps]

        def experience(step: _Step) -> Actions:
            place = places.get((step.key, step.draft.owner))
            engram = out[place].engram if place is not None else _moment_of(view, step.key, step.draft.owner)
            return actions(engram) if engram else {}

        for t, step in enumerate(steps):
            later = steps[t + self.steps] if t + self.steps < len(steps) else None
            best = max((q for q, _ in experience(later).values()), default=0.0) if later else 0.0
            wanted = self.target(rewards, t, best)
            known = dict(experience(step))
            q, count = known.get(step.action, (0.0, 0))
            known[step.action] = (q + (wanted - q) / (count + 1), count + 1)
            place = places.get((step.key, step.draft.owner))
            if place is None:
                old = _moment_of(view, step.key, step.draft.owner)
                places[step.key, step.draft.owner] = len(out)
                made = Op(kind="replace" if old else "add", target=old.id if old else None, reason="experience")
                out.append(made.model_copy(update={"engram": _moment(step, known, old)}))
            else:
                engram = out[place].engram
                assert engram is not None
                metadata = {**engram.metadata, "actions": known}
                out[place] = out[place].model_copy(update={"engram": engram.model_copy(update={"metadata": metadata})})

    def exemplars(
        self, view: StoreView, embedder: Embedder, task: str, observation: str, owner: str | None = None
    ) -> list[Exemplar]:
        """The moments most alike to this, the most alike first; of two equally alike the more frequent first."""
        vectors = np.asarray(embedder.encode([f"{task}\n{observation}", task, observation]), np.float64)
        near = view.get([i for i, _ in view.dense(vectors[0], self.pool, None, {"owner": owner})])
        near = [e for e in near if actions(e)]
        if not near:
            return []
        tasks = [str(e.metadata["task"]) for e in near]
        seen = [carried(str(e.metadata["observation"]), own, task) for e, own in zip(near, tasks, strict=True)]
        by_task, by_sight = (
            np.asarray(embedder.encode(t), np.float64) @ v for t, v in ((tasks, vectors[1]), (seen, vectors[2]))
        )
        alike = self.weight * by_task + (1 - self.weight) * by_sight
        order = sorted(range(len(near)), key=lambda n: (-alike[n], -sum(c for _, c in actions(near[n]).values())))
        out = []
        for n in order[: self.shown]:
            known = actions(near[n])
            best = max(known, key=lambda a: known[a][0])
            good = (best, known[best][0]) if known[best][0] > 0 else None
            bad = tuple(a for a, (q, _) in known.items() if q <= 0) if self.negative else ()
            out.append(Exemplar(near[n], float(alike[n]), good, bad))
        return out

    def weigh(
        self,
        view: StoreView,
        embedder: Embedder,
        task: str,
        observation: str,
        choices: Sequence[str],
        subject: Subject | None = None,
        owner: str | None = None,
    ) -> list[float]:
        """A score for each action that there is now: how likely it seems (nats) and what experience says of it.

        Experience adds `trust` times how alike the moment is, times Q for its best action and -1 for a bad action; of
        two moments with the same action the more alike counts.
        """
        shown = self.exemplars(view, embedder, task, observation, owner)
        weights: dict[str, float] = {}
        for e in shown:
            own = str(e.engram.metadata["task"])
            for action in e.bad:
                weights.setdefault(carried(action, own, task), -e.alike)
            if e.best is not None:
                weights.setdefault(carried(e.best[0], own, task), e.alike * e.best[1])
        if subject is None:
            wanted = content(task)
            seems = [float(len(content(c) & wanted)) for c in choices]
        else:
            scored = subject.score([(self.prompt(shown, task, observation, choices), c) for c in choices])
            seems = [math.fsum(s) / max(1, len(s)) for s in scored]
        return [s + self.trust * weights.get(c, 0.0) for s, c in zip(seems, choices, strict=True)]

    def prompt(
        self, shown: Sequence[Exemplar], task: str, observation: str, choices: Sequence[str]
    ) -> list[dict[str, str]]:
        """The prompt for a language model: the exemplars with good and bad actions, then the present moment."""
        parts = []
        for e in shown:
            lines = [f"Task: {e.engram.metadata['task']}", str(e.engram.metadata["observation"])]
            lines += [f"Good action: {e.best[0]} (worth {e.best[1]:.2f})"] if e.best else []
            lines += [f"Bad actions: {'; '.join(e.bad)}"] if e.bad else []
            parts.append("\n".join(lines))
        now = f"Task: {task}\n{observation}\nPossible actions: {'; '.join(choices)}\nReply with the best action alone."
        return [{"role": "user", "content": "\n\n".join([*parts, now])}]


def carried(text: str, task: str, to: str) -> str:
    """A text about a task in the words of another task: words that the other task has others for are replaced by those.

    >>> carried("go to the cellar", "Bring the mug to the cellar.", "Bring the lamp to the attic.")
    'go to the attic'
    """
    before, other = (re.findall(r"\w+", t) for t in (task, to))
    parts = SequenceMatcher(None, before, other, autojunk=False).get_opcodes()
    new = {
        a: b
        for tag, i, j, k, end in parts
        if tag == "replace" and j - i == end - k
        for a, b in zip(before[i:j], other[k:end], strict=True)
    }
    return re.sub(r"\w+", lambda word: new.get(word[0], word[0]), text)


def moment(task: str, observation: str) -> str:
    """The key under which the experience of a moment is stored."""
    return "moment " + blake2b(f"{task}\0{observation}".encode("utf-8", "replace"), digest_size=12).hexdigest()


def actions(engram: Engram) -> Actions:
    """What an engram says of actions: Q and N of each; empty when it is no experience."""
    stored = engram.metadata.get("actions")
    if not isinstance(stored, dict) or "task" not in engram.metadata or "observation" not in engram.metadata:
        return {}
    return {str(a): (float(q), int(n)) for a, (q, n) in stored.items()}


def _step(op: Op) -> _Step | None:
    """The step that an addition brings, or None."""
    if op.kind != "add" or op.engram is None:
        return None
    metadata = op.engram.metadata
    words = [metadata.get(name) for name in ("task", "observation", "action")]
    reward = metadata.get("reward")
    if not all(isinstance(w, str) for w in words) or isinstance(reward, bool) or not isinstance(reward, int | float):
        return None
    return _Step(str(words[0]), str(words[1]), str(words[2]), float(reward), op.engram)


def _moment_of(view: StoreView, key: str, owner: str | None) -> Engram | None:
    """The current moment under a key."""
    return next((e for e in reversed(view.keyed(key, owner)) if e.state == "active"), None)


def _moment(step: _Step, known: Actions, old: Engram | None) -> Engram:
    """The engram that keeps a moment: of its task and its observation, with what is known of its actions."""
    metadata = {"task": step.task, "observation": step.observation, "actions": dict(known)}
    more = {"key": step.key, "parents": (old.id,) if old else ()}
    return step.draft.model_copy(update={"text": f"{step.task}\n{step.observation}", "metadata": metadata, **more})
