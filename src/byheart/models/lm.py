"""A causal language model with its tokenizer, as the subject of exams and the object of training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from byheart.core.errors import BadInput
from byheart.core.protocols import Generation, Prompt
from byheart.core.strategy import IGNORE
from byheart.kit.divergence import kl
from byheart.kit.readout import Reader, Readout
from byheart.kit.sample import beginning, sample, shared
from byheart.models import source, tiny


class LanguageModel:
    """Scores and generates in batches; prompts are raw text or chat messages.

    `model` and `tokenizer` are the live transformers objects. Batches hold prompts of like length;
    what all prompts of a batch begin with is read once, and so is a prompt that is sampled many
    times. Only scored positions are projected onto the vocabulary.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, name: str = "") -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise BadInput(source.NO_TEMPLATE.format(name=name))
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.reader = Reader(model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def stop(self) -> list[int]:
        """Tokens that end an answer."""
        tokens = {self.tokenizer.eos_token_id}
        config = getattr(self.model, "generation_config", None)
        eos = getattr(config, "eos_token_id", None)
        tokens.update(eos if isinstance(eos, list) else [eos])
        return sorted(t for t in tokens if t is not None)

    @property
    def start(self) -> int:
        """The token that general text begins with when it is sampled from nothing."""
        token = self.tokenizer.convert_tokens_to_ids("<|endoftext|>")
        return token if isinstance(token, int) and token >= 0 else (self.tokenizer.bos_token_id or 0)

    def opened(self, words: str) -> list[int]:
        """The tokens of a chat whose user has just said these words and may go on."""
        mark = "\u241f"
        chat = self.tokenizer.apply_chat_template([{"role": "user", "content": mark}], tokenize=False)
        return list(self.tokenizer(chat.partition(mark)[0] + words, add_special_tokens=False)["input_ids"])

    def tokens(self, prompt: Prompt) -> list[int]:
        """A prompt's tokens; messages go through the chat template and end where the answer begins."""
        if isinstance(prompt, str):
            return list(self.tokenizer(prompt)["input_ids"])
        return list(
            self.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False)
        )

    def example(self, prompt: Prompt, completion: str) -> dict[str, list[int]]:
        """A training example: loss on the completion and the token that ends it."""
        head = self.tokens(prompt)
        tail = list(self.tokenizer(completion, add_special_tokens=False)["input_ids"])
        tail.append(self.tokenizer.eos_token_id)
        return {"input_ids": head + tail, "labels": [IGNORE] * len(head) + tail}

    def text_example(self, text: str) -> dict[str, list[int]]:
        """A training example of running text: loss on every token after the first."""
        ids = [self.start, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]
        return {"input_ids": ids, "labels": list(ids)}

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        copies: int = 1,
        seed: int = 0,
        batch: int = 64,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[Generation]]:
        """`copies` continuations of each prompt; temperature 0 is greedy. Same seed, same text.

        `batch` rows are written at once, four times as many where they are copies of a prompt that is read once.
        """
        encoded = [self.tokens(p) or [self.start] for p in prompts]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        out: list[list[Generation]] = [[] for _ in prompts]
        size = max(1, batch * (4 if copies > 1 else 1) // copies)
        for at in range(0, len(order), size):
            chosen = order[at : at + size]
            generator = torch.Generator().manual_seed(seed * 1_000_003 + at)
            tokens, scores = sample(
                self.model,
                [encoded[i] for i in chosen],
                max_tokens=max_tokens,
                temperature=temperature,
                stop=self.stop,
                copies=copies,
                pad=self.tokenizer.pad_token_id or 0,
                generator=generator,
            )
            texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
            for j, i in enumerate(chosen):
                rows = range(j * copies, (j + 1) * copies)
                out[i] = [Generation(texts[r].strip(), scores[r]) for r in rows]
            if progress:
                progress(min(at + size, len(order)), len(order))
        return out

    def score(self, pairs: Sequence[tuple[Prompt, str]], *, batch: int = 16) -> list[list[float]]:
        """Log-probability (nats) of each token of each continuation; its end token is not scored.

        An empty prompt scores running text from its first token.
        """
        return self._each(pairs, lambda read: -read.losses(), batch)

    def standardised(self, pairs: Sequence[tuple[Prompt, str]], *, batch: int = 16) -> list[list[float]]:
        """(log p - mu) / sigma of each token, mu and sigma under the model's next-token distribution."""
        return [[(p - mu) / sigma for p, mu, sigma in tokens] for tokens in self.moments(pairs, batch=batch)]

    def moments(
        self, pairs: Sequence[tuple[Prompt, str]], *, batch: int = 16
    ) -> list[list[tuple[float, float, float]]]:
        """(log p, mu, sigma) of each token of each continuation: mean and deviation of log p over the vocabulary."""

        def value(read: Readout) -> torch.Tensor:
            logs = torch.log_softmax(read.logits.float(), -1).clamp(min=-1e4)  # 0 * -inf is no number
            probs = logs.exp()
            mu = (probs * logs).sum(-1)
            sigma = ((probs * logs**2).sum(-1) - mu**2).clamp(min=1e-12).sqrt()
            return torch.stack([logs.gather(1, read.targets[:, None])[:, 0], mu, sigma], 1)

        return [[(p, mu, sigma) for p, mu, sigma in tokens] for tokens in self._each(pairs, value, batch)]

    @torch.inference_mode()
    def divergence(self, base: LanguageModel, texts: Sequence[str], *, batch: int = 8) -> list[float]:
        """KL(base || this model) of each text, in nats per token."""
        examples = self._examples([("", t) for t in texts])
        out = [0.0] * len(texts)
        pairs = zip(self._reads(examples, batch), base._reads(examples, batch), strict=True)
        for (chosen, mine), (_, theirs) in pairs:
            for row, i in enumerate(chosen):
                own = mine.rows == row
                if own.any():
                    out[i] = kl(theirs.logits[own], mine.logits[own]).item()
        return out

    @torch.inference_mode()
    def _each(
        self, pairs: Sequence[tuple[Prompt, str]], value: Callable[[Readout], torch.Tensor], batch: int
    ) -> list[list[Any]]:
        out: list[list[Any]] = [[] for _ in pairs]
        for chosen, read in self._reads(self._examples(pairs), batch):
            for row, v in zip(read.rows.tolist(), value(read).tolist(), strict=True):
                out[chosen[row]].append(v)
        return out

    def _examples(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[list[int], list[int]]]:
        return [
            (
                self.tokens(prompt) if prompt else [self.start],
                list(self.tokenizer(continuation, add_special_tokens=False)["input_ids"]),
            )
            for prompt, continuation in pairs
        ]

    def _reads(self, examples: list[tuple[list[int], list[int]]], batch: int) -> Iterator[tuple[list[int], Readout]]:
        """Readouts of (prompt, continuation) token pairs in batches of like length; a shared beginning is read once."""
        order = sorted(range(len(examples)), key=lambda i: len(examples[i][0]) + len(examples[i][1]))
        self.model.eval()
        head = shared([h for h, _ in examples])
        past = beginning(self.model, examples[0][0][:head]) if head else None
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            rows = [(examples[i][0][head:], examples[i][1]) for i in chosen]
            width = max(len(h) + len(t) for h, t in rows)
            ids = torch.zeros(len(chosen), width, dtype=torch.long)
            labels = torch.full_like(ids, IGNORE)
            mask = torch.zeros(len(chosen), head + width, dtype=torch.long)
            mask[:, :head] = 1
            for row, (own, tail) in enumerate(rows):
                n = len(own) + len(tail)
                ids[row, :n] = torch.tensor(own + tail)
                labels[row, len(own) : n] = torch.tensor(tail)
                mask[row, head : head + n] = 1
            positions = torch.arange(head, head + width).expand(len(chosen), -1)
            inputs = {"input_ids": ids, "labels": labels, "attention_mask": mask, "position_ids": positions}
            cache = copy.deepcopy(past)
            if cache is not None:
                cache.batch_repeat_interleave(len(chosen))
            yield chosen, self.reader({k: v.to(self.device) for k, v in inputs.items()}, cache)


def load(name: str, *, dtype: torch.dtype | None = None, device: str | None = None) -> LanguageModel:
    """Load `smollm2-135m`, `tiny` (or `tiny:SEED`), a hub id or a local folder.

    `dtype` defaults to bfloat16 where the processor or GPU computes in it, else float32.
    """
    if name == "tiny" or name.startswith("tiny:"):
        seed = name.partition(":")[2] or "0"
        if not seed.isdigit():
            raise BadInput(f"model {name!r}: the seed must be a whole number; try tiny:0")
        return LanguageModel(tiny.model(int(seed)), tiny.tokenizer(), name)
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    folder = source.find(name)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or preferred_dtype(device)
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    logging.enable_progress_bar()
    return LanguageModel(model.to(device), tokenizer, name)


def preferred_dtype(device: str) -> torch.dtype:
    """bfloat16 where it is computed in hardware, else float32."""
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if torch.backends.cpu.get_cpu_capability() == "AVX512" and _bf16_cpu() else torch.float32


def _bf16_cpu() -> bool:
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(probe())
