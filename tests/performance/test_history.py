"""`mimverify history`: asv's results as slopes, regressions, a gate, and a page."""

from __future__ import annotations

import json
import math
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from asv_results import (
    DIMS,
    ENVIRONMENT,
    HASHES,
    IMPORT,
    MISSING_AT,
    RATIO,
    STEP,
    WORSE_AT,
    Asv,
    write_ratios,
    write_results,
)
from mimverify.cli.verbs.history import history as command
from mimverify.performance.history import (
    Outcome,
    State,
    curves_of,
    evaluate_gate,
    find_regressions,
    fit_slope,
    make_report,
    read_history,
    steps_of,
)
from mimverify.performance.history.quantities import shown
from mimverify.support.errors import InputError

pytest.importorskip("asv")


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


def test_few_dimensions_give_a_slope_without_interval_and_one_gives_none():
    assert fitted((256, 512), (1.0, 4.0)).margin is None
    assert fit_slope((256, 256), (1.0, 4.0)) is None


def test_three_points_on_a_line_give_no_interval_rather_than_none_wide():
    few = fitted(DIMS[:3], [1.0, 4.0, 16.0])
    assert (few.margin, few.factor) == (None, None)
    assert str(few) == "2.00 (3 points)"
    assert str(fitted(DIMS, [1.0, 4.0, 16.0, 64.0])) == "2.00 ± <0.01"


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


def ratio_history(folder, values, *more):
    return read_history(write_ratios(folder, values, *more).folder)


def test_the_planted_regression_of_a_ratio_is_named_at_its_commit(tmp_path):
    found = make_report(ratio_history(tmp_path / "r", [0.8] * WORSE_AT + [1.2] * 4))
    (regression,) = found.regressions
    assert regression.commit.hash == HASHES[WORSE_AT]
    assert regression.before.hash == HASHES[WORSE_AT - 1]
    assert regression.factor == pytest.approx(1.5)
    assert regression.recovered is None
    assert found.recovered == ()


def test_seconds_of_different_days_are_not_judged(results):
    """Torch's step takes 1.5 times as long from one commit on: shown, but no regression."""
    history = read_history(results)
    assert find_regressions(step_series(history, "torch", 512))
    report = make_report(history)
    assert report.regressions == report.recovered == ()
    assert make_report(history).to_json()["regressions"] == []


def test_a_regression_that_recovered_is_reported_as_such(tmp_path):
    report = make_report(ratio_history(tmp_path / "r", [0.8] * 4 + [1.2] * 4 + [0.8] * 4))
    assert report.regressions == ()
    (one,) = report.recovered
    assert (one.before.hash, one.commit.hash) == (HASHES[3], HASHES[4])
    assert one.last is not None
    assert one.recovered is not None
    assert (one.last.hash, one.recovered.hash) == (HASHES[7], HASHES[8])
    assert one.factor == pytest.approx(1.5)
    (written,) = report.to_json()["recovered"]
    assert (written["last_bad"], written["recovered"]) == (HASHES[7], HASHES[8])
    shown_text = invoke(tmp_path / "r").output
    for part in (HASHES[4], HASHES[7], HASHES[8]):
        assert part[:8] in shown_text
    assert "recovered at" in shown_text


def test_a_regression_that_recovered_in_part_still_stands(tmp_path):
    report = make_report(ratio_history(tmp_path / "r", [0.8] * 4 + [1.6] * 4 + [1.2] * 4))
    (standing,) = report.regressions
    assert standing.commit.hash == HASHES[4]
    assert standing.new == pytest.approx(1.2)


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_no_regression(tmp_path, seed):
    """A spread of 1 %, a fifth of the least rise that counts."""
    noise = 0.01 * np.random.default_rng(seed).standard_normal(12)
    report = make_report(ratio_history(tmp_path / "r", list(0.8 * np.exp(noise))))
    assert report.regressions == report.recovered == ()


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
    first = evaluate_gate(read_history(tmp_path / "first"))
    assert {one.state for one in first.results} == {State.FIRST}
    assert (first.outcome, first.compared) == (Outcome.NOTHING, ())


