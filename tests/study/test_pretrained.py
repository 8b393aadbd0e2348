"""What studies on a pretrained model start from: facts to learn, and copies that leave the model as it came."""

from __future__ import annotations

import torch

from byheart.learn.plain import Plain
from byheart.study.base.answers import exact
from byheart.study.base.pretrained import pretrained, tune
from byheart.train.loop import Settings


def test_tuning_learns_on_a_copy_and_says_what_it_cost() -> None:
    base = pretrained("tiny")
    tasks = base.facts(2, 1, seed=5)
    assert [len(t.train) for t in tasks] == [10, 10]
    assert tasks[0].train[0]["input_ids"] != tasks[1].train[0]["input_ids"]
    before = torch.cat([p.flatten() for p in base.lm.model.parameters()]).clone()
    short = [type(t)(t.name, t.train[:2], t.test[:2]) for t in tasks]
    done = tune(base, short, Settings(lr=1e-2, steps=60, batch_size=2, seed=0), Plain())
    assert torch.equal(before, torch.cat([p.flatten() for p in base.lm.model.parameters()]))
    assert done.learned == 1.0
    assert done.held == (exact(done.model, short[0].test) + exact(done.model, short[1].test)) / 2
    assert done.loss > base.loss(base.lm.model) + 0.1
    assert done.quiz == base.quiz(done.model)
