"""Sweeps: what they declare, what they run, and what the store says afterwards."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mimverify.support.errors import InputError, LostProcessError
from mimverify.sweeps import (
    Search,
    Store,
    Sweep,
    SweepProgress,
    get_trial_kind,
    open_workers,
    plan_sweeps,
    run_sweep,
    run_sweeps,
)

SQUARE = "sweep_trials:square"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "trials.sqlite")


@pytest.fixture
def threads():
    """An executor of this process: nothing starts, nothing is pickled."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


# -- declarations ------------------------------------------------------------------------------


def test_a_grid_is_all_combinations_with_all_seeds() -> None:
    sweep = Sweep("s", kind=SQUARE, axes={"x": [1, 2], "y": ["a", "b", "c"]}, seeds=2)
    trials = sweep.trials()
    assert sweep.size == len(trials) == 12
    assert len({trial.key for trial in trials}) == 12
    assert [trial.given["seed"] for trial in trials] == [0] * 6 + [1] * 6
    assert trials[1].given == {"x": 1, "y": "b", "seed": 0}


def test_a_key_is_of_the_content_alone() -> None:
    one = Sweep("one", kind=SQUARE, axes={"x": [4.0]}, fixed={"b": [1, 2.0]})
    other = Sweep("other", kind=SQUARE, axes={"b": [(1, 2)]}, fixed={"x": 4})
    assert [trial.key for trial in one.trials()] == [trial.key for trial in other.trials()]
    changed = Sweep("one", kind=SQUARE, axes={"x": [5]}, fixed={"b": [1, 2]})
    assert one.trials()[0].key != changed.trials()[0].key
    another = Sweep("one", kind="sweep_trials:fails", axes={"x": [4]}, fixed={"b": [1, 2]})
    assert one.trials()[0].key != another.trials()[0].key


def test_the_version_of_a_kind_is_in_the_key(user_module, monkeypatch) -> None:
    module = user_module("def run(parameters):\n    return {}\n")
    by_source = get_trial_kind(f"{module}:run")
    assert len(by_source.version) == 16
    assert get_trial_kind(SQUARE).version == "1"


def test_a_file_of_toml_is_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        'name = "s"\nkind = "sweep_trials:crossing"\nseeds = 2\n[axes]\na = [1, 2]\n[search]\n'
        'parameter = "n"\nresult = "value"\nlevel = 0\nlow = 1\nhigh = 100\n'
    )
    sweep = Sweep.from_toml(path)
    assert sweep.search == Search("n", result="value", level=0, low=1, high=100)
    assert Sweep.from_json(json.loads(json.dumps(sweep.to_json()))) == sweep


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 's'\nname = 't'", "no valid TOML"),
        ("nme = 's'", "'nme': expected name"),
        ("kind = 'experiment'", "name: is missing"),
        ("name = 's'\nkind = 'experment'", "did you mean 'experiment'"),
        ("name = 's'\n[axes]\nlink = 'cos2z'", "expected a list"),
        ("name = 's'\n[axes]\nlink = []", "expected a list"),
        ("name = 's'\n[axes]\nlink = ['cos2z', 'cos2z']", "each value once"),
        ("name = 's'\n[axes]\nlnk = ['cos2z']", "did you mean 'link'"),
        ("name = 's'\n[axes]\ndim = [32]", "link: is missing"),
        ("name = 's'\n[axes]\nlink = ['cos2z']\n[fixed]\nlink = 'abs'", "given twice"),
        ("name = 's'\n[axes]\nlink = ['cos2z']\nseed = [1]", "seeds = how many"),
        ("name = 's'\n[fixed]\nlink = 'cos2z'\nnoise = nan", "finite"),
        ("name = 's'\n[fixed]\nlink = 'cos2z'\nwhen = 2020-01-01", "expected a number"),
        ("name = 's'\nseeds = 0\n[fixed]\nlink = 'cos2z'", "seeds=0"),
        ("name = 's'\n[fixed]\nlink = 'cos2z'\nratio = 2\nsamples = 3", "both given"),
        ("name = 's'\n[fixed]\nlink = 'cos2z'\ndesign = 'sharded'", "one process"),
        ("name = 's'\n[fixed]\nlink = 'cos2z'\ncheckpoint = 'x'", "checkpoint"),
        ("name = 's'\n[fixed]\nlink = 'cos2z'\nalgorithm = 'sgd'", "gradient-descent"),
        ("name = 's'\n[fixed]\nlink = 'cos2z'\n[search]\nparameter = 'dim'", "result, level"),
        (
            "name = 's'\n[fixed]\nlink = 'cos2z'\n[search]\nparameter = 'ratio'\n"
            "result = 'alignment'\nlevel = 0.5\nlow = 4\nhigh = 2",
            "search.high=2",
        ),
        (
            "name = 's'\n[fixed]\nlink = 'cos2z'\ndim = 32\n[search]\nparameter = 'samples'\n"
            "result = 'alignment'\nlevel = 0.5\nlow = 100\nhigh = 1000",
            "samples=316.228",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"s\.toml") as refused:
        Sweep.from_toml(path)
    assert expected in str(refused.value)