def test_the_gate_says_what_it_did_not_compare(tmp_path):
    asv = Asv(tmp_path / "results")
    asv.commit(0, {RATIO: ([0.8, None], None, None)})
    asv.commit(1, {RATIO: ([0.8, 0.9], None, None)})
    gate = evaluate_gate(read_history(tmp_path / "results"))
    assert gate.outcome is Outcome.PARTLY
    assert len(gate.compared) == 1
    output = invoke(tmp_path / "results").output
    assert "1 of 2 ratios compared: 1 held; 1 with nothing to compare" in output


def test_parameters_that_were_left_out_are_judged_where_they_were_measured(tmp_path):
    """As a selection of asv's leaves out: NaN, at a commit where the others were run."""
    asv = Asv(tmp_path / "results")
    for index, value in enumerate((0.8, 1.2, math.nan)):
        asv.commit(index, {RATIO: ([value, 0.9], None, None)})
    gate = evaluate_gate(read_history(tmp_path / "results"))
    assert gate.results[0].state is State.SUSPECT
    assert gate.results[0].commit.hash == HASHES[1]


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
    alone = invoke(tmp_path / "first", "--gate")
    assert alone.return_value == 3
    assert "nothing to compare: none of 2 ratios has an earlier value" in alone.output
    assert invoke(tmp_path / "first").return_value == 0  # shown, without a gate


# --- text, JSON -------------------------------------------------------------------------------


def test_ten_lines_come_first_and_the_rest_on_request(results):
    brief = invoke(results)
    assert brief.return_value == 0
    lines = brief.output.rstrip().splitlines()
    assert len(lines) <= 11
    assert "--all" in lines[-1]
    assert len(make_report(read_history(results)).summary) <= 10
    everything = invoke(results, "--all").output
    assert everything.startswith(brief.output[: brief.output.index("Every table")])
    assert len(everything.splitlines()) > 30


def test_the_summary_names_what_broke_and_what_grows_too_fast(tmp_path):
    def steps(index):
        cubes = [1e-9 * dim**3 for _ in range(2) for dim in DIMS]
        return [None if index == 2 and k == 0 else cube for k, cube in enumerate(cubes)], None, None

    history = ratio_history(tmp_path / "r", [0.8, 0.8, 0.8], (STEP, steps))
    lines = {line.subject: line for line in make_report(history).summary}
    assert lines["failed"].text == "Step.time_work (1)"
    assert lines["time"].text.startswith("1 above d²; steepest d^3.00")  # NumPy's has three points
    assert {lines["failed"].tone, lines["time"].tone} == {"bad", "warn"}


def test_text_fits_eighty_columns(results):
    for arguments in ((), ("--all",)):
        shown = invoke(results, *arguments)
        assert shown.return_value == 0
        assert max(map(len, shown.output.splitlines())) <= 80
    for part in ("backend=torch", "regressions", HASHES[-1][:8], IMPORT, "Gate"):
        assert part in shown.output


def test_json_and_page_are_written_whole(results, tmp_path):
    pytest.importorskip("matplotlib")
    record, page = tmp_path / "h.json", tmp_path / "h.html"
    assert invoke(results, "--json", record, "--html", page).return_value == 0
    written = json.loads(record.read_text())
    assert len(written["commits"]) == len(HASHES)
    assert len(written["summary"]) <= 10
    fit = written["slopes"][0]["fits"][-1]
    assert abs(fit["exponent"] - 2) < fit["margin"] + 0.05
    assert page.read_text().startswith("<!DOCTYPE html>")
    gate = json.loads(invoke(results, "--json", "-").output)["gate"]
    assert (gate["passed"], gate["outcome"], gate["compared"]) == (True, "holds", 2)
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
    with pytest.raises(InputError, match="expected --figure too"):
        invoke_raising(results, "--benchmark", STEP)


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
        (("results", STEP, 0, 0), "1"), (("results", STEP, 0, 0), 1e101),
        (("results", STEP, 0, 0), 10**400), (("results", STEP, 0), [1.0]),
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
