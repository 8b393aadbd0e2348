"""ARM-RAG: solutions of problems are stored, and shown for a new problem of the same structure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from byheart.core.errors import BadInput
from byheart.core.protocols import Subject
from byheart.core.records import Engram, Op
from byheart.recall.write.atomic_facts import made_from
from byheart.recall.write.chunks import Chunks, Source
from byheart.recall.write.verbs import PARTICIPLES, PAST, THIRD

_PROMPT = "Solve the problem step by step. End with: The answer is ...\n\n"
_STRUCTURE = frozenset(
    (
        "a about add added adds after again all altogether also among an and another any apart are as at away back be "
        "because been before below between both but by can could did divide divided divides do does double each "
        "earlier earn earned earns eat eaten eats either else end ends enough equal equally even evenly ever every "
        "everyone everything extra fewer few fill filled fills find finds first for from gave get gets give given "
        "gives gone got had half has have he her hers him his how if in into is it its last later least leaves left "
        "less lose loses lost made make makes many may more most much must need needs neither next no none not now "
        "number of off on once one only or other others out over own owned owns per put puts receive received "
        "receives rest same second share shared shares she should so some spend spends spent split splits spread "
        "spreads still than that the their them then there these they third this those through times to together too "
        "total twice two under until up use used was were what when which while who whole whom whose why will with "
        "within without would yet"
    ).split()
)
_VERBS = (
    frozenset(THIRD)
    | frozenset(THIRD.values())
    | frozenset(PAST)
    | frozenset(PARTICIPLES)
    | frozenset("broke break broken breaks brings brought count counts found holds remain remained remains".split())
)
_BEFORE_NOUNS = frozenset("a an the of many more fewer less other others another every some no".split())
_NAMES = "Ada Bix Cole Dov Ema Fay Gus Hal".split()
_THINGS = "dax wug fep blick zav toma gorp kiv lum nesk pim rell sorb tiv vash yop".split()


class ArmRAG:
    """Writes an engram for each solved problem: the problem, the reasoning that solved it, and the answer.

    A frozen language model learns nothing from its successes. Stored, a chain of reasoning that led to the right answer
    is an example for the next problem. What sounds alike is often solved otherwise, so problems are compared after
    `obfuscate`: names and things give way to invented ones, and what is left is the structure.

        M = {(p, r, a) : r drawn from LM(p), answer(r) = a};  example for p' = argmax_p cos(o(p'), o(p))

    A problem is an entry with `question` and `answer`; its solution is its `rationale`, or what a `subject` writes.
    What solves nothing is dropped; a passage that is no problem, and a problem that nobody solved, stay as they are.

    `text` is problem and reasoning, `metadata["rationale"]` the reasoning alone, `metadata["of"]` the passage's number
    as `Chunks` counts. What is to be encoded is the problem (`keys`), what is to be searched by is `query`, and what
    the solver reads is `prompt`.

    Parameters
    ----------
    copies: solutions that a subject writes for each problem. keep: right solutions stored for each problem.
    temperature: of drawing them; with 0 a single solution is written. tokens: the longest solution.
    obfuscated: whether `keys` and `query` are; off, problems are compared as they are.

    Departs from the paper: rules take the place of GPT-3.5 in obfuscation, and the invented words are given in the
    order in which things are met, not at random, so that two problems of the same structure become alike. The rationale
    is no part of the key, and examples are compared with a query that is obfuscated alike.

    Nothing is learned but the stored solutions. Behind a `Memory` solved problems match by their own words, because
    its index has the texts: obfuscation is for an index of your own, made of `keys` and searched by `query`.

    >>> import tempfile
    >>> from byheart import Memory
    >>> with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder="hash") as memory:
    ...     posed = {"question": "Ann has 3 pens and gets 4. How many?", "answer": "7", "rationale": "3 + 4 = 7."}
    ...     _ = memory.remember([posed], write="arm-rag")
    ...     new = "Bo has 2 pens and gets 5. How many?"
    ...     solved = [h.text for h in memory.recall(new, k=1)]
    ...     print(memory.methods.get("arm-rag").prompt(new, solved).split("\\n\\n")[1])
    Question: Ann has 3 pens and gets 4. How many?
    Answer: 3 + 4 = 7.
    >>> obfuscate("Ann has 3 boxes of pens. How many pens does Ann have?")
    'Ada has 3 daxes of wugs. How many wugs does Ada have?'

    References: Melz 2023, arXiv:2311.04177; https://github.com/ericmelz/arm-rag, util.py and obfuscator.py.
    """

    name: ClassVar[str] = "arm-rag"
    paper: ClassVar[str] = "arm-rag"
    arxiv: ClassVar[str] = "2311.04177"

    takes_pairs = True  # pairs of question and answer are what it writes about; other writers leave them as they are

    def __init__(
        self, *, copies: int = 5, keep: int = 1, temperature: float = 1.0, tokens: int = 96, obfuscated: bool = True
    ) -> None:
        if min(copies, keep, tokens) < 1:
            raise BadInput(f"copies={copies}, keep={keep}, tokens={tokens}: give 1 or more of each")
        if not 0 <= temperature < 10:
            raise BadInput(f"temperature={temperature}: give 0 or more, and less than 10; the default is 1")
        self.copies, self.keep, self.temperature, self.tokens = copies, keep, temperature, tokens
        self.obfuscated = obfuscated

    def write(self, source: Source, subject: Subject | None = None, *, seed: int = 0) -> list[Op]:
        """Additions in the order of the source, no solution of a problem twice. Takes and refuses what `Chunks` does.

        `seed` is that of the subject's draws.
        """
        passages = Chunks().write(source)
        posed = list(dict.fromkeys(e.question for e in passages if e.question and e.answer))
        solved = dict(zip(posed, self._solved(posed, subject, seed), strict=True)) if subject is not None else {}
        count: dict[str | None, int] = {}
        out: list[Op] = []
        for passage in passages:
            for text, rationale in self._of(passage, solved if subject is not None else None):
                position = count.get(passage.source, 0)
                count[passage.source] = position + 1
                made = made_from(passage, text, position, rationale=rationale)
                pair = made.model_copy(update={"question": passage.question, "answer": passage.answer})
                out.append(Op(kind="add", engram=pair))
        return out

    def keys(self, engrams: Sequence[Engram]) -> list[str]:
        """What is to be encoded of each engram: its problem, or its text where it has none, as in `query`."""
        return [self.query(e.question or e.text) for e in engrams]

    def query(self, problem: str) -> str:
        """What to search by for a new problem: obfuscated, if that is on."""
        return obfuscate(problem) if self.obfuscated else problem

    @staticmethod
    def prompt(problem: str, solved: Sequence[str] = ()) -> str:
        """The prompt for the solver: the texts of solved problems, the best last, then the new problem."""
        shown = "".join(f"Question: {text}\n\n" for text in reversed(solved))
        return f"{_PROMPT}{shown}Question: {problem}\nAnswer:"

    def _solved(self, posed: Sequence[str], subject: Subject, seed: int) -> list[list[str]]:
        """For each problem what the subject wrote, in order, each once."""
        copies = self.copies if self.temperature else 1
        prompts = [self.prompt(p) for p in posed]
        drawn = subject.generate(
            prompts, max_tokens=self.tokens, temperature=self.temperature, copies=copies, seed=seed
        )
        return [list(dict.fromkeys(solution(d.text) for d in some)) for some in drawn]

    def _of(self, passage: Engram, solved: dict[str, list[str]] | None) -> Iterator[tuple[str, str]]:
        """Texts and rationales that a passage gives."""
        question, answer = passage.question, passage.answer
        given = passage.metadata.get("rationale")
        if not question or not answer or (solved is None and not isinstance(given, str)):
            yield passage.text, ""
            return
        tried = solved[question] if solved is not None else [str(given)]
        right = [r for r in tried if r and solves(r, answer)]
        for rationale in right[: self.keep]:
            yield f"{question}\nAnswer: {rationale}", rationale


def solution(text: str) -> str:
    """The solution that a continuation begins with: up to a blank line, the next question, or the stated answer.

    >>> solution(" 3 + 4 = 7. The answer is 7. The answer is 7.\\n\\nQuestion: What")
    '3 + 4 = 7. The answer is 7.'
    """
    text = text.encode("utf-8", "ignore").decode().replace("\0", "")
    first = re.split(r"\n\s*\n|\n?Question:", text.strip(), maxsplit=1)[0].strip()
    stated = re.search(r"answer is:?[^\n]*?\d(?:[\d,]*\d)?(?:\.\d+)?\.?", first, re.I)
    return first[: stated.end()] if stated else first


def solves(rationale: str, answer: str) -> bool:
    """Whether a solution ends in the answer: its last number, or for other answers its last sentence, has it.

    >>> solves("3 * 4 = 12. The answer is 12.", "12"), solves("12 - 4 = 8", "12"), solves("So it is Ann.", "ann")
    (True, False, True)
    """
    wanted = answer.strip().replace(",", "").casefold()
    numbers = re.findall(r"-?\d+(?:\.\d+)?", rationale.replace(",", ""))
    if re.fullmatch(r"-?\d+(\.\d+)?", wanted):
        return bool(numbers) and float(numbers[-1]) == float(wanted)
    last = re.split(r"[.!?]\s", rationale.strip())[-1].casefold()
    result, right = (" ".join(re.findall(r"\w+", t)) for t in (last, wanted))
    return bool(right) and f" {right} " in f" {result} "


def obfuscate(text: str) -> str:
    """A problem with its names and things replaced by invented ones, in the order they are met.

    A thing is what is neither a number, a word of structure (how many, each, twice, ...) nor a known verb; adjacent
    words of a thing count as one word, and keep an "s" of the plural.

    >>> obfuscate("At the mill 12 sacks of fresh flour arrive. How many sacks arrive?")
    'At the dax 12 wugs of fep arrive. How many wugs arrive?'
    """
    names: dict[str, str] = {}
    things: dict[str, str] = {}
    out: list[str] = []
    before, run = "", ""
    start = True
    for space, word in re.findall(r"(\s*)([A-Za-z]+(?:['’]s)?|\d[\d.,]*\d|\d|\S)", text):
        low = word.lower().replace("’", "'")
        kind = _kind(word, before, start)
        if kind != "thing" and run:
            out.append(run[: len(run) - len(run.lstrip())] + _thing(run.split()[-1], things))
            run = ""
        if kind == "thing":
            run = f"{run} {low}" if run else f"{space}{low}"
        elif kind == "name":
            out.append(space + names.setdefault(low.removesuffix("'s"), _NAMES[len(names) % len(_NAMES)]))
            out.append("'s" if low.endswith("'s") else "")
        else:
            out.append(space + word)
        before = low
        start = word in ".!?"
    if run:
        out.append(run[: len(run) - len(run.lstrip())] + _thing(run.split()[-1], things))
    return "".join(out)


def _kind(word: str, before: str, start: bool) -> str:
    """Whether a word is a name, a thing, or stays."""
    low = word.lower().replace("’", "'")
    if not word[0].isalpha() or low in _STRUCTURE:
        return "kept"
    if word[0].isupper() and (not start or low.endswith("'s") or not (low in _VERBS or low.endswith("s"))):
        return "name"
    noun = before in _BEFORE_NOUNS or before[:1].isdigit() or before.endswith("'s")
    if not noun and (low in _VERBS or low.endswith(("ly", "ing"))):
        return "kept"
    return "thing"


def _thing(word: str, things: dict[str, str]) -> str:
    """The invented word for a thing, in the plural where it is."""
    stem = re.sub(r"(?<=[^s])s$", "", re.sub(r"(?<=[sxh])es$", "", word))
    made = things.setdefault(stem, _THINGS[len(things) % len(_THINGS)])
    if stem == word:
        return made
    return made + ("es" if made[-1] in "sxh" else "s")
