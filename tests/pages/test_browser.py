"""Pages as a reader sees them: opened in Chromium, at both widths, light, dark and printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from browser import Browser
from mimverify.pages import Cell, Column, FigureBlock, Fold, Table, figure_svg, write_page
from mimverify.pages.rendering import _environment
from mimverify.trial import check
from mimverify.trial.running.report import Report, TrainerReport
from mimverify.trial.running.report_page import check_page
from mimverify.zoo.update_rule import BiasedGradient


@pytest.fixture(scope="module")
def report() -> Report:
    """A trial of one claim of each kind, by a correct trainer and by a wrong one, and one that
    could not begin, with a name that is markup."""
    import mimverify

    claims = ("antisymmetry", "arguments-unchanged-by-fit", "single-neuron", "span-recovery")
    whole = check(mimverify.numpy_trainer, claims=claims)
    whole.trainers += check(BiasedGradient, claims=("power-iteration",)).trainers
    assert whole.trainers[1].summary["failed"] == 1
    whole.trainers.append(
        TrainerReport("<b>&'\"</script>", problem="there is no <module>", bad_input=True)
    )
    return whole


def test_the_page_of_a_trial(report: Report, browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "trial.html"
    write_page(page, check_page(report, "mimverify check numpy --claim '<x>'"))
    data = browser.check(page, least_numbers=10)
    assert data["data"] == json.loads(json.dumps(report.to_json()))
    text = browser.driver.find_element("tag name", "body").text
    assert "<b>&'\"</script>" in text
    assert "there is no <module>" in text


def test_the_marks_of_the_picture_are_the_data(
    report: Report, browser: Browser, tmp_path: Path
) -> None:
    """Every decision with a scale is in the figure's data, with the evidence of the report."""
    pytest.importorskip("matplotlib", reason="an extra")
    page = tmp_path / "trial.html"
    write_page(page, check_page(report, "mimverify check numpy"))
    found = browser.numbers(page).data["figure-evidence-0-data"]["decisions"]
    records = {
        (verdict.id, record.decision): record
        for verdict in report.trainers[0].verdicts
        for record in verdict.evidence.worst_records
    }
    assert {"exact", "statistical"} == {mark["kind"] for mark in found}
    for mark in found:
        record = records[mark["claim"], mark["decision"]]
        assert mark["evidence_over_bound"] == record.against_bound
        assert mark["failed"] == record.failed


def faulty(body: str, tmp_path: Path) -> Path:
    page = tmp_path / "faulty.html"
    page.write_text(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<link rel="icon" href="data:,"><title>x</title></head>'
        f"<body><h1>x</h1>{body}</body></html>",
        encoding="utf-8",
    )
    return page


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('<div style="width: 2000px">x</div>', "px beyond the page"),
        ('<pre style="width: 9px; overflow-x: auto">xxxxxxx</pre>', "keyboard"),
        ("<h3>x</h3>", "h3 after h1"),
        ("<table><tr><td>x</td></tr></table>", "no caption"),
        ("<svg></svg>", "no text for a screen reader"),
        ('<p id="a">x</p><p id="a">x</p>', "the id a twice"),
        ('<a href="#there">x</a>', "#there leads nowhere"),
        ('<p style="color: #999">x</p>', "contrast 2.85"),
        ("<script>nonsense</script>", "console"),
        ('<img alt="" src="http://localhost:9/x.png">', "request of http://localhost:9/x.png"),
    ],
)  # fmt: skip
def test_a_faulty_page_is_complained_about(
    body: str, complaint: str, browser: Browser, tmp_path: Path
) -> None:
    """Each of the checks finds what it looks for."""
    found = browser.problems(faulty(body, tmp_path))
    assert any(complaint in each for each in found), found


@pytest.mark.parametrize(("shown", "right"), [("1.23", True), ("1.24", False), ("no", False)])
def test_a_number_that_is_not_the_datas_is_found(
    shown: str, right: bool, browser: Browser, tmp_path: Path
) -> None:
    page = faulty(
        f'<script type="application/json" id="data">{{"x": [1.2345]}}</script>'
        f'<p data-json="/x/0">{shown}</p>',
        tmp_path,
    )
    assert (browser.numbers(page).wrong() == []) is right


def test_every_part_of_a_page(browser: Browser, tmp_path: Path) -> None:
    """Wide tables scroll, long words break, figures and folded parts are in reach."""
    pytest.importorskip("matplotlib", reason="an extra")

    def draw(figure: object) -> None:
        axes = figure.subplots()  # type: ignore[attr-defined]
        axes.plot([1, 2], [1, 2], label="<one> & $x^2$")
        axes.legend()

    words = [f"column {k}" for k in range(12)]
    blocks = {
        "table": Table("Wide", [Column(w, numeric=True) for w in words], [["1234567.8"] * 12]),
        "figure": FigureBlock(
            "A figure",
            "Its caption.",
            figure_svg(draw, alt="a line", name="one"),
            "x" * 300,
            {"x": 1},
        ),
        "same": FigureBlock("The same", "Again.", figure_svg(draw, alt="a line", name="two")),
        "fold": Fold("A fold", "y" * 300, table=Table("In it", ["a"], [[Cell("z" * 300)]])),
    }
    page = tmp_path / "parts.html"
    template = _environment().from_string(
        """{% extends "base.html.j2" %}{% block main %}<h2>Parts</h2>{{ page.table(table) }}
        {{ page.figure(figure) }}{{ page.figure(same) }}{{ page.fold(fold) }}{% endblock %}"""
    )
    write_page(page, template.render(title="Parts", **blocks))
    browser.check(page, least_numbers=0)
