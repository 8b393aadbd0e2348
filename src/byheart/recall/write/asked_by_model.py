"""Inquiries that a language model writes: one request for each source, and only what the source bears out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from byheart.core.protocols import Subject
from byheart.core.records import Engram
from byheart.recall.write.inquiries import Inquiry, askable

_PROMPT = (
    "Below is a document. Write down what its readers would ask, a line for every fact that it states: each amount, "
    "date, name, rule, condition, table cell. On each line write four ways to ask the same, in different words, each "
    "naming what the document is about, then the shortest answer, copied from the document: "
    "question | question | question | question | answer\n\n"
)
MOST_TOKENS = 4096


def write(engrams: Sequence[Engram], subject: Subject) -> list[Inquiry]:
    """The inquiries of a model about passages without a pair, source by source.

    Of a line's questions the last is held back. A line counts where its answer is one (`askable`) and stands word for
    word in a passage of the source, which it is drawn from.

    The manner is that of PAQ (Lewis et al. 2021, arXiv:2102.07033), which keeps what a reader finds again in the text.
    """
    groups: dict[str | None, list[Engram]] = {}
    for engram in engrams:
        groups.setdefault(engram.source, []).append(engram)
    made: list[Inquiry] = []
    for passages in groups.values():
        text = "\n\n".join(p.text for p in passages)
        reply = subject.generate([[{"role": "user", "content": _PROMPT + text}]], max_tokens=MOST_TOKENS)[0][0].text
        for line in reply.splitlines():
            cells = [c.strip() for c in re.sub(r"^\s*(?:[-*\u2022]|\d+[.)])\s+", "", line).strip("| ").split("|")]
            asked, answer = [q for q in dict.fromkeys(cells[:-1]) if q.endswith(("?", "\uff1f"))], cells[-1]
            home = next((p for p in passages if answer and answer.casefold() in p.text.casefold()), None)
            if asked and home is not None and askable(answer):
                held = (asked.pop(),) if len(asked) > 1 else ()
                made.append(Inquiry(asked[0], answer, tuple(asked[1:]), held, "", home.id, "model"))
    return made