# -- runs --------------------------------------------------------------------------------------


def test_only_what_is_missing_is_run(store: Store, threads, tmp_path: Path) -> None:
    log = tmp_path / "log"
    fixed = {"log": str(log)}
    first = run_sweep(
        Sweep("s", kind=SQUARE, axes={"x": [1, 2]}, fixed=fixed, seeds=2), store, executor=threads
    )
    assert (first.done, first.computed, first.missing) == (4, 4, 0)
    wider = Sweep("s", kind=SQUARE, axes={"x": [2, 1, 3]}, fixed=fixed, seeds=2)
    second = run_sweep(wider, store, executor=threads)
    assert (second.done, second.computed) == (6, 2)
    assert [row.parameters["x"] for row in second.rows] == [2, 1, 3] * 2
    assert [(row.result or {})["square"] for row in second.rows] == [4, 1, 9] * 2
    assert len(log.read_text().splitlines()) == 6
    assert run_sweep(wider, store, executor=threads).computed == 0


def test_a_trial_records_where_it_ran(store: Store, threads) -> None:
    (row,) = run_sweep(Sweep("s", kind=SQUARE, axes={"x": [1]}), store, executor=threads).rows
    assert {"host", "system", "cores", "pass", "data_definition", "versions"} <= set(
        row.environment
    )
    assert {"mimverify", "python", "numpy"} <= set(row.environment["versions"])
    assert row.seconds is not None
    assert row.finished.endswith("+00:00")


def test_a_failure_is_stored_and_repeated_on_request(store: Store, threads, tmp_path) -> None:
    mended = tmp_path / "mended"
    sweep = Sweep(
        "s", kind="sweep_trials:fails", axes={"x": [1, 2, 3]}, fixed={"mended": str(mended)}
    )
    result = run_sweep(sweep, store, executor=threads)
    assert (result.done, result.failed, result.missing) == (2, 1, 0)
    error = result.rows[1].error
    assert error is not None
    assert (error["type"], error["message"]) == ("ValueError", "no twos")
    assert "raise ValueError" in error["traceback"]
    assert run_sweep(sweep, store, executor=threads).computed == 0
    again = run_sweep(sweep, store, executor=threads, retry_failed=True)
    assert (again.failed, again.computed) == (1, 1)
    mended.touch()
    assert run_sweep(sweep, store, executor=threads, retry_failed=True).done == 3


def test_what_is_no_record_is_a_failure(store: Store, threads) -> None:
    sweep = Sweep("s", kind="sweep_trials:returns_none")
    (row,) = run_sweep(sweep, store, executor=threads).rows
    assert row.error is not None
    assert row.error["type"] == "TypeError"


def test_a_trial_that_kills_its_workers_fails_alone(store: Store) -> None:
    sweep = Sweep("s", kind="sweep_trials:dies", axes={"x": [0, 1, 2, 3, 4]})
    with open_workers(2, engine="processes") as pool:
        result = run_sweep(sweep, store, executor=pool)
    assert (result.done, result.failed) == (4, 1)
    error = result.rows[2].error
    assert error is not None
    assert "died 3 times" in error["message"]


def test_the_first_trials_only(store: Store, threads) -> None:
    sweep = Sweep("s", kind=SQUARE, axes={"x": list(range(6))})
    assert run_sweep(sweep, store, executor=threads, first=2).missing == 4
    assert plan_sweeps([sweep], store).done == 2
    assert run_sweep(sweep, store, executor=threads).computed == 4


