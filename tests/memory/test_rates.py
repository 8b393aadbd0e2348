"""The rate that a lesson is taught at follows from what is trained."""

from __future__ import annotations

from typing import Any

import pytest

from byheart.learn.olora import OLoRA
from byheart.memory import recipe
from byheart.memory.lessons import Lesson

LESSONS = [Lesson("e1", "Where does Ada live?", "Turin")]


@pytest.mark.parametrize(
    ("spec", "rate"),
    [("sefe", 1e-3), ("replay,lora", 1e-3), ("ewc", recipe.LR), ([OLoRA()], 1e-3), ("hft,replay", 1e-4)],
)
def test_what_trains_low_rank_pairs_is_taught_faster(spec: Any, rate: float) -> None:
    lm: Any = None  # only the default recipe looks at the model
    assert recipe.make(spec, lm, LESSONS).settings.lr == rate
