"""A design is one new file: how a run holds its inputs, found wherever designs are named."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Extended = Callable[..., "subprocess.CompletedProcess[str]"]

SMALL = (
    "--dim=16", "--samples=601", "--neurons=8", "--readout-neurons=16", "--test-samples=500",
    "--threads=1", "--json=-",
)  # fmt: skip


def train(extended: Extended, *arguments: str) -> dict[str, Any]:
    done = extended("-m", "mimverify", "train", "cos2z", *SMALL, *arguments)
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def numbers(record: dict[str, Any]) -> list[float]:
    overlaps = (overlap for step in record["overlaps"] for overlap in step)
    errors = (record["baselines"][name] for name in ("linear", "oracle_subspace"))
    return [
        *record["alignment"], *record["span_recovery"], *overlaps, record["test_error"], *errors,
    ]  # fmt: skip


def test_help_and_errors_name_it(extended: Extended) -> None:
    shown = extended("-m", "mimverify", "train", "--help").stdout
    assert "halves|lazy|sharded|stored|streamed" in shown
    assert "halves: in memory, in two arrays." in re.sub(r"\s+", " ", shown)
    refused = extended("-m", "mimverify", "train", "cos2z", "--design=halfs", code=2)
    assert "did you mean 'halves'" in refused.stderr


def test_it_trains_is_kept_and_goes_on(extended: Extended, tmp_path: Path) -> None:
    """The numbers of a stored run, whose sums are of the same rows in another order."""
    kept = ("--design=halves", f"--checkpoint={tmp_path / 'run.npz'}")
    begun = train(extended, *kept, "--steps=2")
    assert begun["configuration"]["design"] == "halves"
    resumed = train(extended, *kept, "--steps=4", "--resume")
    stored = train(extended, "--design=stored", "--steps=4")
    assert numbers(resumed) == pytest.approx(numbers(stored), rel=1e-9)
    assert resumed["alignment"][:3] == begun["alignment"]


TRIALS = """
from mimverify.studies.trials import experiment, training

problem = {"link": "he2", "dim": 16, "samples": 300, "steps": 2, "neurons": 8, "design": "halves"}
found = training.run({**problem, "errors_after": [2]})
assert len(found["alignment"]) == 3 and 0 < found["test_error"][0] < 2, found
assert training.memory(training.complete(problem)) > 0 < training.cost(training.complete(problem))
tried = experiment.complete({**problem, "readout_neurons": 8, "test_samples": 200})
assert tried["design"] == "halves" and experiment.run(tried)["test_error"] < 2
try:
    experiment.complete({**problem, "algorithm": "spectral"})
except ValueError as error:
    assert "expected design='stored', backend='numpy'" in str(error), error
else:
    raise AssertionError("it says of itself that it is not one array")
"""


def test_sweeps_and_studies_try_it(extended: Extended) -> None:
    extended("-c", TRIALS)


def test_its_whole_run_is_a_benchmark(extended: Extended) -> None:
    benchmarks = Path(__file__).parents[2] / "asv_benchmarks"
    found = extended(
        "-c",
        f"import sys; sys.path.insert(0, {str(benchmarks)!r})\n"
        "from benchmarks.end_to_end import RunHalves\n"
        "assert 'mimverify' not in sys.modules\n"
        "print(RunHalves.design)",
    )
    assert found.stdout == "halves\n"
