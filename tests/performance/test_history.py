"""`mimverify history`: asv's results as slopes, regressions, a gate, and a page."""

from __future__ import annotations

import json
import math
import re
import sys
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from click.testing import CliRunner

from mimverify.cli.history import history as command
from mimverify.performance.history import (
    State,
    curves_of,
    evaluate_gate,
    find_regressions,
    fit_slope,
    make_report,
    page_of,
    read_history,
    steps_of,
)
from mimverify.performance.history.quantities import shown
from mimverify.support.errors import InputError

pytest.importorskip("asv")

DIMS = (256, 512, 1024, 2048)
HASHES = tuple(f"{k:02x}" + "5ac0ffee" * 4 + "abcdef" for k in range(12))
WORSE_AT = 8  # the commit from which Torch's step takes 1.5 times as long
MISSING_AT = 3
STEP, RATIO, IMPORT = "stage1.Step.time_work", "ratios.Step.track_ratio", "package.time_import"
ENVIRONMENT = "virtualenv-py3.11-torch"
COLUMNS = [
    "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b",
    "stats_q_25", "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
]  # fmt: skip
STEP_PARAMS = [["'numpy'", "'torch'"], [str(dim) for dim in DIMS]]
BENCHMARKS = {
    STEP: (["backend", "dim"], STEP_PARAMS, "seconds", "1"),
    RATIO: (["backend"], [["'numpy'", "'torch'"]], "ratio", "1"),
    IMPORT: ([], [], "seconds", "1"),
    "package.peakmem_import": ([], [], "bytes", "2"),
}


