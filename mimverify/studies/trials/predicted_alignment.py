"""The alignment after every step as D1 and its finite-size terms have it, before any run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import expit

from mimverify.studies.trials._parameters import PROBLEM, completed
from mimverify.support.strict_json import Json
from mimverify.theory import predict_trajectory

VERSION = 1

_NEEDED = ("link", "dim", "samples", "steps")
_DEFAULTS = {**PROBLEM, "neurons": 32}


def complete(given: Mapping[str, object]) -> Json:
    """All parameters, as of `mimverify predict`; `neurons` are those of a symmetric start."""
    return completed(given, _NEEDED, _DEFAULTS)


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly."""
    return 0.2


def run(parameters: Json) -> Json:
    """After 0 … T steps: `log_odds`, the mean over runs of log(A/(1 − A)); `alignment`, the A of
    these; `deviation` of the log-odds between runs; `error`, what the prediction says of itself:
    its numerical error and the order that its expansion in 1/n leaves out; `limit`, D1 alone."""
    p = complete(parameters)
    found = predict_trajectory(
        p["link"],
        p["loss"],
        dim=p["dim"],
        samples=p["samples"],
        steps=p["steps"],
        noise=p["noise"],
        seed=p["seed"],
    )
    mean, deviation = found.run_log_odds(p["neurons"] // 2)
    # To first order the error of a logarithm of odds is that of A over A(1 − A).
    numerical = found.error / (found.alignment * (1 - found.alignment))
    return {
        "log_odds": mean.tolist(),
        "alignment": expit(mean).tolist(),
        "deviation": deviation.tolist(),
        "error": np.asarray(numerical + found.remainder).tolist(),
        "limit": found.asymptotic.tolist(),
    }
