"""REMEMBERER: the Q of episodes by hand, over a real store, and what the moments kept say of actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from byheart.core.errors import BadInput
from byheart.core.records import Engram, Op
from byheart.models.embedder import HashEmbedder
from byheart.recall.update.rememberer import Rememberer, actions, carried
from byheart.store.sqlite import Store
from byheart.study.base.carrying import carry_out

EMBEDDER = HashEmbedder()
TASK = "Bring the mug to the attic."


def episode(name: str, *steps: tuple[str, str, float], task: str = TASK, owner: str | None = None) -> list[Op]:
    """Steps of one episode: what was seen, what was done, what was gained by it."""
    made = []
    for n, (seen, done, reward) in enumerate(steps):
        metadata = {"task": task, "observation": seen, "action": done, "reward": reward}
        made.append(Engram(id=f"{name}{n}", text=done, source=name, owner=owner, created="now", metadata=metadata))
    return [Op(kind="add", engram=e) for e in made]


def learned(store: Store, learner: Rememberer, *episodes: list[Op]) -> dict[str, dict[str, tuple[float, int]]]:
    """What is known of each moment after these episodes, one after the other."""
    for ops in episodes:
        carry_out(store, EMBEDDER, learner.reconcile(store, ops, EMBEDDER))
    return {str(e.metadata["observation"]): dict(actions(e)) for e in store.all() if "actions" in e.metadata}


WALK = (("hall", "go up", 0.0), ("stairs", "go on", 0.0), ("attic", "leave it", 1.0))


def test_two_steps_and_the_best_of_what_follows_by_hand(tmp_path: Path) -> None:
    """n=2, gamma=1/2: a target is r + r'/2 + max Q / 4, and Q the mean of targets."""
    with Store(tmp_path, dimension=256) as store:
        learner = Rememberer(steps=2, gamma=0.5)
        assert learned(store, learner, episode("a", *WALK)) == {
            "hall": {"go up": (0.0, 1)},  # nothing was known of the attic yet
            "stairs": {"go on": (0.5, 1)},
            "attic": {"leave it": (1.0, 1)},
        }
        again = learned(store, learner, episode("b", *WALK))
        assert again["hall"] == {"go up": ((0.0 + 0.25) / 2, 2)}
        assert again["attic"] == {"leave it": (1.0, 2)}
        failed = episode("c", ("stairs", "go on", 0.0), ("attic", "jump", 0.0))
        known = learned(store, learner, failed)
        assert known["stairs"]["go on"] == pytest.approx(((0.5 + 0.5 + 0.0) / 3, 3))
        assert known["attic"] == {"leave it": (1.0, 2), "jump": (0.0, 1)}


