"""Tests of the sequential two-sample test: its false alarms, and what it notices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from mimverify.statistics import SequentialTwoSample
from mimverify.support.arrays import ArrayLike, NumpyArray
from mimverify.support.errors import InputError

Draw = Callable[[np.random.Generator], NumpyArray]

# One law each: continuous, heavy-tailed, two-valued, mostly ties, dependent, constant in part.
LAWS: dict[str, Draw] = {
    "normal": lambda rng: rng.standard_normal(3),
    "cauchy": lambda rng: rng.standard_cauchy(2),
    "coin": lambda rng: rng.integers(0, 2, 2).astype(float),
    "poisson": lambda rng: rng.poisson(0.2, 1).astype(float),
    "dependent": lambda rng: rng.standard_normal() + 0.1 * rng.standard_normal(4),
    "constant": lambda rng: np.array([1.0, rng.standard_normal(), -0.0]),
}


def pairs_until(test: SequentialTwoSample, x: Draw, y: Draw, pairs: int, seed: int) -> float:
    """Pairs at the rejection, within so many; infinity without one."""
    rng = np.random.default_rng(seed)
    for _ in range(pairs):
        if test.update(x(rng), y(rng)):
            return test.pairs
    return math.inf


@pytest.mark.parametrize("law", LAWS)
def test_false_alarms(law: str) -> None:
    """No more alarms than α allows, at any time within 40 pairs: 200 runs at α = 0.1 and 0.01.

    The number of alarms is at most binomial; a right test fails here with probability 1e-6.
    """
    draw, runs = LAWS[law], 200
    k = len(draw(np.random.default_rng(0)))
    alarms = dict.fromkeys((0.1, 0.01), 0)
    for seed in range(runs):
        loose, rng = SequentialTwoSample(k, 0.1), np.random.default_rng(seed)
        highest = 0.0
        for _ in range(40):
            loose.update(draw(rng), draw(rng))
            highest = max(highest, loose.log_e_value)
        for alpha in alarms:
            alarms[alpha] += highest >= -math.log(alpha)
        assert loose.rejected == (highest >= -math.log(0.1))
    for alpha, count in alarms.items():
        assert binom.sf(count - 1, runs, alpha) > 1e-6, (alpha, count)


def test_the_e_value_is_a_martingale_exactly() -> None:
    """Its mean over all futures is the present value, summed over every pair of coins.

    A bet that depends on which of x and y is larger, or adds wealth of its own, fails this.
    """
    outcomes = [np.array([a, b]) for a in (0.0, 1.0) for b in (0.0, 1.0)]
    rng = np.random.default_rng(0)
    past = [(rng.integers(0, 2, 2), rng.integers(0, 2, 2)) for _ in range(30)]
    chances = [0.1, 0.2, 0.3, 0.4]  # dependent coordinates

    def value(*last: tuple[NumpyArray, NumpyArray]) -> float:
        test = SequentialTwoSample(2, 0.5)
        for pair in [*past, *last]:
            test.update(*pair)
        return test.e_value

    mean = sum(
        p * q * value((x, y))
        for x, p in zip(outcomes, chances, strict=True)
        for y, q in zip(outcomes, chances, strict=True)
    )
    assert mean == pytest.approx(value(), rel=1e-12)


def test_stopping_and_going_on_is_allowed() -> None:
    """An alarm stays, whatever follows, and the pairs after it are counted."""
    test = SequentialTwoSample(1, 0.1)
    rng = np.random.default_rng(1)
    while not test.rejected:
        test.update(rng.standard_normal(1), 5 + rng.standard_normal(1))
    first = test.pairs
    for sign in [-1, 1] * 50:  # whatever was bet on wins and loses in turn
        assert test.update([5.0 * sign], [-5.0 * sign])
    assert test.pairs == first + 100
    assert test.log_e_value < -math.log(0.1)


def plain(k: int) -> Draw:
    return lambda rng: rng.standard_normal(k)


def shifted(rng: np.random.Generator) -> NumpyArray:
    x = rng.standard_normal(5)
    x[3] += 1
    return x


def spread(rng: np.random.Generator) -> NumpyArray:
    x = rng.standard_normal(5)
    x[2] *= 2
    return x


def correlated(rng: np.random.Generator) -> NumpyArray:
    x = rng.standard_normal(5)
    x[4] = 0.9 * x[1] + math.sqrt(1 - 0.81) * x[4]
    return x


@pytest.mark.parametrize(
    ("other", "pairs", "strongest"),
    [
        (shifted, 200, ("location", (3,))),
        (spread, 300, ("spread", (2,))),
        (correlated, 280, ("dependence", (1, 4))),
    ],
    ids=["shift", "spread", "dependence"],
)
def test_power(other: Draw, pairs: int, strongest: tuple[str, tuple[int, ...]]) -> None:
    """One of five statistics shifted by 1 s.d., twice as wide, or correlated 0.9 with another:
    noticed at α = 1e-6 within so many pairs in 95 % of runs, and traced to it. Were that false,
    45 runs would all notice it with probability below 0.95⁴⁵ = 10 %."""
    for seed in range(45):
        test = SequentialTwoSample(5, 1e-6)
        assert pairs_until(test, plain(5), other, pairs, seed) <= pairs, seed
        assert test.strongest == strongest


def test_growth_is_what_the_docstring_says() -> None:
    """After N pairs of ±1 a witness has earned exp(Σ log(1 + λ g)) ≥ exp(Σ λ g − λ² g²)."""
    rng = np.random.default_rng(3)
    test = SequentialTwoSample(1, 1e-9)
    gains: list[float] = []
    values: list[float] = []
    for _ in range(200):
        x, y = float(rng.random() < 0.8), float(rng.random() < 0.2)
        if values:
            rank = [np.mean(np.less(values, v)) + np.mean(np.equal(values, v)) / 2 for v in (x, y)]
            gains.append(float(rank[0] - rank[1]))
        values += [x, y]
        test.update([x], [y])
    g = np.array(gains)
    for stake in (1 / 16, 1 / 8, 1 / 4, 1 / 2):
        assert test.log_e_value >= np.sum(stake * g - stake**2 * g**2) - math.log(2 * 10)


def test_it_depends_on_order_alone() -> None:
    """Any increasing map of a statistic leaves the e-value as it is, bit for bit."""
    rng = np.random.default_rng(2)
    one, other = SequentialTwoSample(2, 0.01), SequentialTwoSample(2, 0.01)
    for _ in range(50):
        x, y = rng.integers(-3, 3, 2), rng.integers(-2, 4, 2)
        one.update(x, y)
        other.update(np.exp(x * 100.0), np.exp(y * 100.0))
    assert one.log_e_value == other.log_e_value != 0


def test_ties_and_constants_cost_nothing() -> None:
    test = SequentialTwoSample(3, 0.1)
    for _ in range(50):
        test.update([1, 2, 3], [1, 2, 3])
    assert test.e_value == pytest.approx(1, rel=1e-12)
    assert not test.rejected


def test_a_long_run_does_not_overflow() -> None:
    test = SequentialTwoSample(1, 1e-6)
    for _ in range(3000):
        test.update([0.0], [1.0])
    assert test.log_e_value > 710
    assert test.e_value == pytest.approx(np.finfo(float).max, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.1), "statistics=0"),
        ((2.0, 0.1), "statistics=2.0"),
        ((2, 0.0), "alpha=0.0"),
        ((2, 1.0), "alpha=1.0"),
        ((2, math.nan), "alpha=nan"),
    ],
)
def test_bad_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SequentialTwoSample(*arguments)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0], [1.0, 2.0], "x has shape"),
        ([1.0, 2.0], [[1.0, 2.0]], "y has shape"),
        ([math.nan, 1.0], [1.0, 2.0], "x\\[0\\]=nan"),
        ([1.0, 2.0], [1.0, math.inf], "y\\[1\\]=inf"),
        (["a", "b"], [1.0, 2.0], "x has dtype"),
    ],
)
def test_bad_pairs_change_nothing(x: ArrayLike, y: ArrayLike, message: str) -> None:
    test = SequentialTwoSample(2, 0.1)
    test.update([0.0, 1.0], [2.0, 3.0])
    with pytest.raises(InputError, match=message):
        test.update(x, y)
    assert test.pairs == 1
    assert test.e_value == pytest.approx(1, rel=1e-12)
