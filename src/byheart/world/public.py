"""Public sets as their publishers ship them, read from a folder: questions, labelled texts, passages, plain text.

Nothing is downloaded. Each function names the paper of its set and the files it reads.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from byheart.core.errors import BadInput
from byheart.world.stream.task import Task

Probe = Literal["mem", "gen", "hard_gen"]


@dataclass(frozen=True)
class Question:
    """A question, or a sentence to complete.

    `answers` are all right; `wrong` are answers that are not; `wordings` ask the same in other words; `also`
    are the first answer in other words; `context` is what must be read first, `evidence` the places in it that
    hold the answer.
    """

    text: str
    answers: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True)
class Edit:
    """A fact to be changed: the prompt, what is true, what it is to become, and prompts that must follow or stay."""

    subject: str
    prompt: str
    true: str
    new: str
    rephrased: str
    elsewhere: str
    elsewhere_true: str


@dataclass(frozen=True)
class Passage:
    """A passage about what does not exist, in other words too, and probes: (beginning, completion) by depth."""

    text: str
    paraphrases: tuple[str, ...]
    probes: dict[Probe, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Labelled:
    """A classification task in words: its labels, and (text, label) pairs to train and to test on."""

    name: str
    labels: tuple[str, ...]
    train: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Recall:
    """A list of a free-recall experiment: the items as shown, and as a person then recalled them."""

    person: str
    number: int
    shown: tuple[str, ...]
    recalled: tuple[str, ...]


def tofu(folder: Path, part: str = "forget01") -> list[Question]:
    """Questions about authors who do not exist, or a part about real ones (Maini et al. 2024, arXiv:2401.06121).

    `part` is a file's name: forget01, forget05, retain90, or with `_perturbed`, which brings wordings and wrong
    answers; real_authors_perturbed and world_facts_perturbed ask what a model should know.
    """
    return [
        Question(
            row["question"],
            (row["answer"],),
            wrong=_listed(row.get("perturbed_answer")),
            wordings=_listed(row.get("paraphrased_question")),
            also=_listed(row.get("paraphrased_answer") or row.get("original_answer")),
        )
        for row in _lines(folder / f"{part}.json")
    ]


def refusals(folder: Path) -> list[str]:
    """The refusals ("I do not know") of TOFU's `idontknow.jsonl`."""
    return [line for line in _text(folder / "idontknow.jsonl").splitlines() if line.strip()]


def nq_open(folder: Path) -> list[Question]:
    """Questions of NQ-open's development split with all their answers (Lee et al. 2019, arXiv:1906.00300)."""
    return [Question(row["question"], tuple(row["answer"])) for row in _lines(folder / "NQ-open.dev.jsonl")]


def counterfact(folder: Path) -> list[Edit]:
    """A thousand edits in EasyEdit's form of CounterFact (Meng et al. 2022, arXiv:2202.05262)."""
    return [
        Edit(
            subject=row["subject"],
            prompt=row["prompt"],
            true=row["ground_truth"],
            new=row["target_new"],
            rephrased=row["rephrase_prompt"],
            elsewhere=row["locality_prompt"],
            elsewhere_true=row["locality_ground_truth"],
        )
        for row in _json(folder / "counterfact-edit-1k.json")
    ]


def fictional_knowledge(folder: Path) -> list[Passage]:
    """Passages with probes of memory, of meaning and of composition (Chang et al. 2024, arXiv:2406.11813)."""
    depths: tuple[Probe, ...] = ("mem", "gen", "hard_gen")
    return [
        Passage(
            row["train_context"],
            tuple(row.get("paraphrases", ())),
            {d: tuple(zip(row[f"{d}_input"], row[f"{d}_target"], strict=True)) for d in depths},
        )
        for row in _json(folder / "fictional_knowledge_paraphrased.json")
    ]


def recognition(folder: Path, *, seen: bool, experiment: int = 1, part: int = 0) -> list[str]:
    """Sentences that were shown, or not, in experiments on recognition (Orhan 2023, arXiv:2303.17557)."""
    name = f"{'seen' if seen else 'unseen'}_data_{part}.json"
    return [row["sent"] for row in _lines(folder / f"expt{experiment}" / name)]


def olora_stream(folder: Path, names: Sequence[str] | None = None, *, held_out: float = 0.2) -> list[Labelled]:
    """Tasks of the stream of O-LoRA (Wang et al. 2023, arXiv:2310.14152), all or those named, in that order.

    Where the source gives no test part, the last `held_out` of the training part is taken for it. Texts whose
    label is none of the task's (MNLI has some on which annotators did not agree) are left out.
    """
    folders = {p.parent.name: p.parent for p in sorted(folder.glob("*/labels.json"))}
    missing = [n for n in names or () if n not in folders]
    if not folders or missing:
        raise BadInput(
            f"{folder} has no task {', '.join(missing) or 'at all'}; give one of: {', '.join(folders) or 'none'}"
        )
    out = []
    for name in names or folders:
        labels = tuple(_json(folders[name] / "labels.json"))
        train = _pairs(folders[name] / "train.json", labels)
        if (folders[name] / "test.json").is_file():
            test = _pairs(folders[name] / "test.json", labels)
        else:
            cut = round(len(train) * (1 - held_out))
            train, test = train[:cut], train[cut:]
        out.append(Labelled(name, labels, train, test))
    return out


