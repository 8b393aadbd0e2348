"""Cross-encoders: a real one, made here, learns which pairs match; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from byheart.core.errors import BadInput, Unknown
from byheart.core.query import Query
from byheart.core.records import Hit
from byheart.models import PairScorer, tiny
from byheart.recall.rerank.cross_encoder import CrossEncoder

NOUNS = ("boat", "bread", "lute", "oven", "rope", "drum", "lamp", "tide")


def tokenizer() -> Any:
    """A tokenizer of whole words that puts pairs as BERT does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "which", "the", "is", "here", *NOUNS]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=16, **marks)


def network(outputs: int = 1) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        num_labels=outputs,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)


def saved(folder: Path, model: Any) -> str:
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def passage(noun: str, wording: int) -> str:
    return ("the {} is here", "here {} is the", "is {} the which")[wording].format(noun)


def taught(steps: int) -> Any:
    """Trained to tell which of eight passages is about what is asked for, in two of the three wordings."""
    model, read, draw = network(), tokenizer(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        wanted = draw.integers(len(NOUNS), size=8)
        texts = [passage(n, int(draw.integers(2))) for _ in wanted for n in NOUNS]
        queries = [f"which {NOUNS[i]}" for i in wanted for _ in NOUNS]
        logits = model(**read(queries, texts, padding=True, return_tensors="pt")).logits
        loss = torch.nn.functional.cross_entropy(logits.view(8, len(NOUNS)), torch.tensor(wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def hits() -> list[Hit]:
    return [Hit(id=n, text=passage(n, 2), score=1.0 - i / 10) for i, n in enumerate(NOUNS)]


def right(scorer: PairScorer) -> float:
    return float(np.mean([CrossEncoder(scorer=scorer).order(Query(f"which {n}"), hits())[0].id == n for n in NOUNS]))


def test_one_that_learned_to_match_puts_the_right_passage_first(tmp_path: Path) -> None:
    """In a wording that it never read; an untaught one cannot."""
    assert right(PairScorer(saved(tmp_path / "new", network()))) <= 0.5
    assert right(PairScorer(saved(tmp_path / "taught", taught(150)), batch=3)) >= 0.9


def test_scores_are_the_models_whatever_the_batch(tmp_path: Path) -> None:
    name = saved(tmp_path / "m", network())
    texts = ["the boat is here", "rope", "", "here is the lute the drum the lamp", "the tide"]
    scores = PairScorer(name, batch=2).relevance("which boat", texts)
    model, read = network().eval(), tokenizer()
    with torch.inference_mode():
        alone = [model(**read(["which boat"], [t], return_tensors="pt")).logits.item() for t in texts]
    assert scores == pytest.approx(alone, abs=1e-5)
    assert PairScorer(name).relevance("which boat", texts) == pytest.approx(alone, abs=1e-5)
    assert PairScorer(name).relevance("which boat", []).shape == (0,)


def test_of_two_outputs_the_odds_count(tmp_path: Path) -> None:
    model, read = network(2).eval(), tokenizer()
    with torch.inference_mode():
        no, yes = model(**read(["which boat"], ["the boat"], return_tensors="pt")).logits[0].tolist()
    scores = PairScorer(saved(tmp_path / "m", network(2))).relevance("which boat", ["the boat"])
    assert scores[0] == pytest.approx(yes - no, abs=1e-5)


def test_the_longer_side_is_cut_to_what_the_model_reads(tmp_path: Path) -> None:
    scorer = PairScorer(saved(tmp_path / "m", network()))
    first, other = scorer.relevance("which boat", ["the boat " * 40, "the boat " * 50])
    assert first == pytest.approx(other, abs=1e-6)
    assert scorer.relevance("which boat " * 40, ["the boat"]).shape == (1,)


def test_a_model_without_a_pad_token_reads_batches(tmp_path: Path) -> None:
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(0)
    config = tiny.model(0).config
    config.num_labels, config.pad_token_id = 1, None
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    words = tiny.tokenizer()
    words.pad_token = None
    words.save_pretrained(tmp_path)
    both = PairScorer(str(tmp_path)).relevance("boat?", ["a boat", "the longest of all boats"])
    alone = [
        PairScorer(str(tmp_path), batch=1).relevance("boat?", [t])[0] for t in ("a boat", "the longest of all boats")
    ]
    assert both == pytest.approx(alone, abs=1e-4)


def test_equals_stay_as_they_came_and_what_was_given_is_not_changed() -> None:
    class Even:
        def relevance(self, query, texts):
            return np.zeros(len(texts))

    given = hits()
    assert [h.id for h in CrossEncoder(scorer=Even()).order(Query("which boat"), given)] == list(NOUNS)
    assert [h.score for h in given] == [h.score for h in hits()]


def test_what_is_no_cross_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no cross-encoder is given .* give PairScorer"):
        CrossEncoder().order(Query("which boat"), hits())
    with pytest.raises(BadInput, match="str, which cannot read pairs"):
        CrossEncoder(scorer="minilm")  # type: ignore[arg-type]
    tiny.model(0).save_pretrained(tmp_path / "lm")
    tiny.tokenizer().save_pretrained(tmp_path / "lm")
    with pytest.raises(BadInput, match=r"lacks score.weight.*give a cross-encoder"):
        PairScorer(str(tmp_path / "lm")).relevance("which boat", ["a boat"])
    with pytest.raises(BadInput, match="has 3 outputs"):
        PairScorer(saved(tmp_path / "three", network(3))).relevance("which boat", ["a boat"])
    with pytest.raises(Unknown, match="give a hub id or a folder"):
        PairScorer("no-such-model").relevance("which boat", ["a boat"])
    with pytest.raises(BadInput, match="batch=0"):
        PairScorer("x/y", batch=0)
