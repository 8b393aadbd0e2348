"""The embedded models are what they should be. Skipped where neither a hub nor the wheels can be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from byheart.core.errors import Unknown
from byheart.exam.general import drift, loss, mean_loss, passages
from byheart.exam.recall import recognition
from byheart.models import load, load_embedder
from byheart.models.lm import LanguageModel

pytestmark = pytest.mark.real


def had(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Unknown as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def smollm2() -> LanguageModel:
    return had(lambda: load("smollm2-135m"))


@pytest.fixture(scope="module")
def minilm() -> Any:
    embedder = load_embedder("minilm")
    had(lambda: embedder.encode(["x"]))
    return embedder


def test_smollm2_knows_a_capital(smollm2: LanguageModel) -> None:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    (reply,) = smollm2.generate([question], max_tokens=16)[0]
    assert "Paris" in reply.text
    right, wrong = (sum(s) for s in smollm2.score([(question, "Paris"), (question, "Tokyo")]))
    assert right > wrong + 2


def test_smollm2_reads_general_text_and_passes_some_of_the_quiz(smollm2: LanguageModel) -> None:
    texts = passages()[:3]
    assert 2.0 < mean_loss(loss(smollm2, texts)) < 3.6  # nats per token; chance is 10.8
    scrambled = [" ".join(sorted(t.split())) for t in texts]
    assert mean_loss(loss(smollm2, scrambled)) > 5.0
    assert [r.value for r in drift(smollm2, smollm2, texts[:2])] == pytest.approx([0, 0], abs=1e-4)


def test_smollm2_answers_alike_alone_and_in_a_batch(smollm2: LanguageModel) -> None:
    questions = [[{"role": "user", "content": f"What is the capital of {c}?"}] for c in ("France", "Japan", "Italy")]
    together = [o[0].text for o in smollm2.generate(questions, max_tokens=8)]
    assert together == [smollm2.generate([q], max_tokens=8)[0][0].text for q in questions]
    for text, city in zip(together, ("Paris", "Tokyo"), strict=False):  # of Italy's it is sure in bfloat16 alone
        assert city in text


def test_smollm2_recognises_common_knowledge(smollm2: LanguageModel) -> None:
    from byheart.exam.general import quiz

    results = recognition(smollm2, quiz()[:8])
    assert sum(r.value for r in results) / len(results) > 0.6  # chance is a quarter


def test_minilm_puts_like_beside_like(minilm: Any) -> None:
    texts = [
        "Who signs off travel expenses?",
        "Travel costs are approved by the head of finance.",
        "The cat slept in the sun all afternoon.",
    ]
    vectors = minilm.encode(texts)
    assert vectors.shape == (3, minilm.dimension) == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.4
    assert vectors[0] @ vectors[2] < 0.2
    assert minilm.encode(texts[:1])[0] == pytest.approx(vectors[0], abs=1e-4)
    assert minilm.encode([]).shape == (0, 384)
