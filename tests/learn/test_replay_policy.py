"""The learned replay policy: states, masks and targets by hand, Q-learning against an exhaustive search."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from line import Line, point, stage_of
from torch import nn

from byheart.core.errors import BadInput
from byheart.learn.replay_policy import Course, Policy, ReplayByPolicy, Steps, examine, learn
from byheart.learn.replay_scheduling import Schedule, choices
from byheart.train.loop import stages


def worth(policy: Policy, *worths: float) -> Policy:
    """The policy made to value a composition by its shares alone: so much for all of task 0, task 1 and so on."""
    size = len(policy.options)
    policy.net = nn.Sequential(nn.Linear(2 * size, 1, bias=False))
    with torch.no_grad():
        policy.net[0].weight.copy_(torch.tensor([[0.0] * size + list(worths)]))
    return policy


def test_the_state_holds_the_accuracies_so_far_and_never_the_last_tasks() -> None:
    policy = Policy(tasks=4, width=4)
    assert policy.state([0.5]).tolist() == [0.5, 0.0, 0.0]
    assert policy.state([0.5, 0.25, 1.0, 0.75]).tolist() == [0.5, 0.25, 1.0]


def test_what_a_stage_cannot_choose_is_masked() -> None:
    policy = worth(Policy(tasks=4, width=4), 1.0, 2.0, 3.0)
    values = policy(torch.zeros(3, 3), torch.tensor([1, 2, 3]))
    assert values.isfinite().sum(1).tolist() == [1, 3, 10]
    assert values[1, :3].tolist() == [1.0, 1.5, 2.0]
    assert [policy.shares([0.5] * t) for t in (1, 2, 3)] == [choices(t)[-1] for t in (1, 2, 3)]


def test_the_loss_is_hubers_against_reward_and_the_best_that_comes() -> None:
    now, old = worth(Policy(tasks=3, width=4), 0.5, 3.0), worth(Policy(tasks=3, width=4), 0.1, 0.7)
    steps = Steps(2, 2)
    steps.add(torch.zeros(2), 1, 0, 0.25, torch.ones(2))
    steps.add(torch.zeros(2), 2, 2, 0.75, torch.ones(2))
    # stage 1: 0.5 against 0.25 + 0.7, huber 0.45^2 / 2; stage 2 is the last: 3 against 0.75, huber 2.25 - 1/2
    first, last = steps.loss(now, old, torch.tensor([0])), steps.loss(now, old, torch.tensor([1]))
    assert first.item() == pytest.approx(0.45**2 / 2)
    assert last.item() == pytest.approx(1.75)
    assert steps.loss(now, old, torch.tensor([0, 1])).item() == pytest.approx((first.item() + last.item()) / 2)


def test_the_oldest_step_makes_room() -> None:
    steps = Steps(1, 2)
    for n in range(3):
        steps.add(torch.zeros(1), 1, n, float(n), torch.zeros(1))
    assert len(steps) == 2
    assert sorted(steps.rewards.tolist()) == [1.0, 2.0]


def test_a_policy_learns_what_the_accuracies_tell_and_carries_it_to_new_streams() -> None:
    # Task 0 is easily forgotten in some streams, task 1 in others; the first accuracies tell which.
    def course(weak: int, level: float) -> Course:
        def accuracies(schedule: Schedule) -> list[float]:
            known = [level, level]
            known[weak] -= 0.4
            if len(schedule) == 2:
                return [*(known[k] + 0.4 * (k == weak) * schedule[1][k] for k in (0, 1)), 1.0]
            return [level] if not schedule else known

        return accuracies

    taught = [course(weak, level) for weak in (0, 1) for level in (0.8, 1.0)]
    generator = torch.Generator().manual_seed(0)
    settings: dict[str, Any] = {"episodes": 120, "lr": 1e-2, "renew": 20, "decay": True, "fraction": 0.8}
    policy = learn(taught, Policy(tasks=3, width=32), generator, **settings)
    for weak, level in product((0, 1), (0.85, 0.95)):
        found = policy.follow(course(weak, level))
        assert found == ((1.0,), (1.0, 0.0) if weak == 0 else (0.0, 1.0))


def test_every_step_is_updated_upon_and_the_old_policy_renewed() -> None:
    asked: list[Schedule] = []

    def course(schedule: Schedule) -> list[float]:
        asked.append(schedule)
        return [1.0] * (len(schedule) + 1)

    policy, untaught = Policy(tasks=3, width=16, seed=1), Policy(tasks=3, width=16, seed=1)
    generator = torch.Generator().manual_seed(0)
    assert learn([course, course], policy, generator, episodes=3, batch=100) is policy
    assert len(asked) == 3 * 2 * 3
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), untaught.parameters(), strict=True))
    learn([course], policy, generator, episodes=100, batch=16, lr=1e-2, renew=10)
    # Accuracies of 1: the second stage gains 1, the first 1 and what the second gains.
    gains = policy(torch.stack([policy.state([1.0]), policy.state([1.0, 1.0])]), torch.tensor([1, 2])).max(1).values
    assert gains.tolist() == pytest.approx([2.0, 1.0], abs=0.1)


def test_a_stream_is_replayed_as_the_policy_says_from_its_own_accuracies() -> None:
    class Seen(Policy):
        def shares(self, accuracies: list[float]) -> tuple[float, ...]:  # type: ignore[override]
            met.append(list(accuracies))
            return super().shares(accuracies)

    met: list[list[float]] = []
    policy = worth(Seen(tasks=3, width=4), 0.0, 1.0)
    model = Line(0.0, 0.0)
    tasks = [[point(float(t + 1), 0)] * 20 for t in range(3)]
    held = [[point(1.0, 0)], [point(1.0, 0), point(-1.0, 0)], []]
    guard = ReplayByPolicy(policy=policy, held=held, memory=8)
    assert len(list(stages(model, tasks, [guard]))) == 3
    assert guard.schedule == ((1.0,), (0.0, 1.0))
    assert met == [[1.0], [1.0, 0.5]]
    assert [float(e["x"]) for e in guard.pool] == [2.0] * 8


def test_a_resumed_stage_keeps_its_row() -> None:
    guard = ReplayByPolicy(policy=Policy(tasks=3, width=4), held=[[point(1.0, 0)], [point(1.0, 0)]])
    for index in range(3):
        stage = stage_of(Line(1.0, 0.0), [point(1.0, 0)] * 10, index=index)
        guard.begin(stage)
        if index < 2:
            guard.end(stage)
    again = ReplayByPolicy(policy=worth(Policy(tasks=3, width=4), 1.0, 0.0), held=guard.held)
    again.load_state_dict(guard.state_dict())
    again.begin(stage)
    assert again.schedule == guard.schedule
    assert len(again.schedule) == 2


def test_examining_leaves_the_model_as_it_was() -> None:
    stage = stage_of(Line(1.0, 0.0), [point(1.0, 0)])
    stage.model.train()
    assert examine(stage, [point(1.0, 0), point(1.0, 1), point(-1.0, 0), point(-1.0, 1)]) == 0.5
    assert stage.model.training


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 2 tasks"):
        Policy(tasks=1)
    with pytest.raises(BadInput, match="accuracies on 3 tasks for a policy of streams of 3; give those on 1 to 2"):
        Policy(tasks=3, width=4).shares([1.0, 1.0, 1.0])
    with pytest.raises(BadInput, match="at least 1 course"):
        learn([], Policy(tasks=3, width=4), torch.Generator())
    guard = ReplayByPolicy(policy=Policy(tasks=3, width=4), held=[])
    guard.kept = [[point(1.0, 0)]]
    with pytest.raises(BadInput, match="held-out examples of 0 tasks at stage 2"):
        guard.begin(stage_of(Line(1.0, 0.0), [point(1.0, 0)]))
