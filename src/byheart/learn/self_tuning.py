"""Self-Tuning: first learn from older documents how documents are absorbed, then absorb the new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

import torch

from byheart.core.errors import BadInput
from byheart.core.strategy import IGNORE, Batch, Stage, Step, Strategy

TASKS = ("title", "gist", "entailment", "teach", "flashcards", "cloze", "choice", "completion")
PHRASES = {
    "title": "Write a title:",
    "gist": "Name the key facts of the text:",
    "entailment": "Does it follow from the text that",
    "teach": "Tell me about",
    "flashcards": "Describe by these keywords:",
    "cloze": "Fill in the blank:",
    "choice": "Choose one of:",
    "completion": "Go on:",
    "yes": "Yes",
    "no": "No",
}
KEYWORDS = 4


class SelfTuning(Strategy):
    """Trains on older documents with tasks made from them and with questions about them, then on the new ones.

    A document that was only read is hard to recall when questioned. A model that has practised on other
    documents to retell, complete and question them, and knows the questions about such documents,
    later stores what it reads so that questions retrieve it.

    first:  L = CE(old documents) + CE(tasks made from them) + CE(questions about them)
    second: L = CE(new documents) + CE(questions about the old);    third: L = CE(new documents)

    The tasks, made without labels: understanding (`title` of a document, its `gist`, `entailment` of a sentence whose
    entity may have been exchanged) and reflection from memory (`teach` and `flashcards` ask for the document by
    title and by keywords; for each sentence a `cloze` or a `choice` of an entity, and its `completion`).

    The new documents are the stage's examples. A document may bring `title` (tokens) and `entities` (lists of tokens);
    otherwise its unscored beginning (or rarest token) is its title and its rarest tokens are its entities. What all
    documents begin and end with frames every task.

    Parameters
    ----------
    epochs: passes over the data of each phase, (2, 1, 3) in the authors' script; the stage's steps are divided
        in the proportion of what that takes.
    documents, questions: the old ones; None takes the stage's `old` examples, documents being those that are scored
        for the most part. tasks: those to make from old documents.
    also: tasks to make from the new documents in the second and third phase; the paper's equations
        have none, the authors' data `teach` and `title`.
    words: tokens of the instructions, best from `english(encode)`; None marks a task by repeating `blank`.
    blank: the token for what is left out. stops: tokens that end a sentence; without any a document is one sentence.

    Departs from the paper: examples of a phase are drawn from one shuffled pile, as in the authors' code, so
    losses count by their scored positions; entities by rarity where none are given (the paper uses
    a tagger); the completion breaks off before the last entity instead of after a preposition; the few old
    questions that the authors' code keeps in the third phase are left out.

    >>> from byheart.models.tiny import model
    >>> from byheart.train.loop import Settings, train
    >>> guard = SelfTuning(documents=[{"input_ids": [9, 5, 6, 7, 8]}], questions=[])
    >>> done = train(model(), [{"input_ids": [4, 5, 6]}], [guard], Settings(steps=3))
    >>> [len(pile) for pile in guard.piles]
    [8, 1, 1]

    References: Zhang et al. 2024, "Self-Tuning: Instructing LLMs to Effectively Acquire New Knowledge through
    Self-Teaching", arXiv:2406.06326, sections 3.2 and 3.3.
    """

    name = "self-tuning"
    paper = "self-tuning"
    arxiv = "2406.06326"

    serves = frozenset({"lm"})
    neutral: ClassVar[dict[str, Any]] = {"epochs": (0, 0, 1)}

    def __init__(
        self,
        *,
        epochs: Sequence[float] = (2, 1, 3),
        documents: Sequence[dict[str, Any]] | None = None,
        questions: Sequence[dict[str, Any]] | None = None,
        tasks: Sequence[str] = TASKS,
        also: Sequence[str] = (),
        words: Mapping[str, Sequence[int]] | None = None,
        blank: int = 0,
        stops: Sequence[int] = (),
    ) -> None:
        unknown = sorted({*tasks, *also} - set(TASKS))
        if unknown:
            raise BadInput(f"no self-teaching task {unknown[0]!r}; give some of {', '.join(TASKS)}")
        if len(epochs) != 3 or min(epochs) < 0 or not epochs[2]:
            raise BadInput(f"epochs={tuple(epochs)} are not of three phases; give three numbers, the last above 0")
        missing = sorted(set(PHRASES) - set(words)) if words is not None else []
        if missing:
            raise BadInput(f"no words for {missing[0]!r}; make them with english(encode)")
        self.epochs, self.documents, self.questions = tuple(epochs), documents, questions
        self.tasks, self.also, self.blank, self.stops = tuple(tasks), tuple(also), blank, frozenset(stops)
        self.words = words or {name: [blank] * (n + 1) for n, name in enumerate(PHRASES)}
        self.piles: list[list[dict[str, Any]]] = []
        self.ends: list[float] = []
        self.done = 0

    def begin(self, stage: Stage) -> None:
        self.done = 0
        documents = [e for e in stage.old if _is_document(e)] if self.documents is None else list(self.documents)
        questions = [e for e in stage.old if not _is_document(e)] if self.questions is None else list(self.questions)
        new = list(stage.examples)
        more = new + self.teach(new, self.also, self.generator(stage, "also"))
        practised = documents + self.teach(documents, self.tasks, self.generator(stage, "tasks")) + questions
        self.piles = [practised, more + questions, more]
        sizes = [n * len(pile) for n, pile in zip(self.epochs, self.piles, strict=True)]
        self.ends = [total / sum(sizes) for total in accumulate(sizes)]
        if not self._plain:
            stage.pools["new"] = []

    @property
    def _plain(self) -> bool:
        """Whether every phase with steps shows the new documents alone."""
        new = len(self.piles[2])
        alone = [not n or len(pile) == new for n, pile in zip(self.epochs, self.piles, strict=True)]
        return not self.also and not self.epochs[0] and all(alone)

    def batches(self, stream: Iterator[tuple[int, list[Batch]]], stage: Stage) -> Iterator[tuple[int, list[Batch]]]:
        for number, batches in stream:
            if not self._plain:
                phase = next(n for n, end in enumerate(self.ends) if self.done / stage.steps < end or n == 2)
                batches = [self._drawn(stage, phase, number) if b.role == "new" and b.keys else b for b in batches]
            yield number, batches

    def _drawn(self, stage: Stage, phase: int, number: int) -> Batch:
        """The next examples of a phase's pile, which is shuffled anew for every pass."""
        pile, chosen = self.piles[phase], []
        for place in range(number * stage.batch_size, (number + 1) * stage.batch_size):
            turn, at = divmod(place, len(pile))
            generator = self.generator(stage, "order", phase, turn)
            chosen.append(pile[int(torch.randperm(len(pile), generator=generator)[at])])
        return stage.batch(chosen, "new")

    def finished(self, step: Step) -> bool:
        self.done = step.index + 1
        return False

    def teach(
        self, documents: Sequence[dict[str, Any]], tasks: Sequence[str], generator: torch.Generator
    ) -> list[dict[str, Any]]:
        """The tasks of these names made from documents, as examples of which the answers are scored."""
        if not documents or not tasks:
            return []
        made = []
        for text in _texts(documents, self.stops):
            for name, prompt, answer in self._tasks(text, generator):
                if name in tasks and answer:
                    ids = [*text.lead, *prompt, *answer, *text.tail]
                    unscored = len(text.lead) + len(prompt)
                    made.append({"input_ids": ids, "labels": [IGNORE] * unscored + ids[unscored:]})
        return made

    def _tasks(self, text: _Text, generator: torch.Generator) -> Iterator[tuple[str, list[int], list[int]]]:
        """Name, prompt and answer of every task of a document."""
        words = {name: list(tokens) for name, tokens in self.words.items()}
        listed = [t for entity in text.entities for t in (*entity, self.blank)][:-1]
        yield "title", [*words["title"], *text.body], text.title
        yield "gist", [*words["gist"], *text.body], listed
        yield "teach", [*words["teach"], *text.title], text.body
        yield "flashcards", [*words["flashcards"], *text.title, self.blank, *listed], text.body

        def drawn(count: int) -> int:
            return int(torch.randint(count, (1,), generator=generator))

        for sentence in text.sentences:
            inside = [(at, e) for e in text.entities if (at := _find(sentence, e)) >= 0]
            at, entity = inside[drawn(len(inside))] if inside else (0, [])
            others = [e for e in text.entities if e != entity]
            claim, verdict = sentence, words["yes"]
            if inside and others and drawn(2):
                claim, verdict = _swap(sentence, at, entity, others[drawn(len(others))]), words["no"]
            yield "entailment", [*text.body, *words["entailment"], *claim], verdict
            if inside:
                gap = [*text.title, *_swap(sentence, at, entity, [self.blank])]
                if drawn(2):
                    yield "cloze", [*gap, *words["cloze"]], entity
                else:
                    yield "choice", [*gap, *words["choice"], *listed], entity
            cut = max((place for place, _ in inside), default=0) or len(sentence) // 2
            yield "completion", [*text.title, *words["completion"], *sentence[:cut]], sentence[cut:]

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done = state["done"]


