"""Rerankers that place: the ends of a context, and attention read from a real network."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from byheart.core.errors import BadInput
from byheart.core.query import Query
from byheart.core.records import Hit
from byheart.models.endpoint import Endpoint
from byheart.models.lm import LanguageModel, load
from byheart.recall.rerank.attention_sorting import AttentionSorting, _prompt, attention
from byheart.recall.rerank.long_context_rag import Reorder

TEXTS = ("The boat needs varnish.", "Rye bread with caraway.", "The choir sings on Sunday.", "A tide table.")


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    return load("tiny")


def hits(*texts: str) -> list[Hit]:
    return [Hit(id=f"h{n}", text=t, score=-float(n)) for n, t in enumerate(texts)]


@pytest.mark.parametrize("n", range(1, 9))
def test_the_places_of_the_formula(n: int) -> None:
    order = [h.id for h in Reorder().order(Query(""), hits(*"abcdefgh"[:n]))]
    for i in range(1, n + 1):
        place = (i + 1) // 2 if i % 2 else n + 1 - i // 2
        assert order[place - 1] == f"h{i - 1}"


def test_attention_is_that_of_the_last_position_over_each_text(tiny: LanguageModel) -> None:
    """Against one pass over the whole prompt; the tiny tokenizer has a token for every byte."""
    shares = attention(tiny, "Which bread?", hits(*TEXTS))
    ids = torch.tensor([tiny.tokens(_prompt(TEXTS, "Which bread?"))])
    eager = load("tiny")
    eager.model.set_attn_implementation("eager")  # type: ignore[operator]
    with torch.inference_mode():
        read: Any = eager.model(ids, output_attentions=True)
    weights = torch.stack([a[0, :, -1].mean(0) for a in read.attentions]).mean(0)
    whole = tiny.tokenizer.decode(ids[0])
    for text, share in zip(TEXTS, shares, strict=True):
        start = whole.index(text)
        place = len(tiny.tokenizer(whole[:start], add_special_tokens=False)["input_ids"])
        assert tiny.tokenizer.decode(ids[0, place : place + len(text)]) == text
        assert share == pytest.approx(weights[place : place + len(text)].mean().item(), rel=1e-4)


def test_the_network_is_left_as_it_was(tiny: LanguageModel) -> None:
    model: Any = tiny.model
    before = model.config._attn_implementation
    attention(tiny, "Which bread?", hits(*TEXTS))
    assert model.config._attn_implementation == before != "eager"


def test_what_gets_most_attention_stands_last_and_is_sorted_again(tiny: LanguageModel) -> None:
    given = hits(*TEXTS)
    shares = attention(tiny, "Which bread?", given)
    query = Query("Which bread?", model=lambda: tiny)
    once = AttentionSorting(rounds=1).order(query, given)
    assert once == [given[i] for i in sorted(range(4), key=lambda i: shares[i])]
    assert AttentionSorting(rounds=2).order(query, given) == AttentionSorting(rounds=1).order(query, once)


def test_what_does_not_fit_stands_first_unread(tiny: LanguageModel) -> None:
    given = hits("a" * 40, "b" * 40, "c" * 400, "d" * 40)
    ids = [h.id for h in AttentionSorting(tokens=250).order(Query("q", model=lambda: tiny), given)]
    assert ids[:2] == ["h3", "h2"]
    assert set(ids[2:]) == {"h0", "h1"}


def test_a_model_whose_attention_is_out_of_reach_is_refused() -> None:
    with pytest.raises(BadInput, match=r"attention-sorting reads with a language model; give Query\(text, model"):
        AttentionSorting().order(Query("q"), hits("a"))
    with pytest.raises(BadInput, match="attention of a local model, which Endpoint does not give"):
        AttentionSorting().order(Query("q", model=lambda: Endpoint("http://127.0.0.1:9", "m")), hits("a"))


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInput, match="rounds=0"):
        AttentionSorting(rounds=0)
    with pytest.raises(BadInput, match="tokens=5"):
        AttentionSorting(tokens=5)
