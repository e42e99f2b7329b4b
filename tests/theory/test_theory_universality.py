"""The effect of the inputs' kurtosis, against one step's moments and simulated H."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from mimverify import InputError, MultiIndexModel, alignment, get_inputs, get_loss
from mimverify.problems import InputLaw
from mimverify.support.arrays import Float64Array
from mimverify.theory import kurtosis_shift, predict_trajectory, universality_note
from mimverify.training import fit_constant


def shift(kurtosis: float = 1.0, *, link: str = "cos2z", loss: str = "squared", dim: int = 200,
          ratio: int = 16, steps: int = 4) -> Float64Array:  # fmt: skip
    return kurtosis_shift(
        link, loss, excess_kurtosis=kurtosis, dim=dim, samples=ratio * dim, steps=steps
    )


def test_it_is_linear_in_the_kurtosis_and_falls_like_one_over_d() -> None:
    one = shift()
    assert one[0] == pytest.approx(0, abs=1e-9)
    assert (np.abs(one[1:]) > 1e-3).all()
    np.testing.assert_array_equal(shift(0.0), 0)
    np.testing.assert_allclose(shift(-2.0), -2 * one, rtol=1e-12)
    # Where A is far from saturating, at a given n/d.
    large, larger = shift(dim=20_000), shift(dim=200_000)
    np.testing.assert_allclose(10 * larger[1:], large[1:], rtol=0.02)


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("ratio", [4, 16, 64])
def test_one_step_by_the_moments_of_independent_entries(loss: str, ratio: int) -> None:
    """E[H²] of i.i.d. rows is (1 − 1/n)(E[T x xᵀ])² + E[T² ‖x‖² x xᵀ]/n: expand in κ/d by hand.

    Signal: λ² + E[T² z² ν]/α with ν = ‖x‖²/d; noise: d E[T² ν²]/α. The law of z has Edgeworth's
    density, E[ν | z] = 1 + κ (z² − 1)/(2 d), and Var ν has κ/d more than a Gaussian's.
    """
    link = {"squared": "cos2z", "huber": "he2"}[loss]  # T is bounded, and smooth or clipped
    x = np.linspace(-9, 9, 200_001)  # the trapezoid rule
    w = np.exp(-(x**2) / 2)
    w /= w.sum()
    g = np.cos(2 * x) if loss == "squared" else (x**2 - 1) / np.sqrt(2)

    def centred(weights: Float64Array) -> Float64Array:
        if loss == "squared":
            return g - weights @ g
        low, high = -2.0, 2.0
        for _ in range(60):
            c = (low + high) / 2
            low, high = (c, high) if weights @ np.clip(g - c, -1, 1) > 0 else (low, c)
        return np.clip(g - c, -1, 1)

    def log_odds(kappa: float) -> float:
        weights = w * (1 + kappa / 8 * (x**4 - 6 * x**2 + 3))
        T, tilt = centred(weights), kappa / 2 * (x**2 - 1)
        signal = (weights @ (T * (x**2 - 1)) + weights @ T) ** 2
        signal += weights @ (T**2 * x**2 * (1 + tilt)) / ratio
        noise = weights @ (T**2 * (1 + 2 * tilt + kappa)) / ratio
        return float(np.log(signal / noise))

    step = 1e-5
    expected = (log_odds(step) - log_odds(-step)) / (2 * step) / 2e5
    found = shift(link=link, loss=loss, ratio=ratio, dim=200_000, steps=1)[1]
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("law", ["sphere", "gaussian-mixture"])
def test_it_is_seen_in_simulated_runs(law: str) -> None:
    """The mean log-odds of 200 runs are as predicted; those of Gaussian inputs would not be.

    |z| < 5 at each step, with a fifth of the effect for its higher orders.
    """
    dim, n, steps, neurons, runs = 48, 768, 5, 16, 200
    predicted = predict_trajectory("cos2z", dim=dim, samples=n, steps=steps)
    mean, deviation = predicted.run_log_odds(neurons)
    kurtosis = get_inputs(law).excess_kurtosis
    assert kurtosis is not None
    effect = kurtosis_shift("cos2z", excess_kurtosis=kurtosis, dim=dim, samples=n, steps=steps)
    odds = np.empty((runs, steps))
    loss = get_loss("huber")
    for seed in range(runs):
        model = MultiIndexModel("cos2z", dim, inputs=law, seed=seed)
        data = model.sample(n)
        y = data.y - fit_constant(loss, data.y).constant
        H = (data.X.T * -loss.derivative(0 * y, y)) @ data.X / n
        W = np.random.default_rng([seed, 9]).standard_normal((neurons, dim))
        for t in range(steps):
            W = W @ H
            odds[seed, t] = logit(alignment(W, model.subspace))
    error = 5 * deviation[1:] / np.sqrt(runs)
    gap = odds.mean(axis=0) - mean[1:]
    slack = error + 0.2 * np.abs(effect[1:]) + np.abs(predicted.log_odds_shift[1:])
    assert (np.abs(gap - effect[1:]) < slack).all(), (gap, effect[1:], slack)
    at = 2  # where it is largest, beside what runs scatter
    assert abs(gap[at]) > 0.5 * abs(effect[at + 1])


def test_labels_without_a_limit_are_refused() -> None:
    with pytest.raises(InputError, match="no deterministic limit"):
        shift(link="he2", loss="squared")
    with pytest.raises(InputError, match="excess_kurtosis=-3"):
        shift(-3.0)


class Promising(InputLaw):
    name = "promising"
    isotropic = True

    def fill(self, generator: np.random.Generator, out: Float64Array) -> None:
        generator.standard_normal(out=out)


@pytest.mark.parametrize(
    ("law", "axes", "reason"),
    [
        ("ar:0.6", False, "covariance"),
        ("uniform", True, "single entry"),
        ("student-t:4", False, "fourth moment"),
        (Promising(), False, "independent"),
    ],
)
def test_what_is_outside_says_why(law: InputLaw | str, axes: bool, reason: str) -> None:
    with pytest.raises(InputError, match=f"for Gaussian inputs, and here .*{reason}"):
        universality_note(get_inputs(law), axes=axes)


def test_what_is_inside_is_labelled() -> None:
    assert universality_note(get_inputs("gaussian"), axes=True) == ""
    assert "sphere ones come near" in universality_note(get_inputs("sphere"), axes=True)
    assert "slowly" not in universality_note(get_inputs("uniform"), axes=False)
    assert "order 5 are infinite" in universality_note(get_inputs("student-t"), axes=False)
