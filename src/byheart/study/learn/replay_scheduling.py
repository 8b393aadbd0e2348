"""Klasson et al. 2023, "Learn the Time to Learn: Replay Scheduling in Continual Learning", arXiv:2209.08660."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from byheart.learn.replay_policy import Policy, learn
from byheart.learn.replay_scheduling import ReplayScheduling, Schedule, choices, search
from byheart.nets.perceptron import Perceptron
from byheart.study.base.criterion import Criterion
from byheart.study.base.stream import accuracy
from byheart.study.base.study import Scales, Study
from byheart.train.loop import Settings, train
from byheart.world.stream.digits import permuted, split
from byheart.world.stream.task import Task

HEURISTICS = ("global", "local", "absolute")
SHARES = (0.75, 0.9, 0.95, 0.999)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How big a run is, and the settings of its arms."""

    iterations: int
    randoms: int
    orders: int
    teachers: int
    new: int
    episodes: int
    epochs: int
    memory: int = 10
    share: float = 0.9


class TimeToLearn(Study[Size]):
    """Schedules of a memory of ten examples: by tree search, and by a policy that learned on other streams.

    The paper lets a memory of ten to a few dozen examples be composed anew for every task and finds,
    by Monte Carlo tree search on validation accuracy, schedules that beat equal shares, random ones and
    heuristics on test accuracy (table 1). It then learns a policy by Q-learning (or A2C) on ten to thirty streams of
    other task orders and first weights, all of whose schedules it tries out beforehand; on ten new orders of split
    MNIST the policy ranks above all of them: 93.0% against 91.8% with equal shares, 91.8% at random, 91.0 to
    91.5% with heuristics (table 4, as its code prints it). Its abstract claims no more than equal shares beaten.
    The heuristics replay the tasks that fell to a share of their best ("global"), of what they were one task
    earlier ("local"), or of 1 ("absolute"), and nothing when none did.

    Here: scikit-learn's 8 x 8 digits, five tasks, a perceptron, Adam, a hundred images of every task held out.
    Search: split digits with the task given, and permuted digits, each the mean of four streams. Policy:
    twenty streams of split digits to learn on, twenty-six others to test on, each of another order, division of the
    images and first weights. The policy reads a composition beside the accuracies, where the paper has an output
    for each; its perceptron is smaller, its rate higher and falling to 0, and there are 80 episodes, not 10,000. A
    stream is learned under a schedule only when a search or a policy needs its reward. Random is the mean of eight
    schedules. The heuristics' shares are the best of four on the streams that the policy learned on (the search on
    split digits is compared with "global"), and 0.9 for permuted digits, chosen on seeds 100 and 101 as all else.

    Tried: the search alone on one stream of each kind, with 50 tries, 50 steps a task and the heuristic with equal
    shares when no task fell, was inconclusive with seeds 0 to 2: on split digits 0.065 over equal shares
    (0.004 to 0.126), 0.041 over random (0.004 to 0.078), 0.032 over the heuristic (-0.008 to 0.072); on permuted
    ones 0.047 over random (-0.008 to 0.102), 0.034 over the heuristic (-0.040 to 0.108). Hence four streams, and
    75 tries. The policy with an output for each composition, as in the paper, was at seed 100 above equal shares
    (0.041) and random ones (0.018) after 300 episodes on ten streams with one set of new orders, and not above
    random ones (-0.003) after 120 on twelve with another, with two updates a step. With the composition read, the
    latter gave 0.080 and 0.015. It is not surely above the mean of the heuristics: by -0.007, 0.011 and 0.009 with
    seeds 100 to 102, and by 0.005 (-0.001 to 0.011) in the mean of seeds 0 to 5. Ten more, fixed before they ran, are
    the result: all else holds there too, and this is 0.002.
    """

    claim = (
        "Replay schedules found by Monte Carlo tree search beat equal, random and heuristic ones at equal memory, "
        "and a policy learned by Q-learning does so on streams that it has not seen, without a search"
    )
    quote = (
        "To demonstrate the importance of learning the time to learn, we first use Monte Carlo tree search to "
        "find the proper replay schedule and show that it can outperform fixed scheduling policies in terms "
        "of continual learning performance."
    )
    source = "section 4.1, table 1; section 4.2, table 4"
    primary = Criterion("split_over_equal", says="found schedule above equal shares, split", at_least=0.005)
    secondary = (
        Criterion("split_over_random", says="above random schedules, split", at_least=0.01),
        Criterion("split_over_heuristic", says="above the heuristic, split", at_least=0.0),
        Criterion("permuted_over_equal", says="above equal shares, permuted", at_least=0.01),
        Criterion("permuted_over_random", says="above random schedules, permuted", at_least=0.02),
        Criterion("permuted_over_heuristic", says="above the heuristic, permuted", at_least=0.0),
        Criterion("policy_over_equal", says="learned policy above equal shares, new orders", at_least=0.01),
        Criterion("policy_over_random", says="above random schedules, new orders", at_least=0.005),
        Criterion("policy_over_heuristic", says="above the heuristics, new orders", at_least=0.0),
    )
    seeds = range(6, 16)
    scales = Scales(
        smoke=Size(iterations=2, randoms=1, orders=1, teachers=1, new=1, episodes=3, epochs=1),
        small=Size(iterations=75, randoms=8, orders=4, teachers=20, new=26, episodes=80, epochs=5),
        full=Size(iterations=100, randoms=50, orders=9, teachers=30, new=30, episodes=999, epochs=9),
    )

    def run(self, size: Size, *, seed: int, data: Path | None = None) -> dict[str, float]:
        generator = torch.Generator().manual_seed(seed)
        settings = Settings(lr=3e-3, epochs=size.epochs, batch_size=32)
        first = 1000 * (seed + 1)

        def streams(count: int, start: int) -> list[Streams]:
            seeds = range(first + start, first + start + count)
            return [Streams(split(scenario="task", seed=s), 64, settings, size.memory, s) for s in seeds]

        lessons, unseen = streams(size.teachers, 0), streams(max(size.new, size.orders), 200)
        others = [
            Streams(permuted(seed=s), 150, settings, size.memory, s)
            for s in range(first + 400, first + 400 + size.orders)
        ]
        policy = learn(
            [w.course for w in lessons],
            Policy(tasks=5, width=64, seed=seed),
            generator,
            episodes=size.episodes,
            lr=3e-3,
            decay=True,
            renew=50,
            fraction=0.8,
        )
        tuned = {
            kind: max(SHARES, key=lambda s: np.mean([w.reward(w.heuristic(kind, s)) for w in lessons]))
            for kind in HEURISTICS
        }
        out: dict[str, float] = {f"share_{kind}": s for kind, s in tuned.items()}
        for name, worlds, limit in (
            ("split", unseen[: size.orders], tuned["global"]),
            ("permuted", others, size.share),
        ):
            rows = []
            for world in worlds:
                schedule, reward = search(world.reward, 5, generator, iterations=size.iterations)
                row = {"found": world.test(schedule), "heuristic": world.test(world.heuristic("global", limit))}
                rows.append({**row, **world.plain(size.randoms, generator), "reward": reward})
            out |= compared(name, rows, "found")
        rows = []
        for world in unseen[: size.new]:
            row = {kind: world.test(world.heuristic(kind, s)) for kind, s in tuned.items()}
            row["heuristic"] = float(np.mean(list(row.values())))
            rows.append(
                {"learned": world.test(policy.follow(world.course)), **row, **world.plain(size.randoms, generator)}
            )
        return out | compared("policy", rows, "learned")


