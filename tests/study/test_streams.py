"""What studies of streams of digits measure, by hand: accuracy on what is absent, and heads of earlier tasks."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from byheart.core.strategy import Batch, Stage, Step
from byheart.nets.perceptron import Perceptron
from byheart.study.study import scole
from byheart.study.world.three_scenarios import OldHeads, stream


class Drawn:
    """A generator that draws these pairs of classes, and leaves orders as they are."""

    def __init__(self, *pairs: list[int]) -> None:
        self.pairs = iter(pairs)

    def choice(self, *_: Any, **__: Any) -> torch.Tensor:
        return torch.tensor(next(self.pairs))

    def permutation(self, count: int) -> range:
        return range(count)


def test_classes_count_as_absent_that_none_of_the_last_three_tasks_held(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, model, trained = scole.split(tasks=10, seed=0), Perceptron(), []
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data = torch.arange(10.0).neg()  # says 0, whatever it sees

    def seen(model: Any, examples: Any, strategies: Any, settings: Any, *, index: int) -> None:
        trained.append((index, sorted({e["labels"] for e in examples}), len(examples)))

    monkeypatch.setattr(scole, "split", lambda **_: streams)
    monkeypatch.setattr(scole, "train", seen)
    monkeypatch.setattr(scole, "Perceptron", lambda **_: model)
    monkeypatch.setattr(scole, "np", SimpleNamespace(mean=scole.np.mean, random=SimpleNamespace(
        default_rng=lambda seed: Drawn([0, 1], [2, 3], [2, 3], [4, 5]))))  # fmt: skip
    whole, absent = scole.accumulate(seed=0, tasks=4, each=6, lr=0.1)
    assert trained == [(0, [0, 1], 6), (1, [2, 3], 6), (2, [2, 3], 6), (3, [4, 5], 6)]
    labels = [e["labels"] for task in streams for e in task.test]
    assert whole == pytest.approx([labels.count(0) / len(labels)] * 4)
    assert absent == pytest.approx([0, 0, 0, 1 / 6])  # 0 is gone at the fourth task, with 1, 6, 7, 8 and 9


def test_permuted_digits_are_ten_classes_of_each_task_and_masked_where_it_is_told() -> None:
    for scenario, masked in (("task", True), ("class", False)):
        first, second = stream("permuted", scenario, 0, 2, 40)
        assert [{e["labels"] // 10 for e in part} for part in (first.test, second.train)] == [{0}, {1}]
        assert ("mask" in second.test[0]) is masked
    mask = stream("permuted", "task", 0, 2, 40)[1].test[0]["mask"]
    assert mask.tolist() == [False] * 10 + [True] * 10
    assert all(e["labels"] < 10 and "mask" not in e for t in stream("permuted", "domain", 0, 2, 40) for e in t.test)


class Outputs(torch.nn.Module):
    """Four outputs, the same for every input; those outside the mask are left out."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
        shown = self.logits.expand(len(x), -1).masked_fill(~mask, -1e9)
        return SimpleNamespace(logits=shown, hidden_states=(shown,))


def test_new_inputs_are_put_to_the_heads_of_earlier_tasks_and_those_are_distilled() -> None:
    heads = [torch.tensor([True, True, False, False]), torch.tensor([False, False, True, True])]
    model = Outputs(0.0, 0.0, math.log(3), 0.0)
    guard = OldHeads(weight=2.0, temperature=1.0)
    stage = Stage(model, [{"mask": heads[0]}], None, None)
    guard.begin(stage)
    own = Batch({"x": torch.zeros(3, 1), "labels": torch.zeros(3, dtype=torch.long), "mask": heads[1].expand(3, 4)})
    assert [b.role for b in next(guard.batches(iter([(0, [own])]), stage))[1]] == ["new"]  # none before the first
    guard.end(stage)
    guard.end(Stage(model, [{"mask": heads[1]}], None, None))
    guard.begin(stage)
    _, (new, *old_heads) = next(guard.batches(iter([(0, [own])]), stage))
    assert new is own
    assert [(b.role, b.draw) for b in old_heads] == [("retain", "head 0"), ("retain", "head 1")]
    model.logits.data = torch.tensor([0.0, 0.0, 0.0, 0.0])  # the second head said 3 to 1 and now says 1 to 1
    losses = []
    for b in old_heads:
        assert (b.inputs["mask"] == heads[len(losses)]).all()
        losses.append(guard.objective(Step(stage, 0, 0.0), b, model(b.inputs["x"], b.inputs["mask"])).item())
    by_hand = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert losses == pytest.approx([0.0, 2.0 / 2 * by_hand], abs=1e-6)
