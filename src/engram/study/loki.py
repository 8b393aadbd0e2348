"""Wang et al. 2025, "LoKI: Low-damage Knowledge Implanting of Large Language Models", arXiv:2505.22120."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from engram.core.strategy import Strategy
from engram.exam.general import quiz
from engram.exam.recall import ask
from engram.kit.buffer import pick
from engram.learn.loki import LoKI, attributions, owed
from engram.learn.lora import LoRA
from engram.study.pretrained import Pretrained, Tuned, pretrained, tune
from engram.study.trial import Criterion, Scale, Study
from engram.train.loop import Settings
from engram.train.stream import collate


class Implanting(Study):
    """Writing to the feed-forward rows that old answers lean on least, against full fine-tuning and LoRA.

    The paper tunes Llama 3.1 on tool use and Qwen 2.5 on reranking: LoKI does as well on the task as LoRA and full
    fine-tuning and loses a fraction of what they lose of general ability (tables 1 to 4). Silencing the rows that
    answers owe most to costs three times what silencing those they owe least to does; training as many rows chosen
    from all layers together, the highest or the lowest, costs three to four times what as many in each layer do
    (table 5).
    Here: SmolLM2-135M-Instruct is taught the ten facts of a person who does not exist. General ability is the loss
    on general texts; rows are attributed on the answers to a few questions of a quiz of common knowledge
    (the paper takes MMLU). Full fine-tuning has LoKI's learning rate, as in the paper's configurations; LoRA has one
    of its own. Rates were set on seeds 100 and 101, the lowest of a grid at which all is learned.
    """

    claim = (
        "training the rows that old answers owe least to, as many in each layer, learns as much and damages far less "
        "than full fine-tuning, LoRA, or rows chosen from all layers together"
    )
    source = "abstract; tables 1 to 5"
    criteria = (
        Criterion(measure="silenced", says="loss from silencing the rows owed most, over least", at_least=1.5),
        Criterion(measure="learned", says="the new facts, LoKI beside the better of the others", at_least=-0.05),
        Criterion(measure="full_rise", says="rise of general loss with full fine-tuning", at_least=0.01),
        Criterion(measure="of_full", says="LoKI's rise of general loss, of full fine-tuning's", at_most=0.5),
        Criterion(measure="of_lora", says="LoKI's rise of general loss, of LoRA's", at_most=0.8),
        Criterion(measure="of_lowest", says="LoKI's rise, of that with the lowest rows of all layers", at_most=0.8),
        Criterion(measure="of_highest", says="LoKI's rise, of that with the highest rows of all layers", at_most=0.8),
    )
    scales: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {
        "smoke": {"model": "tiny", "people": 1, "steps": 2, "samples": 2},
        "small": {"model": "smollm2-135m", "people": 1, "steps": 20, "samples": 12},
        "full": {"model": "smollm2-135m", "people": 10, "steps": 200, "samples": 60},
    }

    def run(  # type: ignore[override]
        self,
        *,
        seed: int,
        model: str,
        people: int,
        steps: int,
        samples: int,
        share: float = 0.3,
        silent: float = 0.01,
        rate: float = 3e-4,
        lora_rate: float = 5e-4,
    ) -> dict[str, float]:
        base = pretrained(model)
        stream = base.facts(1, people, seed)
        questions = [base.lm.example(ask(i.question), i.answer) for i in quiz()]
        drawn = pick(len(questions), samples, torch.Generator().manual_seed(seed))
        scores = [attributions(base.copy(), collate([questions[k] for k in drawn]), steps=2)]

        def implanted(**which: bool) -> Tuned:
            return arm(rate, LoKI(chosen=owed(scores, share, **which)))

        def arm(lr: float, *guards: Strategy) -> Tuned:
            return tune(base, stream, Settings(lr=lr, steps=steps, batch_size=10, seed=seed), *guards)

        arms = {
            "loki": implanted(),
            "lowest": implanted(balanced=False),
            "highest": implanted(balanced=False, most=True),
            "full": arm(rate),
            "lora": arm(lora_rate, LoRA(rank=8, alpha=16.0)),
        }
        before = base.loss(base.lm.model)
        out = {"loss_before": before, "quiz_before": base.quiz(base.lm.model)}
        for name, found in arms.items():
            out |= {f"{name}_new": found.held, f"{name}_rise": found.loss / before - 1, f"{name}_quiz": found.quiz}
        for name, most in (("least", False), ("most", True)):
            out[f"silent_{name}"] = silenced(base, owed(scores, silent, most=most)) / before - 1
        return out | {
            "silenced": out["silent_most"] / max(out["silent_least"], 1e-9),
            "learned": arms["loki"].held - max(arms["full"].held, arms["lora"].held),
            **{f"of_{n}": out["loki_rise"] / max(out[f"{n}_rise"], 1e-9) for n in arms if n != "loki"},
        }


@torch.no_grad()
def silenced(base: Pretrained, rows: Mapping[str, Tensor]) -> float:
    """General loss of the model with these rows of its down-projections set to zero."""
    model = base.copy()
    for name, chosen in rows.items():
        model.get_parameter(name)[chosen] = 0.0
    return base.loss(model)
