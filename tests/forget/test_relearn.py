"""Which version relearning starts from, and what it repeats."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.core.records import Version
from byheart.forget.relearn import Relearn


def chain(*taught: str) -> tuple[list[Version], list[list[tuple[str, int]]]]:
    """v0 and a version for each string, which was taught one engram a letter; lessons are numbered."""
    versions = [Version(id="v0", created="")]
    lessons: list[list[tuple[str, int]]] = [[]]
    for n, letters in enumerate(taught, 1):
        versions.append(Version(id=f"v{n}", parent=f"v{n - 1}", created="", taught=tuple(letters)))
        lessons.append([(letter, n) for letter in letters])
    return versions, lessons


def plan(forgotten: str, *taught: str) -> tuple[str, list[tuple[str, str]]]:
    """The version to start from, and (version, engrams left) of each stage to repeat."""
    versions, lessons = chain(*taught)
    start, stages = Relearn(forgotten=set(forgotten)).plan(versions, lessons)
    return start.id, [(s.version.id, "".join(e for e, _ in s.lessons)) for s in stages]


@pytest.mark.parametrize(
    ("forgotten", "taught", "start", "stages"),
    [
        ("a", ["abc"], "v0", [("v1", "bc")]),
        ("b", ["a", "b", "c"], "v1", [("v3", "c")]),  # v1 never saw it; nothing is left of v2
        ("c", ["a", "b", "cd"], "v2", [("v3", "d")]),
        ("ad", ["ab", "c", "de"], "v0", [("v1", "b"), ("v2", "c"), ("v3", "e")]),
        ("b", ["ab", "cb", "d"], "v0", [("v1", "a"), ("v2", "c"), ("v3", "d")]),  # taught twice
        ("abc", ["ab", "c"], "v0", []),  # nothing left
        ("a", ["a"], "v0", []),
        ("c", ["ab", "c"], "v1", []),  # only the last has to go
        ("z", ["ab", "c"], "v2", []),  # never taught: the current version is clean
        ("z", [], "v0", []),
        ("", ["ab"], "v1", []),
    ],
)
def test_the_plan(forgotten: str, taught: list[str], start: str, stages: list[tuple[str, str]]) -> None:
    assert plan(forgotten, *taught) == (start, stages)


def test_branches_are_planned_apart() -> None:
    """v1 has two children: what one was taught does not touch the other."""
    root, trunk = Version(id="v0", created=""), Version(id="v1", parent="v0", created="", taught=("a",))
    left = Version(id="v2", parent="v1", created="", taught=("b",))
    right = Version(id="v3", parent="v1", created="", taught=("c",))
    first = [[], [("a",)]]
    relearn = Relearn(forgotten={"b"})
    start, stages = relearn.plan([root, trunk, left], [*first, [("b",)]])
    assert (start.id, stages) == ("v1", [])
    start, stages = relearn.plan([root, trunk, right], [*first, [("c",)]])
    assert (start.id, stages) == ("v3", [])
    both = Relearn(forgotten={"a"})
    for leaf, letter in ((left, "b"), (right, "c")):
        start, stages = both.plan([root, trunk, leaf], [*first, [(letter,)]])
        assert start.id == "v0"
        assert [(s.version.id, s.lessons) for s in stages] == [(leaf.id, [(letter,)])]


def test_lessons_keep_their_order_and_the_input_its_content() -> None:
    versions, lessons = chain("abc", "de")
    kept = [list(x) for x in lessons]
    _, stages = Relearn(forgotten={"b"}).plan(versions, lessons)
    assert [s.lessons for s in stages] == [[("a", 1), ("c", 1)], [("d", 2), ("e", 2)]]
    assert lessons == kept


def test_a_chain_that_never_was_clean_is_refused() -> None:
    versions, lessons = chain("ab", "c")
    with pytest.raises(BadInput, match="v1 was itself taught what is to go; give a chain that starts before"):
        Relearn(forgotten={"a"}).plan(versions[1:], lessons[1:])
