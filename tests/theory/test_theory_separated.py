"""Span recovery where the strongest direction outweighs the weakest by orders of magnitude."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from mimverify.network.losses import get_loss
from mimverify.problems.links import get_link
from mimverify.support.arrays import Float64Array
from mimverify.theory import predict_span
from mimverify.theory.labels.label_law import realised_law
from mimverify.theory.spectrum.arrowhead import Spectrum
from mimverify.theory.spectrum.population import drawn_measures
from mimverify.theory.spectrum.separated import separated_cosines, separated_directions


def spectrum_of(eigenvalues: list[float], rank: int, seed: int = 0) -> Spectrum:
    rng = np.random.default_rng(seed)
    near = np.eye(len(eigenvalues), rank) + 0.2 * rng.standard_normal((len(eigenvalues), rank))
    components = np.linalg.qr(near)[0]
    return Spectrum(np.array(eigenvalues), components, np.zeros(0), np.zeros(0))


def cosines_by_svd(
    spectrum: Spectrum, steps: int, draws: int, neurons: int, rng: np.random.Generator
) -> Float64Array:
    """Of neurons in the eigenbasis: singular values of W, whose digits its Gram matrix squares."""
    factor = (np.abs(spectrum.eigenvalues) / np.abs(spectrum.eigenvalues).max()) ** steps
    W = rng.standard_normal((draws, neurons, len(factor))) * factor
    top = np.linalg.svd(W, full_matrices=False)[2][:, : spectrum.rank]
    cosines = np.linalg.svd(top @ spectrum.components, compute_uv=False)
    return np.asarray(cosines[:, -1], dtype=np.float64)


@pytest.mark.parametrize("neurons", [2, 3])
@pytest.mark.parametrize("steps", [11, 14])
def test_one_neuron_fewer_finds_the_rest(neurons: int, steps: int) -> None:
    """The second direction hardly outweighs the noise: how many neurons look for it shows. The
    first is 2^11 apart at least, and singular vectors of W itself are right to 2^14 u; 1e-5."""
    spectrum = spectrum_of([1.0, -0.5, *np.linspace(-0.45, 0.44, 8)], rank=2)
    assert separated_directions(spectrum, steps) == 1
    rng = np.random.default_rng([neurons, steps])
    found = separated_cosines(spectrum, steps, 1, 4000, neurons, rng)
    expected = cosines_by_svd(spectrum, steps, 4000, neurons, rng)
    assert ks_2samp(found, expected).pvalue > 1e-5
    assert found.std() > 0.05
    # One neuron more would show.
    more = separated_cosines(spectrum, steps, 1, 4000, neurons + 1, rng)
    assert ks_2samp(more, expected).pvalue < 1e-5


@pytest.mark.parametrize("steps", [40, 400, 4000])
def test_many_steps_end_in_the_leading_eigenvectors(steps: int) -> None:
    """Three directions 1.7 and 1.9 times apart, the noise 1.8 times below the last: after
    40 steps the span is that of their eigenvectors, to 1.8^-40; κ^{2T} is 10^42 there."""
    spectrum = spectrum_of([1.0, -0.59, 0.31, *np.linspace(-0.17, 0.1, 12)], rank=3)
    expected = np.linalg.svd(spectrum.components[:3], compute_uv=False)[-1]
    assert separated_directions(spectrum, steps) == 2
    found = separated_cosines(spectrum, steps, 2, 50, 6, np.random.default_rng(steps))
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert 0.01 < expected < 0.99


def test_separation_needs_time_and_neurons() -> None:
    spectrum = spectrum_of([1.0, 0.5, 0.4, 0.3, 0.2], rank=2)
    assert separated_directions(spectrum, 9) == 0  # 2^9 = 512
    assert separated_directions(spectrum, 10) == 1
    assert not separated_cosines(spectrum, 10, 1, 3, 1, np.random.default_rng(0)).any()
    # What has no eigenvector of its own may be the strongest.
    spare = Spectrum(spectrum.eigenvalues, spectrum.components, np.array([1.5]), np.ones(1))
    assert separated_directions(spare, 10**4) == 0


def spans_of_runs(
    dim: int, samples: int, neurons: int, times: list[int], runs: int
) -> Float64Array:
    """W ← W H, in double precision, on data of their own: span recovery `(runs, times)`."""
    link, loss = get_link("quadratic:1,0.4"), get_loss("logcosh")
    found = np.empty((runs, len(times)))
    for run in range(runs):
        rng = np.random.default_rng([run, 5])
        X = rng.standard_normal((samples, dim))
        z = X[:, : link.rank]
        H = (X * realised_law(z, link(z), loss).T[:, None]).T @ X / samples
        W = rng.standard_normal((neurons, dim))
        for t in range(1, max(times) + 1):
            W = W @ H
            W /= np.linalg.norm(W)
            if t in times:
                top = np.linalg.svd(W, full_matrices=False)[2][: link.rank, : link.rank]
                found[run, times.index(t)] = np.linalg.svd(top, compute_uv=False)[-1]
    return found


@pytest.mark.slow
def test_spans_of_runs_after_many_steps() -> None:
    """Double precision runs at κ^{2T} from 10^7 to 10^21 (rounding costs κ^T u < 10^-5): the mean
    over 40 data sets within 4 standard errors, and at least 32 in the 95 % (8 or more outside of
    them have probability 7e-4)."""
    dim, samples, neurons, runs, times = 48, 1536, 16, 40, [14, 24, 44]
    link, loss = get_link("quadratic:1,0.4"), get_loss("logcosh")
    labels = drawn_measures(link, loss, dim=dim, samples=samples, steps=44, count=40)
    found = predict_span(labels, dim, samples, 44, neurons, draws=200)
    seen = spans_of_runs(dim, samples, neurons, times, runs)
    at = np.array(times) - 1
    error = np.hypot(seen.std(axis=0), found.high[at] / 4 - found.low[at] / 4) / np.sqrt(runs)
    assert (np.abs(found.mean[at] - seen.mean(axis=0)) < 4 * error).all()
    assert (((found.low[at] <= seen) & (seen <= found.high[at])).sum(axis=0) >= 32).all()
