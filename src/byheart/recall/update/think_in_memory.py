"""Think-in-Memory: a new thought is inserted, replaces what it contradicts, or is merged with what it adds to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from byheart.core.errors import BadInput
from byheart.core.protocols import Embedder, Index, Subject
from byheart.core.query import Query
from byheart.core.records import Engram, Op
from byheart.recall.retrieve.lsh import LSH, Buckets


class ThinkInMemory:
    """Keeps a single thought of a kind: a thought that a new one contradicts is deleted, one that it adds to is merged.

    A thought is a sentence that ties a head to a tail by a relation ("Ann works as a diver"). An answer that is drawn
    from thoughts needs no second reasoning over old turns, as long as thoughts that no longer hold are gone. They are
    looked for in the new thought's bucket of a hash (`recall.retrieve.lsh`), not in the whole memory.

        same head and relation, another tail:  relation in `many` ? merge : forget the old, insert the new
        same head, relation and tail:          pass

    Head, relation and tail are read from an engram's metadata under these names. A thought without them is inserted
    as it is, unless a subject is given: the subject names the thoughts of the bucket that it contradicts.

    Parameters
    ----------
    many: relations that a head may have to several tails. buckets, probes, seed: of the hash; see `LSH`.
    group: thoughts of a bucket that are looked at.

    Departs from the paper: a language model decides there about everything, here only about thoughts without a triple.
    A merged thought lists its tails where the old sentence ends in the old tail, else it holds both sentences.

    >>> ThinkInMemory(many=("job",)).many
    ('job',)

    References: Liu et al. 2023, arXiv:2311.08719, section on organising the memory (insert, forget, merge).
    """

    name: ClassVar[str] = "think-in-memory"
    paper: ClassVar[str] = "think-in-memory"
    arxiv: ClassVar[str] = "2311.08719"

    def __init__(
        self, *, many: tuple[str, ...] = (), buckets: int = 16, probes: int = 1, group: int = 20, seed: int = 0
    ) -> None:
        Buckets(1, buckets)
        if min(probes, group) < 1:
            raise BadInput(f"probes={probes}, group={group}: give 1 or more of each")
        self.many, self.group = tuple(many), group
        self.hashed = LSH(buckets=buckets, probes=probes, fill=False, seed=seed)

    def reconcile(self, view: Index, ops: Sequence[Op], embedder: Embedder, subject: Subject | None = None) -> list[Op]:
        """The operations, with deletions and merged replacements for additions; others pass through unchanged."""
        out: list[Op] = []
        for op in ops:
            if op.kind != "add" or op.engram is None:
                out.append(op)
                continue
            new = op.engram
            gone = {o.target for o in out if o.kind in ("replace", "delete")}
            query = Query(new.text, view, embedder, k=self.group, where={"owner": new.owner})
            present = [e for e in view.get([h.id for h in self.hashed.search(query)]) if e.id not in gone]
            coming = {o.engram.id: o for o in out if o.kind in ("add", "replace") and o.engram is not None}
            present += [o.engram for o in coming.values() if o.engram and self._together(o.engram, new, embedder)]
            made = self._by_triple(op, new, present) if _triple(new) else self._by_asking(op, new, present, subject)
            for change in made:
                earlier = coming.get(change.target or "") if change.kind in ("delete", "replace") else None
                if earlier is not None:
                    out.remove(earlier)
                out += [change] if earlier is None else _instead(earlier, change)
        return out

    def _together(self, first: Engram, other: Engram, embedder: Embedder) -> bool:
        """Whether two thoughts of a batch share an owner and a bucket."""
        vectors = np.asarray(embedder.encode([first.text, other.text]), np.float64)
        hashed = Buckets(vectors.shape[1], self.hashed.buckets, seed=self.hashed.seed)
        order = hashed.order(vectors)
        return first.owner == other.owner and order[0, 0] in order[1, : self.hashed.probes]

    def _by_triple(self, op: Op, new: Engram, present: Sequence[Engram]) -> list[Op]:
        """The operations for a thought with a triple, given the present thoughts."""
        head, relation, tail = _triple(new) or ("", "", "")
        alike = [(e, t[2]) for e in present if (t := _triple(e)) and t[:2] == (head, relation)]
        known = [e for e, old in alike if tail in old.split("; ")]
        if known:
            return [Op(kind="pass", engram=new, target=known[0].id, reason="known")]
        if not alike:
            return [op]
        if relation not in self.many:
            return [*(Op(kind="delete", target=e.id, reason="contradicted") for e, _ in alike), op]
        old, before = alike[0]
        body = old.text.rstrip(" .")
        last = before.split("; ")[-1]
        text = f"{body}, {tail}." if body.endswith(last) else f"{old.text} {new.text}"
        joined = new.model_copy(update={"text": text, "metadata": {**new.metadata, "tail": f"{before}; {tail}"}})
        rest = [Op(kind="delete", target=e.id, reason="merged") for e, _ in alike[1:]]
        return [*rest, Op(kind="replace", engram=joined, target=old.id, reason="same head and relation")]

    def _by_asking(self, op: Op, new: Engram, present: Sequence[Engram], subject: Subject | None) -> list[Op]:
        """The operations for a thought, with deletions of those that the subject says it contradicts."""
        if subject is None or not present:
            return [op]
        listed = "\n".join(f"[{n}] {e.text}" for n, e in enumerate(present, 1))
        prompt = (
            f"Old thoughts:\n{listed}\n\nNew thought: {new.text}\n\nWhich old thoughts does the new one "
            "contradict? Reply with their numbers only, parted by commas, or 'none'."
        )
        reply = subject.generate([[{"role": "user", "content": prompt}]], max_tokens=32)[0][0].text
        named = {int(n) for n in re.findall(r"\d{1,4}", reply)}
        gone = [e.id for n, e in enumerate(present, 1) if n in named]
        return [*(Op(kind="delete", target=i, reason="contradicted") for i in gone), op]


def _triple(engram: Engram) -> tuple[str, str, str] | None:
    """Head, relation and tail of a thought, where its metadata has all three."""
    parts = [engram.metadata.get(name) for name in ("head", "relation", "tail")]
    return (str(parts[0]), str(parts[1]), str(parts[2])) if all(parts) else None


def _instead(earlier: Op, later: Op) -> list[Op]:
    """What is left to do when `later` is about the thought that `earlier` would have brought."""
    if later.kind == "replace":
        return [earlier.model_copy(update={"engram": later.engram, "reason": later.reason})]
    return [] if earlier.kind == "add" else [later.model_copy(update={"target": earlier.target})]