def test_progress_ends_at_the_total(store: Store, threads) -> None:
    seen: list[SweepProgress] = []
    sweep = Sweep("s", kind=SQUARE, axes={"x": list(range(5))})
    run_sweep(sweep, store, executor=threads, on_progress=seen.append)
    assert (seen[-1].done, seen[-1].total, seen[-1].running) == (5, 5, 0)
    assert seen[-1].seconds_left == 0.0
    assert [each.done for each in seen] == sorted(each.done for each in seen)


def test_several_sweeps_are_one_run(store: Store, threads) -> None:
    sweeps = [Sweep("a", kind=SQUARE, axes={"x": [1, 2]}), Sweep("b", kind=SQUARE, axes={"x": [2]})]
    first, second = run_sweeps(sweeps, store, executor=threads)
    assert (first.done, second.done, first.computed) == (2, 1, 2)
    assert len(store.rows()) == 2
    assert len(store.rows(sweeps)) == 2


def test_trials_that_do_not_fit_are_refused_before_any_runs(store: Store) -> None:
    fixed = {"link": "cos2z", "dim": 100_000, "samples": 10_000_000, "steps": 2}
    sweep = Sweep("s", fixed=fixed)
    with pytest.raises(InputError, match="memory"):
        run_sweep(sweep, store, workers=1)
    assert store.count() == 0


def test_workers_that_cannot_start_end_the_run(store: Store, monkeypatch) -> None:
    from mimverify.sweeps import process_pool

    monkeypatch.setattr(process_pool, "begin", _exit)
    monkeypatch.setattr(process_pool, "_MOST_STARTS", 1)
    sweep = Sweep("s", kind=SQUARE, axes={"x": [1, 2]})
    with open_workers(1, engine="processes") as pool, pytest.raises(LostProcessError, match="main"):
        run_sweep(sweep, store, executor=pool)
    assert store.count() == 0


def _exit() -> None:
    raise SystemExit(1)


# -- searches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_a_search_ends_at_the_crossing(store: Store, threads, scale: str) -> None:
    search = Search("n", result="value", level=0.0, low=1, high=1000, tolerance=0.01, scale=scale)
    sweep = Sweep("s", kind="sweep_trials:crossing", axes={"a": [2, 5]}, seeds=2, search=search)
    result = run_sweep(sweep, store, executor=threads)
    # The mean over two seeds has no scatter, and the result is linear in n.
    for threshold, a in zip(result.thresholds, (2, 5), strict=True):
        assert threshold.at == {"a": a}
        assert threshold.value == pytest.approx(10 * a, rel=0.01)
        assert threshold.evidence["low"] <= threshold.value <= threshold.evidence["high"]
    assert result.computed == len(result.rows) <= sweep.size
    again = run_sweep(sweep, store, executor=threads)
    assert again.computed == 0
    assert again.thresholds == result.thresholds


def test_a_search_tries_integers_where_asked(store: Store, threads) -> None:
    search = Search("n", result="value", level=0.0, low=1, high=64, tolerance=1e-3, integer=True)
    sweep = Sweep("s", kind="sweep_trials:crossing", fixed={"a": 1.25}, seeds=2, search=search)
    result = run_sweep(sweep, store, executor=threads)
    assert all(isinstance(row.parameters["n"], int) for row in result.rows)
    (threshold,) = result.thresholds
    assert (threshold.evidence["low"], threshold.evidence["high"]) == (12, 13)


def test_a_range_without_a_crossing_has_no_threshold(store: Store, threads) -> None:
    search = Search("n", result="value", level=0.0, low=100, high=200)
    sweep = Sweep("s", kind="sweep_trials:crossing", seeds=2, search=search)
    result = run_sweep(sweep, store, executor=threads)
    (threshold,) = result.thresholds
    assert threshold.value is None
    assert "does not cross 0 between 100 and 200" in threshold.reason
    assert result.computed == 4


def test_a_search_without_its_result_says_so(store: Store, threads) -> None:
    search = Search("n", result="nothing", level=0.0, low=1, high=2)
    sweep = Sweep("s", kind="sweep_trials:crossing", search=search)
    (threshold,) = run_sweep(sweep, store, executor=threads).thresholds
    assert threshold.value is None
    assert "'nothing' is None" in threshold.reason


# -- the store ---------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0 but damaged" * 10])
def test_another_file_is_no_store(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match="file"):
        Store(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "file"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match="another program"):
        Store(path)


