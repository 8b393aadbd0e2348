"""The report: well-formed, self-contained, complete, and safe against what engrams say."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from byheart.core.records import Certificate, Check
from byheart.exam.account import Curve, Fact, Gone, ReportData, Scored, Trade
from byheart.exam.plot import Point, scatter, ticks
from byheart.exam.report import render

HOSTILE = "<script>alert('x')</script> & \"quoted\" <img src=http://evil.example/a.png> ]]> 𝄞 \u202e"


def full(text: str = "Who keeps the lamp?") -> ReportData:
    check = Check(name=text, passed=None, measured=0.25, limit=0.02, detail=text)
    return ReportData(
        title=text,
        model=text,
        created="2026-11-16T12:00:00+00:00",
        engrams=3,
        current="v2",
        base_loss=3.2,
        versions=(
            Scored(id="v1", created="2026-11-15T12:00:00", message=text, strategy=text, taught=2, recall=1.0, loss=3.2),
            Scored(
                id="v2", created="2026-11-16T12:00:00", parent="v1", recall=0.875, retention=0.5, loss=3.216, kl=0.01
            ),
        ),
        curves=(Curve(label=text, points=(("v1", 1.0), ("v2", 0.5))), Curve(label="v2", points=(("v2", 0.75),))),
        trades=(
            Trade(label=text, plasticity=0.9, stability=0.99, strategy=text),
            Trade(label="try", plasticity=1.0, stability=0.8, committed=False),
        ),
        facts=(
            Fact(id="e1", question=text, answer=text, version="v1", recalled=True, source=text),
            Fact(id="e2", question="Where is the boat?", answer="in Velm", recalled=False, ever=True, lost="v2"),
            Fact(id="e4", question="Why?", answer="for the tide", recalled=False, ever=False),
            Fact(id="e3", question="When?", answer="at noon"),
        ),
        forgotten=(Gone(id="e9", at="2026-11-16T12:00:00", method=text),),
        certificates=(
            Certificate(passed=False, checks=(check,), forgotten=("e9",), method=text, seconds=61.2),
            Certificate(passed=True, checks=(Check(name="no hit", passed=True, measured=0, limit=0),)),
        ),
    )


def parse(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))


def words(page: str) -> str:
    return " ".join(" ".join(parse(page).find("body").itertext()).split())


@pytest.mark.parametrize("data", [full(), full(HOSTILE), ReportData(title="t", model="m", created="now")])
def test_the_page_is_well_formed_and_stands_alone(data: ReportData) -> None:
    page = render(data)
    root = parse(page)
    tags = {e.tag for e in root.iter()}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "form"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "style", "background")
            assert name != "href" or value.startswith("#")
    style = root.find("head/style").text
    assert not re.search(r"url\(|@import|http", style)
    policy = [e.attrib["content"] for e in root.iter("meta") if "http-equiv" in e.attrib]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    assert {e.attrib["href"].removeprefix("#") for e in root.iter("a")} <= set(ids)


def test_hostile_text_is_shown_as_text() -> None:
    page = render(full(HOSTILE))
    assert "<script" not in page
    assert "<img" not in page
    assert words(page).count("<script>alert('x')</script>") >= 8


def test_every_picture_has_a_name_and_its_numbers_in_a_table() -> None:
    root = parse(render(full()))
    figures = list(root.iter("figure"))
    assert len(figures) == 2
    for figure in figures:
        picture = figure.find("svg")
        assert picture.attrib["role"] == "img"
        assert picture.attrib["aria-label"]
        assert all(dot.find("title").text for dot in picture.iter("circle"))
        assert len(list(figure.find("details").iter("td"))) >= 4
        assert figure.find("figcaption").text


def test_the_figures_are_right() -> None:
    text = words(render(full()))
    assert "87.5% recalled closed-book" in text
    assert "50% of the old retained" in text
    assert "+0.50% loss on general text 3.216 nats per token" in text
    assert "1 of 2 certificates passed 1 engram forgotten" in text
    assert "Learned 1 recalled" in text
    assert "Lost 1 recalled at an earlier version, not now Where is the boat? in Velm, lost in v2" in text
    assert "Not learned 1 taught, never recalled Why? for the tide" in text
    assert "1 fact not examined at this version" in text
    assert "? not shown Who keeps the lamp? 0.25 (limit 0.02)" in text
    assert "try: learned 100% of the new, kept 80% of the old, rolled back" in text


def test_a_long_list_is_a_sample_and_says_so() -> None:
    facts = tuple(Fact(id=str(n), question=f"Who is {n}?", answer="Ilo", recalled=True) for n in range(198))
    text = words(render(full().model_copy(update={"facts": facts})))
    assert "Learned 198 recalled closed-book now; 50 of 198 shown" in text
    assert text.count("Who is ") == 50 + 198  # the list, and all facts


def test_the_untaught_model_has_its_rows() -> None:
    untaught = Scored(id="v0", created="2026-11-14", loss=3.2, quiz=0.68)
    taught = tuple(v.model_copy(update={"parent": v.parent or "v0"}) for v in full().versions)
    page = parse(render(full().model_copy(update={"versions": (untaught, *taught)})))
    rows = [[c.text or "" for c in row.iter("td")] for row in page.iter("tr")]
    assert ["v0, untaught", "", "", "68%", "3.2000"] in rows
    assert ["v0, untaught", "", "", "", "", "", "68%", "3.2000", "", ""] in rows
    assert ["v2", "50%", "75%", "", "3.2160"] in rows


def test_points_land_where_they_should() -> None:
    root = ElementTree.fromstring(scatter([Point("a", 0.5, 1.0), Point("b", 1.0, 0.5, open=True)], "x", "y"))
    a, b = root.iter("circle")
    assert float(a.attrib["cx"]) < float(b.attrib["cx"])
    assert float(a.attrib["cy"]) < float(b.attrib["cy"])
    assert b.attrib["fill"] == "var(--card)"


def test_labels_of_near_points_do_not_cover_each_other() -> None:
    points = [Point(f"v{i}", 0.9, 0.9) for i in range(6)]
    places = [
        (t.attrib["x"], t.attrib["y"])
        for t in ElementTree.fromstring(scatter(points, "x", "y")).iter("text")
        if t.text.startswith("v")
    ]
    assert len(places) == len(set(places)) == 6


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.98, 1), (0.3, 1.0), (0.5, 0.5)])
def test_ticks_span_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert len(found) <= 8


def test_text_can_be_read_on_both_themes() -> None:
    """WCAG contrast of at least 4.5 for text and 3 for lines, from the colours in the style sheet."""
    style = (Path(__file__).parents[2] / "src/byheart/exam/report.css").read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    )
    for theme in (light, dark):
        for ink in ("ink", "soft", "accent", "good", "bad", "unsure"):
            assert min(contrast(theme[ink], theme["card"]), contrast(theme[ink], theme["page"])) >= 4.5, ink
        for tone in ("good", "bad", "unsure"):
            assert contrast(theme[tone], theme[f"{tone}-wash"]) >= 4.5, tone
        for n in range(8):
            assert contrast(theme[f"s{n}"], theme["card"]) >= 3, n


def contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
