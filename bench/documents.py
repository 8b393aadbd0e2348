"""Ten documents of ten kinds, and what their readers would ask: answered from the text, and from weights alone.

The documents and questions (`bench/documents`, see its README) were written before what is measured on them, and
nothing is tuned on them; `--set dev` takes those that rules may be tuned on.

    python bench/documents.py read --out bench/results/documents-read.json
    python bench/documents.py ask --out bench/results/documents-ask.json
    python bench/documents.py learn --kinds manual policy --out bench/results/documents-learn.json
    python bench/documents.py learn --arm trl --arm trl-lessons ...

`read` and `ask` remember all documents in a single memory. `read` counts where the stretch of text that would be shown
to the model holds the answer. Of `ask`, an answer is right where the reply contains the gold answer or an
accepted form of it; a reply may be a statement of the text, so its words are counted too. Of questions that the
document does not answer, silence is right. `learn` makes a memory for each document, teaches it at the default recipe
and budget, and asks the readers' questions closed-book, beside the memory's own exam; the arms `trl` and `trl-lessons`
are TRL's SFTTrainer on the raw text and on the same lessons, with as many examples.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from byheart import Memory
from byheart.core.records import Item
from byheart.exam import general
from byheart.exam.match import right
from byheart.exam.recall import recall
from byheart.memory.asking import find
from byheart.memory.lessons import lessons_in
from byheart.memory.recipe import EXPOSURES
from byheart.models import load
from byheart.models.lm import LanguageModel
from byheart.recall.read.evidence import evidence
from byheart.recall.write.chunks import Chunks
from byheart.study.base.peer import sft

HERE = Path(__file__).parent / "documents"
Row = dict[str, Any]


def questions(folder: Path, kind: str) -> list[Row]:
    """The rows of a kind: question, answer (None where the document does not say), accept."""
    return [json.loads(line) for line in (folder / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()]


def items(rows: list[Row]) -> list[Item]:
    """The answerable questions as exam items."""
    answerable = [r for r in rows if r["answer"] is not None]
    return [
        Item(id=f"q{n}", question=r["question"], answer=r["answer"], accept=tuple(r["accept"]), probe="reader")
        for n, r in enumerate(answerable)
    ]


def ask(folder: Path, kinds: list[str], model: str, form: str) -> Row:
    """Shares by kind: right and unanswered of what the documents answer, silent of what they do not."""
    by_kind: Row = {}
    with tempfile.TemporaryDirectory() as home, Memory.open(home, model=model, embedder="minilm") as memory:
        for kind in kinds:
            memory.remember(folder / f"{kind}.md")
        for kind in kinds:
            rows = questions(folder, kind)
            started = time.perf_counter()
            replies = [memory.ask(r["question"], form=form) for r in rows]  # type: ignore[arg-type]
            replied = [a for a, r in zip(replies, rows, strict=True) if r["answer"] is not None]
            answerable = list(zip(replied, items(rows), strict=True))
            by_kind[kind] = {
                "right": sum(right(a.text, i) for a, i in answerable),
                "not_known": sum(a.form == "none" for a, _ in answerable),
                "of": len(answerable),
                "silent": sum(a.form == "none" for a, r in zip(replies, rows, strict=True) if r["answer"] is None),
                "unanswerable": len(rows) - len(answerable),
                "words": round(statistics.mean(len(a.text.split()) for a, _ in answerable), 1),
                "seconds": round(time.perf_counter() - started, 1),
            }
            print(form, kind, json.dumps(by_kind[kind]), flush=True)
    total = {k: sum(v[k] for v in by_kind.values()) for k in ("right", "not_known", "of", "silent", "unanswerable")}
    return {"share_right": total["right"] / total["of"], **total, "kinds": by_kind}


def read(folder: Path, kinds: list[str]) -> Row:
    """By kind, of how many questions the stretch of text that would be read holds the answer; no model answers."""
    by_kind: Row = {}
    with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder="minilm") as memory:
        for kind in kinds:
            memory.remember(folder / f"{kind}.md")
        for kind in kinds:
            asked = items(questions(folder, kind))
            best = [evidence(i.question, find(memory, i.question, 6).hits, memory.remembered)[0] for i in asked]
            by_kind[kind] = sum(right(e.text, i) for e, i in zip(best, asked, strict=True))
    return {"holds": sum(by_kind.values()), "of": 20 * len(kinds), "kinds": by_kind}


def learn(folder: Path, kind: str, model: str, arm: str, seed: int) -> Row:
    """Closed-book on a reader's questions after teaching one document, and what teaching cost."""
    asked, path = items(questions(folder, kind)), folder / f"{kind}.md"
    row: Row = {}
    with tempfile.TemporaryDirectory() as home:
        started = time.perf_counter()
        if arm == "default":
            with Memory.open(Path(home) / "memory", model=model, embedder="hash") as memory:
                untaught = recall(memory.at_head().lm, asked)
                started = time.perf_counter()
                done = memory.learn(path, seed=seed)
                row |= {"seconds": time.perf_counter() - started, "committed": done.committed, "reason": done.reason}
                row |= {"report": done.report, "untaught": sum(r.value for r in untaught)}
                results = recall(memory.at_head().lm, asked)
        else:
            lm = load(model)
            before = general.mean_loss(general.loss(lm)), sum(r.value for r in general.common(lm))
            started = time.perf_counter()
            lm = _trl(lm, path, home, arm == "trl-lessons", seed)
            row["seconds"] = time.perf_counter() - started
            row["general_rise"] = general.mean_loss(general.loss(lm)) / before[0] - 1
            row["quiz"] = [before[1], sum(r.value for r in general.common(lm))]
            results = recall(lm, asked)
    row |= {"right": sum(r.value for r in results), "of": len(asked), "replies": [r.detail["said"] for r in results]}
    row["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {**row, "seconds": round(row["seconds"], 1)}


def _trl(lm: LanguageModel, path: Path, home: str, with_lessons: bool, seed: int) -> LanguageModel:
    """The model after SFTTrainer at its own defaults: on the lessons, or on the text as often as it has lessons."""
    drafts = Chunks().write(path)
    lessons = lessons_in(drafts)
    rows: list[Row] = [{"text": d.text} for d in drafts]
    if with_lessons:
        rows = [
            {"prompt": [{"role": "user", "content": w}], "completion": [{"role": "assistant", "content": x.answer}]}
            for x in lessons
            for w in (x.question, *x.wordings)
        ]
    epochs = max(1, EXPOSURES * len(lessons) // len(rows)) if with_lessons else EXPOSURES
    trainer = sft(lm, rows, home, per_device_train_batch_size=min(20, len(rows)), num_train_epochs=epochs, seed=seed)
    trainer.train()
    return LanguageModel(trainer.model, lm.tokenizer, lm.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ask", "read", "learn"], nargs="?", default="ask")
    parser.add_argument("--set", choices=["held", "dev"], default="held")
    parser.add_argument("--kinds", nargs="*")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--arm", action="append", choices=["default", "trl", "trl-lessons"])
    parser.add_argument("--form", action="append", choices=["text", "auto"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON; what is there already is not measured again")
    given = parser.parse_args()
    folder = HERE if given.set == "held" else HERE / "dev"
    kinds = given.kinds or sorted(p.stem for p in folder.glob("*.jsonl"))
    whole: Row = {"bench": "documents", "set": given.set, "model": given.model, "seed": given.seed}
    if given.out and given.out.exists():
        whole = json.loads(given.out.read_text(encoding="utf-8"))
    if given.what == "read":
        whole["read"] = read(folder, kinds)
        print(json.dumps(whole["read"]), flush=True)
        if given.out:
            given.out.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    jobs = [(f, "") for f in given.form or ["text", "auto"]] if given.what == "ask" else []
    jobs = jobs or [(arm, kind) for arm in given.arm or ["default"] for kind in kinds]
    for name, kind in jobs:
        place = whole.setdefault(given.what, {})
        if name in place and (not kind or kind in place[name]):
            continue
        if kind:
            place.setdefault(name, {})[kind] = learn(folder, kind, given.model, name, given.seed)
            print(name, kind, json.dumps({k: v for k, v in place[name][kind].items() if k != "replies"}), flush=True)
        else:
            place[name] = ask(folder, kinds, given.model, name)
            print(name, json.dumps({k: v for k, v in place[name].items() if k != "kinds"}), flush=True)
        if given.out:
            given.out.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
