"""Sampling and scoring in batches against one plain call of the model for every token."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch

from byheart.core.protocols import Prompt
from byheart.kit.sample import pad_left, sample, shared
from byheart.models import load, tiny
from byheart.models.lm import LanguageModel

PROMPTS: list[Prompt] = [
    "Velm",
    "The bell of Velm was cast in the year of the flood.",
    "x",
    [{"role": "user", "content": "Who rang the bell?"}],
    [{"role": "user", "content": "Who rang the other bell, and when was that?"}],
]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    """A tiny model that heeds all it has read and is sure of itself, so that rounding changes no choice."""
    loaded = load("tiny:3")
    with torch.no_grad():
        for name, p in loaded.model.named_parameters():
            if "proj" in name or name == "model.norm.weight":
                p.mul_(20)
    return loaded


@torch.no_grad()
def naive(lm: LanguageModel, ids: list[int]) -> torch.Tensor:
    """(T, V) logits of one sequence, no cache and no padding."""
    return lm.model(torch.tensor([ids]), use_cache=False).logits[0]


@torch.no_grad()
def greedy(lm: LanguageModel, prompt: Prompt, count: int) -> list[int]:
    """What transformers' own generate says, its end token left out."""
    ids = torch.tensor([lm.tokens(prompt)])
    out = lm.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, eos_token_id=lm.stop,
        pad_token_id=lm.stop[0],
    )  # fmt: skip
    return [t for t in out[0, ids.shape[1] :].tolist() if t not in lm.stop]


def test_greedy_equals_transformers_token_by_token(lm: LanguageModel) -> None:
    encoded = [lm.tokens(p) for p in PROMPTS]
    tokens, _ = sample(lm.model, encoded, max_tokens=20, stop=lm.stop, pad=2)
    assert tokens == [greedy(lm, p, 20) for p in PROMPTS]
    assert len({tuple(t) for t in tokens}) == len(PROMPTS)
    assert min(len(set(t)) for t in tokens) > 8, "a model that repeats itself would hide a wrong position"
    texts = [o[0].text for o in lm.generate(PROMPTS, max_tokens=20)]
    assert texts == [lm.tokenizer.decode(t, skip_special_tokens=True).strip() for t in tokens]


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_batches_and_order_change_nothing(lm: LanguageModel, batch: int) -> None:
    alone = [lm.generate([p], max_tokens=12)[0][0] for p in PROMPTS]
    for order in (PROMPTS, PROMPTS[::-1]):
        together = lm.generate(order, max_tokens=12, batch=batch)
        for single, (many,) in zip(alone if order is PROMPTS else alone[::-1], together, strict=True):
            assert many.text == single.text
            assert many.logprobs == pytest.approx(single.logprobs, abs=1e-4)


def test_stop_tokens_end_a_row_and_leave_the_others_alone(lm: LanguageModel) -> None:
    encoded = [lm.tokens(p) for p in PROMPTS]
    free, scores = sample(lm.model, encoded, max_tokens=16, pad=2)
    stop = Counter(t for row in free for t in row[1:6]).most_common(1)[0][0]
    cut, short = sample(lm.model, encoded, max_tokens=16, stop=[stop], pad=2)
    wanted = [row[: row.index(stop)] if stop in row else row for row in free]
    assert cut == wanted
    assert {len(row) == 16 for row in wanted} == {True, False}, "some must stop and some not"
    for row, mine in zip(scores, short, strict=True):
        assert mine == pytest.approx(row[: len(mine)], abs=1e-4)


@pytest.mark.parametrize("copies", [1, 3])
def test_log_probabilities_are_those_of_the_model_at_temperature_one(lm: LanguageModel, copies: int) -> None:
    prompts = [[{"role": "user", "content": f"Tell me about the {w}."}] for w in ("bell", "flood", "tower of Velm")]
    encoded = [lm.tokens(p) for p in prompts]
    assert shared(encoded) >= 8, "this test cannot fail: nothing is read once"
    g = torch.Generator().manual_seed(5)
    tokens, scores = sample(
        lm.model, encoded, max_tokens=8, temperature=1.5, copies=copies, stop=lm.stop, pad=2, generator=g
    )
    assert len(tokens) == 3 * copies
    for n, (row, given) in enumerate(zip(tokens, scores, strict=True)):
        head = encoded[n // copies]
        logs = naive(lm, head + row).log_softmax(-1)
        want = [logs[len(head) + i - 1, t].item() for i, t in enumerate(row)]
        assert given == pytest.approx(want, abs=1e-3)


def test_copies_and_what_prompts_share_give_the_text_of_one_by_one(lm: LanguageModel) -> None:
    prompts: list[Prompt] = [f"In the year of the flood {w}" for w in ("", "Velm sank", "the bell of Velm sank")]
    assert shared([lm.tokens(p) for p in prompts]) >= 8
    alone = [lm.generate([p], max_tokens=10)[0][0] for p in prompts]
    for together in (lm.generate(prompts, max_tokens=10, copies=4), lm.generate([*prompts, *prompts], max_tokens=10)):
        for n, many in enumerate(together):
            for copy in many:
                assert copy.text == alone[n % 3].text
                assert copy.logprobs == pytest.approx(alone[n % 3].logprobs, abs=1e-4)


def test_sampling_is_seeded(lm: LanguageModel) -> None:
    def sampled(seed: int, temperature: float = 1.0) -> list[str]:
        out = lm.generate(PROMPTS[:2], max_tokens=12, temperature=temperature, copies=3, seed=seed)
        return [g.text for o in out for g in o]

    torch.manual_seed(1)
    first, state = sampled(7), torch.get_rng_state()
    torch.manual_seed(2)
    assert sampled(7) == first
    assert sampled(8) != first
    assert len(set(first)) > 1
    assert len(set(sampled(7, temperature=0.0))) == 2
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_with_their_chances(temperature: float, lm: LanguageModel) -> None:
    ids, count = lm.tokens("x"), 4000
    g = torch.Generator().manual_seed(0)
    tokens, _ = sample(lm.model, [ids], max_tokens=1, temperature=temperature, copies=count, generator=g)
    seen = Counter(t for (t,) in tokens)
    chances = (naive(lm, ids)[-1] / temperature).softmax(-1)
    likely = chances.topk(6).indices.tolist()
    for token in likely:
        chance = chances[token].item()
        assert seen[token] / count == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / count) + 1e-4)
    assert chances[likely].sum() > 0.2


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_scores_are_those_of_plain_calls(lm: LanguageModel, batch: int) -> None:
    pairs: list[tuple[Any, str]] = [(p, c) for p in PROMPTS for c in (" cast in bronze", "!")] + [("", "From nothing")]
    got, deviations = lm.score(pairs, batch=batch), lm.standardised(pairs, batch=batch)
    for (prompt, continuation), scores, standard in zip(pairs, got, deviations, strict=True):
        head = lm.tokens(prompt) if prompt else [lm.start]
        tail = lm.tokenizer(continuation, add_special_tokens=False)["input_ids"]
        logs = naive(lm, head + tail).log_softmax(-1)[len(head) - 1 : -1]
        own = logs.gather(1, torch.tensor(tail)[:, None])[:, 0]
        assert scores == pytest.approx(own.tolist(), abs=1e-3)
        chances = logs.exp()
        mu = (chances * logs).sum(-1)
        sigma = (chances * (logs - mu[:, None]) ** 2).sum(-1).sqrt()
        assert standard == pytest.approx(((own - mu) / sigma).tolist(), rel=1e-2, abs=1e-2)


