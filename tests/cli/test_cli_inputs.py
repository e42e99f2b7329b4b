"""Tests of `mimverify train --inputs` and `--subspace`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from console_script import Command, command
from mimverify.theory import predict_trajectory

SMALL = ["--dim=16", "--samples=300", "--steps=3", "--neurons=8", "--readout-neurons=16",
         "--test-samples=500"]  # fmt: skip


@pytest.fixture
def train(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    monkeypatch.chdir(tmp_path)
    with threadpool_limits(1):
        yield command(capsys, "train")


def test_the_law_is_named_in_table_and_record(train: Command, tmp_path: Path) -> None:
    outcome = train(
        "cos2z", *SMALL, "--inputs=Student_t:6", "--subspace=axes", "--json", "run.json"
    )
    assert outcome.code == 0, outcome.err
    assert "student-t:6 inputs, hidden directions along axes" in " ".join(outcome.out.split())
    configuration = json.loads((tmp_path / "run.json").read_text())["configuration"]
    assert (configuration["inputs"], configuration["subspace"]) == ("student-t:6", "axes")


def test_rows_of_a_file(train: Command, tmp_path: Path) -> None:
    np.save("features.npy", np.random.default_rng(1).standard_normal((50, 16)))
    outcome = train("cos2z", *SMALL, "--inputs", "rows:features.npy", "--json", "run.json")
    assert outcome.code == 0, outcome.err
    configuration = json.loads((tmp_path / "run.json").read_text())["configuration"]
    assert configuration["inputs"].startswith("rows:features.npy#")


def test_a_prediction_says_whose_it_is(train: Command, tmp_path: Path) -> None:
    options = ["--inputs=uniform", "--steps=2", "--predict", "--json", "run.json"]
    outcome = train("cos2z", *SMALL, *options)
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "run.json").read_text())
    assert "for Gaussian inputs" in record["prediction_note"]
    assert "effect of their excess kurtosis, -1.2" in record["prediction_note"]
    assert "The theory's prediction is for Gaussian inputs" in " ".join(outcome.out.split())
    gaussian = predict_trajectory("cos2z", dim=16, samples=300, steps=2).run_mean(4)
    # Lighter tails than normal ones: learned a little better, at every step.
    moved = record["predicted_alignment"]["mean"]
    assert moved[0] == pytest.approx(gaussian[0])
    assert (np.array(moved[1:]) > gaussian[1:]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inputs=rademaher"], "did you mean 'rademacher'"),
        (["--inputs=student-t:2"], "no variance"),
        (["--inputs=rows:none.npy"], "none.npy: cannot be read"),
        (["--subspace=axis"], "expected one of haar, axes"),
        (["--inputs=uniform", "--design=lazy"], "use design='streamed'"),
        (["--inputs=uniform", "--subspace=axes", "--predict"], "single entry"),
        (["--inputs=ar:0.5", "--predict"], "covariance"),
        (["--inputs=rademacher", "--subspace=axes"], "y is constant"),
    ],
)
def test_wrong_input_is_refused(train: Command, arguments: list[str], message: str) -> None:
    outcome = train("cos2z", *SMALL, *arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
