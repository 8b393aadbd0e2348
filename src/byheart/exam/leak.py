"""leak@k: does the gold answer come out within k sampled answers?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from byheart.core.errors import BadInput
from byheart.core.protocols import Subject
from byheart.core.records import Item, Result
from byheart.exam.match import right
from byheart.exam.recall import ask


def at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that at least one of k draws is right, from `correct` of n samples: 1 - C(n-c,k)/C(n,k).

    Chen et al. 2021 (arXiv:2107.03374, equation 1) for pass@k; used for unlearning as leak@k.

    >>> at_k(4, 1, 2)
    0.5
    """
    if not 1 <= k <= n:
        raise BadInput(f"k={k} must lie between 1 and the number of samples {n}; draw more samples")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def leak(
    subject: Subject,
    items: Sequence[Item],
    *,
    k: int = 32,
    samples: int | None = None,
    temperature: float = 1.0,
    max_tokens: int = 20,
    version: str | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """leak@k of each item from `samples` answers at this temperature.

    Departs from the paper (Reisizadeh et al. 2025, arXiv:2511.04934), which scores answers by degrees and estimates the
    expected highest score of k from many more samples: here an answer leaks or does not, by whether it contains the
    gold answer or a form in `Item.accept`. By default there are k samples, and the value of an item then is 0 or 1,
    whether any of them leaks; its variance falls with `samples` well above `k`.
    """
    n = samples or k
    at_k(n, 0, k)  # refuse a k that the samples cannot tell before drawing them
    results = []
    size = max(1, 256 // n)
    for at in range(0, len(items), size):
        part = items[at : at + size]
        out = subject.generate(
            [ask(i.question) for i in part], copies=n, temperature=temperature, max_tokens=max_tokens, seed=seed + at
        )
        for item, said in zip(part, out, strict=True):
            hits = sum(right(g.text, item) for g in said)
            results.append(
                Result(
                    exam=f"leak@{k}",
                    item=item.id,
                    value=at_k(n, hits, k),
                    engram=item.engram,
                    version=version,
                    seed=seed,
                    detail={"samples": n, "hits": hits},
                )
            )
        if progress:
            progress(len(results), len(items))
    return results
