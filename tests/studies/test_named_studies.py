"""The four studies at small scale: predictions against measurements, pages and figures from the
store alone, and what a change runs again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mimverify
from browser import Browser
from console_script import command
from mimverify.pages import figure_bytes, write_page
from mimverify.studies import (
    LIMIT,
    SCALES,
    StudyReport,
    false_alarms,
    get_study,
    study_names,
    study_page,
)
from mimverify.studies.sample_sizes import _crossings
from mimverify.support.errors import InputError
from mimverify.sweeps import Row, Store, Sweep, run_sweeps

ROOT = Path(mimverify.__file__).parents[1]
NAMES = ("inputs", "phase-diagram", "sample-sizes", "steps")


def completed(sweeps: list[Sweep], store: Store) -> int:
    """Run what is missing in this process; how many trials that was."""
    with ThreadPoolExecutor(1) as executor:
        results = run_sweeps(sweeps, store, executor=executor, workers=1)
    for result in results:
        assert not result.missing, result.sweep.name
        assert not result.failed, [row.error for row in result.rows if row.error]
    return results[0].computed


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("studies") / "trials.sqlite")


@pytest.fixture(scope="module")
def reports(store: Store) -> dict[str, StudyReport]:
    for name in NAMES:
        completed(get_study(name).sweeps("small"), store)
    return {name: StudyReport.of(get_study(name), "small", store) for name in NAMES}


def test_studies_are_found() -> None:
    assert study_names() == NAMES
    with pytest.raises(InputError, match="steps"):
        get_study("stepz")


@pytest.mark.parametrize("name", NAMES)
def test_every_prediction_holds(name: str, reports: dict[str, StudyReport]) -> None:
    """No comparison is beyond |z| = 4. Seeds derive from configurations, so that the outcome is
    the same in every run; of all 80 comparisons some was beyond with probability ≤ .005."""
    report = reports[name]
    assert len(report.comparisons) >= 9
    assert report.beyond == [], [each.to_json() for each in report.beyond]
    assert sum(len(each.comparisons) for each in reports.values()) <= 80
    assert false_alarms(80) < 0.0051


def test_the_comparisons_can_fail(reports: dict[str, StudyReport]) -> None:
    """Predictions of another problem are beyond: the alignment of twice the samples. Those without
    a prediction of twice the samples keep their own, and are not counted."""
    report = reports["phase-diagram"]

    def doubled(row: Row) -> Row:
        if row.kind != "predicted-alignment":
            return row
        other = next(
            (
                each
                for each in report.rows
                if each.kind == row.kind
                and each.parameters == {**row.parameters, "samples": 2 * row.parameters["samples"]}
            ),
            row,
        )
        return replace(row, result=other.result)

    wrong = replace(report, rows=[doubled(row) for row in report.rows])
    pairs = list(zip(report.comparisons, wrong.comparisons, strict=True))
    changed = [after for before, after in pairs if before.prediction != after.prediction]
    assert len(changed) > len(pairs) / 2
    assert len(set(map(id, wrong.beyond)) & set(map(id, changed))) == len(wrong.beyond)
    assert len(wrong.beyond) > len(changed) / 3


def test_trials_of_the_largest_scale_are_accepted() -> None:
    for name in NAMES:
        for scale in SCALES:
            assert get_study(name).sweeps(scale)


@pytest.mark.parametrize("name", NAMES)
def test_a_complete_store_is_enough(
    name: str, store: Store, reports: dict[str, StudyReport]
) -> None:
    assert completed(get_study(name).sweeps("small"), store) == 0
    again = StudyReport.of(get_study(name), "small", store)
    command = f"mimverify study {name}"
    assert study_page(again, command) == study_page(reports[name], command)


def test_a_study_that_is_not_complete(tmp_path: Path) -> None:
    report = StudyReport.of(get_study("steps"), "small", Store(tmp_path / "none.sqlite"))
    with pytest.raises(InputError, match="to its end"):
        report.to_json()


def test_a_changed_axis_runs_what_is_new(store: Store, reports: dict[str, StudyReport]) -> None:
    """One more sample ratio: its runs and its prediction, and nothing else."""
    sweeps = [
        replace(sweep, axes={**sweep.axes, "samples": [*sweep.axes["samples"], 500]})
        if "samples" in sweep.axes and sweep.fixed["dim"] == 48
        else sweep
        for sweep in get_study("phase-diagram").sweeps("small")
    ]
    runs = next(each.seeds for each in sweeps if each.kind == "training")
    assert completed(sweeps, store) == runs + 1
    assert completed(sweeps, store) == 0


# -- figures and pages -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_figures_have_their_numbers(name: str, reports: dict[str, StudyReport]) -> None:
    """Prediction, measurement and z in the JSON of the study, finite all of them."""
    record = json.loads(json.dumps(reports[name].to_json(), allow_nan=False))
    assert record["limit"] == LIMIT
    assert {figure["name"] for figure in record["figures"]} == {name}
    for each in record["comparisons"]:
        numbers = [each[key] for key in ("prediction", "measurement", "standard_error", "z")]
        assert all(np.isfinite(numbers))
    for figure in record["figures"]:
        assert re.search(r"error|interval", figure["caption"])  # says what bars are
        assert figure["data"]


def test_the_figures_draw(reports: dict[str, StudyReport]) -> None:
    pytest.importorskip("matplotlib", reason="an extra")
    for report in reports.values():
        for figure in report.figures:
            assert figure_bytes(figure.draw, "svg", size=figure.size).startswith(b"<?xml")


def test_the_command_writes_page_figure_and_record(
    store: Store,
    reports: dict[str, StudyReport],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib", reason="an extra")
    files = {name: tmp_path / f"a.{name}" for name in ("html", "svg", "json")}
    code, out, err = command(capsys)(
        "study", "inputs", "--store", str(store.path), "--html", str(files["html"]),
        "--figure", str(files["svg"]), "--json", str(files["json"]),
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "none anew" in out
    record = json.loads(files["json"].read_text())
    assert record["comparisons"]
    assert all(abs(each["z"]) <= record["limit"] for each in record["comparisons"])
    page = files["html"].read_text()
    assert "mimverify study inputs --store" in page
    assert "--html" not in page
    assert files["svg"].read_text().startswith("<?xml")
    assert record["figures"] == json.loads(json.dumps(reports["inputs"].to_json()))["figures"]


def test_the_gallery_shows_every_study() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for name in study_names():
        assert f"mimverify study {name}" in text
        picture = ROOT / "docs" / "gallery" / f"{name}.svg"
        assert f"gallery/{name}.svg" in text
        assert picture.stat().st_size < 150_000


def test_pages_as_a_reader_sees_them(
    reports: dict[str, StudyReport], browser: Browser, tmp_path: Path
) -> None:
    """Opened in Chromium at both widths, light, dark and printed; its numbers are its data's."""
    for name, report in reports.items():
        page = tmp_path / f"{name}.html"
        write_page(page, study_page(report, f"mimverify study {name}"))
        data = browser.check(page, least_numbers=5 * len(report.comparisons))
        assert data["data"] == json.loads(json.dumps(report.to_json()))
        assert data[f"figure-{name}-data"] == data["data"]["figures"][0]["data"]


