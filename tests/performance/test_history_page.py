"""The page of the benchmarks' history: pictures, what they draw, and how it reads in a browser."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from asv_results import DIMS, ENVIRONMENT, HASHES, RATIO, STEP, Asv, write_ratios, write_results
from browser import PHONE, Browser
from mimverify.cli.verbs.history import history as command
from mimverify.pages import figure_svg, write_page
from mimverify.performance.history import (
    Report,
    evaluate_gate,
    figure_of,
    make_report,
    page_of,
    read_history,
)
from mimverify.performance.history.panels import Panel
from mimverify.performance.history.pictures import Picture, overview, pictures_of
from mimverify.support.errors import InputError

pytest.importorskip("asv")
pytest.importorskip("matplotlib", reason="an extra")

COMMITTED = Path(__file__).parents[2] / "asv_benchmarks" / "results"
PLACE = ("lab", ENVIRONMENT)


def report_of(folder: Path) -> Report:
    history = read_history(folder)
    return make_report(history, gate=evaluate_gate(history))


def wide(index: int) -> tuple[list[float | None], list[float | None], list[float | None]]:
    """Times of which one has an interval from next to nothing to a hundred times its value."""
    values = [1e-8 * dim**2 * (1 + 0.01 * index) for _ in range(2) for dim in DIMS]
    lows, highs = [0.9 * value for value in values], [1.1 * value for value in values]
    lows[2], highs[2] = 1e-12, 100 * values[2]
    return [*values], [*lows], [*highs]


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ratio that got worse and recovered, another that is suspect, and an interval that no axis
    holds."""
    values = [0.8] * 4 + [1.2] * 4 + [0.8] * 4
    asv = write_ratios(tmp_path_factory.mktemp("eventful") / "results", values, (STEP, wide))
    asv.commit(len(HASHES) - 1, {RATIO: ([0.8, 1.2], None, None), STEP: wide(11)})
    folder: Path = asv.folder
    return folder


@pytest.fixture(scope="module")
def report(eventful: Path) -> Report:
    return report_of(eventful)


@pytest.fixture(scope="module")
def text(report: Report, eventful: Path) -> str:
    """The page."""
    return page_of(report, f"mimverify history {eventful}")


def curves_picture(report: Report) -> Picture:
    return next(pictures_of(STEP, report.curves, (), report))


# --- what is drawn ------------------------------------------------------------------------------


def test_a_picture_draws_the_numbers_of_the_report(report: Report) -> None:
    (panel,) = curves_picture(report).panels
    drawn = panel.to_json()["lines"]
    for line, curve in zip(drawn, report.curves, strict=True):
        values = {
            point["dim"]: (point["value"], point["low"], point["high"]) for point in line["points"]
        }
        assert values == {
            one.dim: (one.points[-1].value, one.points[-1].low, one.points[-1].high)
            for one in curve.series
        }
    fits = list(pictures_of(STEP, report.curves, (), report))[1].panels
    for number, key in enumerate(("exponent", "prefactor")):
        for line, record in zip(
            fits[number].to_json()["lines"], report.to_json()["slopes"], strict=True
        ):
            assert [(point["commit"], point["value"]) for point in line["points"]] == [
                (fit["commit"], fit[key]) for fit in record["fits"]
            ]


def test_an_interval_beyond_the_axis_ends_in_an_arrow_and_the_caption_says_so(
    report: Report,
) -> None:
    picture = curves_picture(report)
    (panel,) = picture.panels
    assert panel.clipped == 2
    assert "2 of their ends lie beyond the axis, and end in an arrow" in picture.caption
    arrows = re.findall(r'id="[^"]*clipped-', figure_svg(picture.draw, alt="x", size=picture.size))
    assert len(arrows) == 2
    values = [mark.value for line in panel.lines for mark in line.marks]
    assert panel.bottom < min(values) < max(values) < panel.top < 100 * max(values)