def as_task(task: Labelled, example: Any, *, train: int | None = None, test: int | None = None) -> Task:
    """A labelled task for a language model: the text and its labels as the question, the label as the answer.

    `example(question, answer)` makes a training example of both, such as a language model's `example`.

    >>> as_task(Labelled("mood", ("Good", "Bad"), (("Fine.", "Good"),), ()), lambda q, a: (q, a)).train
    [('Fine.\\nOptions: Good, Bad\\nAnswer:', 'Good')]
    """

    def rows(pairs: Sequence[tuple[str, str]]) -> list[Any]:
        ending = f"\nOptions: {', '.join(task.labels)}\nAnswer:"
        return [example(text.rstrip() + ending, label) for text, label in pairs]

    return Task(task.name, rows(task.train[:train]), rows(task.test[:test]))


def babi(folder: Path, task: int = 1, split: Literal["train", "test"] = "train") -> list[Question]:
    """One of bAbI's twenty tasks (Weston et al. 2015, arXiv:1502.05698): the story so far goes with each question."""
    files = sorted(folder.glob(f"**/qa{task}_*_{split}.txt"))
    if not files:
        raise BadInput(
            f"{folder} holds no file qa{task}_..._{split}.txt; give the folder of bAbI and a task of 1 to 20"
        )
    out: list[Question] = []
    story: list[str] = []
    places: dict[int, int] = {}
    for line in _text(files[0]).splitlines():
        number, sentence = line.split(" ", 1)
        if number == "1":
            story, places = [], {}
        if "\t" not in sentence:
            places[int(number)] = len(story)
            story.append(sentence.strip())
            continue
        question, answer, support = sentence.split("\t")
        evidence = tuple(places[int(n)] for n in support.split())
        out.append(Question(question.strip(), (answer,), context=tuple(story), evidence=evidence))
    return out


def knights_knaves(
    folder: Path,
    people: int = 2,
    split: Literal["train", "test"] = "test",
    kind: Literal["clean", "perturbed_leaf", "perturbed_statement"] = "clean",
) -> list[Question]:
    """Puzzles of knights and knaves, as they are or changed a little (Xie et al. 2024, arXiv:2410.23123)."""
    files = sorted((folder / split / kind).glob(f"people{people}_*.jsonl"))
    if not files:
        raise BadInput(
            f"{folder} holds no {split}/{kind}/people{people}_*.jsonl; give another people=, split= or kind="
        )
    return [Question(row["quiz"], (row["solution_text"],)) for row in _lines(files[0])]


def wikitext2(folder: Path, split: Literal["train", "valid", "test"] = "test") -> str:
    """A split of WikiText-2, raw (Merity et al. 2016, arXiv:1609.07843)."""
    return _text(folder / f"{split}.raw.gz")


def tinyshakespeare(folder: Path) -> str:
    """A million characters of Shakespeare's plays (Karpathy 2015)."""
    return _text(folder / "input.txt")


def pieces(text: str, count: int, characters: int = 1100) -> list[str]:
    """So many pieces of a text, spread evenly from its beginning.

    >>> pieces("abcdefghi", 3, characters=2)
    ['ab', 'de', 'gh']
    """
    if count < 1:
        raise BadInput(f"{count} pieces are none; give 1 or more")
    step = len(text) // count
    return [text[i * step : i * step + characters] for i in range(count)]


def free_recall(folder: Path) -> list[Recall]:
    """Lists of words and what people recalled of them (Morton et al. 2013), from `Morton2013_mixed.csv`."""
    shown: dict[tuple[str, int], list[str]] = {}
    recalled: dict[tuple[str, int], list[str]] = {}
    for row in csv.DictReader(_text(folder / "Morton2013_mixed.csv").splitlines()):
        key = row["subject"], int(row["list"])
        (shown if row["trial_type"] == "study" else recalled).setdefault(key, []).append(row["item"])
    return [Recall(*key, tuple(items), tuple(recalled.get(key, ()))) for key, items in shown.items()]


def _pairs(path: Path, labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((row["sentence"], row["label"]) for row in _json(path) if row["label"] in labels)


def _listed(value: Any) -> tuple[str, ...]:
    return () if not value else (value,) if isinstance(value, str) else tuple(value)


def _text(path: Path) -> str:
    if not path.is_file():
        raise BadInput(f"no file {path.name} in {path.parent}; give the folder as its publisher ships it")
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.read()
    return path.read_text(encoding="utf-8")


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as wrong:
        raise BadInput(f"{path.name} is not JSON ({wrong}); restore it from its publisher") from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_text(path).split("\n"), 1):  # strings may hold other line separators
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as wrong:
            raise BadInput(f"{path.name}, line {number} is not JSON ({wrong}); restore it from its publisher") from None
