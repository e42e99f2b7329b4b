"""Tests of `mimverify fit`: training on a user's files."""

from __future__ import annotations

import builtins
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console_script import Command, command
from mimverify.measure import normalised_error
from mimverify.problems import MultiIndexModel
from mimverify.training import LayerwiseTrainer

ROOT = Path(__file__).parents[2]
N, D = 5000, 16
SMALL = ["--neurons=8", "--readout-neurons=24"]
PATIENCE = 60  # s; how long to wait for what must happen, however slow the machine


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """X.npy, y.npy and the same as table.parquet, in the current folder."""
    monkeypatch.chdir(tmp_path)
    data = MultiIndexModel("he2-mix", D, seed=1).sample(N)
    np.save("X.npy", data.X)
    np.save("y.npy", data.y)
    columns = {f"x{k}": data.X[:, k] for k in range(D)}
    pq.write_table(pa.table({"price": data.y} | columns), "table.parquet", row_group_size=700)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process, as the console script does."""
    return command(capsys, "fit")


def test_the_run_is_that_of_the_trainer_on_the_arrays(fit: Command, tmp_path: Path) -> None:
    outcome = fit("X.npy", "--labels=y.npy", *SMALL, "--json=fit.json", "--save=net.npz")
    assert (outcome.code, outcome.err) == (0, "")
    X, y = np.load("X.npy"), np.load("y.npy")
    trainer = LayerwiseTrainer(neurons=8, readout_neurons=24).fit(X[:4500], y[:4500])
    record = json.loads((tmp_path / "fit.json").read_text())
    assert record["test_error"] == normalised_error(trainer.predict(X[4500:]), y[4500:])
    mean = np.full(500, y[2250:4500].mean())
    assert record["baselines"] == {"mean": normalised_error(mean, y[4500:])}
    assert record["test_error"] < 0.5  # of a link that the theorem learns
    with np.load("net.npz") as saved:
        np.testing.assert_array_equal(saved["W"], trainer.network_.W)
        np.testing.assert_array_equal(saved["readout_weights"], trainer.readout_.weights)
    values = np.linalg.svd(trainer.network_.W, compute_uv=False)
    np.testing.assert_allclose(record["singular_values"][-1], values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(record["shares"][-1], values**2 / np.sum(values**2), atol=1e-10)
    assert len(record["shares"]) == len(record["seconds"]) == record["steps"] + 1
    configuration = record["configuration"]
    sizes = ("rows", "dim", "stage1_rows", "stage2_rows", "test_rows")
    assert [configuration[name] for name in sizes] == [N, D, 2250, 2250, 500]
    assert (configuration["steps"], configuration["loss"]) == (record["steps"], "huber")
    for text in ("share 1", "predicting the mean", f"{record['test_error']:.4f}"):
        assert text in outcome.out


def test_parquet_and_npy_give_the_same_run(fit: Command, library: str) -> None:
    options = [*SMALL, f"--backend={library}", "--dtype=float32", "--steps=3", "--json=-"]
    options += ["--activation=softplus", "--loss=squared", "--remove-linear-part", "--threads=1"]
    records = []
    for arguments in (
        ["X.npy", "--labels=y.npy"],
        ["table.parquet", "--labels=price"],
    ):
        outcome = fit(*arguments, *options)
        assert (outcome.code, outcome.err) == (0, "")
        record = json.loads(outcome.out)
        for name in ("inputs", "labels"):
            del record["configuration"][name]
        del record["seconds"]
        records.append(record)
    assert records[0] == records[1]
    assert records[0]["configuration"]["backend"] == library


def test_without_a_test_set(fit: Command) -> None:
    outcome = fit("X.npy", "--labels=y.npy", *SMALL, "--test-fraction=0", "--json=fit.json", "-q")
    assert outcome == (0, "", "")
    record = json.loads(Path("fit.json").read_text())
    assert (record["test_error"], record["baselines"]) == (None, {"mean": None})
    assert record["configuration"]["stage2_rows"] == N // 2


# -- wrong input -----------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.npy", "--labels=y.npy"], "missing.npy: cannot be read"),
        (["X.npy", "--labels=missing.npy"], "missing.npy: cannot be read"),
        (["X.npy", "--labels=price"], "expected a .npy file"),
        (["table.parquet", "--labels=cost"], "no column 'cost'"),
        (["X.csv", "--labels=y.npy"], "expected a name that ends in .npy or .parquet"),
        (["X.npy"], "Missing option '--labels'"),
        (["X.npy", "--labels=y.npy", "--test-fraction=1"], "--test-fraction"),
        (["X.npy", "--labels=y.npy", "--test-fraction=1e-5"], "at least two rows for the test"),
        (["X.npy", "--labels=y.npy", "--loss=cubic"], "cubic"),
        (["X.npy", "--labels=y.npy", "--dtype=float16"], "float16"),
        (["X.npy", "--labels=y.npy", "--steps=-1"], "steps=-1"),
        (["X.npy", "--labels=y.npy", "--neurons=7"], "neurons=7"),
        (["X.npy", "--labels=y.npy", "--save=net.txt"], "ends in .npz"),
        (["X.npy", "--labels=y.npy", "--json=nowhere/fit.json"], "not a folder"),
        (
            ["X.npy", "--labels=y.npy", "--test-fraction=nan"],
            "--test-fraction=nan: expected",
        ),
        (["X.npy", "--labels=y.npy", "--ridge=0"], "ridge=0.0: expected a finite number above 0"),
        (["X.npy", "--labels=y.npy", "--readout=svd"], "readout='svd': expected one of closed"),
        (["X.npy", "--labels=y.npy", "--readout-neurons=0"], "readout_neurons=0: expected an int"),
        (["X.npy", "--labels=y.npy", "--json=X.npy"], "X and --json both name"),
        (["X.npy", "--labels=y.npy", "--json=y.npy"], "--labels and --json both name"),
        (["X.npy", "--labels=y.npy", "--json=a.npz", "--save=a.npz"], "both name"),
    ],
)
def test_wrong_usage(fit: Command, arguments: list[str], message: str) -> None:
    outcome = fit(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.__setitem__((1234, 5), np.nan), "X.npy: row 1234, column 5 is nan"),
        (lambda X: X.__setitem__((4800, 0), np.inf), "X.npy: row 4800, column 0 is inf"),
    ],
)
def test_numbers_that_are_not_finite(
    fit: Command, change: Callable[[Any], None], message: str
) -> None:
    """Wherever they are, also in the rows of the test; no file is left behind."""
    X = np.load("X.npy")
    change(X)
    np.save("X.npy", X)
    outcome = fit("X.npy", "--labels=y.npy", *SMALL, "--save=net.npz")
    assert outcome.code == 2
    assert message in outcome.err
    assert not Path("net.npz").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.arange(N - 1), f"has {N - 1} labels: expected {N}"),
        (np.where(np.arange(N) == 3, np.nan, 1.0), "y.npy[3]=nan"),
        (np.ones(N), "y is constant"),
        (np.concatenate([np.arange(4500), np.ones(500)]), "y is constant"),
        (np.ones((N, 1)), "y.npy has shape (5000, 1)"),
        (np.full(N, None), "y.npy: holds Python objects"),
    ],
)
def test_wrong_labels(fit: Command, content: Any, message: str) -> None:
    np.save("y.npy", content)
    outcome = fit("X.npy", "--labels=y.npy", *SMALL)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_damaged_files(fit: Command, tmp_path: Path) -> None:
    np.save("objects.npy", np.full((N, D), None))
    truncate(tmp_path / "X.npy")
    truncate(tmp_path / "table.parquet")
    for arguments, message in (
        (["X.npy", "--labels=y.npy"], "X.npy: truncated"),
        (["table.parquet", "--labels=price"], "cannot be read as Parquet"),
        (["objects.npy", "--labels=y.npy"], "holds Python objects"),
    ):
        outcome = fit(*arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert message in outcome.err


def test_without_pyarrow(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **settings: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", refuse)
    outcome = fit("table.parquet", "--labels=price")
    assert outcome.code == 2
    assert "mimverify[parquet]" in outcome.err
    assert fit("X.npy", "--labels=y.npy", *SMALL, "--steps=1").code == 0


def test_divergence_reports_the_steps_before_it(fit: Command) -> None:
    outcome = fit(
        "X.npy", "--labels=y.npy", *SMALL, "--dtype=float32", "--schedule=constant", "--eta=1e15",
        "--steps=20", "--json=-", "--activation=quadratic",
    )  # fmt: skip
    assert outcome.code == 1
    record = json.loads(outcome.out)
    assert "diverged" in outcome.err
    assert record["error"] in outcome.err
    assert (record["test_error"], record["interrupted"]) == (None, False)
    assert len(record["singular_values"]) == record["steps"] + 1


# -- a terminal, signals ---------------------------------------------------------------------


def start(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, in the current folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-m", "mimverify", "fit", *arguments],
        env=environment,
        **(streams | settings),
    )


def wait_for(master: int, wanted: str) -> str:
    """What a terminal shows until the text appears or the program has closed it."""
    shown, deadline = "", time.monotonic() + PATIENCE
    while wanted not in shown and time.monotonic() < deadline:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            shown += os.read(master, 4096).decode()
        except OSError:
            break
    return shown


def test_a_terminal_sees_pass_and_rows_and_an_interruption_is_reported() -> None:
    """Ctrl-C ends a run that would take all day, with its steps and without a hang."""
    master, terminal = pty.openpty()
    try:
        process = start(
            "X.npy", "--labels=y.npy", *SMALL, "--steps=1000000", "--json=-", stderr=terminal
        )
        os.close(terminal)
        shown = wait_for(master, "of 2250 rows")
        assert "stage 1, pass" in shown
        assert "of 2250 rows" in shown
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    finally:
        os.close(master)
    assert process.returncode == 130
    record = json.loads(out)
    assert record["interrupted"]
    assert len(record["singular_values"]) == record["steps"] + 1
