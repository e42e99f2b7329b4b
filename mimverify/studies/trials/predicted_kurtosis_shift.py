"""By how much the inputs' kurtosis moves the alignment at finite d, to first order."""

from __future__ import annotations

from collections.abc import Mapping

from mimverify.studies.trials._parameters import PROBLEM, completed
from mimverify.support.strict_json import Json
from mimverify.theory import kurtosis_shift

VERSION = 1

_NEEDED = ("link", "dim", "samples", "steps")
_DEFAULTS = {**PROBLEM, "excess_kurtosis": 1.0}


def complete(given: Mapping[str, object]) -> Json:
    """All parameters, as of `mimverify predict`; `excess_kurtosis` of an entry of x, in which the
    shift is linear."""
    return completed(given, _NEEDED, _DEFAULTS)


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly."""
    return 0.2


def run(parameters: Json) -> Json:
    """`log_odds`: how far those of A move, after 0 … T steps."""
    p = complete(parameters)
    shift = kurtosis_shift(
        p["link"],
        p["loss"],
        excess_kurtosis=p["excess_kurtosis"],
        dim=p["dim"],
        samples=p["samples"],
        steps=p["steps"],
        noise=p["noise"],
    )
    return {"log_odds": shift.tolist()}
