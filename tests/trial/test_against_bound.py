"""Evidence against its bound: 1 and more exactly where a decision fails, for every kind."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from mimverify.trial.decisions import (
    CountedOperations,
    Event,
    Law,
    LimitOrder,
    Mean,
    Rounding,
    TwoSamples,
)
from mimverify.trial.outcomes import ClaimFailed, Status
from mimverify.trial.profile import PROFILES
from mimverify.trial.running.evidence_figure import AgainstBound

LEVEL = 1e-6
RNG = np.random.default_rng(0)
STATISTICAL: list[tuple[Any, list[Any]]] = [
    (Event("wrong"), [False] * 100),
    (Event("right"), [True] * 100),
    (Event("wrong half of the time"), [True, False] * 50),
    (Mean("wrong", at_most=0.2, gap=0.3), [0.9] * 100),
    (Mean("right", at_most=0.2, gap=0.3), [0.1] * 100),
    (Mean("least", at_least=0.8, gap=0.3), [0.1] * 100),
    (TwoSamples("wrong"), [([k / 200], [5 + k / 200]) for k in range(100)]),
    (TwoSamples("right"), list(RNG.normal(size=(100, 2, 1)))),
    (Law("wrong"), list(RNG.random(256) ** 3)),
    (Law("right"), list(RNG.random(256))),
    (Law("constant"), [0.5] * 256),
]


@pytest.mark.parametrize(("decision", "runs"), STATISTICAL, ids=lambda x: getattr(x, "name", ""))
def test_statistical_evidence_reaches_one_where_it_fails(decision: Any, runs: list[Any]) -> None:
    """After every run, not only after the last."""
    state = decision.open(LEVEL, PROFILES["quick"])
    for run in runs:
        state.observe(run)
        record = state.evidence("case")
        if record.against_bound is None:
            assert not record.failed
            continue
        assert record.against_bound >= 0
        assert (record.against_bound >= 1) == record.failed, record
    assert state.failed == (not decision.name.startswith("right"))


@pytest.mark.parametrize("error", [0.0, 0.5, 1.0, 1.5, np.nan])
def test_an_error_relative_to_its_bound(error: float) -> None:
    state = Rounding("rounding").open()
    with contextlib.suppress(ClaimFailed):
        state.within("W", np.array([error]), np.zeros(1), 1.0)
    record = state.evidence()
    assert record is not None
    assert record.against_bound is not None
    assert (record.against_bound > 1) == record.failed == (not error <= 1)


@pytest.mark.parametrize("gap", [0.25, 0.2, 0.4, 0.6])
def test_the_distance_of_a_slope(gap: float) -> None:
    state = LimitOrder("order").open()
    with contextlib.suppress(ClaimFailed):
        state.slope("gap", (1.0, gap), (2.0, 1.0), 2)
    record = state.evidence()
    assert record is not None
    assert record.against_bound is not None
    assert (record.against_bound >= 1) == record.failed


@pytest.mark.parametrize(("counts", "least"), [((1, 2), 1), ((1, 3), 1), ((2, 1), 1), ((1, 2), 5)])
def test_an_exponent_and_a_count_that_is_too_small(counts: tuple[int, int], least: int) -> None:
    state = CountedOperations("counts").open()
    try:
        state.grows("passes", counts, "n", 1.0)
        state.at_least("passes", counts[0], least, "n")
    except ClaimFailed:
        pass
    record = state.evidence()
    assert record is not None
    assert record.against_bound is not None
    assert (record.against_bound >= 1) == record.failed


@pytest.mark.parametrize(
    ("status", "failed", "drawn"),
    [
        (Status.FAILED, True, Status.FAILED),
        (Status.FAILED, False, Status.PASSED),  # another decision failed the claim
        (Status.EXPECTED_FAILURE, True, Status.EXPECTED_FAILURE),
        (Status.INCONCLUSIVE, False, Status.INCONCLUSIVE),
        (Status.PASSED, False, Status.PASSED),
    ],
)
def test_what_a_mark_shows(status: Status, failed: bool, drawn: Status) -> None:
    assert AgainstBound("a", "b", True, 0.1, failed, status).mark is drawn
