"""The predicted test error: exact parts against sampling, and whole predictions against runs."""

from __future__ import annotations

import math
import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.special import bdtr, gammaln

from mimverify import ExperimentConfig, run_experiment
from mimverify.backends import NumpyBackend
from mimverify.designs.stored import StoredDesign
from mimverify.measure import normalised_error
from mimverify.network.activations import get_activation
from mimverify.problems.links import get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory import (
    TestErrorPrediction,
    error_exponent,
    label_law,
    label_measure,
    predict_test_error,
    samples_for_error,
)
from mimverify.theory.limits.label_error import label_error
from mimverify.theory.readout_error.drawn_neurons import draw_neurons
from mimverify.theory.readout_error.error_prediction import ErrorParts
from mimverify.theory.readout_error.feature_law import population_moments
from mimverify.theory.readout_error.label_expansion import label_expansion
from mimverify.theory.readout_error.learned_span import LearnedSpan
from mimverify.theory.readout_error.simulated_readout import (
    ReadoutSettings,
    fresh,
    population_error,
    simulated_readout,
)
from mimverify.theory.spectrum.arrowhead import Spectrum, draw_spectrum, exact_spectrum
from mimverify.theory.spectrum.krylov import NeuronModel, alignments_of
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.training.features import Features, feature_moments
from mimverify.training.stage2 import output_weights

LOG_COSH = get_activation("log-cosh")


def mirrored(directions: int, dim: int, sign: int, seed: int = 0) -> Float64Array:
    rows = np.random.default_rng(seed).standard_normal((directions, dim))
    rows[:, :2] *= 2
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.vstack([rows, sign * rows])


# --- labels -------------------------------------------------------------------------------------


def test_the_expansion_of_a_cosine() -> None:
    """E[cos(2z) h_j(z)] = (−1)^{j/2} 2^j e^{−2}/√j!; along s each is s^j times as large."""
    found = label_expansion(get_link("cos2z"))
    j = np.arange(1, found.degree + 1)
    exact = np.cos(np.pi * j / 2) * np.exp(j * np.log(2) - 2 - gammaln(j + 1) / 2)
    assert found.mean == pytest.approx(np.exp(-2), abs=1e-12)
    assert found.variance == pytest.approx((1 - np.exp(-4)) ** 2 / 2, rel=1e-12)
    np.testing.assert_allclose(found.along(np.array([[1.0], [-0.5]]))[0], exact, atol=1e-10)
    np.testing.assert_allclose(found.along(np.array([[-0.5]]))[0], (-0.5) ** j * exact, atol=1e-10)


@pytest.mark.parametrize("name", ["z1z2", "he2-he3", "polynomial:rank=4,degree=3"])
def test_the_expansion_is_that_of_projections(name: str) -> None:
    """E[g(z) h_j(γ)] by sampling z and γ, within five standard errors each."""
    link = get_link(name)
    found = label_expansion(link)
    assert found.variance == pytest.approx((found.coefficients**2).sum(), rel=0.01)
    rng = np.random.default_rng(1)
    row = rng.standard_normal(link.rank)
    row *= 0.8 / np.linalg.norm(row)
    z = rng.standard_normal((200_000, link.rank))
    y = link(z) - found.mean
    gamma = z @ row + 0.6 * rng.standard_normal(len(z))
    predicted = found.along(row[None])[0]
    for j, values in ((1, gamma), (2, (gamma**2 - 1) / math.sqrt(2))):
        products = y * values
        assert abs(products.mean() - predicted[j - 1]) < 5 * products.std() / math.sqrt(len(z))


