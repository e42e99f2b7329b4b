"""Tests of `mimverify.fit_files`: training on a user's files, from Python."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_limits

import mimverify.support.memory
from mimverify import FileFit, FitResult, fit_files
from mimverify.cli import main
from mimverify.experiment import ExperimentConfig
from mimverify.fitting import PARAMETERS, SpectrumRecorder
from mimverify.problems import MultiIndexModel
from mimverify.support.errors import DivergenceError, InputError
from mimverify.training import LayerwiseTrainer

N, D = 3000, 12
SMALL: dict[str, Any] = {"neurons": 8, "readout_neurons": 24, "steps": 2}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """X.npy, y.npy and the same as table.parquet, in the current folder."""
    monkeypatch.chdir(tmp_path)
    data = MultiIndexModel("he2-mix", D, seed=1).sample(N)
    np.save("X.npy", data.X)
    np.save("y.npy", data.y)
    columns = {f"x{k}": data.X[:, k] for k in range(D)}
    pq.write_table(pa.table({"price": data.y} | columns), "table.parquet", row_group_size=700)
    with threadpool_limits(1):  # problems this small only lose by more
        yield


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    assert len(record["seconds"]) == len(record["shares"]) == record["steps"] + 1
    return {name: value for name, value in record.items() if name != "seconds"}


def test_the_result_is_that_of_the_trainer_on_the_arrays() -> None:
    result = fit_files("X.npy", "y.npy", **SMALL)
    X, y = np.load("X.npy"), np.load("y.npy")
    trainer = LayerwiseTrainer(**SMALL).fit(X[:2700], y[:2700])
    arrays = result.arrays()
    np.testing.assert_array_equal(arrays["W"], trainer.network_.W)
    np.testing.assert_array_equal(arrays["readout_weights"], trainer.readout_.weights)
    np.testing.assert_array_equal(result.trainer.predict(X[:9]), trainer.predict(X[:9]))
    assert result.steps == 2
    assert (result.interrupted, result.error) == (False, None)
    for values, shares in zip(result.singular_values, result.shares, strict=True):
        assert values.shape == shares.shape == (8,)
        assert shares.sum() == pytest.approx(1)
    with pytest.raises(FrozenInstanceError):
        result.test_error = 0.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("inputs", "labels", "settings", "options"),
    [
        ("X.npy", "y.npy", {}, []),
        (
            "table.parquet",
            "price",
            {
                "dtype": "float32", "test_fraction": 0, "seed": 3, "threads": 1, "loss": "squared",
                "activation": "softplus", "remove_linear_part": True,
            },
            [
                "--dtype=float32", "--test-fraction=0", "--seed=3", "--threads=1",
                "--loss=squared", "--activation=softplus", "--remove-linear-part",
            ],
        ),
    ],
)  # fmt: skip
def test_the_result_is_that_of_the_command(
    inputs: str, labels: str, settings: dict[str, Any], options: list[str]
) -> None:
    sizes = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    outputs = ["-q", "--json=fit.json", "--save=net.npz"]
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="0"):
        main(["fit", inputs, f"--labels={labels}", *sizes, *options, *outputs])
    signal.signal(signal.SIGTERM, handler)
    result = fit_files(inputs, labels, **SMALL, **settings)
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert timeless(record) == timeless(json.loads(Path("fit.json").read_text(encoding="utf-8")))
    with np.load("net.npz") as saved:
        assert set(saved) == set(result.arrays())
        for name, values in result.arrays().items():
            np.testing.assert_array_equal(saved[name], values)


def test_paths_need_not_be_text() -> None:
    result = fit_files(Path("X.npy"), Path("y.npy"), **SMALL)
    assert json.loads(json.dumps(result.to_json())) == result.to_json()
    assert result.configuration["inputs"] == "X.npy"


def test_parameters_and_defaults_are_those_of_the_trainer() -> None:
    configuration = fit_files("X.npy", "y.npy", **SMALL).configuration
    trainer = LayerwiseTrainer(**SMALL).get_params()
    assert {name: configuration[name] for name in PARAMETERS} == {
        name: trainer[name] for name in PARAMETERS
    }
    left_out = {"start", "output_scale", "dtype", "random_state"}
    assert set(PARAMETERS) == set(trainer) - left_out


# -- progress ---------------------------------------------------------------------------------


def test_steps_and_passes_are_reported() -> None:
    steps: list[int] = []
    reported: list[tuple[str, int, int, int]] = []
    fit_files(
        "X.npy",
        "y.npy",
        **SMALL,
        on_step=lambda recorder: steps.append(len(recorder.singular_values)),
        on_pass=lambda *state: reported.append(state),
    )
    assert steps == [1, 2, 3]
    stages = ("stage 1", "stage 2", "test")
    assert list(dict.fromkeys(stage for stage, *_ in reported)) == list(stages)
    for stage, rows in zip(stages, (1350, 1350, 300), strict=True):
        of_stage = [state[1:] for state in reported if state[0] == stage]
        assert of_stage[0] == (1, 0, rows)
        finished = [number for number, done, _ in of_stage if done == rows]
        assert finished == list(range(1, len(finished) + 1))
        assert len(finished) >= (SMALL["steps"] if stage == "stage 1" else 1)
        assert {state[2] for state in of_stage} == {rows}


# -- runs that end early ----------------------------------------------------------------------


def test_interrupted_run_keeps_what_it_recorded() -> None:
    def on_step(recorder: SpectrumRecorder) -> None:
        if len(recorder.singular_values) == 2:
            raise KeyboardInterrupt

    run = FileFit("X.npy", "y.npy", **SMALL, on_step=on_step)
    with pytest.raises(KeyboardInterrupt) as caught:
        run.run()
    result = run.result(stopped_by=caught.value)
    whole = fit_files("X.npy", "y.npy", **SMALL)
    assert result.interrupted
    assert (result.steps, result.test_error, result.baselines) == (1, None, {"mean": None})
    np.testing.assert_array_equal(result.singular_values, whole.singular_values[:2])
    with pytest.raises(InputError, match="stage 2 was not reached"):
        result.arrays()


def test_half_recorded_step_is_left_out() -> None:
    run = FileFit("X.npy", "y.npy", **SMALL)
    run.run()
    run.recorder.seconds.append(1.0)  # as if a signal had come just there
    timeless(run.result(stopped_by=KeyboardInterrupt()).to_json())


def test_nothing_recorded_is_a_result_too() -> None:
    result = FileFit("X.npy", "y.npy", **SMALL).result(stopped_by=KeyboardInterrupt())
    assert (result.steps, result.shares) == (0, [])
    json.dumps(result.to_json(), allow_nan=False)


def test_divergence_is_raised_and_recorded() -> None:
    settings = {**SMALL, "steps": 20, "schedule": "constant", "eta": 1e30, "dtype": "float32"}
    run = FileFit("X.npy", "y.npy", **settings, activation="quadratic")
    with pytest.raises(DivergenceError) as caught:
        run.run()
    result = run.result(stopped_by=caught.value)
    assert isinstance(result, FitResult)
    assert result.error == str(caught.value)
    assert result.steps == caught.value.step - 1


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": "X.csv"}, r"inputs='X\.csv': expected a name that ends in"),
        ({"inputs": "none.npy"}, r"none\.npy: cannot be read"),
        ({"inputs": np.ones((4, 2))}, "inputs=ndarray: expected the path of a file"),
        ({"inputs": b"X.npy"}, "inputs=bytes: expected the path of a file"),
        ({"labels": None}, "labels=NoneType: expected the path of a file"),
        ({"labels": "price"}, r"labels='price': expected a \.npy file"),
        ({"labels": "short.npy"}, r"labels='short\.npy': has 9 labels: expected 3000"),
        ({"labels": "constant.npy"}, "y is constant"),
        ({"test_fraction": 1.0}, "test_fraction=1 of 3000 rows: expected at least two"),
        ({"test_fraction": -0.1}, r"test_fraction=-0\.1: expected a finite number of at least 0"),
        ({"test_fraction": "all"}, "test_fraction='all': expected a finite number"),
        ({"dtype": "float16"}, "dtype='float16': expected one of float32, float64"),
        ({"seed": -1}, "seed=-1: expected an integer of at least 0"),
        ({"threads": 0}, "threads=0: expected an integer of at least 1"),
        ({"steps": 1.5}, r"steps=1\.5: expected an integer"),
        ({"neurons": "many"}, "neurons='many': expected an integer of at least 2"),
        ({"neurons": 7}, "neurons=7"),
        ({"backend": "cupy"}, "backend='cupy': expected one of"),
        ({"loss": "cubic"}, "loss='cubic'"),
        ({"neuron": 8}, "parameter='neuron': expected one of .*did you mean 'neurons'"),
        ({"random_state": 1}, "parameter='random_state': expected one of"),
    ],
)
def test_bad_input_is_refused(changes: dict[str, Any], message: str) -> None:
    np.save("short.npy", np.arange(9.0))
    np.save("constant.npy", np.ones(N))
    arguments = {"inputs": "X.npy", "labels": "y.npy", **SMALL, **changes}
    with pytest.raises(InputError, match=message):
        fit_files(**arguments)


@pytest.mark.parametrize(
    "change",
    [
        {"ridge": 0.0},
        {"ridge": -1.0},
        {"ridge": float("nan")},
        {"ridge": "small"},
        {"readout": "closed-from"},
        {"readout": None},
        {"readout_neurons": 0},
        {"readout_neurons": 24.0},
        {"readout_neurons": 10**40},
    ],
)
def test_what_stage_2_cannot_take_is_refused_before_stage_1(change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        FileFit("X.npy", "y.npy", **SMALL | change)
    with pytest.raises(InputError) as of_train:
        ExperimentConfig("he2-mix", dim=D, **SMALL | change).resolved()
    assert str(caught.value) == str(of_train.value)


def test_what_cannot_fit_is_refused_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FileFit("X.npy", "y.npy", **SMALL)
    assert run.announcement == f"memory: {mimverify.support.memory.bytes_text(run.memory)}"
    assert run.result().configuration["memory"] == run.memory
    monkeypatch.setattr(mimverify.support.memory, "physical_memory", lambda: run.memory - 1)
    with pytest.raises(InputError, match=r"X\.npy with 8 neurons: needs about .* has"):
        FileFit("X.npy", "y.npy", **SMALL)


# -- the page that shows it ---------------------------------------------------------------------


def test_the_example_of_the_page_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "beyond-memory.md").read_text(encoding="utf-8")
    (example,) = [part for part in page.split("```python\n")[1:] if "fit_files" in part]
    Path("X.npy").rename("inputs.npy")
    Path("y.npy").rename("labels.npy")
    program = example.partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
