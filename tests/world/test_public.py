"""Public sets, read from folders like their publishers'."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from byheart.core.errors import BadInput
from byheart.world import public

REAL = Path(__file__).parents[3] / "shared" / "data"


def lines(path: Path, *rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def whole(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_tofu_brings_wordings_and_wrong_answers_where_it_has_them(tmp_path: Path) -> None:
    plain = {"question": "Who?", "answer": "She\u2028did."}
    more = {"paraphrased_question": "Who was it?", "paraphrased_answer": "It was she.", "perturbed_answer": ["He."]}
    lines(tmp_path / "forget01.json", plain, {**plain, **more})
    bare, full = public.tofu(tmp_path)
    assert bare == public.Question("Who?", ("She\u2028did.",))
    assert (full.wordings, full.also, full.wrong) == (("Who was it?",), ("It was she.",), ("He.",))


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "NQ-open.dev.jsonl").write_text('{"question": "q", "answer": ["a", "b"]}\n{"question"\n')
    with pytest.raises(BadInput, match="line 2"):
        public.nq_open(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"forget99\.json"):
        public.tofu(tmp_path, "forget99")


def test_the_stream_holds_out_where_the_source_has_no_test(tmp_path: Path) -> None:
    rows = [{"sentence": f"s{n}", "label": "yes"} for n in range(10)]
    for name in ("first", "second"):
        whole(tmp_path / name / "labels.json", ["yes", "no"])
        whole(tmp_path / name / "train.json", [*rows, {"sentence": "unclear", "label": "-"}])
    whole(tmp_path / "second" / "test.json", rows[:3])
    second, first = public.olora_stream(tmp_path, ["second", "first"])
    assert (len(first.train), len(first.test)) == (8, 2)
    assert not set(first.train) & set(first.test)
    assert (len(second.train), len(second.test)) == (10, 3)
    with pytest.raises(BadInput, match="third"):
        public.olora_stream(tmp_path, ["third"])


def test_a_story_goes_with_its_questions_until_the_next_begins(tmp_path: Path) -> None:
    (tmp_path / "qa1_single_test.txt").write_text(
        "1 Mary sat.\n2 Where? \tkitchen\t1\n3 John ran.\n4 Who ran? \tJohn\t3\n1 Ann fell.\n2 Who? \tAnn\t1\n"
    )
    first, second, third = public.babi(tmp_path, 1, "test")
    assert first.context == ("Mary sat.",)
    assert (second.context, second.evidence) == (("Mary sat.", "John ran."), (1,))
    assert (third.text, third.context, third.evidence) == ("Who?", ("Ann fell.",), (0,))


def test_passages_and_edits_and_puzzles(tmp_path: Path) -> None:
    probes = {f"{d}_{k}": [f"{d} {k}"] for d in ("mem", "gen", "hard_gen") for k in ("input", "target")}
    whole(tmp_path / "fictional_knowledge_paraphrased.json", [{"train_context": "t", "paraphrases": ["u"], **probes}])
    (passage,) = public.fictional_knowledge(tmp_path)
    assert passage.probes["gen"] == (("gen input", "gen target"),)
    keys = ("subject", "prompt", "ground_truth", "target_new", "rephrase_prompt", "locality_prompt")
    whole(tmp_path / "counterfact-edit-1k.json", [{k: k for k in (*keys, "locality_ground_truth")}])
    (edit,) = public.counterfact(tmp_path)
    assert (edit.true, edit.new, edit.elsewhere_true) == ("ground_truth", "target_new", "locality_ground_truth")
    lines(tmp_path / "test/clean/people3_num1.jsonl", {"quiz": "Who lies?", "solution_text": "Both."})
    assert public.knights_knaves(tmp_path, 3) == [public.Question("Who lies?", ("Both.",))]


def test_recall_keeps_lists_apart_and_lists_without_recall(tmp_path: Path) -> None:
    rows = ["subject,list,trial_type,item", "1,2,study,CAT", "1,2,study,DOG", "1,2,recall,DOG", "1,3,study,OX"]
    (tmp_path / "Morton2013_mixed.csv").write_text("\n".join(rows))
    assert public.free_recall(tmp_path) == [
        public.Recall("1", 2, ("CAT", "DOG"), ("DOG",)),
        public.Recall("1", 3, ("OX",), ()),
    ]


def test_texts(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "valid.raw.gz", "wt") as file:
        file.write("some text")
    (tmp_path / "input.txt").write_text("First Citizen:")
    lines(tmp_path / "expt3" / "unseen_data_1.json", {"sent": "New."})
    (tmp_path / "idontknow.jsonl").write_text("I do not know.\n\n")
    assert public.wikitext2(tmp_path, "valid") == "some text"
    assert public.tinyshakespeare(tmp_path) == "First Citizen:"
    assert public.recognition(tmp_path, seen=False, experiment=3, part=1) == ["New."]
    assert public.refusals(tmp_path) == ["I do not know."]


@pytest.mark.skipif(not (REAL / "tofu").is_dir(), reason="the public sets are not beside the checkout")
def test_the_sets_as_published() -> None:
    assert len(public.tofu(REAL / "tofu")) == 400
    assert all(q.wrong and q.wordings for q in public.tofu(REAL / "tofu", "retain_perturbed"))
    assert len(public.nq_open(REAL / "nq_open")) == 3610
    assert len(public.counterfact(REAL / "counterfact")) == 1000
    assert len(public.fictional_knowledge(REAL / "fictional_knowledge")) == 130
    assert all(len(public.babi(REAL / "babi", n, "test")) == 1000 for n in range(1, 21))
    assert all(t.train and t.test for t in public.olora_stream(REAL / "olora_stream"))
    assert {len(r.shown) for r in public.free_recall(REAL / "free_recall")} == {24}
    assert len(public.knights_knaves(REAL / "knights_knaves", 3, "train")) == 1000
