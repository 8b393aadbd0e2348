"""How well a ranked list holds what it should: recall, all or any of it, and discounted gain, as functions of ids."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence


def recall(ranked: Sequence[str], wanted: Collection[str], k: int) -> float:
    """Share of what is wanted among the first k; 1 where nothing is.

    >>> recall(["a", "b", "c"], {"a", "c"}, 2)
    0.5
    """
    return len(set(ranked[:k]) & set(wanted)) / len(set(wanted)) if wanted else 1.0


def recall_all(ranked: Sequence[str], wanted: Collection[str], k: int) -> float:
    """1 where everything wanted is among the first k, else 0 (LongMemEval's `recall_all`).

    >>> recall_all(["a", "b", "c"], {"a", "c"}, 2), recall_all(["a", "b", "c"], {"a", "c"}, 3)
    (0.0, 1.0)
    """
    return float(set(wanted) <= set(ranked[:k]))


def recall_any(ranked: Sequence[str], wanted: Collection[str], k: int) -> float:
    """1 where anything wanted is among the first k, else 0 (LongMemEval's `recall_any`).

    >>> recall_any(["a", "b", "c"], {"c", "d"}, 2), recall_any(["a", "b", "c"], {"c", "d"}, 3)
    (0.0, 1.0)
    """
    return float(not wanted or bool(set(wanted) & set(ranked[:k])))


def ndcg(ranked: Sequence[str], wanted: Collection[str], k: int) -> float:
    """Discounted gain of the first k, of the best possible (Järvelin and Kekäläinen 2002); gains are 1 or 0.

    gain = sum over wanted ids at rank r (from 1) of 1 / log2(r + 1)

    >>> round(ndcg(["x", "a"], {"a"}, 2), 4), ndcg(["a", "b"], {"a", "b"}, 2)
    (0.6309, 1.0)
    """
    wanted = set(wanted)
    gain = sum(1 / math.log2(r + 2) for r, i in enumerate(ranked[:k]) if i in wanted)
    best = sum(1 / math.log2(r + 2) for r in range(min(k, len(wanted))))
    return gain / best if best else 1.0