def compared(name: str, rows: Sequence[Mapping[str, float]], own: str) -> dict[str, float]:
    """Means over streams, and by how much `own` is above each of the others."""
    mean = {k: float(np.mean([r[k] for r in rows])) for k in rows[0]}
    return {f"{name}_{k}": v for k, v in mean.items()} | {
        f"{name}_over_{k}": mean[own] - v for k, v in mean.items() if k not in (own, "reward")
    }


def equal(tasks: int) -> Schedule:
    """The same share for every earlier task."""
    return tuple((1 / t,) * t for t in range(1, tasks))


class Streams:
    """A stream of tasks learned under any schedule; what schedules begin with alike is learned once.

    The seed is that of the first weights and of the order of the images. A row of zeros replays nothing.
    """

    def __init__(self, tasks: list[Task], images: int, settings: Settings, memory: int, seed: int) -> None:
        self.tasks, self.memory, self.settings = tasks, memory, replace(settings, seed=seed)
        held = [len(t.train) * 2 // 5 for t in tasks]
        self.held = [t.train[:h][:100] for t, h in zip(tasks, held, strict=True)]
        self.taught = [t.train[h:][:images] for t, h in zip(tasks, held, strict=True)]
        self.learned: dict[Schedule, nn.Module] = {}
        self.known: dict[Schedule, list[float]] = {}

    def after(self, schedule: Schedule) -> nn.Module:
        """The model after the first tasks, one more than the schedule has rows."""
        if schedule not in self.learned:
            index = len(schedule)
            guards = []
            model: nn.Module = Perceptron(seed=self.settings.seed)
            if index:
                model = copy.deepcopy(self.after(schedule[:-1]))
            if index and any(schedule[-1]):
                guards = [ReplayScheduling(memory=self.memory, schedule=(*equal(index), schedule[-1]))]
                guards[0].kept = [list(examples) for examples in self.taught[:index]]
            train(model, self.taught[index], guards, self.settings, index=index)
            self.learned[schedule] = model
        return self.learned[schedule]

    def course(self, schedule: Schedule) -> list[float]:
        """Accuracy on the held-out images of each task learned."""
        if schedule not in self.known:
            model = self.after(schedule)
            self.known[schedule] = [accuracy(model, h) for h in self.held[: len(schedule) + 1]]
        return self.known[schedule]

    def reward(self, schedule: Schedule) -> float:
        """Average accuracy on the held-out images."""
        return float(np.mean(self.course(schedule)))

    def test(self, schedule: Schedule) -> float:
        """Average accuracy on the test images after the last task."""
        return float(np.mean([accuracy(self.after(schedule), t.test) for t in self.tasks]))

    def plain(self, randoms: int, generator: torch.Generator) -> dict[str, float]:
        """Test accuracies with equal shares and, on average, with so many random schedules."""
        scores = []
        for _ in range(randoms):
            rows = [choices(t) for t in range(1, len(self.tasks))]
            drawn = tuple(r[int(torch.randint(len(r), (1,), generator=generator))] for r in rows)
            scores.append(self.test(drawn))
        return {"equal": self.test(equal(len(self.tasks))), "random": float(np.mean(scores))}

    def heuristic(self, kind: str, share: float) -> Schedule:
        """Equal shares for the tasks that fell to a share of what they are compared with; none when none did.

        Compared is the held-out accuracy: with the best ever ("global"), with that one task earlier ("local"),
        or with 1 ("absolute").
        """
        schedule: Schedule = ()
        count = len(self.tasks)
        before, best = [0.0] * count, [0.0] * count
        for t in range(1, count):
            now = [*self.course(schedule), *[0.0] * (count - t)]
            best = [max(pair) for pair in zip(best, now, strict=True)]
            against = {"global": best, "local": before, "absolute": [1.0] * count}[kind]
            fallen = [k for k in range(t) if now[k] <= share * against[k]]
            schedule = (*schedule, tuple((k in fallen) / max(len(fallen), 1) for k in range(t)))
            before = now
        return schedule