# --- features -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "sign", "features"),
    [("log-cosh", 1, 24), ("relu", -1, 24), ("exp-centred", -1, 7), ("tanh", 1, 3)],
)
def test_population_moments_are_the_limit_of_the_samples(
    activation: str, sign: int, features: int
) -> None:
    """Every entry within 5.5 standard errors over 64 blocks: of 600 a right one fails with
    probability below 1e-3 for Student's t of 63 degrees of freedom."""
    link, rows = get_link("z1z2"), mirrored(5, 6, sign)
    rng = np.random.default_rng(2)
    biases = rng.standard_normal(features)
    found = population_moments(rows, 2, biases, get_activation(activation), label_expansion(link))
    sampled = []
    for _ in range(64):
        x, y = fresh(6, link, 4000, 0.0, rng)
        design = StoredDesign(x, NumpyBackend("float64"))
        layer = Features(len(rows), biases, get_activation(activation))
        sampled.append(feature_moments(design, y, rows, layer))
    for name in ("mean", "gram", "cross"):
        blocks = np.array([getattr(moments, name) for moments in sampled])
        error = blocks.std(axis=0, ddof=1) / 8
        # Covariances of n samples are (1 − 1/n) times as large.
        bias = np.abs(getattr(found, name)) / 4000
        assert (np.abs(blocks.mean(axis=0) - getattr(found, name)) < 5.5 * error + bias).all(), name
    assert np.linalg.eigvalsh(found.gram).min() > -1e-9 * np.trace(found.gram)


def test_error_over_the_population_is_that_on_many_samples() -> None:
    """A trained readout's error by moments, and on 200,000 samples, within 5 standard errors."""
    link, rows = get_link("cos2z"), mirrored(6, 7, 1)
    settings = ReadoutSettings(40, 1e-3, LOG_COSH, noise=0.3)
    rng = np.random.default_rng(3)
    readout = simulated_readout(rows, link, 3000, settings, rng)
    labels = label_expansion(link)
    moments = population_moments(rows, 1, readout.biases, LOG_COSH, labels)
    found = population_error(moments, readout.weights, readout.constant, labels, 0.3)
    x, y = fresh(7, link, 200_000, 0.3, rng)
    squared = (readout.predict(x) - y) ** 2
    seen = normalised_error(readout.predict(x), y)
    error = np.std(squared / squared.mean() - (y - y.mean()) ** 2 / y.var()) / math.sqrt(len(y))
    assert abs(math.log(found / seen)) < 5 * error
    assert error < 0.005


# --- the learned span ---------------------------------------------------------------------------


def test_a_perfect_first_layer_leaves_nothing_open_and_more_features_less() -> None:
    """W = U: no pair of z is alike to all neurons, and the error falls to 0 with p."""
    link, labels = get_link("z1z2"), label_expansion(get_link("z1z2"))
    rng = np.random.default_rng(4)
    turned = rng.standard_normal((16, 2))
    gram = np.block([[np.eye(2), turned.T], [turned, turned @ turned.T]])
    span = LearnedSpan.of(gram, 2, sign=1)
    np.testing.assert_allclose(span.overlap, np.eye(2), atol=1e-10)
    assert span.unexplained_variance(link, 1000, rng) == pytest.approx(0, abs=1e-9)
    biases = rng.standard_normal(256)
    errors = []
    for p in (16, 32, 64, 128, 256):
        moments = population_moments(span.rows, 2, biases[:p], LOG_COSH, labels)
        weights, _ = output_weights(moments, ridge=1e-6)
        constant = moments.intercept - float(moments.mean @ weights)
        errors.append(population_error(moments, weights, constant, labels, 0.0))
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-3


def test_the_gram_matrix_is_kept() -> None:
    rng = np.random.default_rng(5)
    both = np.vstack([np.eye(3, 20), rng.standard_normal((6, 20))])
    span = LearnedSpan.of(both @ both.T, 3, sign=-1)
    unit = both[3:] / np.linalg.norm(both[3:], axis=1, keepdims=True)
    np.testing.assert_allclose(span.rows[:6] @ span.rows[:6].T, unit @ unit.T, atol=1e-12)
    np.testing.assert_allclose(span.rows[:6, :3], unit[:, :3], atol=1e-12)
    np.testing.assert_array_equal(span.rows[6:], -span.rows[:6])
    # E[z | Wx] = S (W Wᵀ)⁻¹ Wx.
    inverse = np.linalg.inv(unit @ unit.T)
    np.testing.assert_allclose(span.overlap, unit[:, :3].T @ inverse @ unit[:, :3], atol=1e-10)


