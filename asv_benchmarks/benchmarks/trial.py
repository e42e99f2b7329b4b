"""The trial of the reference trainers: time to verdict by profile, margins of its claims."""

from __future__ import annotations

import math
from typing import Any

from .common import BACKENDS, FULL

Verdicts = dict[tuple[str, str], dict[str, float]]

#: The deep profile takes an hour for each trainer, and is not measured.
PROFILES = ["quick", "standard"] if FULL else ["quick"]

CLAIMS = [
    "agnostic",
    "agnostic-span",
    "antisymmetry",
    "arguments-unchanged",
    "arguments-unchanged-by-fit",
    "arithmetic",
    "backends-agree",
    "beats-no-bayes",
    "collapse",
    "continuous-prediction",
    "copies",
    "equivariance",
    "error-decay",
    "error-floor",
    "first-layer-data",
    "first-layer-error",
    "fit-symmetries",
    "fresh-first-layer",
    "fresh-readout",
    "gradient-step",
    "heavy-label",
    "independent-steps",
    "memory-layout",
    "memory-layout-of-fit",
    "null-law",
    "odd-part",
    "one-pass",
    "one-step-odds",
    "pointwise-prediction",
    "power-iteration",
    "predicted-test-error",
    "predicted-trajectory",
    "predicts-through-first-layer",
    "refit",
    "repeated-predictions",
    "reused-samples",
    "sample-exponents",
    "second-stage-sign",
    "single-neuron",
    "small-initialisation",
    "span-recovery",
    "staircase",
    "test-error",
    "test-error-decay",
    "trajectory",
    "unlearnable-link",
    "weak-feedback",
]


def used_up(verdict: Any) -> float:
    """The fraction of a claim's tolerance that was used up; lower is better, and never near 0.

    - Rounding: the largest error as a fraction of its bound.
    - A distribution: the distance to it as a fraction of the detectable distance.
    - An event that nearly always happens: 1 + the fraction of runs in which it did not.
    - Exponents: 1 + the largest distance from the predicted ones.
    """
    statistic, evidence = verdict.statistic, verdict.evidence
    if statistic is None:
        return math.nan
    if not isinstance(evidence, dict):  # evidence that has the fraction itself
        return float(evidence.fraction_used)
    # Of commits where evidence was a dictionary.
    what = str(evidence.get("statistic", ""))
    if "fraction of the rounding envelope" in what:
        return statistic
    if "fraction of runs" in what:
        return 2.0 - statistic
    distance = evidence.get("detectable", {}).get("value")
    return 1.0 + statistic if distance is None else statistic / distance


def try_claims(backend: str, profile: str, claims: list[str] | None = None) -> dict[str, float]:
    """`used_up` of each claim that was tried, and under `"seconds"` the time to the verdicts."""
    import time

    from mimverify.trial import Session

    started = time.perf_counter()
    with Session(backend, profile=profile, seed=0, claims=claims) as session:
        verdicts = [session.verdict(claim) for claim in session.claims.values()]
    found = {"seconds": time.perf_counter() - started}
    return found | {v.id: used_up(v) for v in verdicts}


class Trial:
    """All claims of a profile against each reference trainer, in a process of its own."""

    version = "1"
    timeout = 60

    def setup_cache(self) -> Verdicts:
        return {(b, p): try_claims(b, p) for b in BACKENDS for p in PROFILES}

    setup_cache.timeout = 3600  # type: ignore[attr-defined]

    def track_seconds_to_verdict(self, verdicts: Verdicts, backend: str, profile: str) -> float:
        return verdicts[backend, profile]["seconds"]

    track_seconds_to_verdict.unit = "s"  # type: ignore[attr-defined]
    track_seconds_to_verdict.params = (BACKENDS, PROFILES)  # type: ignore[attr-defined]
    track_seconds_to_verdict.param_names = ("backend", "profile")  # type: ignore[attr-defined]

    def track_used_up(self, verdicts: Verdicts, backend: str, claim: str) -> float:
        # Of the quick profile in any run: another profile is another series.
        return verdicts[backend, PROFILES[0]].get(claim, math.nan)

    track_used_up.unit = "share"  # type: ignore[attr-defined]
    track_used_up.params = (BACKENDS, CLAIMS)  # type: ignore[attr-defined]
    track_used_up.param_names = ("backend", "claim")  # type: ignore[attr-defined]
