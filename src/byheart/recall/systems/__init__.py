"""Published memory systems, whole: which methods of a paper write, update, search, rerank and read together.

Some learn. Which do, from what, and what they do before:

- `reflective-memory` learns from use: each `Memory.ask` that reads text rewards what the answer cites, and `recall`
  follows. Before, it orders by the embedder's cosine with a little noise.
- `rememberer`, `in-memory-learning` and `violation-of-expectation` learn from what is remembered, if it comes with what
  they need to know (`task`, `observation`, `action`, `reward`; `guess`, `right`; `asked`); other texts pass unchanged.
  What they learned are engrams, which `recall` finds. What these say of the next action, thing or message is a call:
  `memory.methods.get("rememberer").weigh(...)`, `.get("in-memory-learning").infer(...)`,
  `.get("violation-of-expectation").expect(...)`, each shown in the docstring of its class.
- `arm-rag` keeps solved problems: pairs with a `rationale`, or solved by the endpoint. It learns nothing else.
- `adapt-retrieve-revise` drafts with the memory's weights, so it is taught by `Memory.learn`.
- `llm-embedder`, a retriever in no system, must be fitted, `memory.methods.get("llm-embedder").fit(...)`, and is the
  embedder's cosine before.
- All others learn nothing and work at once. `memgas`, `lsh` and `think-in-memory` keep what they computed for the next
  call, as long as the memory is open.

What was learned in matrices is in the memory's store (`byheart.memory.methods`) and is dropped by `forget`.
"""

from __future__ import annotations

from dataclasses import dataclass

from byheart.core.errors import Unknown


@dataclass(frozen=True)
class System:
    """What `Memory` does where a call names no method, by names of the catalogue; None is byheart's own way.

    paper: the slug. method: a retriever and rerankers, with commas between.
    """

    name: str
    paper: str | None = None
    write: str | None = None
    update: str | None = None
    method: str | None = None
    reader: str | None = None


OWN = "byheart"
"""The name of byheart's own way."""

FORMER: dict[str, str] = {"engram": OWN}
"""Names that folders made by earlier versions hold, and what each is called now."""

SYSTEMS: tuple[System, ...] = (
    System(OWN),
    System("keep-me-updated", "keep-me-updated", write="atomic-facts", update="keep-me-updated"),
    System("think-in-memory", "think-in-memory", write="triples", update="think-in-memory", method="lsh"),
    System("reflective-memory", "reflective-memory", update="prospective-reflection", method="reflective-memory"),
    System("memgas", "memgas", method="memgas"),
    System("atomic-facts", "atomic-facts", write="atomic-facts"),
    System("qa-memory", "qa-memory", write="qa-memory"),
    System("structural-memory", "structural-memory", write="structural-memory", method="iterative"),
    System("long-context-rag", "long-context-rag", method="long-context-rag"),
    System("attention-sorting", "attention-sorting", method="attention-sorting"),
    System("chain-of-note", "chain-of-note", reader="chain-of-note"),
    System("arm-rag", "arm-rag", write="arm-rag"),
    System("rememberer", "rememberer", update="rememberer"),
    System("in-memory-learning", "in-memory-learning", update="in-memory-learning"),
    System("violation-of-expectation", "violation-of-expectation", update="violation-of-expectation"),
    System("adapt-retrieve-revise", "adapt-retrieve-revise", reader="adapt-retrieve-revise"),
)


def system(name: str) -> System:
    """The system of this name.

    >>> system("think-in-memory").method
    'lsh'
    """
    known = {s.name: s for s in SYSTEMS}
    if name not in known:
        raise Unknown.name("system", name, known, "byheart methods")
    return known[name]
