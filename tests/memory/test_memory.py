"""The front door on a tiny model: every verb, transactions, and what the certificate claims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from byheart import Memory
from byheart.core.errors import BadInput, Busy, Conflict, Full, Unknown
from byheart.core.records import Result
from byheart.exam.recall import ask
from byheart.memory import audit
from byheart.world.facts.people import people

LOOSE = 100.0


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "brain", model="tiny", embedder="hash") as opened:
        yield opened


def facts(n: int = 2, seed: int = 5) -> list[dict[str, object]]:
    world = people(n, seed=seed)
    return [
        {**f.pair, "paraphrases": list(f.paraphrases), "reverse": {"question": f.reverse, "answer": f.subject}}
        for person in world
        for f in person[:3]
    ]


def schooled(folder: Path) -> str:
    """A tiny model that has read the general passages, in a folder."""
    from byheart.exam.general import passages
    from byheart.models import load
    from byheart.train.loop import Settings, train

    lm = load("tiny")
    examples = [lm.text_example(p) for p in passages()]
    train(lm.model, examples, (), Settings(lr=5e-3, steps=90, batch_size=6, max_length=256))
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return str(folder)


def weights(memory: Memory) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in memory.model.named_parameters()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def test_a_new_memory_has_the_model_as_it_came(memory: Memory) -> None:
    assert [v.id for v in memory.log()] == ["v0"]
    assert memory.check() == []


def test_learn_commits_a_version_and_the_exam_is_stored(memory: Memory) -> None:
    before = weights(memory)
    learned = memory.learn(facts(), strategy="plain", budget=LOOSE)
    assert learned.committed
    assert learned.version == "v1"
    assert len(learned.taught) == 6
    assert not equal(before, weights(memory))
    figures = memory.exam()["exams"]
    assert figures["recall/direct"]["n"] == 6
    assert figures["recall/paraphrase"]["n"] == 12
    assert figures["recall/reversed"]["n"] == 6
    assert figures["general/kl"]["mean"] > 0
    assert {e.version for e in memory.store.get(list(learned.taught))} == {"v1"}
    assert memory.store.get([learned.taught[0]])[0].forms == ("text", "weights")


def test_over_budget_everything_is_put_back(tmp_path: Path) -> None:
    noise = [{"question": f"§ {n} §", "answer": "§¤¶" * 40} for n in range(4)]
    with Memory.open(tmp_path / "schooled", model=schooled(tmp_path / "model"), embedder="hash") as memory:
        before = weights(memory)
        learned = memory.learn(noise, strategy="plain", budget=0.0)
        assert not learned.committed
        assert learned.report["general_rise"] > 0
        assert "budget" in learned.reason
        assert equal(before, weights(memory))
        assert [v.id for v in memory.log()] == ["v0"]
        assert memory.store.count() == 0
        assert list(memory.folder.work.iterdir()) == []


@pytest.mark.parametrize(("kept", "committed"), [(0, False), (285, False), (297, True)])
def test_the_budget_counts_the_quiz_as_far_as_it_surely_fell(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, kept: int, committed: bool
) -> None:
    from byheart.exam import general

    asked: list[int] = []

    def common(_lm: Any, *, version: str | None = None) -> list[Result]:
        asked.append(1)
        right = len(general.quiz()) if len(asked) == 1 else kept
        return [
            Result(exam="recall/quiz", item=i.id, value=float(n < right), version=version)
            for n, i in enumerate(general.quiz())
        ]

    monkeypatch.setattr(general, "common", common)
    monkeypatch.setattr(general, "mean_loss", lambda _results: 1.0)
    learned = memory.learn(facts(1), strategy="plain", budget=0.01, least=0.0)
    assert learned.committed is committed
    assert learned.report["quiz_after"] == pytest.approx(kept / 300)
    assert committed or "quiz of common knowledge fall from 100%" in learned.reason


def test_revert_is_exact_and_exports_load_anywhere(memory: Memory, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    zero = weights(memory)
    memory.learn(facts(1), strategy="plain", budget=LOOSE)
    one = weights(memory)
    memory.learn(facts(1, seed=9), strategy="lora", budget=LOOSE)
    two = weights(memory)
    assert not equal(one, two)
    for name, wanted in (("v0", zero), ("v2", two), ("v1", one)):
        memory.revert(name)
        assert equal(weights(memory), wanted), name
    memory.export(tmp_path / "out", version="v2")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert equal(dict(loaded.named_parameters()), two)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template
    assert equal(weights(memory), one)
    with pytest.raises(Conflict, match="was not learned as an adapter"):
        memory.export(tmp_path / "none", version="v1", adapter=True)


def test_an_adapter_version_exports_as_peft(memory: Memory, tmp_path: Path) -> None:
    from peft import PeftModel

    base = memory.model
    ids = torch.tensor([[5, 6, 7, 8]])
    memory.learn(facts(1), strategy="lora", budget=LOOSE)
    merged = memory.model(input_ids=ids).logits
    memory.export(tmp_path / "adapter", adapter=True)
    memory.revert("v0")
    base = memory.model
    plain = base(input_ids=ids).logits
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()(input_ids=ids).logits
    assert not torch.allclose(plain, merged, atol=1e-4)
    assert torch.allclose(adapted, merged, atol=1e-4)


def test_forgetting_a_person_relearns_the_rest(memory: Memory) -> None:
    told = facts(2)
    memory.learn(told[:3], strategy="plain", budget=LOOSE)
    memory.learn(told[3:], strategy="plain", budget=LOOSE)
    name = people(2, seed=5)[0][0].subject
    gone = [e.id for e in memory.store.all() if name in e.text]
    certificate = memory.forget(name, k=4)
    assert certificate.passed, str(certificate)
    assert set(certificate.forgotten) == set(gone)
    assert certificate.method == "relearn"
    assert [v.erased for v in memory.store.versions()] == [False, True, True, False]
    assert set(memory.head.summary) >= {"recall", "general_before", "general_after", "lost_share"}
    assert memory.recall(name, k=10) == [] or all(name not in h.text for h in memory.recall(name, k=10))
    with pytest.raises(Conflict, match="erased"):
        memory.revert("v1")
    assert memory.check() == []


def test_relearning_gives_the_weights_of_never_having_been_taught(tmp_path: Path) -> None:
    told = facts(2)
    with Memory.open(tmp_path / "a", model="tiny", embedder="hash") as a:
        a.learn(told, strategy="plain", budget=LOOSE)
        a.forget(told[:3], k=2)
        forgot = weights(a)
    with Memory.open(tmp_path / "b", model="tiny", embedder="hash") as b:
        b.learn(told[3:], strategy="plain", budget=LOOSE)
        never = weights(b)
    assert equal(forgot, never)


def test_the_audit_refuses_a_folder_that_still_holds_it(memory: Memory) -> None:
    memory.learn(facts(1), strategy="plain", budget=LOOSE)
    (memory.folder.path / "copy.txt").write_text("…" + str(facts(1)[0]["answer"]))
    certificate = memory.forget(facts(1)[:1], k=2)
    assert not certificate.passed
    assert [c.name for c in certificate.checks if c.passed is False] == ["bytes of it in files of the folder"]


def test_the_audit_refuses_weights_that_still_know_it(memory: Memory) -> None:
    """The live model is left untouched after teaching: every check of the weights must see it."""
    pairs = facts(1)
    for _ in range(3):
        memory.learn(pairs, strategy="plain", budget=LOOSE)
    lessons = memory.lessons_of(memory.head)[:3]
    from byheart.train.loop import Settings, train

    lm = memory.at_head().lm
    name = people(2, seed=5)[0][0].subject
    examples = [lm.example(ask(x.question), x.answer) for x in lessons]
    others = [lm.example(ask(x.question.replace(name, n)), "nobody") for n in audit.STAND_INS[:6] for x in lessons]
    examples = examples * 6 + others
    train(lm.model, examples, (), Settings(lr=4e-3, steps=200, batch_size=12, seed=0))
    start = memory.store.version("v0")
    checks, _ = audit.weights(memory, [], lessons, [], start, k=4, seed=0, progress=None)
    failed = {c.name for c in checks if c.passed is False}
    assert {"leak@4", "membership by loss", "membership by Min-K%++", "relearning speed"} <= failed


def test_exported_pages_are_written_anew(memory: Memory, tmp_path: Path) -> None:
    memory.learn(facts(1), strategy="plain", budget=LOOSE)
    page = memory.report(tmp_path / "page.html")
    answer = str(facts(1)[0]["answer"])
    assert answer in page.read_text()
    memory.forget(facts(1)[:1], k=2)
    assert answer not in page.read_text()


def test_an_exported_checkpoint_is_named_not_passed_over(memory: Memory, tmp_path: Path) -> None:
    memory.learn(facts(1), strategy="plain", budget=LOOSE)
    memory.export(tmp_path / "out")
    certificate = memory.forget(facts(1)[:1], k=2)
    assert not certificate.passed
    assert any(str(tmp_path / "out") in c.detail for c in certificate.checks)


def test_bad_input_changes_nothing(memory: Memory) -> None:
    with pytest.raises(Unknown, match="did you mean 'ewc'"):
        memory.learn(facts(1), strategy="ewcc")
    with pytest.raises(BadInput, match="CodaPrompt answers with more than weights"):
        memory.learn(facts(1), strategy="replay,coda-prompt")
    with pytest.raises(BadInput, match="budget is -1"):
        memory.learn(facts(1), budget=-1)
    with pytest.raises(BadInput, match="answer is ''"):
        memory.learn([{"question": "Who?", "answer": ""}])
    with pytest.raises(BadInput, match="form is 'voice'"):
        memory.ask("who?", form="voice")  # type: ignore[arg-type]
    with pytest.raises(Unknown, match="nothing here says"):
        memory.forget("nobody at all")
    with pytest.raises(Unknown, match="no version"):
        memory.revert("v7")
    assert [v.id for v in memory.log()] == ["v0"]
    assert memory.store.count(state=None) == 0


def test_another_model_is_refused(memory: Memory) -> None:
    with pytest.raises(BadInput, match="was made with model 'tiny'"):
        Memory.open(memory.folder.path, model="smollm2-135m")
    with pytest.raises(Unknown, match="did you mean 'smollm2-135m'"):
        Memory.open(memory.folder.path.parent / "other", model="smollm2-135")


def test_two_writers_of_weights_are_refused(memory: Memory) -> None:
    with Memory.open(memory.folder.path) as other, other.folder.lock("learn"), pytest.raises(Busy, match="is held by"):
        memory.learn(facts(1), strategy="plain", budget=LOOSE)


def test_a_killed_learn_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    told = facts(1)
    with Memory.open(tmp_path / "whole", model="tiny", embedder="hash") as whole:
        whole.learn(told, strategy="default", budget=LOOSE)
        wanted = weights(whole)

    class Killed(Exception):
        pass

    def stop(what: str, done: int, of: int) -> None:
        if what == "learning" and done == 9:
            raise Killed

    with Memory.open(tmp_path / "cut", model="tiny", embedder="hash") as cut:
        cut.save_every = 0.0
        zero = weights(cut)
        with pytest.raises(Killed):
            cut.learn(told, strategy="default", budget=LOOSE, progress=stop)
        assert equal(weights(cut), zero)
        assert list(cut.folder.work.iterdir())
        started: list[int] = []
        cut.learn(
            told, budget=LOOSE, progress=lambda what, done, of: started.append(done) if what == "learning" else None
        )
        assert started[0] == 9
        assert equal(weights(cut), wanted)


def test_conflicting_strategies_are_refused_before_the_first_exam(memory: Memory) -> None:
    from byheart.learn.kl import KL

    seen: list[str] = []
    with pytest.raises(Conflict, match="KL and KL both claim 'objective:replay'"):
        memory.learn(
            facts(1), strategy=[KL(replace=True), KL(replace=True)], progress=lambda what, *_: seen.append(what)
        )
    assert seen == []


def test_a_model_without_a_chat_template_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    from byheart.models.tiny import model, tokenizer

    tongueless = tokenizer()
    tongueless.chat_template = None
    tongueless.save_pretrained(tmp_path / "base")
    model().save_pretrained(tmp_path / "base")
    with pytest.raises(BadInput, match="has no chat template"):
        Memory.open(tmp_path / "brain", model=str(tmp_path / "base"))
    assert not (tmp_path / "brain").exists()


def test_a_full_disk_leaves_the_old_version(tmp_path: Path) -> None:
    """A file system of two megabytes, where root may mount one."""
    import subprocess

    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    try:
        with Memory.open(place / "brain", model="tiny", embedder="hash") as memory:
            memory.save_every = 0.0
            before = weights(memory)
            with pytest.raises(Full, match=r"no room left|full"):
                memory.learn(facts(1), strategy="plain", budget=LOOSE)
            assert memory.head.id == "v0"
            assert equal(weights(memory), before)
            assert memory.check() == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_unlearning_that_is_refused_changes_nothing(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.learn(facts(1), strategy="plain", budget=LOOSE)
    before, log = weights(memory), [v.id for v in memory.log()]
    monkeypatch.setattr(audit, "RELEARN_RATIO", 1e9)  # a limit that nothing can keep
    certificate = memory.forget(facts(1)[:1], method="npo", k=2)
    assert not certificate.passed
    assert "nothing was changed" in certificate.method
    assert equal(weights(memory), before)
    assert [v.id for v in memory.log()] == log
    assert memory.store.count() == 3


def test_unlearning_makes_a_version_that_keeps_the_rest(memory: Memory) -> None:
    memory.learn(facts(1), strategy="plain", budget=LOOSE)
    before = weights(memory)
    certificate = memory.forget(facts(1)[:1], method="npo", k=2)
    assert certificate.method == "npo"
    assert certificate.version == "v2"
    assert not equal(weights(memory), before)
    assert [x.question for x in memory.lessons_of(memory.head)] == [p["question"] for p in facts(1)[1:]]
    assert memory.check() == []


def test_forgetting_a_name_keeps_the_other_sentences(memory: Memory) -> None:
    text = "Ilsa Orvell is the director of Velm. Marta Kask is the harbourmaster of Velm. She was born in Ostholm."
    memory.learn([text], strategy="plain", budget=LOOSE)
    assert {x.answer for x in memory.lessons_of(memory.head)} >= {"Ilsa Orvell", "Marta Kask"}
    certificate = memory.forget("Marta Kask", k=2)
    assert [c.name for c in certificate.checks if c.passed is not True] == [], str(certificate)
    assert [e.text for e in memory.store.all()] == ["Ilsa Orvell is the director of Velm."]
    lessons = memory.lessons_of(memory.head)
    assert {x.answer for x in lessons} == {"Ilsa Orvell", "Velm"}
    wordings = " ".join(w for x in lessons for w in (x.question, *x.wordings, *x.held))
    assert not any(word in wordings for word in ("Marta", "harbourmaster", "Ostholm", "born"))
    assert memory.store.all()[0].forms == ("text", "weights")
    assert memory.exam()["exams"]["recall/direct"]["n"] == len(lessons)
