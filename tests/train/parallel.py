"""Two stages of training under each strategy, by however many processes.

ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 parallel.py OUT

Without `--multi_gpu`, which says several processes and not which device, accelerate starts one on a machine without
accelerators.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import reduce

from byheart.core.strategy import Strategy
from byheart.learn.agem import AGEM
from byheart.learn.ewc import EWC
from byheart.learn.kl import KL
from byheart.learn.replay import Replay
from byheart.learn.view_batch import ViewBatch
from byheart.models import tiny
from byheart.train.loop import Settings, train

ARMS: dict[str, list[Strategy]] = {
    "replay": [Replay(ratio=0.5)],
    "ewc": [EWC(importance=100.0)],
    "a-gem": [AGEM(examples=6)],
    "kl": [Replay(ratio=1.0), KL(weight=0.5)],
    "view-batch": [ViewBatch(views=2)],
}


def tasks() -> list[list[dict[str, list[int]]]]:
    """Two tasks of ten rows, some behind a shared beginning."""
    g = torch.Generator().manual_seed(3)
    out = []
    for _ in range(2):
        rows = []
        for n in range(10):
            own = torch.randint(3, 64, (5 + n % 4,), generator=g).tolist()
            ids = [*range(10, 22), *own] if n % 3 else own
            rows.append({"input_ids": ids, "labels": [-100] * (len(ids) - 3) + ids[-3:]})
        out.append(rows)
    return out


def main() -> None:
    state = PartialState(cpu=True)
    torch.set_num_threads(1)
    found = {}
    for name, strategies in ARMS.items():
        model = tiny.model(3, width=32, vocabulary=64)
        old: list[dict[str, list[int]]] = []
        losses = []
        for index, task in enumerate(tasks()):
            settings = Settings(lr=3e-3, steps=5, batch_size=5, accumulation=2)
            done = train(model, task, strategies, settings, index=index, old=old)
            losses += [reduce(torch.tensor(sum(h.values())), "mean").item() for h in done.history]
            old = [*old, *task]
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        found[name] = {"losses": losses, "norm": weights.norm().item(), "some": weights[::997].tolist()}
    if state.is_main_process:
        Path(sys.argv[1]).write_text(json.dumps({"processes": state.num_processes, "arms": found}))
    state.wait_for_everyone()
    state.destroy_process_group()  # its threads, left to the interpreter's end, now and then abort a process


if __name__ == "__main__":
    main()
