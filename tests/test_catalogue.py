"""The catalogue: complete, findable, importable, and with a status that is computed."""

import json
import subprocess
import sys

import pytest

from byheart.core import catalogue
from byheart.core.errors import BadInput, Damaged, Unknown


def test_every_paper_is_there_once() -> None:
    papers = catalogue.papers()
    assert len(papers) == 248
    assert len({p.slug for p in papers}) == 248
    assert all(p.title and p.package and p.kind and p.show for p in papers)


def test_names_are_unique_and_papers_exist() -> None:
    names = [e.name for e in catalogue.METHODS]
    assert len(names) == len(set(names))
    for e in catalogue.METHODS:
        if e.paper:
            assert e.arxiv == catalogue.paper(e.paper).arxiv


@pytest.mark.parametrize("entry", catalogue.METHODS, ids=lambda e: e.name)
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
    ],
)
def test_find(text: str, first: tuple[str, str]) -> None:
    hit = catalogue.find(text)[0]
    assert (type(hit).__name__, hit.name) == first


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
    monkeypatch.setattr(catalogue, "ROOT", tmp_path / "src" / "byheart")
    home = tmp_path / "docs" / "results"
    home.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert catalogue.status("ewc") == "no study yet"
    (home / "ewc.json").write_text(json.dumps({"verdict": "fails", "n": 3}))
    assert catalogue.status("ewc") == "fails"
    (home / "ewc.json").write_text(json.dumps({"verdict": "great"}))
    with pytest.raises(BadInput, match="'great'"):
        catalogue.status("ewc")
    (home / "ewc.json").write_text("{")
    with pytest.raises(Damaged, match="run the study again"):
        catalogue.status("ewc")


def test_status_in_an_installed_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(catalogue, "ROOT", tmp_path / "site-packages" / "byheart")
    home = tmp_path / "site-packages" / "byheart" / "results"
    home.mkdir(parents=True)
    (home / "ewc.json").write_text(json.dumps({"verdict": "holds"}))
    assert catalogue.status("ewc") == "holds"


def test_looking_something_up_imports_no_torch() -> None:
    code = (
        "import sys; from byheart.core import catalogue as c; c.find('ewc'); c.papers(); c.status('ewc');"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
