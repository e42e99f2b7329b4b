"""The normalised test error after T steps and stage 2, predicted without training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimverify.studies.trials._parameters import PROBLEM, completed
from mimverify.support.strict_json import Json
from mimverify.theory import predict_test_error

VERSION = 2

_NEEDED = ("link", "dim", "samples", "steps")
_DEFAULTS = {
    **PROBLEM,
    "neurons": 32,
    "readout_neurons": 256,
    "test_samples": 10_000,
    "runs": 100,
}


def complete(given: Mapping[str, object]) -> Json:
    """All parameters, as of `mimverify predict --test-error`; `runs` are drawn."""
    return completed(given, _NEEDED, _DEFAULTS)


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly."""
    return 1 + float(p["runs"]) * (0.02 + 0.1 * (float(p["readout_neurons"]) / 256) ** 2)


def run(parameters: Json) -> Json:
    """`log_mean`, the mean over runs of the error's logarithm, with `log_error`, its standard
    error by the number of drawn runs; `median`, `low`, `high` (95 %) of the error itself."""
    p = complete(parameters)
    found = predict_test_error(
        p["link"],
        p["loss"],
        dim=p["dim"],
        samples=p["samples"],
        steps=p["steps"],
        neurons=p["neurons"],
        readout_neurons=p["readout_neurons"],
        noise=p["noise"],
        test_samples=p["test_samples"],
        runs=p["runs"],
        seed=p["seed"],
    )
    logs = np.log(found.values)
    return {
        "log_mean": float(logs.mean()),
        "log_error": float(logs.std(ddof=1) / np.sqrt(len(logs))),
        "median": found.median,
        "low": found.low,
        "high": found.high,
        "notes": list(found.notes),
    }
