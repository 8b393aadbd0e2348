"""Rows read as a tree: the same losses and gradients, less work, and off where it cannot be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from byheart.core.strategy import IGNORE
from byheart.kit import tree
from byheart.kit.readout import Reader, Together
from byheart.models import tiny
from byheart.train.loop import Settings, train
from byheart.train.stream import collate

SYSTEM = list(range(20, 34))


def chats(count: int = 6, raw: int = 2) -> list[dict[str, Any]]:
    """Questions behind one system text, and a few rows without it."""
    g = torch.Generator().manual_seed(1)
    rows = []
    for n in range(count):
        own = torch.randint(40, 250, (4 + n % 3,), generator=g).tolist()
        ids = own if n < raw else [*SYSTEM, *own]
        rows.append({"input_ids": ids, "labels": [IGNORE] * (len(ids) - 2) + ids[-2:]})
    return rows


def gradients(model: nn.Module, batch: dict[str, Any], share: bool) -> tuple[float, torch.Tensor, int]:
    """Loss, gradients, and how many tokens went through the first layer."""
    reader, seen = Reader(model, share=share), []
    reader(collate(chats(2, raw=0)))  # trial runs
    layer: Any = model.model.layers[0]  # type: ignore[union-attr]
    handle = layer.register_forward_hook(lambda _m, a, _o: seen.append(a[0].shape[0] * a[0].shape[1]))
    model.zero_grad()
    loss = reader(batch).loss()
    loss.backward()
    handle.remove()
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return loss.item(), flat, sum(seen)


@pytest.mark.parametrize("raw", [0, 2])
def test_losses_and_gradients_are_those_of_whole_rows(raw: int) -> None:
    model, batch = tiny.model(0), collate(chats(raw=raw))
    whole, before, work = gradients(model, batch, share=False)
    apart, after, less = gradients(model, batch, share=True)
    assert apart == pytest.approx(whole, rel=1e-5)
    assert torch.allclose(before, after, atol=1e-6)
    assert before.abs().max() > 1e-3
    assert less < 0.7 * work


def test_readouts_name_the_same_targets_in_the_same_order() -> None:
    model, batch = tiny.model(0), collate(chats())
    whole, apart = Reader(model)(dict(batch)), Reader(model, share=True)(dict(batch))
    assert torch.equal(whole.targets, apart.targets)
    assert torch.equal(whole.rows, apart.rows)
    assert torch.allclose(whole.logits, apart.logits, atol=1e-4)


def test_training_ends_at_the_same_weights() -> None:
    data = chats(12, raw=3)
    ends = []
    for share in (True, False):
        model = tiny.model(0)
        train(model, data, (), Settings(lr=1e-3, steps=4, batch_size=6, share=share))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.allclose(ends[0], ends[1], atol=1e-5)
    assert not torch.allclose(ends[0], torch.cat([p.flatten() for p in tiny.model(0).parameters()]), atol=1e-5)


def test_every_distinct_beginning_is_one_node_under_its_own() -> None:
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9], [5, 6, 7, 8], [4, 6, 7, 8]])
    made = tree.plan(ids, torch.ones_like(ids))
    assert made is not None
    assert len(made.tokens) == 9  # two beginnings of three tokens, and three ends
    assert made.at[0].tolist() == made.at[2].tolist()
    for row, nodes in zip(ids.tolist(), made.at.tolist(), strict=True):
        assert made.tokens[nodes].tolist() == row
        assert made.parents[nodes].tolist() == [-1, *nodes[:-1]]
        assert made.depths[nodes].tolist() == [0, 1, 2, 3]
        for t, node in enumerate(nodes):
            assert sorted(made.seen()[node].nonzero()[0].tolist()) == sorted(nodes[: t + 1])


def test_what_saves_nothing_is_read_as_it_is() -> None:
    ids = torch.arange(24).view(4, 6)
    assert tree.plan(ids, torch.ones_like(ids)) is None
    assert tree.plan(ids[:1], torch.ones(1, 6)) is None
    same = ids[:1].repeat(4, 1)
    assert tree.plan(same, torch.ones_like(same)) is not None
    left = torch.ones_like(same)
    left[0, 0] = 0
    assert tree.plan(same, left) is None
    short = torch.ones_like(ids)
    short[1:, 2:] = 0
    made = tree.plan(ids, short)
    assert made is not None
    assert len(made.tokens) == 12  # no padding is read


def test_long_rows_that_share_little_are_not_made_to_attend_to_each_other() -> None:
    g = torch.Generator().manual_seed(3)
    rows = torch.randint(0, 10_000, (8, 512), generator=g)
    rows[:, :100] = rows[0, :100]
    assert tree.plan(rows, torch.ones_like(rows)) is None
    assert tree.plan(rows[:, :150], torch.ones(8, 150)) is not None


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_each_way_to_attend_gives_the_same(attention: str) -> None:
    model, batch = tiny.model(0), collate(chats())
    model.set_attn_implementation(attention)  # type: ignore[operator]
    reader = Reader(model, share=True)
    apart = reader(dict(batch))
    assert reader.share
    assert torch.allclose(Reader(model)(dict(batch)).logits, apart.logits, atol=1e-4)


def test_without_gradients_it_is_shared_unless_hooks_listen() -> None:
    model, batch = tiny.model(0), collate(chats(raw=0))
    reader, seen = Reader(model, share=True), []
    reader(dict(batch))
    own = type(model.model.layers[0]).forward

    def noted(layer: Any, x: torch.Tensor, *a: Any, **k: Any) -> Any:
        seen.append(tuple(x.shape[:2]))
        return own(layer, x, *a, **k)

    model.model.layers[0].forward = noted.__get__(model.model.layers[0])
    with torch.no_grad():
        apart = reader(dict(batch))
        assert seen[0][0] == 1
        assert torch.allclose(apart.logits, Reader(model)(dict(batch)).logits, atol=1e-4)
        seen.clear()
        model.model.layers[1].mlp.register_forward_pre_hook(lambda _m, _a: None)
        reader(dict(batch))
    assert seen == [tuple(batch["input_ids"].shape)]


def test_it_goes_with_checkpointing() -> None:
    model, batch = tiny.model(0), collate(chats(raw=0))
    checkpointed = copy.deepcopy(model)
    checkpointed.gradient_checkpointing_enable()
    ends = []
    for one in (model, checkpointed):
        reader = Reader(one.train(), share=True)
        reader(dict(batch)).loss().backward()
        assert reader.share
        ends.append(torch.cat([p.grad.flatten() for p in one.parameters() if p.grad is not None]))
    assert torch.allclose(*ends, atol=1e-6)


def test_a_decoder_that_heeds_no_mask_or_no_positions_is_found_out() -> None:
    model = tiny.model(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                p.mul_(10)  # untrained, it hardly attends to anything by place
    assert tree.works(model.model, model.config.vocab_size)
    assert tree.works(copy.deepcopy(model).bfloat16().model, model.config.vocab_size)

    class Deaf(nn.Module):
        def __init__(self, inner: nn.Module, lacks: str) -> None:
            super().__init__()
            self.inner, self.lacks, self.config = inner, lacks, inner.config

        def forward(self, **given: Any) -> Any:
            return self.inner(**{k: v for k, v in given.items() if k != self.lacks})

    for lacks in ("attention_mask", "position_ids"):
        assert not tree.works(Deaf(model.model, lacks), model.config.vocab_size)


def test_a_sliding_window_is_not_widened() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    size = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = MistralConfig(**size, num_attention_heads=2, num_key_value_heads=1, sliding_window=4)
    reader = Reader(MistralForCausalLM(config), share=True)
    reader(collate([{"input_ids": [1, 2, 3, n], "labels": [1, 2, 3, n]} for n in range(4, 8)]))
    assert not reader.share


def test_batches_of_a_step_are_read_together_where_they_make_one_tree() -> None:
    model, batches = tiny.model(0), [collate(chats(6)), collate(chats(3, raw=0))]
    together, seen = Together(Reader(model, share=True)), []
    together(batches)
    layer: Any = model.model.layers[0]
    layer.register_forward_hook(lambda _m, a, _o: seen.append(tuple(a[0].shape[:2])))
    model.zero_grad()
    reads = together(batches)
    assert len(seen) == 1
    alone = [Reader(model)(dict(b)) for b in batches]
    for one, other in zip(reads, alone, strict=True):
        assert torch.equal(one.targets, other.targets)
        assert torch.equal(one.rows, other.rows)
        assert torch.allclose(one.logits, other.logits, atol=1e-4)
        assert one.hidden is not None
        assert other.hidden is not None
        assert torch.allclose(one.hidden, other.hidden, atol=1e-4)
    ends = []
    for some in (reads, alone):
        model.zero_grad()
        (some[0].loss() + 3 * some[1].loss()).backward()
        ends.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(*ends, atol=1e-6)


def test_batches_that_make_no_tree_are_read_one_by_one() -> None:
    model, seen = tiny.model(0), []
    g = torch.Generator().manual_seed(1)
    plain = [{"input_ids": torch.randint(40, 250, (9,), generator=g).tolist()} for _ in range(4)]
    data = [collate([{**p, "labels": p["input_ids"]} for p in part]) for part in (plain[:2], plain[2:])]
    together = Together(Reader(model, share=True))
    together(data)
    layer: Any = model.model.layers[0]
    layer.register_forward_hook(lambda _m, a, _o: seen.append(tuple(a[0].shape[:2])))
    reads = together(data)
    assert seen == [(2, 9), (2, 9)]
    assert [len(r.targets) for r in reads] == [16, 16]
    assert [r.rows.unique().tolist() for r in reads] == [[0, 1], [0, 1]]
