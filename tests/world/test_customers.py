"""Users with lasting preferences: what they reply, how often they stray, and what else they say."""

from __future__ import annotations

from statistics import fmean

import pytest

from byheart.core.errors import BadInput
from byheart.world.dialogue.customers import TALK, TOPICS, Customer


def test_a_user_replies_as_they_like_and_strays_now_and_then() -> None:
    user = Customer(seed=4, talks=0.0)
    liked = {t.name: t.replies[user.likes[t.name]] for t in TOPICS}
    steady = [e for n in range(5) for e in user.visit(n, strays=False)]
    assert all(e.message == e.reply == liked[e.topic.name] for e in steady)
    exchanges = [e for n in range(100) for e in user.visit(n)]
    assert (
        0.05 < fmean(e.reply != liked[e.topic.name] for e in exchanges) < 0.1
    )  # 10%, a quarter of them by chance the same
    assert {e.question for e in exchanges} == {q for t in TOPICS for q in t.questions}


def test_half_of_all_preferences_are_those_of_most_and_talk_is_besides() -> None:
    likes = [n for seed in range(100) for n in Customer(seed=seed).likes.values()]
    assert 0.45 < fmean(n == 0 for n in likes) < 0.55
    for e in Customer(seed=1, talks=1.0).visit(0):
        (rest,) = {e.message.replace(e.reply, "").strip()}
        assert rest in TALK
    with pytest.raises(BadInput, match="strays=2"):
        Customer(strays=2.0)