# -- where a mean crosses a level --------------------------------------------------------------


def rows_at(
    sizes: list[int], crossings: list[float], slope: float, bend: float = 0.0
) -> Iterator[Row]:
    for n in sizes:
        for seed, crossing in enumerate(crossings):
            x = np.log(n) - crossing
            yield Row(
                key=f"{n} {seed}", kind="balanced-run", version="1",
                parameters={"samples": n, "seed": seed, "steps": 2, "dim": 9}, status="done",
                result={"log_odds": slope * x + bend * x**2}, error=None, seconds=0.0,
                finished="", environment={},
            )  # fmt: skip


def test_crossings_of_lines_are_exact() -> None:
    crossings = [5.0, 5.1, 5.3]
    found = _crossings(list(rows_at([100, 120, 150, 200, 260, 400], crossings, 2.0)))
    np.testing.assert_allclose(found, crossings, rtol=1e-12)


def test_crossings_of_parabolas_are_exact() -> None:
    found = _crossings(list(rows_at([110, 140, 150, 165, 200], [5.05, 5.05], 2.0, bend=-0.8)))
    np.testing.assert_allclose(found, [5.05, 5.05], rtol=1e-9)


def test_two_sizes_are_a_line() -> None:
    found = _crossings(list(rows_at([140, 160], [5.0, 5.02], 2.0)))
    np.testing.assert_allclose(found, [5.0, 5.02], rtol=1e-12)


def test_without_a_crossing() -> None:
    with pytest.raises(InputError, match="no change of sign"):
        _crossings(list(rows_at([100, 120], [6.0, 6.1], 2.0)))
