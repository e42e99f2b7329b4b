"""A floor of the error at finite d and n (theory.md §9, B1)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, chi2

from mimverify.support.errors import InputError
from mimverify.theory import bayes_floor
from mimverify.theory.limits.finite_floor import _lower_quantile

RUNS = 1000


def below(estimate, probability: float, *, dim=12, n=30, k=40, noise=0.8) -> int:
    """In how many runs the error of `estimate(A, y, noise)` of v lies below the floor."""
    rng = np.random.default_rng(20)
    count = 0
    for _ in range(RUNS):
        v = rng.standard_normal(dim) / np.sqrt(dim)
        A, B = (rng.standard_normal((m, 1)) * rng.standard_normal((m, dim)) for m in (n, k))
        y = A @ v + noise * rng.standard_normal(n)
        error = np.mean((B @ (estimate(A, y, noise) - v)) ** 2)
        count += error < bayes_floor(A, B, noise=noise, probability=probability)
    return count


def posterior_mean(A, y, noise):
    d = A.shape[1]
    return np.linalg.solve(d * np.eye(d) + A.T @ A / noise**2, A.T @ y / noise**2)


@pytest.mark.parametrize("probability", [0.3, 0.1])
def test_the_posterior_mean_is_rarely_below_the_floor(probability: float) -> None:
    count = below(posterior_mean, probability)
    assert binom.sf(count - 1, RUNS, probability) > 1e-6  # the bound holds
    # and is not empty: Chernoff's inequality gives away a factor of a few, no more
    assert count > RUNS * probability / 8


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.5])
def test_no_predictor_is_below_it_more_often(shrinkage: float) -> None:
    def shrunk(A, y, noise):
        return shrinkage * posterior_mean(A, y, noise)

    assert binom.sf(below(shrunk, 0.1) - 1, RUNS, 0.1) > 1e-6


def test_the_truth_is_below_it() -> None:
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((50, 20)), rng.standard_normal((60, 20))
    assert bayes_floor(A, B, noise=1.0) > 0.05


def test_chernoff_s_quantile_lies_below_the_exact_one() -> None:
    for degrees in (1, 5, 100):
        found = _lower_quantile(np.full(degrees, 2.0), 0.1)
        exact = 2 * chi2.ppf(0.1, degrees)
        assert 0 < found <= exact
        if degrees == 100:  # 2.15 standard deviations below the mean instead of 1.28
            assert found > 0.85 * exact


def test_more_rows_and_less_noise_lower_it() -> None:
    rng = np.random.default_rng(4)
    A, B = rng.standard_normal((400, 20)), rng.standard_normal((60, 20))
    floors = [bayes_floor(A[:n], B, noise=noise) for n, noise in ((40, 1), (400, 1), (400, 0.1))]
    assert floors[0] > floors[1] > floors[2] > 0


def test_fewer_test_rows_than_dimensions() -> None:
    rng = np.random.default_rng(5)
    A, B = rng.standard_normal((30, 20)), rng.standard_normal((7, 20))
    assert bayes_floor(A, B, noise=1.0) > 0


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"noise": 0.0}, "noise"),
        ({"probability": 1.0}, "probability"),
        ({"probability": 0.0}, "probability"),
    ],
)
def test_bad_arguments_are_named(change, names) -> None:
    given = {"rows": np.ones((5, 3)), "test_rows": np.ones((2, 3)), "noise": 1.0, **change}
    with pytest.raises(InputError, match=names):
        bayes_floor(given.pop("rows"), given.pop("test_rows"), **given)
