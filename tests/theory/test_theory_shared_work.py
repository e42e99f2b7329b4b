"""What is computed once for many, or found by a short way, against the long way."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from mimverify.network import get_loss
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.threads import thread_limit
from mimverify.theory import (
    Resolvent,
    analyse_transform,
    label_law,
    label_measure,
    predict_span,
    predict_test_error,
)
from mimverify.theory.conditional.projection import _on_bins, _resolutions
from mimverify.theory.labels.sobol import MOST_DIMENSIONS, sobol_points
from mimverify.theory.readout_error import error_prediction
from mimverify.theory.spectrum.arrowhead import Spectrum, draw_spectrum
from mimverify.theory.spectrum.krylov import _directions
from mimverify.theory.spectrum.leading import leads
from mimverify.theory.spectrum.thresholds import spectral_thresholds
from mimverify.training.centring import fit_constant

TOLERANCE = 1e-9


@pytest.mark.parametrize("power", [0, 1, 7])
@pytest.mark.parametrize("dimensions", range(1, MOST_DIMENSIONS + 1))
def test_sobol_points_are_those_of_scipy(dimensions: int, power: int) -> None:
    plain = qmc.Sobol(dimensions, scramble=False).random_base2(power)
    np.testing.assert_array_equal(sobol_points(dimensions, power), plain)
    ours, theirs = (np.random.default_rng([dimensions, power]) for _ in range(2))
    for _ in range(2):  # each call takes a generator of its own
        scrambled = qmc.Sobol(dimensions, scramble=True, rng=theirs).random_base2(power)
        np.testing.assert_array_equal(sobol_points(dimensions, power, ours), scrambled)


@pytest.mark.parametrize(("dimensions", "power"), [(0, 1), (MOST_DIMENSIONS + 1, 1), (1, 31)])
def test_sobol_points_of_impossible_sizes(dimensions: int, power: int) -> None:
    with pytest.raises(InputError, match="expected"):
        sobol_points(dimensions, power)


@pytest.mark.parametrize(
    ("link", "loss"),
    [("cos2z", "huber"), ("abs", "l1"), ("he2", "log-cosh"), ("relu-sum", "pseudo-huber")],
)
def test_leading_outliers_of_many_ratios_are_those_of_each(link: str, loss: str) -> None:
    measure = label_measure(label_law(link, loss), fourth_moments=False)
    least = float(spectral_thresholds(measure)[0])
    alphas = least * np.geomspace(0.5, 50.0, 12)
    one_by_one = []
    for alpha in alphas:
        resolvent = Resolvent(measure, float(alpha))
        largest = abs(resolvent.outliers[0].location) if resolvent.outliers else 0.0
        one_by_one.append(largest > (1 - TOLERANCE) * resolvent.radius)
    assert any(one_by_one)
    assert not all(one_by_one)
    np.testing.assert_array_equal(leads(measure, alphas, TOLERANCE), one_by_one)


def test_bins_of_all_resolutions_by_one_sum() -> None:
    count = 20_000
    ordered = np.random.default_rng(4).standard_normal((3, count))
    resolutions = _resolutions(count)
    assert len(resolutions) > 1
    for edges, found in zip(resolutions, _on_bins(ordered, resolutions, count), strict=True):
        np.testing.assert_allclose(found, _bin_by_bin(ordered, edges), rtol=0, atol=1e-12)


def _bin_by_bin(ordered: Float64Array, edges: Float64Array) -> Float64Array:
    count = ordered.shape[1]
    starts = np.round(edges * count).astype(int)
    rows = []
    for degree in range(3):
        for start, stop in pairwise(starts):
            x = 2 * (np.arange(stop - start) + 0.5) / (stop - start) - 1
            p = (np.ones_like(x), x, 1.5 * x**2 - 0.5)[degree]
            rows.append(ordered[:, start:stop] @ p / math.sqrt(p @ p * count))
    return np.array(rows)


@pytest.mark.parametrize("loss", ["huber", "pseudo-huber", "log-cosh"])
@pytest.mark.parametrize("offset", [0.0, 1e-7, -1e-3, 0.2, 30.0])
def test_a_guess_does_not_change_a_constant(loss: str, offset: float) -> None:
    rng = np.random.default_rng(11)
    y, weights = rng.standard_normal(400) ** 2, rng.random(400)
    weights /= weights.sum()
    without = fit_constant(get_loss(loss), y, weights)
    near = (without.constant + offset, 1e-6)
    found = fit_constant(get_loss(loss), y, weights, near=near, accuracy=1e-14)
    assert found.constant == pytest.approx(without.constant, abs=1e-12)
    assert abs(found.offset) < 1e-12


def test_a_guess_between_equal_roots_is_kept() -> None:
    # Every constant in [−1/2, 1/2] is a root.
    y, weights = np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    assert fit_constant(get_loss("huber:0.5"), y, weights, near=(0.0, 1e-6)).constant == 0


def test_mirror_images_of_boxes_are_split_together() -> None:
    # At the most nodes there are, a split of one of two mirror images would leave a linear part.
    law = label_law("z1z2", "huber", noise=0.3)
    linear, _ = law.mean(lambda at: at.T[:, None] * at.z)
    assert np.abs(linear).max() < 1e-13
    assert law.constant == pytest.approx(0, abs=1e-13)


def test_the_positive_of_two_opposite_eigenvalues_is_first() -> None:
    for loss in ("huber", "squared", "log-cosh"):
        values = analyse_transform("z1z2", loss).eigenvalues
        assert values[0] > 0 > values[1]


def test_a_check_has_its_own_constant() -> None:
    law = label_law("relu-sum", "huber")
    assert law.check is not None
    assert law.check.constant != law.constant
    assert law.check.constant == pytest.approx(law.constant, abs=1e-4)


def test_runs_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has random numbers of its own, whichever thread draws it."""
    measure = label_measure(label_law("he2", "huber"))
    # What is kept would be the same anyway.
    unkept = vars(error_prediction._drawn_runs)["__wrapped__"]
    monkeypatch.setattr(error_prediction, "_drawn_runs", unkept)
    spans, errors = [], []
    for threads in (1, 2):
        with thread_limit(threads):
            spans.append(predict_span(measure, 40, 800, 3, 4, draws=24))
            errors.append(
                predict_test_error(
                    "he2", dim=30, samples=600, steps=2, neurons=8, readout_neurons=16, runs=8
                )
            )
    np.testing.assert_array_equal(spans[0].median, spans[1].median)
    np.testing.assert_array_equal(spans[0].low, spans[1].low)
    np.testing.assert_array_equal(errors[0].values, errors[1].values)


def test_runs_are_drawn_once_for_every_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 0

    def counted(*arguments: Any) -> Spectrum:
        nonlocal drawn
        drawn += 1
        return draw_spectrum(*arguments)

    monkeypatch.setattr(error_prediction, "draw_spectrum", counted)
    found = [
        predict_test_error(
            "he2", dim=30, samples=600, steps=2, neurons=8, readout_neurons=16, runs=8, seed=1234,
            test_samples=test_samples,
        )
        for test_samples in (None, 500, 10_000)
    ]  # fmt: skip
    assert drawn == 8
    assert len({each.population for each in found}) == 1
    assert found[0].values.std() < found[1].values.std()
    assert (found[1].values != found[2].values).all()


@pytest.mark.parametrize("width", [1, 3])
def test_directions_of_a_block(width: int) -> None:
    """What is long enough, orthonormal, in the span of the columns: by two ways."""
    block = np.random.default_rng(width).standard_normal((20, width))
    found = _directions(block, 1e-10)
    np.testing.assert_allclose(found.T @ found, np.eye(width), atol=1e-14)
    np.testing.assert_allclose(found @ (found.T @ block), block, atol=1e-14)
    assert _directions(1e-12 * block, 1e-10).shape == (20, 0)
