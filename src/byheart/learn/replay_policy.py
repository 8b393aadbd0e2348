"""Replay scheduling by a learned policy: from the accuracies so far to what to rehearse next, by Q-learning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.core.errors import BadInput
from byheart.core.strategy import Stage
from byheart.kit.modes import drawing, evaluating
from byheart.learn.replay_scheduling import ReplayScheduling, Schedule, choices

Course = Callable[[Schedule], Sequence[float]]
"""A stream to learn on: from a schedule of t rows to the held-out accuracies on the t + 1 tasks learned under it."""


class Policy(nn.Module):
    """A perceptron that values every composition of the memory by the accuracies on the tasks so far.

    The state is the held-out accuracy on every task learned, 0 for those to come; the last task of the
    stream is never in it. Beside the state stand the shares of a composition; the output is what is still to be
    gained by it. The n-th value at stage t is that of the n-th of `choices(t)`, all beyond those are masked.

    Parameters
    ----------
    tasks: how many tasks the streams have.
    width: units of each of the two hidden layers; 512 in the paper's runs on split digits.
    seed: of the first weights.

    Departs from the paper: there the state alone is read and every composition has an output, the n-th of one
    stage shared with the n-th of the next. Values of alike compositions are learned together here, so that
    fewer streams and episodes are needed.

    >>> policy = Policy(tasks=3, width=8)
    >>> policy(policy.state([0.9])[None], torch.tensor([1])).isfinite().tolist()
    [[True, False, False]]
    >>> policy.shares([0.9])
    (1.0,)

    References: Klasson, Kjellstroem and Zhang 2023, arXiv:2209.08660, section 3.3.
    """

    compositions: Tensor

    def __init__(self, *, tasks: int, width: int = 512, seed: int = 0) -> None:
        super().__init__()
        if tasks < 2:
            raise BadInput(f"a stream of {tasks} has nothing to replay; give at least 2 tasks")
        self.options = [choices(t) for t in range(1, tasks)]
        most = len(self.options[-1])
        rows = torch.full((tasks - 1, most, tasks - 1), torch.nan)
        for t, options in enumerate(self.options):
            rows[t, : len(options)] = torch.tensor([[*row, *[0.0] * (tasks - 1 - len(row))] for row in options])
        self.register_buffer("compositions", rows, persistent=False)
        with drawing(seed):
            self.net = nn.Sequential(
                nn.Linear(2 * (tasks - 1), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
            )

    def state(self, accuracies: Sequence[float]) -> Tensor:
        """What the network sees of a stream: (tasks - 1,)."""
        seen = torch.zeros(len(self.options))
        known = torch.tensor(list(accuracies)[: len(seen)])
        seen[: len(known)] = known
        return seen

    def forward(self, states: Tensor, stages: Tensor) -> Tensor:
        """Values (B, most choices) of the choices at each state, -inf for those that its stage does not have."""
        shares = self.compositions[stages - 1]
        none = shares[..., 0].isnan()
        seen = torch.cat([states[:, None].expand_as(shares), shares.nan_to_num()], -1)
        values: Tensor = self.net(seen)[..., 0]
        return values.masked_fill(none, -torch.inf)

    @torch.no_grad()
    def choose(self, accuracies: Sequence[float]) -> int:
        """Which of the choices is worth most now."""
        stage = len(accuracies)
        if not 0 < stage <= len(self.options):
            raise BadInput(
                f"accuracies on {stage} tasks for a policy of streams of {len(self.options) + 1}; "
                f"give those on 1 to {len(self.options)}, or learn a policy for longer streams"
            )
        return int(self(self.state(accuracies)[None], torch.tensor([stage])).argmax())

    def shares(self, accuracies: Sequence[float]) -> tuple[float, ...]:
        """The next row of a schedule, by the accuracies on all tasks learned."""
        chosen = self.choose(accuracies)
        return self.options[len(accuracies) - 1][chosen]

    def follow(self, course: Course) -> Schedule:
        """The schedule that the policy makes on a stream, without any search."""
        schedule: Schedule = ()
        for _ in self.options:
            schedule = (*schedule, self.shares(course(schedule)))
        return schedule


class Steps:
    """The last so many steps that were taken on any stream, to draw batches from.

    A step is a state, the stage it was met at, what was chosen, the reward, and the state it led to.
    """

    def __init__(self, size: int, capacity: int) -> None:
        self.capacity, self.taken = capacity, 0
        self.states, self.following = torch.zeros(capacity, size), torch.zeros(capacity, size)
        self.stages, self.chosen = (torch.zeros(capacity, dtype=torch.long) for _ in range(2))
        self.rewards = torch.zeros(capacity)

    def __len__(self) -> int:
        return min(self.taken, self.capacity)

    def add(self, state: Tensor, stage: int, chosen: int, reward: float, following: Tensor) -> None:
        """Keep a step, in place of the oldest when there is no room."""
        at = self.taken % self.capacity
        self.states[at], self.following[at] = state, following
        self.stages[at], self.chosen[at], self.rewards[at] = stage, chosen, reward
        self.taken += 1

    def loss(self, policy: Policy, old: Policy, keys: Tensor) -> Tensor:
        """Huber loss of the values of what was chosen against the reward and the best that the old policy sees next."""
        stages, target = self.stages[keys], self.rewards[keys].clone()
        more = stages < len(policy.options)
        if more.any():
            with torch.no_grad():
                target[more] += old(self.following[keys][more], stages[more] + 1).max(1).values
        values = policy(self.states[keys], stages).gather(1, self.chosen[keys, None])[:, 0]
        return F.smooth_l1_loss(values, target)


def learn(
    courses: Sequence[Course],
    policy: Policy,
    generator: torch.Generator,
    *,
    episodes: int = 10_000,
    lr: float = 1e-4,
    decay: bool = False,
    batch: int = 32,
    updates: int = 1,
    renew: int = 500,
    capacity: int = 10_000,
    explore: tuple[float, float] = (1.0, 0.02),
    fraction: float = 0.25,
) -> Policy:
    """Teach a policy by deep Q-learning on several streams at once; the defaults are the paper's.

    loss = huber(Q(s, a), r + max_a' Q_old(s', a')), r = mean held-out accuracy on the tasks so far

    In every episode each course is walked once from its beginning. A walk takes the best choice known or, with
    a probability that falls in a straight line from `explore[0]` to `explore[1]` over a `fraction` of the
    episodes, any. Each step is stored among the last `capacity`, and followed by so many `updates` on batches of
    stored steps. Q_old is a copy that is renewed every `renew` updates. With `decay` the rate falls to 0 in
    a straight line. The same schedule is requested many times, so a course should cache its answers.

    >>> likes = lambda schedule: [0.5, 0.5, *(row[0] for row in schedule[1:])][: len(schedule) + 1]
    >>> generator = torch.Generator().manual_seed(0)
    >>> settings = {"episodes": 100, "lr": 1e-2, "renew": 20}
    >>> learn([likes], Policy(tasks=3, width=16), generator, **settings).follow(likes)
    ((1.0,), (1.0, 0.0))
    """
    if not courses:
        raise BadInput("no stream to learn a policy on; give at least 1 course")
    old = copy.deepcopy(policy)
    optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
    steps = Steps(len(policy.options), capacity)
    done = 0
    for episode in range(episodes):
        chance = explore[0] + min(1.0, episode / (fraction * episodes)) * (explore[1] - explore[0])
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - episode / episodes) if decay else lr
        for course in courses:
            schedule: Schedule = ()
            accuracies = course(schedule)
            for stage, options in enumerate(policy.options, 1):
                state = policy.state(accuracies)
                if float(torch.rand((), generator=generator)) < chance:
                    chosen = int(torch.randint(len(options), (), generator=generator))
                else:
                    chosen = policy.choose(accuracies)
                schedule = (*schedule, options[chosen])
                accuracies = course(schedule)
                steps.add(state, stage, chosen, sum(accuracies) / len(accuracies), policy.state(accuracies))
                for _ in range(updates if len(steps) >= batch else 0):
                    loss = steps.loss(policy, old, torch.randint(len(steps), (batch,), generator=generator))
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                    optimizer.step()
                    done += 1
                    if done % renew == 0:
                        old.load_state_dict(policy.state_dict())
    return policy


class ReplayByPolicy(ReplayScheduling):
    """Replays a small memory composed anew at every stage as a learned policy says, on a stream new to it.

    At the start of a stage the model is examined on held-out examples of the tasks so far; the policy
    makes the next row of the schedule from its accuracies. Nothing is tried out.

    Parameters
    ----------
    policy: as `learn` gave it.
    held: held-out examples of every task, in the order of the stream.
    memory, ratio: as for ReplayScheduling.

    References: Klasson, Kjellstroem and Zhang 2023, arXiv:2209.08660, section 3.3.
    """

    def __init__(
        self, *, policy: Policy, held: Sequence[Sequence[dict[str, Any]]], memory: int = 10, ratio: float = 1.0
    ) -> None:
        super().__init__(memory=memory, ratio=ratio)
        self.policy, self.held = policy, held

    def begin(self, stage: Stage) -> None:
        t = len(self.kept)
        if t > len(self.held):
            raise BadInput(f"held-out examples of {len(self.held)} tasks at stage {t + 1}; give those of every task")
        if len(self.schedule) < t:
            row = self.policy.shares([examine(stage, examples) for examples in self.held[:t]])
            self.schedule = (*self.schedule, row)
        super().begin(stage)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "schedule": [list(row) for row in self.schedule]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.schedule = tuple(tuple(row) for row in state["schedule"])


@torch.no_grad()
def examine(stage: Stage, examples: Sequence[dict[str, Any]]) -> float:
    """The share of examples that the model of a stage has right; the model is left as it was."""
    with evaluating(stage.model) as model:
        right = stage.read(model, stage.collate(examples)).correct()
    return float(right.float().mean())
