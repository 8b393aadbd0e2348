"""Attention sorting: what the model looks at most is moved to where it looks best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from byheart.core.errors import BadInput
from byheart.core.protocols import Prompt
from byheart.core.query import Query
from byheart.core.records import Hit

if TYPE_CHECKING:
    from torch import Tensor, nn


@runtime_checkable
class Attentive(Protocol):
    """A local language model: its network, its tokenizer, and a prompt's tokens."""

    model: nn.Module
    tokenizer: Any

    def tokens(self, prompt: Prompt) -> list[int]: ...


class AttentionSorting:
    """Sorts hits by the attention that each gets at the first step of an answer, most last, and does so again.

    A model favours what stands last. Still, of two documents in the same place it attends more to the document that
    answers; so documents that are moved to the end by the attention they get end up in the order of their use, and the
    answer is read from the best place.

        a_i = mean over layers, heads and tokens of document i of the attention from the last position;  sort by a_i

    Parameters
    ----------
    rounds: how often it is sorted. tokens: the longest prompt; documents from the end of the list of hits that do not
        fit are left at its beginning, unread.

    Departs from the paper: the attention of a document is the mean over its tokens, so that long ones have no
    advantage. The last round's order is given, the answer is for a reader to write.

    >>> AttentionSorting(rounds=0)
    Traceback (most recent call last):
    byheart.core.errors.BadInput: rounds=0: sort at least once; the default is 2

    References: Peysakhovich and Lerer 2023, arXiv:2310.01427, section on attention sorting.
    """

    name: ClassVar[str] = "attention-sorting"
    paper: ClassVar[str] = "attention-sorting"
    arxiv: ClassVar[str] = "2310.01427"

    def __init__(self, *, rounds: int = 2, tokens: int = 2048) -> None:
        if rounds < 1:
            raise BadInput(f"rounds={rounds}: sort at least once; the default is 2")
        if tokens < 64:
            raise BadInput(f"tokens={tokens}: leave room for a question and a document; the default is 2048")
        self.rounds, self.tokens = rounds, tokens

    def order(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        """The hits, best last, as they are to be read. Raises `BadInput` without a local language model."""
        model, text = query.subject("attention-sorting"), query.clean
        if not isinstance(model, Attentive):
            raise BadInput(
                f"attention-sorting reads the attention of a local model, which {type(model).__name__} does not give; "
                "use a local model or another reranker"
            )
        lengths = [len(model.tokenizer(h.text + "\n\n", add_special_tokens=False)["input_ids"]) for h in hits]
        room = self.tokens - len(model.tokens(_prompt([], text))) - 8
        read: list[Hit] = []
        for hit, length in zip(hits, lengths, strict=True):
            room -= length
            if room < 0:
                break
            read.append(hit)
        unread = list(hits[len(read) :])
        for _ in range(self.rounds if len(read) > 1 else 0):
            shares = attention(model, text, read)
            read = [read[i] for i in sorted(range(len(read)), key=lambda i: shares[i])]
        return [*reversed(unread), *read]


def attention(model: Attentive, query: str, hits: Sequence[Hit]) -> list[float]:
    """The attention of the position that writes the answer's first token, mean over the tokens of each hit."""
    import torch

    messages = _prompt([h.text for h in hits], query)
    text = model.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = torch.tensor([encoded["input_ids"]], device=next(model.model.parameters()).device)
    inner: Any = model.model
    held = inner.config._attn_implementation
    inner.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            first = inner(ids[:, :-1], use_cache=True)
            last = inner(ids[:, -1:], past_key_values=first.past_key_values, output_attentions=True)
    finally:
        inner.set_attn_implementation(held)
    weights: Tensor = torch.stack([a[0, :, 0].float().mean(0) for a in last.attentions]).mean(0)
    out, at = [], text.index(messages[-1]["content"])
    for hit in hits:
        end = at + len(hit.text)
        inside = [n for n, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > at]
        out.append(float(weights[inside].mean()) if inside else 0.0)
        at = end + len("\n\n")
    return out


def _prompt(texts: Sequence[str], query: str) -> list[dict[str, str]]:
    """The documents in their order, and the question."""
    return [
        {"role": "system", "content": "Answer in a few words."},
        {"role": "user", "content": "".join(f"{t}\n\n" for t in texts) + query},
    ]