def test_where_no_interval_is_cut_off_no_arrow_is_drawn_or_told(tmp_path: Path) -> None:
    write_results(tmp_path / "results")
    picture = curves_picture(report_of(tmp_path / "results"))
    assert [panel.clipped for panel in picture.panels] == [0]
    assert "arrow" not in picture.caption
    assert "clipped" not in figure_svg(picture.draw, alt="x", size=picture.size)


def test_the_overview_is_time_slope_prefactor_and_ratios(report: Report) -> None:
    pictures = overview(report, PLACE)
    panels = [panel for picture in pictures for panel in picture.panels]
    titles = [panel.title.partition(":")[0] for panel in panels]
    assert titles == [
        "Time against d", "Slope over the commits", "Prefactor over the commits",
        "Ratios over the commits",
    ]  # fmt: skip
    assert 2 in panels[0].guides
    assert [point["value"] for point in panels[3].to_json()["lines"][0]["points"]] == [
        0.8, 0.8, 0.8, 0.8, 1.2, 1.2, 1.2, 1.2, 0.8, 0.8, 0.8, 0.8,
    ]  # fmt: skip


def test_medians_are_of_the_same_ratios_at_every_commit(tmp_path: Path) -> None:
    """A ratio that was measured once moves no median."""
    asv = Asv(tmp_path / "results", {RATIO: (["backend", "dim"], [["'numpy'"], ["256", "512"]])})
    for index, second in enumerate((math.nan, math.nan, 9.0)):
        asv.commit(index, {RATIO: ([0.8, second], None, None)})
    (picture,) = overview(report_of(asv.folder), PLACE)
    (line,) = picture.panels[0].to_json()["lines"]
    assert [point["value"] for point in line["points"]] == [0.8, 0.8, 0.8]
    assert line["label"].endswith("1 of 2")


def test_a_regression_is_marked_where_it_begins_and_where_it_recovered(report: Report) -> None:
    panels: list[Panel] = [
        panel for picture in pictures_of(RATIO, (), report.rest, report) for panel in picture.panels
    ]
    (panel,) = panels
    assert panel.worse[0] == 4
    assert panel.recovered == (8,)


# --- the page -----------------------------------------------------------------------------------