def test_what_is_best_counts_and_not_what_was_done(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        single = Rememberer(steps=1)
        good = episode("a", ("attic", "leave it", 1.0))
        bad = episode("b", ("stairs", "go on", 0.0), ("attic", "jump", 0.0))
        assert learned(store, single, good, bad)["stairs"] == {"go on": (1.0, 1)}
        again = episode("c", ("stairs", "go on", 0.0), ("attic", "jump", 0.0))
        assert learned(store, single, again)["stairs"] == {"go on": (1.0, 2)}, "the best of two that are known"
    with Store(tmp_path / "returns", dimension=256) as store:
        assert learned(store, Rememberer(steps=9), good, bad)["stairs"] == {"go on": (0.0, 1)}


def test_a_moment_met_twice_in_a_batch_is_one_operation(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        ops = [*episode("a", ("hall", "wait", 0.0), ("hall", "go up", 1.0)), *episode("b", ("hall", "go up", 0.0))]
        passed = Op(kind="delete", target="other", reason="asked")
        proposed = Rememberer().reconcile(store, [*ops[:2], passed, *ops[2:]], EMBEDDER)
        assert [o.kind for o in proposed] == ["add", "delete"]
        assert proposed[0].engram is not None
        assert actions(proposed[0].engram) == {"wait": (1.0, 1), "go up": (0.5, 2)}
        mine = Rememberer().reconcile(store, [*ops, *episode("c", ("hall", "wait", 0.0), owner="eve")], EMBEDDER)
        assert [o.engram.owner for o in mine if o.engram] == [None, "eve"]


def test_experience_outlives_the_process(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        learned(store, Rememberer(), episode("a", *WALK), episode("b", *WALK))
    with Store(tmp_path, dimension=256) as store:
        (best, *_) = Rememberer(shown=1).exemplars(store, EMBEDDER, TASK, "attic")
        assert best.best == ("leave it", 1.0)
        assert best.alike == pytest.approx(1.0)
        assert len(store.keyed(best.engram.key or "")) == 2, "what was known before is history"
        assert store.count() == 3


def test_what_was_forgotten_is_not_learned_on(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        learned(store, Rememberer(), episode("a", ("hall", "go up", 1.0)))
        store.update([store.all()[0].id], state="forgotten")
        assert learned(store, Rememberer(), episode("b", ("hall", "go up", 0.0))) == {"hall": {"go up": (0.0, 1)}}


def test_the_most_alike_moments_tell_of_good_and_bad_actions(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        known = episode("a", ("hall", "wait", 0.0)), episode("b", ("hall", "go up", 1.0))
        other = episode("c", ("hall", "sing", 1.0), task="Water the roses behind this shed.")
        learned(store, Rememberer(), *known, other)
        first, second = Rememberer().exemplars(store, EMBEDDER, TASK, "hall")
        assert (first.best, first.bad) == (("go up", 1.0), ("wait",))
        assert second.best == ("sing", 1.0)
        assert Rememberer(negative=False).exemplars(store, EMBEDDER, TASK, "hall")[0].bad == ()
        assert Rememberer().exemplars(store, EMBEDDER, TASK, "hall", owner="eve") == []
        by_sight = Rememberer(weight=0.0).exemplars(store, EMBEDDER, TASK, "hall")
        assert [e.alike for e in by_sight] == pytest.approx([1.0, 1.0])


def test_words_and_experience_are_added_up_by_hand(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        learned(store, Rememberer(), episode("a", ("hall", "wait", 0.0)), episode("b", ("hall", "go up", 0.5)))
        choices = ["go up", "wait", "take the mug", "whistle"]
        weights = Rememberer(trust=4.0).weigh(store, EMBEDDER, TASK, "hall", choices)
        assert weights == pytest.approx([4 * 0.5, -4.0, 1.0, 0.0])
        assert Rememberer(trust=0.0).weigh(store, EMBEDDER, TASK, "hall", choices) == [0.0, 0.0, 1.0, 0.0]


def test_another_tasks_words_give_way(tmp_path: Path) -> None:
    assert carried("leave it in the attic", TASK, "Bring the mug to the cellar.") == "leave it in the cellar"
    assert carried("take the mug", TASK, "Please water all of the flowers.") == "take the mug"
    with Store(tmp_path, dimension=256) as store:
        learned(store, Rememberer(), episode("a", ("You hold the mug.", "go to the attic", 1.0)))
        moment = store, EMBEDDER, "Bring the mug to the cellar.", "You hold the mug."
        scores = Rememberer(trust=9.0).weigh(*moment, ["go to the attic", "go to the cellar"])
        assert scores[1] > scores[0] + 5


def test_a_subject_is_shown_both_and_scores_what_there_is(tmp_path: Path) -> None:
    class Prefers:
        def generate(self, prompts, **_):
            raise NotImplementedError

        def score(self, pairs):
            self.shown = pairs[0][0][-1]["content"]
            return [[-1.0, -3.0] if continuation == "wait" else [-4.0] for _, continuation in pairs]

    with Store(tmp_path, dimension=256) as store:
        learned(store, Rememberer(), episode("a", ("hall", "wait", 0.0)), episode("b", ("hall", "go up", 0.5)))
        subject = Prefers()
        assert Rememberer(trust=1.0).weigh(store, EMBEDDER, TASK, "hall", ["go up", "wait"], subject) == pytest.approx(
            [-4.0 + 0.5, -2.0 - 1.0]
        )
        assert "Good action: go up (worth 0.50)\nBad actions: wait" in subject.shown
        assert subject.shown.endswith("Possible actions: go up; wait\nReply with the best action alone.")


def test_what_is_no_step_passes(tmp_path: Path) -> None:
    with Store(tmp_path, dimension=256) as store:
        (step,) = episode("a", ("hall", "wait", 0.0))
        assert step.engram is not None
        for fields in ({"reward": True}, {"reward": "1"}, {"action": None}, {"task": 3}):
            broken = step.model_copy(
                update={"engram": step.engram.model_copy(update={"metadata": {**step.engram.metadata, **fields}})}
            )
            assert Rememberer().reconcile(store, [broken], EMBEDDER) == [broken]


@pytest.mark.parametrize("settings", [{"steps": 0}, {"gamma": 1.1}, {"weight": -0.1}, {"trust": -1.0}, {"shown": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="give"):
        Rememberer(**settings)