def english(encode: Callable[[str], Sequence[int]]) -> dict[str, list[int]]:
    """The instructions in English, as tokens.

    >>> english(lambda text: [len(text)])["yes"]
    [3]
    """
    return {name: list(encode(phrase)) for name, phrase in PHRASES.items()}


@dataclass(frozen=True)
class _Text:
    """A document in parts, all of them tokens; `lead` and `tail` frame it."""

    lead: list[int]
    title: list[int]
    body: list[int]
    tail: list[int]
    sentences: list[list[int]]
    entities: list[list[int]]


def _texts(documents: Sequence[dict[str, Any]], stops: frozenset[int]) -> Iterator[_Text]:
    rows = [list(e["input_ids"]) for e in documents]
    several = len(rows) > 1
    lead = rows[0][:1] if several and len({tuple(r[:1]) for r in rows}) == 1 else []
    tail = rows[0][-1:] if several and len({tuple(r[-1:]) for r in rows}) == 1 else []
    common = Counter(t for r in rows for t in set(r))
    for example, row in zip(documents, rows, strict=True):
        labels = list(example.get("labels", row))
        first = max(next((i for i, y in enumerate(labels) if y != IGNORE), len(row)), len(lead))
        body = row[first : len(row) - len(tail)]
        rare = sorted(dict.fromkeys(body), key=lambda t: common[t])[:KEYWORDS]
        entities = [list(e) for e in example.get("entities", ([t] for t in sorted(rare, key=body.index)))]
        title = list(example.get("title", row[len(lead) : first])) or rare[:1]
        yield _Text(lead, title, body, tail, _sentences(body, stops), entities)


def _is_document(example: dict[str, Any]) -> bool:
    """Whether most of an example is scored: a document rather than a question with its answer."""
    labels = example.get("labels", example["input_ids"])
    return 2 * sum(y != IGNORE for y in labels) > len(labels)


def _sentences(body: list[int], stops: frozenset[int]) -> list[list[int]]:
    out: list[list[int]] = [[]]
    for token in body:
        out[-1].append(token)
        if token in stops:
            out.append([])
    return [s for s in out if s]


def _find(row: list[int], part: list[int]) -> int:
    """Where a row holds a part; -1 if it does not."""
    return next((i for i in range(len(row) - len(part) + 1) if row[i : i + len(part)] == part), -1) if part else -1


def _swap(row: list[int], at: int, old: list[int], new: list[int]) -> list[int]:
    return [*row[:at], *new, *row[at + len(old) :]]