class Asv:
    """Writes result files as asv 0.6.6 does."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "lab").mkdir(parents=True)
        described = {
            name: {
                "name": name, "param_names": names, "params": params, "unit": unit,
                "type": "time", "version": version, "code": "", "timeout": 60,
            }
            for name, (names, params, unit, version) in BENCHMARKS.items()
        }  # fmt: skip
        self._write("benchmarks.json", described | {"version": 2})
        self._write("lab/machine.json", {"machine": "lab", "version": 1})

    def commit(self, index, results, started=1):
        """`results`: benchmark → values, lows, highs. `started`: identifies the run."""
        rows = {}
        for name, (values, lows, highs) in results.items():
            run = started + index * 1000
            rows[name] = [values, BENCHMARKS[name][1], "1", run, 1.0, lows, highs]
        content = {
            "commit_hash": HASHES[index], "env_name": ENVIRONMENT,
            "date": 1_700_000_000_000 + index * 86_400_000,
            "params": {"machine": "lab"}, "python": "3.11", "requirements": {}, "env_vars": {},
            "result_columns": COLUMNS, "results": rows, "durations": {}, "version": 2,
        }  # fmt: skip
        self._write(f"lab/{HASHES[index][:8]}-{ENVIRONMENT}.json", content)

    def _write(self, name, content):
        (self.folder / name).write_text(json.dumps(content))


def step_values(rng, index):
    """d² with 1 % noise; Torch gets worse, and one value is missing."""
    values: list[float | None] = []
    for backend, dim in product(("numpy", "torch"), DIMS):
        level = 1e-8 * (1.5 if backend == "torch" and index >= WORSE_AT else 1.0)
        values.append(level * dim**2 * math.exp(0.01 * rng.standard_normal()))
    if index == MISSING_AT:
        values[1] = None
        values[5] = math.nan
    lows, highs = ([factor * v if v else None for v in values] for factor in (0.95, 1.05))
    return values, lows, highs


def write_results(folder, ratio=(0.8, 0.9)):
    """Twelve commits; `ratio` is that of the latest."""
    asv, rng = Asv(folder), np.random.default_rng(7)
    for index in range(len(HASHES)):
        latest = index == len(HASHES) - 1
        ratios = list(ratio) if latest else [0.8 + 0.004 * (index % 3), 0.9]
        results = {
            STEP: step_values(rng, index),
            RATIO: (ratios, None, None),
            IMPORT: ([0.2 + 0.001 * (index % 2)], [0.19], [0.21]),
            # Measured by an older version of the benchmark: not comparable.
            "package.peakmem_import": ([1e8], None, None),
        }
        if index == 5:
            results[IMPORT] = ([None], None, None)
        asv.commit(index, results)
    return asv


@pytest.fixture
def results(tmp_path):
    write_results(tmp_path / "results")
    return tmp_path / "results"


def step_series(history, backend, dim):
    found = history.find((STEP, (("backend", backend), ("dim", dim)), "lab", ENVIRONMENT))
    assert found is not None
    return found


def fitted(*arguments):
    slope = fit_slope(*arguments)
    assert slope is not None
    return slope


def invoke(*arguments):
    texts = [str(argument) for argument in arguments]
    return CliRunner().invoke(command, texts, standalone_mode=False)


def invoke_raising(*arguments):
    command.main([str(argument) for argument in arguments], standalone_mode=False)


# --- reading ----------------------------------------------------------------------------------


def test_reads_series_in_the_commits_order_with_intervals(results):
    history = read_history(results)
    assert [commit.hash for commit in history.commits] == list(HASHES)
    series = step_series(history, "torch", 512)
    assert (series.benchmark, series.unit, series.dim) == (STEP, "seconds", 512)
    point = series.points[0]
    assert point.low == pytest.approx(0.95 * point.value)
    assert point.high == pytest.approx(1.05 * point.value)
    assert point.commit.short == HASHES[0][:8]


def test_missing_values_are_gaps(results):
    history = read_history(results)
    failed, skipped = (step_series(history, backend, 512) for backend in ("numpy", "torch"))
    assert failed.points[MISSING_AT].value is None
    assert failed.points[MISSING_AT].failed
    assert skipped.points[MISSING_AT].value is None
    assert not skipped.points[MISSING_AT].failed
    assert len(failed.measured) == len(HASHES) - 1


def test_values_of_an_older_version_of_a_benchmark_are_left_out(results):
    assert all(s.benchmark != "package.peakmem_import" for s in read_history(results).series)


# --- slopes -----------------------------------------------------------------------------------


def test_an_exact_power_law_is_recovered():
    slope = fitted(DIMS, [3.0 * dim**1.7 for dim in DIMS], 512)
    assert slope.exponent == pytest.approx(1.7)
    assert slope.margin == pytest.approx(0, abs=1e-6)
    assert slope.prefactor == pytest.approx(3.0 * 512**1.7)


def test_two_dimensions_give_a_slope_without_interval_and_one_gives_none():
    assert fitted((256, 512), (1.0, 4.0)).margin is None
    assert fit_slope((256, 256), (1.0, 4.0)) is None


def test_the_interval_has_its_nominal_coverage():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        noise = np.exp(0.05 * rng.standard_normal(len(DIMS)))
        slope = fitted(DIMS, [dim**2 * e for dim, e in zip(DIMS, noise, strict=True)])
        covered += abs(slope.exponent - 2) <= slope.margin
    assert 1870 <= covered <= 1930  # 95 % ± 3 standard deviations


def test_slopes_over_the_commits(results):
    curves = curves_of(read_history(results))
    assert [curve.label for curve in curves] == ["backend=numpy", "backend=torch"]
    for curve in curves:
        slopes = [slope for slope in curve.slopes if slope is not None]
        assert len(slopes) == len(HASHES)
        assert {slope.reference for slope in slopes} == {512}
        assert all(abs(slope.exponent - 2) < 0.1 for slope in slopes)
        assert len(slopes[MISSING_AT].dims) == len(DIMS) - 1
    # `slopes` is Torch's now, the one that got worse.
    assert slopes[-1].prefactor / slopes[0].prefactor == pytest.approx(1.5, rel=0.05)


def test_small_dimensions_can_be_left_out_of_the_fit(results):
    (curve, _) = curves_of(read_history(results), least_dim=512)
    (slope, *_) = curve.slopes
    assert slope is not None
    assert slope.dims == (512, 1024, 2048)
    assert [dim for dim, _ in curve.at(0)] == list(DIMS)


# --- regressions ------------------------------------------------------------------------------


def test_the_planted_regression_is_named_at_its_commit(results):
    found = [r for series in read_history(results).series for r in find_regressions(series)]
    assert {r.commit.hash for r in found} == {HASHES[WORSE_AT]}
    assert {r.before.hash for r in found} == {HASHES[WORSE_AT - 1]}
    assert {dict(r.series.parameters)["backend"] for r in found} == {"torch"}
    assert len(found) == len(DIMS)
    assert all(r.factor == pytest.approx(1.5, rel=0.05) for r in found)


def test_steps_skip_gaps(results):
    (series,) = (s for s in read_history(results).series if s.benchmark == IMPORT)
    (step,) = steps_of(series)
    assert (step.first, step.last) == (0, len(HASHES) - 1)
    assert step.value == pytest.approx(0.2, rel=0.01)
    assert steps_of(series, until=0) == ()


# --- gate -------------------------------------------------------------------------------------


def test_a_ratio_within_the_threshold_holds(results):
    gate = evaluate_gate(read_history(results))
    assert [one.state for one in gate.results] == [State.HELD, State.HELD]
    assert gate.passed
    assert gate.to_repeat == ()


def test_one_run_makes_a_suspect_only(tmp_path):
    write_results(tmp_path / "results", ratio=(1.0, 0.9))
    gate = evaluate_gate(read_history(tmp_path / "results"))
    (suspect,) = gate.suspects
    assert dict(suspect.series.parameters) == {"backend": "numpy"}
    assert suspect.runs[0].factor == pytest.approx(1.25, rel=0.01)
    assert gate.passed
    assert [commit.hash for commit in gate.to_repeat] == [HASHES[-2], HASHES[-1]]
    assert HASHES[-1][:8] in " ".join(gate.repeat_command("results"))


@pytest.mark.parametrize(
    ("again", "started", "state"),
    [
        ((1.02, 0.9), 2, State.REGRESSED),
        ((0.82, 0.9), 2, State.UNCONFIRMED),
        ((None, 0.9), 2, State.SUSPECT),
        ((1.0, 0.9), 1, State.SUSPECT),  # the same run: confirms nothing
    ],
)
def test_a_repeated_run_decides(tmp_path, again, started, state):
    write_results(tmp_path / "results", ratio=(1.0, 0.9))
    Asv(tmp_path / "again").commit(len(HASHES) - 1, {RATIO: (list(again), None, None)}, started)
    gate = evaluate_gate(read_history(tmp_path / "results"), [read_history(tmp_path / "again")])
    assert gate.results[0].state is state
    assert gate.passed is (state is not State.REGRESSED)


def test_a_best_value_by_chance_does_not_survive_its_repetition(tmp_path):
    asv = Asv(tmp_path / "results")
    for index, ratio in enumerate((0.7, 0.8)):
        asv.commit(index, {RATIO: ([ratio, 0.9], None, None)})
    assert evaluate_gate(read_history(tmp_path / "results")).suspects
    again = Asv(tmp_path / "again")
    for index in (0, 1):
        again.commit(index, {RATIO: ([0.8, 0.9], None, None)}, started=2)
    gate = evaluate_gate(read_history(tmp_path / "results"), [read_history(tmp_path / "again")])
    assert gate.results[0].state is State.UNCONFIRMED


def test_a_broken_ratio_fails_and_a_first_one_does_not(tmp_path):
    write_results(tmp_path / "results", ratio=(None, 0.9))
    gate = evaluate_gate(read_history(tmp_path / "results"))
    assert gate.results[0].state is State.BROKEN
    assert not gate.passed
    Asv(tmp_path / "first").commit(0, {RATIO: ([0.8, 0.9], None, None)})
    assert {one.state for one in evaluate_gate(read_history(tmp_path / "first")).results} == {
        State.FIRST
    }


def test_exit_codes_of_the_gate(tmp_path):
    write_results(tmp_path / "results", ratio=(1.0, 0.9))
    Asv(tmp_path / "again").commit(len(HASHES) - 1, {RATIO: ([1.0, 0.9], None, None)}, started=2)
    commits = tmp_path / "commits.txt"
    first = invoke(tmp_path / "results", "--gate", "--suspects", commits)
    assert first.return_value == 0
    assert "mimverify history" in first.output
    assert commits.read_text().split() == [HASHES[-2], HASHES[-1]]
    confirmed = invoke(tmp_path / "results", "--gate", "--confirm", tmp_path / "again")
    assert confirmed.return_value == 1
    assert "regressed" in confirmed.output
    raised = ("--threshold", "1.5", "--suspects", commits)
    assert invoke(tmp_path / "results", "--gate", *raised).return_value == 0
    assert commits.read_text() == ""


def test_a_gate_without_an_earlier_ratio_is_not_green(tmp_path):
    Asv(tmp_path / "first").commit(0, {RATIO: ([0.8, 0.9], None, None)})
    assert invoke(tmp_path / "first", "--gate").return_value == 3
    assert invoke(tmp_path / "first").return_value == 0  # shown, without a gate


# --- page, text, JSON -------------------------------------------------------------------------


class Tree(HTMLParser):
    """Fails where tags are not nested; keeps tags and links."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_self_contained(results):
    history = read_history(results)
    page = page_of(make_report(history, gate=evaluate_gate(history)))
    tree = Tree(page)
    assert tree.tags.count("svg") == 5  # three of the step, one of the ratio, one of the import
    assert all(link.startswith("#") for link in tree.links)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<img|<link", page)
    assert HASHES[WORSE_AT][:8] in page
    assert "nan" not in page.lower()
    assert len(page) < 100_000


