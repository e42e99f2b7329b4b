"""Tests of `mimverify.statistics`: the error rates that it promises, exactly where possible."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc
from scipy.stats import binom, kstwo

from mimverify.statistics import (
    SequentialBinomial,
    dkw_radius,
    null_overlap_cdf,
    uniformity_test,
)
from mimverify.support.arrays import ArrayLike, NumpyArray
from mimverify.support.errors import InputError

# --- the sequential test --------------------------------------------------------------

LEVELS = [
    (0.5, 0.9, 1e-2, 1e-2),
    (0.5, 0.9, 1e-6, 1e-3),
    (0.1, 0.3, 0.05, 1e-4),
    (0.9, 0.99, 1e-3, 0.2),
    (0.2, 0.8, 1e-9, 1e-9),
]


class Outcome:
    """Probabilities of what a `SequentialBinomial` decides within some runs, for each p.

    Dynamic programming over (runs, successes), asking the class itself where it stops.
    """

    def __init__(
        self, low: float, high: float, alpha: float, beta: float, p: list[float], runs: int
    ) -> None:
        self.low, self.high = np.zeros(len(p)), np.zeros(len(p))
        chance = np.array(p)
        states: dict[int, NumpyArray] = {0: np.ones(len(p))}
        for t in range(runs):
            following: dict[int, NumpyArray] = {}
            for successes, mass in states.items():
                for success, weight in ((True, chance), (False, 1 - chance)):
                    test = SequentialBinomial(low, high, alpha, beta, successes, t)
                    decision = test.observe(success)
                    reached = mass * weight
                    if decision == "low":
                        self.low += reached
                    elif decision == "high":
                        self.high += reached
                    else:
                        key = successes + success
                        following[key] = following.get(key, 0) + reached
            states = following
        self.undecided = sum(states.values(), np.zeros(len(p)))


@pytest.mark.parametrize(("low", "high", "alpha", "beta"), LEVELS)
def test_error_probabilities_are_exact(low: float, high: float, alpha: float, beta: float) -> None:
    """P(decide low | p ≥ high) ≤ α and P(decide high | p ≤ low) ≤ β, within any number of runs.

    From below, by change of measure: P_high(low) = E_low[ratio; low], and at the decision the ratio
    lies between α and α times the factor of one failure. The sum over ≤ 400·10² paths rounds by
    less than 1e-11 of itself.
    """
    p = [low, high, low / 2, (1 + high) / 2]
    outcome = Outcome(low, high, alpha, beta, p, runs=400)
    at_low, at_high, below, above = range(4)
    slack = 1 + 1e-11
    for wrong in (outcome.low[at_high], outcome.low[above]):
        assert wrong <= alpha * slack
    for wrong in (outcome.high[at_low], outcome.high[below]):
        assert wrong <= beta * slack
    failure, success = (1 - high) / (1 - low), high / low
    assert outcome.low[at_high] * slack >= alpha * failure * outcome.low[at_low]
    assert outcome.low[at_high] <= alpha * outcome.low[at_low] * slack
    assert outcome.high[at_low] * slack >= beta / success * outcome.high[at_high]
    assert outcome.high[at_low] <= beta * outcome.high[at_high] * slack
    np.testing.assert_allclose(outcome.low + outcome.high + outcome.undecided, 1, rtol=1e-11)


@pytest.mark.parametrize(("low", "high", "alpha", "beta"), LEVELS)
def test_power(low: float, high: float, alpha: float, beta: float) -> None:
    """Outside the indifference zone a decision falls, and the right one.

    By Hoeffding: after N runs the log ratio, of drift D a run (a Kullback–Leibler divergence)
    and range c, is short of its boundary B with probability ≤ exp(−2 N (D − B/N)²/c²).
    """
    runs = 400
    outcome = Outcome(low, high, alpha, beta, [low, high], runs)
    steps = math.log(high / low), math.log((1 - high) / (1 - low))
    width = steps[0] - steps[1]
    for k, (p, boundary) in enumerate([(low, -math.log(alpha)), (high, -math.log(beta))]):
        drift = abs(p * steps[0] + (1 - p) * steps[1])
        margin = max(0.0, drift - boundary / runs)
        undecided = math.exp(-2 * runs * (margin / width) ** 2)
        assert outcome.undecided[k] <= undecided * (1 + 1e-11)
        right = outcome.low[k] if k == 0 else outcome.high[k]
        assert right >= 1 - undecided - (beta if k == 0 else alpha) - 1e-11
    assert outcome.undecided.max() < 0.5  # the bound above is not vacuous


def test_certain_events_decide_at_once() -> None:
    impossible = SequentialBinomial(0.0, 0.5, 1e-6)
    assert impossible.fewest == 1
    assert impossible.observe(True) == "high"  # p = 0 never succeeds
    sure = SequentialBinomial(0.5, 1.0, 1e-6)
    assert sure.observe(False) == "low"  # p = 1 never fails
    both = SequentialBinomial(0.0, 1.0, 1e-6)
    assert both.observe(False) == "low"


def test_decisions_are_final_and_counted() -> None:
    test = SequentialBinomial(0.5, 0.9, 1e-2)
    decisions = [test.observe(True) for _ in range(20)]
    assert decisions == [None] * (test.fewest - 1) + ["high"] * (21 - test.fewest)
    assert (test.successes, test.runs) == (test.fewest, test.fewest)
    assert test.observe(False) == "high"
    assert test.runs == test.fewest
    assert test.beta == test.alpha == 1e-2


def test_log_ratio_by_hand() -> None:
    test = SequentialBinomial(0.25, 0.5, 0.5e-3)
    for success in (True, True, False):
        test.observe(success)
    # (1/2)³ / (1/4 · 1/4 · 3/4), to a few units
    assert test.log_ratio == pytest.approx(math.log(0.125 / (0.25**2 * 0.75)), rel=1e-14)
    assert test.decision is None


@given(
    st.sampled_from([(0.5, 1.0), (0.25, 0.5), (0.1, 0.3), (0.0, 0.5), (0.4, 0.9)]),
    st.one_of(st.floats(1e-12, 0.5), st.integers(1, 40).map(lambda k: 2.0**-k)),
)
@settings(deadline=None)
def test_fewest_is_reached_by_successes_alone(rates: tuple[float, float], beta: float) -> None:
    """Powers of two sit exactly on the boundary of the first two pairs."""
    test = SequentialBinomial(*rates, alpha=0.5, beta=beta)
    while test.decision is None:
        test.observe(True)
    assert (test.decision, test.runs) == ("high", test.fewest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.5, 0.5, 0.1), "low=0.5, high=0.5: expected 0 ≤ low < high ≤ 1"),
        ((-0.1, 0.5, 0.1), "low=-0.1"),
        ((0.1, 1.5, 0.1), "high=1.5"),
        ((np.nan, 0.5, 0.1), "low=nan"),
        ((0.1, 0.5, 0.0), "alpha=0.0"),
        ((0.1, 0.5, 1.0), "alpha=1.0: expected a probability below 1"),
        ((0.1, 0.5, 0.1, 1), "beta=1"),
        ((0.1, 0.5, np.nan), "alpha=nan"),
    ],
)
def test_sequential_arguments_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        SequentialBinomial(*arguments)


@pytest.mark.parametrize(("low", "high", "alpha", "beta"), LEVELS)
@pytest.mark.parametrize("runs", [30, 200])
def test_detectable_probability_is_the_largest_that_is_caught(
    low: float, high: float, alpha: float, beta: float, runs: int
) -> None:
    """Against the class itself, asked at every state where it stops."""
    test = SequentialBinomial(low, high, alpha, beta)
    for power in (0.5, 0.95):
        found = test.detectable(power=power, runs=runs)
        p = [0.0] if found is None else [found, found / 2, found + 2e-6]
        caught = Outcome(low, high, alpha, beta, p, runs).low
        if found is None:
            assert caught[0] < power
            continue
        assert found < high
        assert caught[0] >= power - 1e-12
        assert caught[1] >= power
        assert caught[2] < power


@pytest.mark.parametrize(("low", "high", "alpha", "beta"), LEVELS)
@pytest.mark.parametrize("runs", [1, 17, 60])
def test_fails_at_is_where_a_decision_for_low_falls(
    low: float, high: float, alpha: float, beta: float, runs: int
) -> None:
    limit = SequentialBinomial(low, high, alpha, beta).fails_at(runs)
    for successes in range(runs):
        test = SequentialBinomial(low, high, alpha, beta, successes, runs - 1)
        low_now = test.observe(False) == "low"  # `successes` of `runs`
        assert low_now == (limit is not None and successes <= limit)


def test_detectable_refuses_what_is_no_power() -> None:
    test = SequentialBinomial(0.5, 0.9, 0.01)
    for power in (0.0, 1.0, math.nan):
        with pytest.raises(InputError, match="power="):
            test.detectable(power=power, runs=10)
    with pytest.raises(InputError, match="runs=0"):
        test.detectable(runs=0)


# --- uniformity -----------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 7, 60])
def test_false_alarms_of_the_uniformity_test(samples: int) -> None:
    """Counts of false alarms lie in their exact binomial range; the p-values are uniform too.

    False alarm of this test: 2 · 1e-7 a level and 1e-7 for the p-values: 5e-7 each.
    """
    runs = 500
    p = np.array([
        uniformity_test(np.random.default_rng([s, samples]).random(samples), alpha=0.1).p_value
        for s in range(runs)
    ])  # fmt: skip
    for alpha in (0.1, 0.01):
        count = int((p <= alpha).sum())
        assert binom.ppf(1e-7, runs, alpha) <= count <= binom.isf(1e-7, runs, alpha)
    assert not uniformity_test(p, alpha=1e-7).rejected


def test_rejection_and_distance_by_hand() -> None:
    result = uniformity_test([0.1, 0.2, 0.9], alpha=0.3)
    # F_3 jumps to 1/3, 2/3, 1 at the values: the largest gap is 2/3 − 0.2, just at 0.2.
    assert result.distance == pytest.approx(2 / 3 - 0.2, rel=1e-15)
    assert result.samples == 3
    assert result.p_value == pytest.approx(kstwo.sf(2 / 3 - 0.2, 3), rel=1e-9)
    assert not result.rejected
    assert uniformity_test([0.5], alpha=1.0).rejected  # the boundary p = α counts
    assert uniformity_test([0.0] * 50, alpha=1e-6).rejected
    # One value: P(max(v, 1 − v) ≥ 0.8) = 0.4 exactly.
    assert uniformity_test([0.8], alpha=0.1).p_value == pytest.approx(0.4, rel=1e-12)


@pytest.mark.parametrize(("samples", "alpha"), [(30, 0.01), (100, 1e-6), (1000, 1e-9)])
def test_detectable_distance(samples: int, alpha: float) -> None:
    """A law farther than `detectable` from uniform is rejected with probability ≥ 0.95.

    Rejected whenever the distance found exceeds dkw_radius(α), which exactly follows from the
    test's own p-value. Then the frequency, for the law with an atom of that mass at 0, against its
    exact binomial bound: false alarm 1e-7.
    """
    radius = dkw_radius(samples, alpha)
    assert kstwo.sf(radius, samples) <= alpha
    detectable = uniformity_test(np.linspace(0, 1, samples), alpha=alpha).detectable
    assert detectable == pytest.approx(radius + dkw_radius(samples, 0.05), rel=1e-15)
    assert detectable < 1
    runs = 300
    caught = 0
    for seed in range(runs):
        rng = np.random.default_rng([seed, samples])
        values = np.where(rng.random(samples) < detectable, 0.0, rng.random(samples))
        caught += uniformity_test(values, alpha=alpha).rejected
    assert caught >= binom.ppf(1e-7, runs, 0.95)


def test_dkw_radius_inverts_the_inequality() -> None:
    for samples, alpha in [(10, 0.1), (1000, 1e-6)]:
        assert 2 * math.exp(-2 * samples * dkw_radius(samples, alpha) ** 2) == pytest.approx(
            alpha, rel=1e-12
        )
    assert dkw_radius(400, 0.05) == pytest.approx(dkw_radius(100, 0.05) / 2, rel=1e-15)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.0001], "expected them in [0, 1]"),
        ([-0.1], "expected them in [0, 1]"),
        ([], "at least one entry"),
        ([[0.5]], "values has shape (1, 1)"),
        ([np.nan], "values[0]=nan"),
    ],
)
def test_values_refused(values: ArrayLike, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        uniformity_test(values, alpha=0.1)


# --- the null law of an overlap -------------------------------------------------------


@pytest.mark.parametrize(("rank", "dim"), [(1, 2), (1, 10), (3, 7), (2, 4), (9, 10)])
def test_null_overlap_law(rank: int, dim: int) -> None:
    """Against the incomplete beta function, and Gaussian vectors: false alarm 1e-7."""
    x = np.linspace(0, 1, 41)
    expected = betainc(rank / 2, (dim - rank) / 2, x)
    # Two library routines for one function, documented to 1e-12 or better.
    np.testing.assert_allclose(null_overlap_cdf(x, rank=rank, dim=dim), expected, atol=1e-11)
    w = np.random.default_rng([rank, dim]).standard_normal((1000, dim))
    overlap = (w[:, :rank] ** 2).sum(axis=1) / (w**2).sum(axis=1)
    values = null_overlap_cdf(np.clip(overlap, 0, 1), rank=rank, dim=dim)
    assert not uniformity_test(values, alpha=1e-7).rejected


def test_null_overlap_known_values() -> None:
    # r = 2, d = 4: uniform; r = 1, d = 2: the arcsine law.
    assert null_overlap_cdf(0.3, rank=2, dim=4) == pytest.approx(0.3, rel=1e-12)
    assert null_overlap_cdf(0.25, rank=1, dim=2) == pytest.approx(
        2 / np.pi * np.arcsin(0.5), rel=1e-12
    )
    for rank, dim in [(0, 3), (3, 3), (4, 3)]:
        with pytest.raises(InputError, match="expected 1 ≤ rank < dim"):
            null_overlap_cdf(0.5, rank=rank, dim=dim)
