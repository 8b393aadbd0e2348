"""Prospective reflection: a new memory joins the memory on its topic, or stands alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Index, Subject
from byheart.core.records import Engram, Op
from byheart.recall.read.evidence import content
from byheart.recall.sentences import sentences


class ProspectiveReflection:
    """Turns adding into merging where a memory on the same topic is stored already.

    What many sessions say about the same matter ends up in many memories, and a search for few of them finds a
    part. Each new memory is compared with its `nearest` stored memories of the same owner: it is merged into the first
    that is on its topic, else added. A subject, if given, chooses it; without, the nearest is on the same topic when
    their cosine is `alike` or more.

        merge m' into argmax_m cos(m, m') if that is >= alike, else add m'

    Parameters
    ----------
    nearest: K, stored memories that a new memory is compared with. alike: cosine from which two share a topic.
    max_tokens: of a merged memory that the subject writes.

    Departs from the paper: topic memories are not extracted here but come as operations from a writer. Without a
    subject the cosine decides, and a merged text is the old text with those new sentences that say something else.

    >>> from byheart.models.embedder import HashEmbedder
    >>> ProspectiveReflection().merged("Ann sails. Ann is 40.", "Ann is 40. Ann has a red boat.")
    'Ann sails. Ann is 40. Ann has a red boat.'

    References: Tan et al. 2025, arXiv:2503.08026, section on prospective reflection.
    """

    name: ClassVar[str] = "prospective-reflection"
    paper: ClassVar[str] = "reflective-memory"
    arxiv: ClassVar[str] = "2503.08026"

    def __init__(self, *, nearest: int = 5, alike: float = 0.7, max_tokens: int = 256) -> None:
        if min(nearest, max_tokens) < 1:
            raise BadInput(f"nearest={nearest}, max_tokens={max_tokens}: give 1 or more of each")
        if not 0 < alike <= 1:
            raise BadInput(f"alike={alike}: give a cosine above 0 and up to 1; the default is 0.7")
        self.nearest, self.alike, self.max_tokens = nearest, alike, max_tokens

    def reconcile(self, view: Index, ops: Sequence[Op], embedder: Embedder, subject: Subject | None = None) -> list[Op]:
        """The operations with additions turned into replacements where they merge; others pass through unchanged."""
        out: list[Op] = []
        for op in ops:
            if op.kind != "add" or op.engram is None:
                out.append(op)
                continue
            new = op.engram
            vector = np.asarray(embedder.encode([new.text])[0], np.float64)
            taken = {o.target for o in out if o.kind in ("replace", "delete")}
            nearest = view.dense(vector, self.nearest + len(taken), None, {"owner": new.owner})
            near: list[tuple[float, Engram, int | None]] = [
                (score, engram, None)
                for (_, score), engram in zip(nearest, view.get([i for i, _ in nearest]), strict=True)
                if engram.id not in taken
            ]
            for n, earlier in enumerate(out):
                other = earlier.engram
                if other is not None and earlier.kind in ("add", "replace") and other.owner == new.owner:
                    near.append((float(np.asarray(embedder.encode([other.text])[0]) @ vector), other, n))
            near = sorted(near, key=lambda pair: -pair[0])[: self.nearest]
            chosen, text = self._chosen(near, new.text, subject)
            if chosen is None:
                out.append(op)
                continue
            _, old, place = near[chosen]
            joined = new.model_copy(update={"text": text, "question": None, "answer": None})
            if place is None:
                out.append(Op(kind="replace", engram=joined, target=old.id, reason="same topic"))
            else:
                out[place] = out[place].model_copy(update={"engram": joined, "reason": "same topic"})
        return out

    def merged(self, old: str, new: str) -> str:
        """The old text with the new sentences whose content words are not all in a single old sentence."""
        old_words = [content(s) for s in sentences(old)]
        fresh = [s for s in sentences(new) if not any(content(s) <= words for words in old_words)]
        return " ".join([old.strip(), *fresh])

    def _chosen(
        self, near: Sequence[tuple[float, Engram, int | None]], text: str, subject: Subject | None
    ) -> tuple[int | None, str]:
        """Which of the near memories the new memory joins, and the text of both; None to stand alone."""
        if not near:
            return None, text
        if subject is None:
            return (0, self.merged(near[0][1].text, text)) if near[0][0] >= self.alike else (None, text)
        listed = "\n".join(f"[{n}] {old.text}" for n, (_, old, _) in enumerate(near, 1))
        prompt = (
            f"Memories kept:\n{listed}\n\nNew memory: {text}\n\nIf a kept memory is about the same topic, reply "
            "'Merge' with its number in brackets, then both as one text, for example: Merge [2] ... "
            "If none is, reply 'Add'."
        )
        reply = subject.generate([[{"role": "user", "content": prompt}]], max_tokens=self.max_tokens)[0][0].text
        choice = re.match(r"\s*merge\W*(\d{1,4})\W*\s(.*)", reply, re.I | re.S)
        if not choice or not 1 <= int(choice[1]) <= len(near):
            return None, text
        chosen = int(choice[1]) - 1
        return chosen, choice[2].strip() or self.merged(near[chosen][1].text, text)