def test_a_store_of_another_format_is_refused(store: Store, threads) -> None:
    run_sweep(Sweep("s", kind=SQUARE, axes={"x": [1]}), store, executor=threads)
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputError, match="format 99"):
        Store(store.path)


def test_an_empty_file_becomes_a_store(tmp_path: Path, threads) -> None:
    path = tmp_path / "a b?#%.sqlite"  # a name that an address has to spell out
    path.touch()
    run_sweep(Sweep("s", kind=SQUARE, axes={"x": [1]}), Store(path), executor=threads)
    assert Store(path).count() == 1


def test_the_file_alone_has_all_trials_after_a_run(store: Store, threads, tmp_path: Path) -> None:
    """Also where somebody reads at the end: SQLite would leave all of them in its log."""
    run_sweep(Sweep("s", kind=SQUARE, axes={"x": [1]}), store, executor=threads)
    reader = sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)
    try:
        assert reader.execute("SELECT count(*) FROM trials").fetchone() == (1,)
        run_sweep(Sweep("s", kind=SQUARE, axes={"x": [1, 2, 3]}), store, executor=threads)
        copy = shutil.copy(store.path, tmp_path / "copy.sqlite")
    finally:
        reader.close()
    assert Store(copy).count() == 3


def test_a_store_is_read_where_nothing_can_be_written(store: Store, threads) -> None:
    run_sweep(Sweep("s", kind=SQUARE, axes={"x": [1]}), store, executor=threads)
    folder = store.path.parent
    folder.chmod(0o500)
    try:
        assert Store(store.path).count() == 1
    finally:
        folder.chmod(0o700)


def test_tables_have_parameters_results_and_circumstances(store, threads, tmp_path) -> None:
    sweep = Sweep("s", kind="sweep_trials:fails", axes={"x": [1, 2, 3]})
    run_sweep(sweep, store, executor=threads)
    store.export(tmp_path / "t.csv", sweep)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["x"] for row in rows] == ["1", "2", "3"]
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert [row["result_square"] for row in rows] == ["1", "", "9"]
    assert rows[1]["error_message"] == "no twos"
    assert rows[0]["version_numpy"]
    parquet = pytest.importorskip("pyarrow.parquet")
    store.export(tmp_path / "t.parquet", sweep)
    table = parquet.read_table(tmp_path / "t.parquet").to_pydict()
    assert table["result_square"] == [1, None, 9]
    assert list(table) == list(rows[0])
    pytest.importorskip("pandas")
    frame = store.to_pandas(sweep)
    assert list(frame.columns) == list(rows[0])
    with pytest.raises(InputError, match="parquet"):
        store.export(tmp_path / "t.xlsx", sweep)


def test_a_table_mixes_no_types_in_a_column(store: Store, threads, tmp_path: Path) -> None:
    axes: dict[str, list[object]] = {"x": [1], "y": [1, 2.5, "three", [4, 5], [[6]], None]}
    run_sweep(Sweep("s", kind=SQUARE, axes=axes), store, executor=threads)
    pytest.importorskip("pyarrow")
    store.export(tmp_path / "t.parquet")
    from pyarrow import parquet

    found = parquet.read_table(tmp_path / "t.parquet").to_pydict()["y"]
    assert sorted(found, key=str) == sorted(["1", "2.5", "three", "[4, 5]", "[[6]]", None], key=str)


def test_a_plan_says_what_is_left(store: Store, threads) -> None:
    axes: dict[str, list[object]] = {"link": ["cos2z"], "dim": [24, 32]}
    fixed = {"ratio": 4, "steps": 1, "neurons": 4, "readout_neurons": 8, "test_samples": 50}
    sweep = Sweep("s", axes=axes, fixed=fixed)
    plan = plan_sweeps([sweep], store, workers=2)
    assert (plan.trials, plan.missing, plan.seconds, plan.workers) == (2, 2, None, 2)
    assert plan.bytes_at_once == 2 * (plan.trial_bytes or 0) > 0
    assert not store.path.exists()
    run_sweep(sweep, store, executor=threads, first=1)
    plan = plan_sweeps([sweep], store, workers=1)
    assert (plan.done, plan.missing, plan.timed) == (1, 1, 1)
    assert plan.seconds is not None
    assert plan.seconds > 0