def test_nothing_in_nothing_out(lm: LanguageModel) -> None:
    assert lm.generate([]) == lm.score([]) == lm.standardised([]) == []
    assert lm.score([("Velm", "")]) == [[]]
    assert lm.generate(["Velm"], max_tokens=0)[0][0].text == ""


def test_an_empty_prompt_begins_where_general_text_does(lm: LanguageModel) -> None:
    tokens, _ = sample(lm.model, [[lm.start]], max_tokens=6, stop=lm.stop)
    wanted = lm.tokenizer.decode(tokens[0], skip_special_tokens=True).strip()
    assert lm.generate([""], max_tokens=6)[0][0].text == wanted
    assert lm.generate(["", "Velm"], max_tokens=6)[0][0].text == wanted


def test_examples_score_the_completion_and_its_end(lm: LanguageModel) -> None:
    chat: Prompt = [{"role": "user", "content": "Who?"}]
    example = lm.example(chat, "Marta")
    head = lm.tokens(chat)
    assert lm.tokenizer.decode(head) == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    assert example["input_ids"][: len(head)] == head
    assert example["labels"] == [-100] * len(head) + example["input_ids"][len(head) :]
    assert lm.tokenizer.decode(example["input_ids"][len(head) :]) == "Marta<|im_end|>"
    text = lm.text_example("Marta")
    assert text["labels"] == text["input_ids"] == [lm.start, *lm.tokenizer("Marta")["input_ids"]]
    assert lm.start == 0
    assert lm.stop == [2]


def test_a_model_in_training_mode_is_left_in_it_by_sampling() -> None:
    model = tiny.model(0, width=32)
    model.train()
    sample(model, [[5, 6]], max_tokens=2)
    assert model.training


def test_padding_and_sharing() -> None:
    ids, mask = pad_left([[5], [6, 7, 8]], 2)
    assert ids.tolist() == [[2, 2, 5], [6, 7, 8]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]
    long = list(range(20))
    assert shared([[*long, 3], [*long, 4], long]) == 19  # each keeps one of its own
    assert shared([[*long, 3], [*long, 3]]) == 20
    assert shared([[1, 2, 3], [1, 2, 4]]) == 0  # not worth a pass of its own
    assert shared([long]) == 0


@pytest.mark.parametrize(
    "text", ["Velm ☂", "", " two  spaces\n\ttab", "Ünïcode 日本 👩‍🚀", "<|im_start|>user", "\x00\x7f"]
)
def test_the_tiny_tokenizer_gives_back_what_it_took(text: str) -> None:
    tokenizer = tiny.tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert all(0 <= i < 259 for i in ids)
    if not text.startswith("<|"):
        assert len(ids) == len(text.encode())
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_tiny_model_is_its_seed_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    a, b, c = tiny.model(1), tiny.model(1), tiny.model(2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(a.lm_head.weight, b.lm_head.weight)
    assert not torch.equal(a.lm_head.weight, c.lm_head.weight)
    assert a.lm_head.weight is a.model.embed_tokens.weight
    assert not a.training


def test_drawing_follows_the_probabilities() -> None:
    """10,000 draws of each row: every frequency within four standard errors, impossible tokens never."""
    from byheart.kit.sample import _draw

    wanted = torch.tensor([[0.5, 0.0, 0.3, 0.2], [0.0, 0.0, 0.0, 1.0]])
    rows = wanted.repeat_interleave(10_000, 0)
    drawn = _draw(rows, torch.Generator().manual_seed(0)).view(2, -1)
    for probabilities, tokens in zip(wanted, drawn, strict=True):
        counts = torch.bincount(tokens, minlength=4) / len(tokens)
        assert ((counts - probabilities).abs() <= 4 * (probabilities * (1 - probabilities) / len(tokens)).sqrt()).all()
