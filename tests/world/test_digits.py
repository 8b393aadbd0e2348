"""Digits as streams of tasks: what each task holds, and that nothing of the test is trained on."""

from __future__ import annotations

import pytest
import torch

from byheart.core.errors import BadInput
from byheart.world.stream.digits import permuted, rotated, split


def key(example: dict) -> bytes:
    return example["x"].numpy().tobytes()


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_each_scenario_tells_at_test_time_what_it_should(scenario: str) -> None:
    stream = split(scenario=scenario, seed=3)  # type: ignore[arg-type]
    digits = [{int(d) for d in t.name.split()[1:]} for t in stream]
    assert sorted(d for own in digits for d in own) == list(range(10))
    for task, own in zip(stream, digits, strict=True):
        labels = {e["labels"] for e in (*task.train, *task.test)}
        assert labels == ({0, 1} if scenario == "domain" else own)
        masks = [e.get("mask") for e in task.test]
        if scenario == "task":
            assert all(set(torch.nonzero(m).flatten().tolist()) == own for m in masks if m is not None)
            assert None not in masks
        else:
            assert masks == [None] * len(masks)


@pytest.mark.parametrize("made", [split, permuted, rotated])
def test_the_test_is_never_trained_on_and_seeds_repeat(made) -> None:
    stream, again, other = made(seed=1), made(seed=1), made(seed=2)
    for task in stream:
        assert not {key(e) for e in task.train} & {key(e) for e in task.test}
        assert 0.25 < len(task.test) / (len(task.train) + len(task.test)) < 0.35
    keys = [[(key(e), e["labels"]) for e in t.train] for t in stream]
    assert keys == [[(key(e), e["labels"]) for e in t.train] for t in again]
    assert keys != [[(key(e), e["labels"]) for e in t.train] for t in other]


def test_a_permutation_moves_pixels_alike_in_every_image_and_a_turn_by_ninety_is_exact() -> None:
    first, second = permuted(tasks=2, seed=4)
    whole = {tuple(sorted(e["x"].tolist())): e["x"] for e in (*first.train, *first.test)}
    moved = [(whole[tuple(sorted(e["x"].tolist()))], e["x"]) for e in second.train[:50]]
    assert all(not torch.equal(a, b) for a, b in moved)
    order = torch.stack([b for _, b in moved]).std(0).argsort(), torch.stack([a for a, _ in moved]).std(0).argsort()
    assert not torch.equal(*order)
    flat, turned = rotated(angles=(0, 90), seed=4)
    images = {key(e) for e in (*flat.train, *flat.test)}
    back = [torch.rot90(e["x"].reshape(8, 8), -1).reshape(64).contiguous() for e in turned.train[:50]]
    assert all(min(float((b - e["x"]).abs().max()) for e in (*flat.train, *flat.test)) < 1e-5 for b in back[:5])
    assert len(images) > 1000


def test_tasks_that_do_not_divide_the_digits_are_refused() -> None:
    with pytest.raises(BadInput, match="ten digits do not make 3 equal tasks"):
        split(tasks=3)
