"""The catalogue: complete, findable, importable, and with a status that is computed."""

import json
import subprocess
import sys

import pytest

from byheart.core import catalogue, results
from byheart.core.errors import BadInput, Conflict, Damaged, Unknown
from byheart.core.methods import methods


def test_every_paper_is_there_once() -> None:
    papers = catalogue.papers()
    assert len(papers) == 248
    assert len({p.slug for p in papers}) == 248
    assert all(p.title and p.package and p.kind and p.show for p in papers)


def test_names_are_unique_and_papers_exist() -> None:
    names = [e.name for e in catalogue.methods()]
    assert len(names) == len(set(names))
    for e in catalogue.methods():
        if e.paper:
            assert e.arxiv == catalogue.paper(e.paper).arxiv


@pytest.mark.parametrize("entry", catalogue.methods(), ids=lambda e: e.name)
def test_every_method_loads_constructs_and_says_what_it_does(entry: catalogue.Entry) -> None:
    cls = catalogue.load(entry.name)
    assert cls.__name__ == entry.target.split(":")[1]
    assert catalogue.summary(entry).endswith(".")
    required = {"relearn": {"forgotten": {"e1"}}}
    assert isinstance(catalogue.make(entry.name, **required.get(entry.name, {})), cls)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("ewc", ("Entry", "ewc")),
        ("1612.00796", ("Entry", "ewc")),
        ("arXiv:1612.00796v2", ("Entry", "ewc")),
        ("https://arxiv.org/abs/2404.05868", ("Entry", "npo")),
        ("HFT: Half Fine-Tuning for Large Language Models", ("Paper", "hft")),
        ("half fine", ("Paper", "hft")),
        ("titans", ("Paper", "titans")),
        ("AGEM", ("Entry", "a-gem")),
        ("1910.07104", ("Entry", "ogd")),
    ],
)
def test_find(text: str, first: tuple[str, str]) -> None:
    hit = catalogue.find(text)[0]
    assert (type(hit).__name__, hit.name) == first


def test_words_of_a_method_find_it_and_its_paper() -> None:
    names = [(type(f).__name__, f.name) for f in catalogue.find("elastic weight")]
    assert {("Paper", "ewc"), ("Entry", "ewc"), ("Entry", "online-ewc")} <= set(names)


@pytest.mark.parametrize("slug", [p.slug for p in catalogue.papers() if results.result(p.slug)])
def test_names_hold_together(slug: str) -> None:
    """Study, page, result and tests of a paper are found by its one name."""
    places = catalogue.places(slug)
    stem = slug.replace("-", "_")
    assert places["study"] == f"src/byheart/study/{catalogue.paper(slug).folder}/{stem}.py"
    assert places["page"] == f"docs/papers/{slug}.md"
    assert places["result"] == f"docs/results/{slug}.json"
    assert places["run"] == f"byheart replicate {slug}"
    if any(e.paper == slug for e in catalogue.methods()):
        assert places["method"]
        assert places["test"], f"no tests/*/test_{stem}.py, none named by the file of its method, none that imports it"


def test_two_classes_of_one_name_are_refused(tmp_path) -> None:
    (tmp_path / "learn").mkdir()
    for file in ("a", "b"):
        (tmp_path / "learn" / f"{file}.py").write_text('class C:\n    """C."""\n\n    name = "c"\n\n    x = 1\n')
    with pytest.raises(Conflict, match=r"learn\.a:C and learn\.b:C have one name, 'c'"):
        methods(tmp_path)


def test_a_class_is_read_with_its_variants_and_nothing_else(tmp_path) -> None:
    (tmp_path / "learn").mkdir()
    (tmp_path / "learn" / "a.py").write_text(
        'class Base:\n    """No method."""\n\n\nclass C(Base):\n    """C."""\n\n    name: ClassVar[str] = "c"\n'
        '    arxiv = "1"\n    variants: ClassVar[Variants] = {\n'
        '        "d": {"x": (1,)},\n    }\n\n    other = print()\n'
    )
    assert [(e.name, e.target, e.arxiv, e.defaults) for e in methods(tmp_path)] == [
        ("c", "learn.a:C", "1", {}),
        ("d", "learn.a:C", "1", {"x": (1,)}),
    ]


def test_find_ranks_exact_before_partial_and_gives_nothing_for_nonsense() -> None:
    names = [f.name for f in catalogue.find("lora")]
    assert names[0] == "lora"
    assert "o-lora" in names
    assert catalogue.find("zzzz") == []
    assert catalogue.find("  ") == []


def test_unknown_names_are_refused_with_a_suggestion() -> None:
    with pytest.raises(Unknown, match=r"no method 'ewcc'; did you mean 'ewc'.*byheart methods"):
        catalogue.load("ewcc")
    with pytest.raises(Unknown, match="did you mean 'titans'"):
        catalogue.paper("titan")


def test_make_checks_settings_against_the_constructor() -> None:
    with pytest.raises(Unknown, match="no setting of online-ewc 'onlin'; did you mean 'online'"):
        catalogue.make("online-ewc", onlin=True)
    assert catalogue.make("online-ewc").online is True
    assert catalogue.make("online-ewc", online=False).online is False


def test_status_is_computed_from_the_committed_result(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path / "src" / "byheart")
    home = tmp_path / "docs" / "results"
    home.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert results.status("ewc") == "no study yet"
    (home / "ewc.json").write_text(json.dumps({"verdict": "fails", "n": 3}))
    assert results.status("ewc") == "fails"
    (home / "ewc.json").write_text(json.dumps({"verdict": "great"}))
    with pytest.raises(BadInput, match="'great'"):
        results.status("ewc")
    (home / "ewc.json").write_text("{")
    with pytest.raises(Damaged, match="run the study again"):
        results.status("ewc")


def test_status_in_an_installed_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path / "site-packages" / "byheart")
    home = tmp_path / "site-packages" / "byheart" / "results"
    home.mkdir(parents=True)
    (home / "ewc.json").write_text(json.dumps({"verdict": "holds"}))
    assert results.status("ewc") == "holds"


def test_looking_something_up_imports_no_torch() -> None:
    code = (
        "import sys; from byheart.core import catalogue as c, results as r; c.find('ewc'); c.papers(); r.stale('ewc');"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