def test_the_page_escapes_names(tmp_path):
    asv = Asv(tmp_path / "results")
    values = ["'<script>alert(1)</script>'", "'b'"]
    described = json.loads((asv.folder / "benchmarks.json").read_text())
    described[RATIO]["params"] = [values]
    (asv.folder / "benchmarks.json").write_text(json.dumps(described))
    asv.commit(0, {RATIO: ([1.0, 2.0], None, None)})
    path = next((asv.folder / "lab").glob("*torch.json"))
    content = json.loads(path.read_text())
    content["results"][RATIO][1] = [values]
    path.write_text(json.dumps(content))
    page = page_of(make_report(read_history(asv.folder)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    Tree(page)


def test_text_fits_eighty_columns(results):
    shown = invoke(results)
    assert shown.return_value == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    for part in ("backend=torch", "Regressions", HASHES[WORSE_AT][:8], IMPORT, "Gate"):
        assert part in shown.output


def test_json_and_page_are_written_whole(results, tmp_path):
    record, page = tmp_path / "h.json", tmp_path / "h.html"
    assert invoke(results, "--json", record, "--html", page).return_value == 0
    written = json.loads(record.read_text())
    assert len(written["commits"]) == len(HASHES)
    assert {one["commit"] for one in written["regressions"]} == {HASHES[WORSE_AT]}
    fit = written["slopes"][0]["fits"][-1]
    assert abs(fit["exponent"] - 2) < fit["margin"] + 0.05
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads(invoke(results, "--json", "-").output)["gate"]["passed"] is True
    assert invoke(results, "--html", "-").output == page.read_text()


# --- wrong input ------------------------------------------------------------------------------


def test_wrong_input_is_named(results, tmp_path):
    with pytest.raises(InputError, match=r"RESULTS=.*no such folder"):
        read_history(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no results"):
        read_history(tmp_path / "empty")
    with pytest.raises(InputError, match=r"--threshold=1: expected a number above 1"):
        evaluate_gate(read_history(results), threshold=1.0)
    with pytest.raises(InputError, match=r"--confirm=.*no such folder"):
        invoke_raising(results, "--gate", "--confirm", tmp_path / "nowhere")
    with pytest.raises(InputError, match="expected --gate too"):
        invoke_raising(results, "--confirm", results)
    with pytest.raises(InputError, match="--html"):
        invoke_raising(results, "--html", tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"version": 2, "results": 3}'])
def test_broken_files_are_named(results, content):
    path = sorted((results / "lab").glob("*torch.json"))[0]
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_history(results)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("date",), "now"), (("date",), 1e300), (("date",), 10**400), (("date",), True),
        (("commit_hash",), 3), (("env_name",), []), (("params",), {"machine": []}),
        (("results",), []), (("results", STEP), 3), (("results", STEP, 0), 3),
        (("results", STEP, 0, 0), "1"), (("results", STEP, 0), [1.0]),
        (("results", STEP, 1), [3]), (("results", STEP, 1), None),
        (("results", STEP, 1), [["a"] * 400] * 3),
        (("results", STEP, 3), "x"), (("results", STEP, 2), []), (("results", STEP, 5), 3),
        (("results", STEP, 5, 0), {}), (("results", STEP, 6), [1.0]), (("result_columns",), 3),
        (("result_columns", 0), []), (("version",), "2"),
    ],
)  # fmt: skip
def test_values_of_other_types_are_named(results, where, value):
    path = sorted((results / "lab").glob("*torch.json"))[0]
    content = json.loads(path.read_text())
    at = content
    for key in where[:-1]:
        at = at[key]
    at[where[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_history(results)


@pytest.mark.parametrize(
    "change",
    [
        {"unit": 3}, {"params": 3}, {"params": None, "param_names": []},
        {"params": [[1], [2]]}, {"params": [["1"]]}, {"version": []},
        {"param_names": "ab"}, {"params": [["1"] * 1000] * 2}, {"unit": "x" * 10_000 + "\ud800"},
    ],
)  # fmt: skip
def test_benchmarks_of_other_types_are_named(results, change):
    path = results / "benchmarks.json"
    content = json.loads(path.read_text())
    content[STEP] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"benchmarks\.json is broken"):
        read_history(results)


def test_parameters_that_no_parser_should_see(results):
    deep = ["(" * 9000, "-" * 9000 + "1", "'\\d'", "[1]"]
    for path in (results / "benchmarks.json", *(results / "lab").glob("*torch.json")):
        content = json.loads(path.read_text())
        if STEP in content:
            content[STEP]["params"][1] = deep
        else:
            content["results"][STEP][1][1] = deep
        path.write_text(json.dumps(content))
    found = {dict(one.parameters).get("dim") for one in read_history(results).series}
    assert found >= set(deep)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 2, "a": {}}', "[" * 5000])
def test_a_broken_list_of_benchmarks_is_named(results, content):
    (results / "benchmarks.json").write_text(content)
    with pytest.raises(InputError, match=r"benchmarks\.json is broken"):
        read_history(results)


def test_a_gate_without_ratios_is_wrong_input(results):
    for path in (results / "lab").glob("*torch.json"):
        content = json.loads(path.read_text())
        del content["results"][RATIO]
        path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="unit 'ratio'"):
        invoke_raising(results, "--gate")
    assert invoke(results).return_value == 0


def test_without_asv_the_extra_is_named(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "asv", None)
    with pytest.raises(InputError, match=r"mimverify\[bench\]"):
        read_history(results)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "seconds", "–"),
        (0.0123, "seconds", "12.3 ms"),
        (12_345.0, "ratio", "12345"),
        (3.6e-8, "value / d^2", "3.6e-08"),
        (0.0, "+-", "0"),
        (2.5e9, "unit", "2.5e+09"),
    ],
)
def test_numbers_are_formatted_with_their_units(value, unit, text):
    assert shown(value, unit) == text
