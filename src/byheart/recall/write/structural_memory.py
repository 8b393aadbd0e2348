"""Structural memory: a text as chunks, triples, atomic facts, summaries, or all of them together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from byheart.core.errors import BadInput
from byheart.core.methods import Variants
from byheart.core.protocols import Subject
from byheart.core.records import Engram, Op
from byheart.recall.write.atomic_facts import AtomicFacts, made_from
from byheart.recall.write.chunks import Chunks, Source
from byheart.recall.write.clauses import triple
from byheart.recall.write.gist import summaries

KINDS = ("chunk", "summary", "fact", "triple")


class StructuralMemory:
    """Writes what a text says in up to four structures, so that a question meets the structure that suits it.

    A passage keeps what belongs together, a summary the gist, a fact a single statement with its subject, a triple who
    is related to what and by what. None is best for all questions; mixed, each is there.

        M = chunks(T) + summaries(T) + facts(T) + triples(T)

    Engrams stand in the order of the passages, each passage followed by what is made of it. `metadata` holds the
    `kind` and `of`, the number of the passage; a triple's `head`, `relation` and `tail` too, as the updater
    `think-in-memory` reads them.

    Parameters
    ----------
    kinds: which structures, of "chunk", "summary", "fact", "triple"; all is the paper's mixed memory.
    sentences: of a summary.

    Departs from the paper: rules write, where the paper asks a language model for triples, facts and summaries. A
    `subject` writes the facts alone, and triples are read off them. Chunks are those of `Chunks`, not of
    1,000 tokens; a summary covers a single chunk.

    >>> [op.engram.text for op in StructuralMemory(kinds=("triple",)).write("Marta was born in Velm and sells tea.")]
    ['Marta; was born in; Velm', 'Marta; sells; tea']

    References: Zeng et al. 2024, arXiv:2412.15266, abstract.
    """

    name: ClassVar[str] = "structural-memory"
    paper: ClassVar[str] = "structural-memory"
    arxiv: ClassVar[str] = "2412.15266"
    variants: ClassVar[Variants] = {"triples": {"kinds": ("triple",)}, "summaries": {"kinds": ("summary",)}}

    def __init__(self, *, kinds: tuple[str, ...] = KINDS, sentences: int = 2) -> None:
        if not kinds or len(set(kinds)) < len(kinds) or set(kinds) - set(KINDS):
            raise BadInput(f"kinds={kinds!r}: give one or more of {', '.join(KINDS)}, each once")
        if sentences < 1:
            raise BadInput(f"sentences={sentences}: a summary has at least 1; the default is 2")
        self.kinds, self.sentences = tuple(kinds), sentences

    def write(self, source: Source, subject: Subject | None = None) -> list[Op]:
        """Additions, source by source and passage by passage. Takes and refuses what `Chunks` does."""
        passages = Chunks().write(source)
        gists = summaries([_body(e) for e in passages], self.sentences)
        facts: dict[tuple[str | None, int], list[Engram]] = {}
        if {"fact", "triple"} & set(self.kinds):
            for op in AtomicFacts().write(source, subject):
                if op.engram is not None:
                    facts.setdefault((op.engram.source, op.engram.metadata["of"]), []).append(op.engram)
        groups: dict[str | None, list[Engram]] = {}
        for passage, gist in zip(passages, gists, strict=True):
            made = groups.setdefault(passage.source, [])
            for engram in self._structures(passage, gist, facts.get((passage.source, passage.position), [])):
                made.append(engram.model_copy(update={"position": len(made)}))
        return [Op(kind="add", engram=e) for made in groups.values() for e in made]

    def _structures(self, passage: Engram, gist: str, facts: list[Engram]) -> Iterator[Engram]:
        """A passage in each structure that is wanted."""
        if "chunk" in self.kinds:
            yield made_from(passage, passage.text, 0, kind="chunk")
        if "summary" in self.kinds:
            yield made_from(passage, gist, 0, kind="summary")
        if "fact" in self.kinds:
            for fact in facts:
                yield made_from(passage, fact.text, 0, kind="fact", entity=fact.metadata.get("entity", ""))
        if "triple" in self.kinds:
            for fact in facts:
                parts = triple(fact.text)
                if parts:
                    head, relation, tail = parts
                    yield made_from(
                        passage, "; ".join(parts), 0, kind="triple", head=head, relation=relation, tail=tail
                    )


def _body(passage: Engram) -> str:
    """A passage without the heading that stands before it."""
    heading = f"{passage.metadata.get('heading')}\n"
    return passage.text.removeprefix(heading)