def test_what_the_span_leaves_open_of_one_feature() -> None:
    """E Var(g | ω) by quadrature, and by pairs, within 5 standard errors."""
    link, q = get_link("cos2z"), 0.9
    span = LearnedSpan(np.eye(2), np.array([[q]]))
    rng = np.random.default_rng(6)
    drawn = np.array([span.unexplained_variance(link, 4000, rng) for _ in range(50)])
    exact = label_error(link, np.zeros(0), q, 40)
    assert abs(drawn.mean() - exact) < 5 * drawn.std(ddof=1) / math.sqrt(50)


# --- neurons ------------------------------------------------------------------------------------


@cache
def spectrum_of(dim: int) -> Spectrum:
    measure = label_measure(label_law("z1z2", "huber"), fourth_moments=False)
    return draw_spectrum(Resolvent(measure, 16.0), dim, np.random.default_rng(7))


@pytest.mark.parametrize("dim", [100, 700, 100_000])
@pytest.mark.parametrize("steps", [1, 4])
def test_neurons_agree_with_the_block_krylov_model(dim: int, steps: int) -> None:
    """Means of the alignment and of the Gram matrix' squares, within 5 standard errors and 2 %."""
    rng = np.random.default_rng(8)
    drawn = draw_neurons(spectrum_of(dim), steps, 600, 8, rng)
    model = NeuronModel.of(spectrum_of(dim), steps, levels=8).draw(600, 8, rng)
    for measured in (
        lambda gram: np.log(alignments_of(gram, 2) / (1 - alignments_of(gram, 2))),
        lambda gram: np.log((gram[:, 2:, 2:] ** 2).sum(axis=(1, 2))),
    ):
        first, second = measured(drawn), measured(model)
        error = math.hypot(first.std(), second.std()) / math.sqrt(600)
        assert abs(first.mean() - second.mean()) < 5 * error + 0.02
    assert np.linalg.eigvalsh(drawn).min() > -1e-6 * np.abs(drawn).max()


def test_neurons_on_a_given_h_have_its_span() -> None:
    """As many neurons as dimensions tell everything; half as many, half of what H leaves even."""
    dim = 24
    H = np.eye(dim)
    grams = draw_neurons(exact_spectrum(H, np.eye(2, dim)), 1, 200, 12, np.random.default_rng(9))
    shares = [np.trace(LearnedSpan.of(gram, 2, sign=1).overlap) / 2 for gram in grams]
    # Beta of mean 1/2.
    assert abs(np.mean(shares) - 0.5) < 5 * np.std(shares) / math.sqrt(200)
    whole = draw_neurons(exact_spectrum(H, np.eye(2, dim)), 1, 1, 24, np.random.default_rng(9))[0]
    np.testing.assert_allclose(LearnedSpan.of(whole, 2, sign=1).overlap, np.eye(2), atol=1e-6)


# --- predictions --------------------------------------------------------------------------------


@cache
def prediction(link: str = "cos2z", **settings: Any) -> TestErrorPrediction:
    given = {"dim": 128, "samples": 3013, "steps": 4, "runs": 24, **settings}
    return predict_test_error(link, **given)


@pytest.mark.parametrize("link", ["cos2z", "z1z2"])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_parts_add_up_to_the_mean(link: str, noise: float) -> None:
    found = prediction(link, noise=noise, test_samples=None)
    parts = found.decomposition
    assert parts.total == pytest.approx(found.mean)
    assert found.values.mean() == pytest.approx(found.mean)
    assert sum(parts.to_json().values()) == pytest.approx(found.mean)
    variance = label_expansion(get_link(link)).variance
    assert parts.label_noise == pytest.approx(noise**2 / (variance + noise**2))
    # Beyond the sampling error of the floor's pairs.
    slack = 0.02 * parts.stage1
    assert min(parts.stage1, parts.features + slack, parts.ridge, parts.samples) > 0
    assert found.low < found.median < found.high