def test_the_page_in_a_browser(report: Report, text: str, browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "history.html"
    write_page(page, text)
    data = browser.check(page, least_numbers=10)
    record = json.loads(json.dumps(report.to_json()))
    series = record.pop("series")
    assert data["data"] == record
    values = {entry["value"] for one in series for entry in one["values"]}
    values |= {
        fit[key]
        for one in record["slopes"]
        for fit in one["fits"]
        for key in ("exponent", "prefactor")
    }
    drawn = [
        point["value"]
        for name, figure in data.items()
        if name.startswith("figure-") and "overview-ratios" not in name
        for panel in figure["panels"]
        for line in panel["lines"]
        for point in line["points"]
    ]
    assert len(drawn) > 50
    assert set(drawn) <= values


def test_on_a_phone_no_value_that_is_judged_is_off_the_screen(
    text: str, browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "history.html"
    write_page(page, text)
    browser.open(page, width=PHONE)
    ends = browser.driver.execute_script(
        "document.querySelectorAll('details').forEach(e => e.open = true);"
        "return [...document.querySelectorAll('.judged th, .judged td')].map("
        "e => e.getBoundingClientRect().right)"
    )
    assert len(ends) >= 4 * 2 * 6  # four tables of six columns, with a heading and a row at least
    assert max(ends) <= PHONE


def test_contents_are_first_and_complete(text: str) -> None:
    sections = re.findall(r'<section aria-labelledby="([^"]+)"', text)
    contents = text[text.index("<nav") : text.index("</nav>")]
    assert sorted(sections) == sorted(re.findall(r'href="#([^"]+)"', contents))
    for name in ("Gate", "Regressions", "Time against d", "Ratios", STEP, RATIO):
        assert f">{name}</a>" in contents
    order = [text.index(part) for part in ("<nav", 'id="summary"', "<svg", "<table")]
    assert order == sorted(order)


def test_two_machines_have_sections_of_their_own(tmp_path: Path) -> None:
    folder = write_ratios(tmp_path / "results", [0.8, 0.8]).folder
    shutil.copytree(folder / "lab", folder / "zoo")
    for path in (folder / "zoo").glob("*torch.json"):
        content = json.loads(path.read_text())
        content["params"]["machine"] = "zoo"
        path.write_text(json.dumps(content))
    two = page_of(report_of(folder))
    sections = re.findall(r'<section aria-labelledby="([^"]+)"', two)
    assert len(set(sections)) == len(sections)
    assert {"pictures-1", "pictures-2", "ratios-1", "ratios-2"} <= set(sections)
    ids = re.findall(r'\bid="([^"]+)"', two)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("values", [(0.0, 0.0), (-1.0, 0.0, 2.0), (1e-90, 1.0, 1e90)])
def test_pages_of_values_that_no_ratio_should_have(
    values: tuple[float, ...], tmp_path: Path
) -> None:
    report = report_of(write_ratios(tmp_path / "results", list(values)).folder)
    assert "<svg" in page_of(report)


def test_tables_are_folded(text: str) -> None:
    before, *tables = text.split("<table")
    assert tables
    for number in range(len(tables)):
        so_far = "<table".join([before, *tables[:number]])
        assert so_far.count("<details") > so_far.count("</details>")


def test_the_page_escapes_names(tmp_path: Path) -> None:
    names = (["backend"], [["'<script>alert(1)</script>'", "'b'"]])
    asv = Asv(tmp_path / "results", {RATIO: names})
    for index in range(2):
        asv.commit(index, {RATIO: ([1.0, 2.0], None, None)})
    page = page_of(report_of(asv.folder))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_page_is_self_contained(text: str) -> None:
    addresses = re.findall(r"""(?:src|href)="([^"]*)\"""", text)
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "@import" not in text


@pytest.mark.slow
def test_the_page_of_the_committed_results(browser: Browser, tmp_path: Path) -> None:
    if not COMMITTED.is_dir():
        pytest.skip("no results of asv here")
    page = tmp_path / "history.html"
    write_page(page, page_of(report_of(COMMITTED)))
    browser.check(page, least_numbers=50)


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_figures_as_files(eventful: Path, tmp_path: Path, ending: str, begin: bytes) -> None:
    path = tmp_path / f"h.{ending}"
    arguments = [str(eventful), "--figure", str(path), "--benchmark", RATIO]
    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert done.exception is None
    assert path.read_bytes().startswith(begin)


def test_the_command_of_each_figure_draws_it(text: str, tmp_path: Path) -> None:
    commands = set(re.findall(r'<pre class="command">([^<]*)</pre>', text))
    assert len(commands) == 3
    for line in commands:
        words = line.split()[2:]
        at = words.index("--figure") + 1
        words[at] = str(tmp_path / words[at])
        done = CliRunner().invoke(command, words, standalone_mode=False)
        assert done.exception is None
        assert Path(words[at]).stat().st_size > 1000


def test_wrong_benchmarks_are_named(eventful: Path) -> None:
    report = report_of(eventful)
    with pytest.raises(
        InputError, match=rf"--benchmark='stage1.Stp': expected .*{re.escape(STEP)}"
    ):
        figure_of(report, "stage1.Stp")
    single = make_report(read_history(write_ratios(eventful.parent / "one", [0.8]).folder))
    with pytest.raises(InputError, match="at one commit and one dimension alone"):
        figure_of(single, RATIO)


def test_without_matplotlib_the_extra_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimverify.pages.figures.has_matplotlib", lambda: False)
    for option in ("--html", "--figure"):
        arguments = [str(tmp_path / "nowhere"), option, str(tmp_path / "h.svg")]
        with pytest.raises(InputError, match=rf"{option}: .*mimverify\[figures\]"):
            command.main(arguments, standalone_mode=False)
