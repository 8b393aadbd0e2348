"""Plain fine-tuning: the baseline that every other strategy is measured against."""

from __future__ import annotations

from byheart.core.strategy import Strategy


class Plain(Strategy):
    """Trains all parameters on the new examples and guards nothing.

    Every hook is left as it is, so the loss is the mean cross-entropy of the new examples:
    theta <- theta - eta grad CE(new).

    Departs from the paper: nowhere; there is none.

    >>> import torch
    >>> from byheart.train.loop import train
    >>> data = [{"input": torch.eye(2)[i], "labels": i} for i in (0, 1)]
    >>> train(torch.nn.Linear(2, 2), data, [Plain()]).steps
    1

    References: French 1999, "Catastrophic forgetting in connectionist networks", for what it does to
    earlier tasks.
    """

    name = "plain"