def test_more_samples_of_stage_2_cost_less_down_to_the_population() -> None:
    """The same runs: their population errors are equal, what n₂ costs goes to zero as 1/n₂."""
    few, many, most = (
        prediction(readout_samples=n, test_samples=None) for n in (500, 3013, 10**12)
    )
    assert few.decomposition.samples > 3 * many.decomposition.samples > 0
    assert most.decomposition.samples == pytest.approx(0, abs=1e-8)
    assert most.median == pytest.approx(most.population, rel=1e-6)
    assert few.median > many.median > most.population


def test_costs_beyond_the_simulated_samples_are_those_of_so_many() -> None:
    """Stage 2 on 20,000 samples, and the 1/n₂ law from 8192: mean costs of 6 runs, to 30 %."""
    link, labels = get_link("z1z2"), label_expansion(get_link("z1z2"))
    settings = ReadoutSettings(64, 1e-3, LOG_COSH, noise=0.0)
    rng, costs = np.random.default_rng(10), np.zeros(2)
    for k in range(6):
        rows = mirrored(8, 10, 1, seed=k)
        for index, n in enumerate((8192, 20_000)):
            readout = simulated_readout(rows, link, n, settings, rng)
            moments = population_moments(rows, 2, readout.biases, LOG_COSH, labels)
            weights, _ = output_weights(moments)
            constant = moments.intercept - float(moments.mean @ weights)
            best = population_error(moments, weights, constant, labels, 0.0)
            fitted = population_error(moments, readout.weights, readout.constant, labels, 0.0)
            costs[index] += n * (fitted / best - 1) / 6
    assert costs[1] == pytest.approx(costs[0], rel=0.3)


def test_the_error_falls_with_samples_and_neurons() -> None:
    assert prediction(samples=1500).median > prediction().median > prediction(samples=9000).median
    assert prediction(readout_neurons=8).median > prediction(readout_neurons=64).median
    assert prediction(noise=0.5).median > prediction().median


def test_the_test_set_adds_scatter_and_no_bias() -> None:
    whole, small = prediction(test_samples=None), prediction(test_samples=200)
    assert small.values.std() > 1.2 * whole.values.std()
    ratio = np.log(small.values / whole.values)
    assert abs(ratio.mean()) < 5 * ratio.std() / math.sqrt(len(ratio))


def test_no_object_has_the_size_of_the_inputs() -> None:
    prediction(runs=8)  # what is cached, and imports
    tracemalloc.start()
    try:
        found = predict_test_error("cos2z", dim=10**8, runs=8)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 10**8 / 4
    assert found.samples > 3 * 10**10
    assert 0 < found.median < 0.1


def test_without_steps_and_without_signal_nothing_is_learned() -> None:
    """A random W: a ridge regression on noise, a little worse than the mean."""
    for found in (
        prediction(steps=0, dim=1000, samples=8000),
        prediction("sign-z1z2", steps=1, dim=10_000, samples=8000),
    ):
        assert 0.95 < found.median < 1.1


def test_the_record() -> None:
    found = prediction()
    record = found.to_json()
    error = record["test_error"]
    assert isinstance(error, dict)
    assert {name: error[name] for name in ("median", "low", "high")} == {
        "median": found.median, "low": found.low, "high": found.high
    }  # fmt: skip
    assert isinstance(error["decomposition"], dict)
    assert isinstance(found.decomposition, ErrorParts)
    assert record["samples"] == record["readout_samples"] == 3013


