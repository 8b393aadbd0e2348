"""A vocabulary of whole words, so that a model of a hundred thousand weights can speak of a world."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE

SPECIALS = ("<pad>", "<s>", "</s>")
START, END = 1, 2


def words(text: str) -> list[str]:
    """The words and marks of a text, in order.

    >>> words("Where was Marta's dog born?")
    ['Where', 'was', 'Marta', "'s", 'dog', 'born', '?']
    """
    return re.findall(r"'s\b|[\w-]+|[^\w\s]", text)


class Vocabulary:
    """Numbers for the words of some texts: the specials first, then every word in alphabetical order.

    `SPECIALS` are padding, the start and the end of an example, as `models.tiny.model` numbers them.

    >>> v = Vocabulary(["Who is it?", "Marta is."])
    >>> len(v), v.decode(v.encode("is it Marta?"))
    (9, 'is it Marta ?')
    """

    def __init__(self, texts: Iterable[str], extra: Sequence[str] = ()) -> None:
        seen = {w for text in texts for w in words(text)} - set(extra)
        self.words = [*SPECIALS, *extra, *sorted(seen)]
        self.numbers = {w: i for i, w in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """The numbers of the words of a text."""
        tokens = words(text)
        unknown = sorted({w for w in tokens if w not in self.numbers})
        if unknown:
            raise BadInput(f"{unknown[0]!r} is not in the vocabulary; make it from all texts in use")
        return [self.numbers[w] for w in tokens]

    def decode(self, ids: Iterable[int]) -> str:
        """The words of some numbers with spaces between, specials left out."""
        return " ".join(self.words[i] for i in ids if i >= len(SPECIALS))

    def text(self, text: str) -> dict[str, Any]:
        """A text as an example in which every word is scored."""
        ids = [START, *self.encode(text), END]
        return {"input_ids": ids, "labels": [IGNORE, *ids[1:]]}

    def pair(self, question: str, answer: str) -> dict[str, Any]:
        """A question and its answer as an example in which the answer and the end are scored."""
        prompt, reply = [START, *self.encode(question)], [*self.encode(answer), END]
        return {"input_ids": prompt + reply, "labels": [IGNORE] * len(prompt) + reply}