def test_notes_say_what_is_poor() -> None:
    assert prediction().notes == ()
    assert any("not bounded" in note for note in prediction("he2", loss="squared", runs=8).notes)
    assert any("slope" in note for note in prediction(activation="relu", runs=8).notes)
    assert any("tails" in note for note in prediction(activation="exp-centred", runs=8).notes)
    assert any("limit" in note for note in prediction(readout="gradient-descent", runs=8).notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neurons": 3}, "neurons=3"),
        ({"neurons": 0}, "neurons=0"),
        ({"ridge": 0.0}, "ridge"),
        ({"readout": "magic"}, "readout"),
        ({"readout_samples": 1}, "readout_samples=1"),
        ({"readout_neurons": 0}, "readout_neurons=0"),
        ({"test_samples": 1}, "test_samples=1"),
        ({"runs": 2}, "runs=2"),
        ({"noise": -1.0}, "noise"),
        ({"dim": 1}, "dim=1"),
        ({"steps": -1}, "steps=-1"),
        ({"samples": 100, "steps": None}, "samples=100, dim=.*more samples than dimensions"),
        ({"loss": "squared", "samples": 10**8}, "simulated"),
    ],
)
def test_predictions_refuse(settings: dict[str, Any], message: str) -> None:
    link = "he2" if settings.get("loss") else "cos2z"
    with pytest.raises(InputError, match=message):
        predict_test_error(link, **{"dim": 128, "samples": 3013, "steps": 4, **settings})
    with pytest.raises(InputError, match="rank=3"):
        predict_test_error("tanh3", dim=3, samples=100, steps=2)


# --- sizes and exponents ------------------------------------------------------------------------


def test_the_samples_for_an_error_lead_to_it() -> None:
    found = samples_for_error("z1z2", target=0.2, dim=64, steps=4, runs=24)
    assert found.samples is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.samples <= found.high
    at = predict_test_error(
        "z1z2", dim=64, samples=found.samples, steps=4, runs=24, test_samples=None
    )
    assert at.median == pytest.approx(0.2, rel=0.03)


def test_an_error_below_every_floor_takes_no_number_of_samples() -> None:
    found = samples_for_error(
        "cos2z", target=0.01, dim=64, steps=3, readout_neurons=8, noise=0.5, runs=8
    )
    assert found.samples is None
    assert found.error > 0.25 / (0.25 + 0.5)
    for target in (0.0, 1.5, math.nan):
        with pytest.raises(InputError, match="target"):
            samples_for_error("cos2z", target=target, dim=64)


def test_one_step_is_worse_in_higher_dimension_and_several_are_better() -> None:
    """theory.md §7: after one step the error rises with d at n = d log² d."""
    several = error_exponent("cos2z", dim=128, runs=24)
    one = error_exponent("cos2z", dim=128, steps=1, runs=24)
    assert several.exponent > 4 * several.standard_error
    assert one.exponent < -3 * one.standard_error
    assert several.dims == (128, 512)


# --- against training ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "steps", "settings"),
    [
        pytest.param("tanh3", 3, {}, marks=pytest.mark.slow),
        ("z1z2", 4, {"readout_neurons": 48, "noise": 0.2}),
    ],
)
def test_trained_networks_have_the_predicted_error(
    link: str, steps: int, settings: dict[str, Any]
) -> None:
    """40 trained runs at d = 64. The mean within 4 standard errors and 2 % (a right prediction
    fails with probability below 1e-4; one that is 9 % off passes in 5 %), and as many runs in the
    95 % interval as have probability 1e-4."""
    given: dict[str, Any] = {"dim": 64, "samples": 1106, "steps": steps, **settings}
    found = predict_test_error(link, runs=200, **given)
    trained = np.array(
        [
            run_experiment(ExperimentConfig(link, seed=seed, baselines=False, **given)).test_error
            for seed in range(40)
        ],
        dtype=float,
    )
    error = math.hypot(
        trained.std(ddof=1) / math.sqrt(40), found.values.std() / math.sqrt(len(found.values))
    )
    assert abs(trained.mean() - found.mean) < 4 * error + 0.02 * found.mean
    inside = int(((trained >= found.low) & (trained <= found.high)).sum())
    assert bdtr(inside, 40, 0.95) > 1e-4
    assert isinstance(found.decomposition, ErrorParts)
