"""Information of labels about hidden features, against closed forms and independent integrals.

None of the oracles here shares a method with the code: they integrate over y with explicit
inverse functions, use known densities, or average a large sample.
"""

from __future__ import annotations

import math
import time
import tracemalloc
import warnings
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from scipy.integrate import quad
from scipy.special import erf, expit, k0, k1
from scipy.stats import norm

from mimverify.problems.links import Link, get_link, hermite
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory.analysis import analyse_transform
from mimverify.theory.conditional.conditional import conditional_moments, conditional_second_moment
from mimverify.theory.conditional.information import (
    LabelInformation,
    _information,
    _maximiser,
    _rayleigh,
    label_information,
)
from mimverify.theory.conditional.moments import ConditionalMoments, Estimate
from mimverify.theory.conditional.optimal import _best_direction, _quartic, optimal_transform
from mimverify.theory.conditional.projection import _cross_products
from mimverify.theory.labels.label_law import label_law
from mimverify.theory.trajectory import predict_trajectory


def scalar(name: str, function) -> Link:
    """A link of rank 1."""
    return Link(name, 1, lambda z: function(z[:, 0]))


@cache
def moments(name: str, noise: float = 0.0) -> ConditionalMoments:
    """`conditional_moments` of a named link, once per session."""
    return conditional_moments(get_link(name), noise=noise)


@cache
def information(name: str, noise: float = 0.0) -> LabelInformation:
    """`label_information` of a named link, which makes it of these moments."""
    return _information(moments(name, noise))


def phi(z):
    """Standard normal density."""
    return np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)


def assert_threshold(found: LabelInformation, expected: float, *, within: float) -> None:
    """The threshold is right up to four of its own errors, and these are small enough."""
    assert found.alpha_c is not None
    assert found.alpha_c_error is not None
    assert abs(found.alpha_c - expected) <= 4 * found.alpha_c_error
    assert found.alpha_c_error < within


# --- oracles ----------------------------------------------------------------------------------


def cosine_strength() -> float:
    """E[G²] of y = cos 2z: with θ = arccos y the preimages are (±θ + 2πk)/2, |g'| all equal."""

    def parts(theta: float) -> tuple[float, float]:
        z = np.add.outer([theta, -theta], 2 * math.pi * np.arange(-8, 9)).ravel() / 2
        return float(phi(z).sum()), float(phi(z) @ (z**2 - 1))

    def integrand(theta: float) -> float:
        mass, excess = parts(theta)
        return excess**2 / mass / 2

    return float(quad(integrand, 0, math.pi, epsabs=1e-13)[0])


def he4_strength() -> float:
    """E[G²] of y = z⁴ − 6z² + 3: with u = √(y + 6), z² = 3 ± u."""

    def integrand(u: float) -> float:
        s = np.array([3 + u] + [3 - u] * (u < 3))
        weight = phi(np.sqrt(s)) / np.sqrt(s)
        return float((weight @ (s - 1)) ** 2 / weight.sum())

    lower = quad(integrand, 0, 3, epsabs=1e-12, limit=200)[0]
    return float(lower + quad(integrand, 3, 60, epsabs=1e-12, limit=200)[0])


def indicator_strength(cut: float) -> float:
    """E[G²] of 1{|z| > cut}: two atoms."""
    mass, edge = 2 * norm.sf(cut), 2 * cut * norm.pdf(cut)
    return float(edge**2 * (1 / mass + 1 / (1 - mass)))


def product_strength() -> float:
    """λ_max of y = z1 z2: density K0(|y|)/π, G = [[a, y], [y, a]], a = |y| K1(|y|)/K0(|y|) − 1.

    All G commute with the projections on (1, ±1)/√2, whose eigenvalues are a ± y.
    """

    def integrand(y: float) -> float:
        return 2 * k0(y) / math.pi * ((y * k1(y) / k0(y) - 1) ** 2 + y**2)

    return float(quad(integrand, 0, 1)[0] + quad(integrand, 1, 300)[0])


def noisy_square_strength(noise: float) -> float:
    """E[G²] of y = z² + noise·ε by trapezoids in z and y."""
    z = np.linspace(0, 7, 2001)
    y = np.linspace(-8 * noise, 49 + 8 * noise, 3001)
    weight = 2 * phi(z) * (z[1] - z[0]) * np.where(z == 0, 0.5, 1.0)
    total = 0.0
    for part in np.array_split(y, 20):
        kernel = phi((part[:, None] - z**2) / noise) / noise * weight
        mass, excess = kernel.sum(axis=1), kernel @ (z**2 - 1)
        total += np.sum(np.divide(excess**2, mass, out=np.zeros_like(mass), where=mass > 1e-280))
    return float(total * (y[1] - y[0]))


def tanh3_strength() -> float:
    """E[(E[z3² − 1 | y])²] of y = tanh(x) + .7|z3|, x = z1 z2 with density K0(|x|)/π.

    Nodes crowd by a fourth power to x = 0, where K0 is infinite, and to tanh x = y, the end.
    """
    t, weight = leggauss(80)
    t, weight = (t + 1) / 2, weight / 2
    place, measure = t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3), 140 * (t * (1 - t)) ** 3 * weight

    def segment(a, b):
        return a + (b - a) * place, (b - a) * measure

    total = 0.0
    for left, right in ((-1, -0.5), (-0.5, 0), (0, 0.5), (0.5, 1), (1, 1.5), (1.5, 2.5), (2.5, 6)):
        for y, dy in zip(*segment(left, right), strict=True):
            end = 40.0 if y >= 1 - 1e-15 else math.atanh(max(y, -1 + 1e-15))
            ends = np.unique(np.clip([-40.0, -5.0, -1.0, 0.0, 1.0, 5.0, 40.0, end], -40, end))
            x, dx = np.hstack([segment(*pair) for pair in pairwise(ends)])
            v = (y - np.tanh(x)) / 0.7
            density = k0(np.abs(x)) / math.pi * 2 * phi(v) / 0.7 * dx
            total += dy * (density @ (v**2 - 1)) ** 2 / max(density.sum(), 1e-300)
    return float(total)


# --- r = 1: preimages -------------------------------------------------------------------------

EXACT = {
    "z²": (scalar("z²", lambda z: z**2), lambda: 2.0),
    "|z|": (scalar("|z|", np.abs), lambda: 2.0),
    "√|z|": (scalar("√|z|", lambda z: np.sqrt(np.abs(z))), lambda: 2.0),
    "log|z|": (scalar("log|z|", lambda z: np.log(np.abs(z))), lambda: 2.0),
    "1/z²": (scalar("1/z²", lambda z: z**-2.0), lambda: 2.0),
    "10⁶ + z²": (scalar("10⁶ + z²", lambda z: 1e6 + z**2), lambda: 2.0),
    "he2": (get_link("he2"), lambda: 2.0),
    "cos 2z": (get_link("cos2z"), cosine_strength),
    "He4": (scalar("He4", lambda z: hermite(4, z)), he4_strength),
    "1{|z| > 1.5}": (
        scalar("1{|z| > 1.5}", lambda z: (np.abs(z) > 1.5).astype(float)),
        lambda: indicator_strength(1.5),
    ),
    # 1.25 = 16 of the panels' widths: the jump falls on a panel's end.
    "1{|z| > 1.25}": (
        scalar("1{|z| > 1.25}", lambda z: (np.abs(z) > 1.25).astype(float)),
        lambda: indicator_strength(1.25),
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_threshold_of_one_feature_matches_closed_form(name: str) -> None:
    link, strength = EXACT[name]
    found = label_information(link)
    assert found.generative_exponent == 2
    assert_threshold(found, 1 / strength(), within=1e-8)
    assert found.matrix == pytest.approx(np.ones((1, 1)))


def test_theory_document_states_the_same_thresholds() -> None:
    assert 1 / cosine_strength() == pytest.approx(1.617, abs=5e-4)
    assert 1 / he4_strength() == pytest.approx(0.645, abs=5e-4)
    assert 1 / indicator_strength(1.5) == pytest.approx(0.767, abs=5e-4)


def test_partly_flat_link_has_atoms_and_a_continuous_part() -> None:
    # clip(z², a, b): G = y − 1 between, and two atoms by closed form.
    a, b = 0.2, 2.0
    found = label_information(scalar("clip", lambda z: np.clip(z**2, a, b)))
    low, high = math.sqrt(a), math.sqrt(b)
    between = 2 * quad(lambda z: phi(z) * (z**2 - 1) ** 2, low, high)[0]
    atoms = (2 * low * phi(low)) ** 2 / (2 * norm.cdf(low) - 1)
    atoms += (2 * high * phi(high)) ** 2 / (2 * norm.sf(high))
    assert found.second_order[0, 0] == pytest.approx(between + atoms, rel=1e-9)


@pytest.mark.parametrize(
    ("link", "first"),
    [
        (scalar("z", lambda z: z), 1.0),
        (scalar("z³", lambda z: z**3), 1.0),
        (scalar("sign", np.sign), 2 / math.pi),
        # relu: an atom of mass 1/2 with E[z | 0] = −√(2/π), and E[z²; z > 0] = 1/2.
        (scalar("relu", lambda z: np.maximum(z, 0)), 0.5 + 1 / math.pi),
    ],
)
def test_first_order_information_leaves_no_threshold(link: Link, first: float) -> None:
    found = label_information(link)
    assert found.first_order[0, 0] == pytest.approx(first, rel=1e-8)
    assert found.generative_exponent == 1
    assert found.alpha_c is None
    assert found.alpha_c_error is None
    assert found.matrix is None
    assert "E[z | y] is not zero" in str(found.alpha_c_reason)


def test_conditional_moment_is_what_a_sample_says() -> None:
    # No symmetry, up to four preimages, none of them listed by hand.
    link = scalar("quartic", lambda z: z**4 - 2.3 * z**2 + 0.4 * z)
    moment = conditional_second_moment(link)
    z = np.random.default_rng(1).standard_normal(700_000)
    y = link(z[:, None])
    for centre in (-1.6, -1.1, -0.5, 0.02, 1.0, 5.0):
        near = np.abs(y - centre) < 0.02
        sample = z[near] ** 2
        predicted = moment(y[near])[:, 0, 0].mean()
        assert predicted == pytest.approx(
            sample.mean(), abs=5 * sample.std() / math.sqrt(len(sample))
        )


def test_conditional_moment_at_atoms_and_out_of_range() -> None:
    square = conditional_second_moment(scalar("z²", lambda z: z**2))
    y = np.array([1e-6, 0.3, 1.0, 7.0])
    assert square(y)[:, 0, 0] == pytest.approx(y, rel=1e-8)
    assert square(np.array([-3.0, 1e9]))[:, 0, 0] == pytest.approx([0, 100], abs=1e-5)
    relu = conditional_second_moment(scalar("relu", lambda z: np.maximum(z, 0)))
    assert relu(np.array([0.0, -0.1, 1.5]))[:, 0, 0] == pytest.approx([1.0, 1.0, 2.25])
    indicator = conditional_second_moment(EXACT["1{|z| > 1.5}"][0])
    inside = 1 - 3 * norm.pdf(1.5) / (1 - 2 * norm.sf(1.5))
    assert indicator(np.array([0.0, 0.4, -7.0]))[:, 0, 0] == pytest.approx([inside] * 3)
    # Between the gap's sides, y = sign(z)(1 + |z|), the nearer side's end is what is known.
    gap = conditional_second_moment(scalar("gap", lambda z: np.sign(z) * (1 + np.abs(z))))
    assert gap(np.array([0.5, 2.0]))[:, 0, 0] == pytest.approx([0.0, 1.0], abs=1e-8)


def skewed(z: Float64Array) -> Float64Array:
    """No symmetry, and both orders of information."""
    return (z**4 - 2.3 * z**2 + 0.4 * z) / 5


@pytest.mark.parametrize("relabel", [np.arcsinh, lambda y: -(y**3) - y, lambda y: y + (y > 0.03)])
def test_relabelling_changes_nothing(relabel) -> None:
    plain = label_information(scalar("plain", skewed))
    other = label_information(scalar("relabelled", lambda z: relabel(skewed(z))))
    assert other.second_order == pytest.approx(plain.second_order, rel=1e-8)
    assert other.first_order == pytest.approx(plain.first_order, rel=1e-8)


def test_merging_labels_costs_information() -> None:
    plain = label_information(scalar("plain", skewed))
    for relabel in (lambda y: np.minimum(y, 1.0), lambda y: np.abs(y - 1)):
        merged = label_information(scalar("merged", lambda z, f=relabel: f(skewed(z))))
        assert merged.second_order[0, 0] < plain.second_order[0, 0]
        assert merged.first_order[0, 0] < plain.first_order[0, 0]


def test_saturation_within_rounding_shows_in_the_error() -> None:
    # tanh is 1 to twelve digits from 14 on, at different places on the two branches.
    plain = label_information(scalar("plain", skewed))
    merged = label_information(scalar("merged", lambda z: np.tanh(skewed(z))))
    assert merged.second_order[0, 0] < plain.second_order[0, 0]
    # What coincides may hide anything up to z itself: the error is a bound on that.
    assert merged.second_order == pytest.approx(plain.second_order, abs=merged.second_order_error)
    assert merged.second_order_error < 1e-2
    assert merged.first_order == pytest.approx(plain.first_order, abs=1e-4)


SATURATING = {
    "tanh 5y": lambda y: np.tanh(5 * y),
    "−expit 20y": lambda y: -expit(20 * y),
    "exp −40y": lambda y: np.exp(-40 * y),
    "erf 3y": lambda y: erf(3 * y),
}


@pytest.mark.parametrize("name", SATURATING)
def test_saturation_of_mirror_images_costs_nothing(name: str) -> None:
    squash = SATURATING[name]
    found = label_information(scalar("squashed", lambda z: squash(z**2 - 1)))
    assert_threshold(found, 0.5, within=1e-4)


def test_saturation_of_a_single_branch_costs_nothing() -> None:
    found = label_information(scalar("tanh", lambda z: np.tanh(5 * z)))
    assert found.first_order[0, 0] == pytest.approx(1, abs=1e-6)
    assert found.generative_exponent == 1


def test_flat_and_smoothly_ending_plateaus_stay_atoms() -> None:
    # Flat within |z| < 1 by every order: exp(−1/u) is no limit at infinity, nor is u⁴.
    inside = 1 - 2 * phi(1.0) / (1 - 2 * norm.sf(1.0))
    for grow in (lambda u: u**4, lambda u: np.exp(-1 / np.maximum(u, 1e-9))):
        link = scalar("bump", lambda z, f=grow: f(np.maximum(np.abs(z) - 1, 0)))
        expected = (inside - 1) ** 2 * (1 - 2 * norm.sf(1.0))
        expected += 2 * quad(lambda z: phi(z) * (z**2 - 1) ** 2, 1, 12)[0]
        found = label_information(link)
        assert found.second_order[0, 0] == pytest.approx(expected, abs=4 * found.second_order_error)
        assert found.second_order_error < 2e-2


def test_saturation_of_several_features_shows_in_the_error() -> None:
    found = label_information(Link("disk", 2, lambda z: np.tanh(5 * ((z**2).sum(axis=1) - 2))))
    assert found.generative_exponent == 2
    assert found.alpha_c == pytest.approx(1.0, abs=found.alpha_c_error)
    # Nor is a saturating link resolved below the rounding at a large offset.
    found = label_information(scalar("far", lambda z: 1e6 + expit(20 * (z**2 - 1))))
    assert found.alpha_c == pytest.approx(0.5, abs=found.alpha_c_error)


def test_too_many_jumps_fall_back_on_projection() -> None:
    found = label_information(scalar("stairs", lambda z: skewed(z) + np.floor(2 * skewed(z))))
    plain = label_information(scalar("plain", skewed))
    assert "Projection" in found.rests_on
    assert found.second_order == pytest.approx(plain.second_order, abs=4 * found.second_order_error)
    assert found.second_order_error < 1e-3


def test_rough_link_falls_back_on_projection() -> None:
    single = scalar("float32", lambda z: np.cos(2 * z.astype(np.float32)))
    found = label_information(single)
    assert "Projection" in found.rests_on
    assert_threshold(found, 1 / cosine_strength(), within=1e-3)


SCALES = {
    "10⁶ +": lambda y: 1e6 + y,
    "10⁷ −": lambda y: 1e7 - 3 * y,
    "10⁻³⁰": lambda y: 1e-30 * y,
    "10²⁰": lambda y: -1e20 * y,
    "10³⁰⁷": lambda y: 1e307 * y,
    "10¹² +": lambda y: 1e12 + y,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SCALES)
def test_common_part_and_unit_of_labels_change_nothing(name: str) -> None:
    change = SCALES[name]
    link = scalar(name, lambda z: change(np.cos(2 * z)))
    # 10¹² leaves four digits.
    within = 5e-2 if name == "10¹² +" else 1e-3
    known = conditional_moments(link)
    found = _information(known)
    assert found.generative_exponent == 2
    assert found.alpha_c == pytest.approx(1 / cosine_strength(), abs=within)
    assert_threshold(found, 1 / cosine_strength(), within=5e-2)
    y = np.linspace(-0.97, 0.9, 9)
    plain = moments("cos2z").second_moment(y)
    assert known.second_moment(change(y)) == pytest.approx(plain, abs=50 * within)
    if name == "10⁶ +":
        transform = optimal_transform(link)(change(y))
        assert transform == pytest.approx(optimal_transform("cos2z")(y), abs=1e-3)


def test_noise_has_the_unit_of_the_labels() -> None:
    plain = information("phase-retrieval", 0.3)
    common, unit = 2.0**60, 2.0**40
    link = scalar("unit", lambda z: common + unit * z**2)
    known = conditional_moments(link, noise=0.3 * unit)
    found = _information(known)
    assert plain.alpha_c_error is not None
    assert found.alpha_c == pytest.approx(plain.alpha_c, abs=2 * plain.alpha_c_error)
    # Knots are the user's labels.
    assert common - 2 * unit < known.knots[0] < known.knots[-1] < common + 100 * unit
    # Labels without a spread.
    assert label_information(scalar("3e8", lambda z: 0 * z + 3e8)).generative_exponent is None


def test_atoms_keep_the_users_labels() -> None:
    moments = conditional_moments(scalar("far", lambda z: 1e6 + (np.abs(z) > 1.5)))
    assert moments.atoms == pytest.approx([1e6, 1e6 + 1], abs=1e-6)
    inside = 1 - 3 * norm.pdf(1.5) / (1 - 2 * norm.sf(1.5))
    assert moments.second_moment(moments.atoms[:1])[0, 0, 0] == pytest.approx(inside)
    ramp = optimal_transform(scalar("ramp", lambda z: 1e6 + np.maximum(np.abs(z), 1.0)))
    low = 1 - 2 * phi(1.0) / (1 - 2 * norm.sf(1.0))
    # 2e-7 of the label is much, but not of its spread.
    y = np.array([1.0, 1.1, 1.7])
    second = np.array([low, 1.1**2, 1.7**2])
    assert ramp(1e6 + y) == pytest.approx(1 - 1 / second, rel=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: np.cos(200 * z),
        lambda z: np.sin(1 / (np.abs(z) + 1e-3)),
        lambda z: z**2 + np.floor(40 * z**2),
    ],
)
def test_many_pieces_are_given_up_quickly(function) -> None:
    started = time.process_time()
    found = label_information(scalar("many", function))
    assert time.process_time() - started < 3
    assert "Not by preimages" in found.rests_on
    assert "Projection" in found.rests_on


# --- projection: several features, or noise ---------------------------------------------------


@pytest.mark.parametrize("rank", [2, 4])
def test_squared_norm(rank: int) -> None:
    found = label_information(Link("norm", rank, lambda z: (z**2).mean(axis=1)))
    assert found.generative_exponent == 2
    assert_threshold(found, rank / 2, within=2e-3 * rank / 2)
    assert len(found.directions) == rank
    assert found.directions @ found.directions.T == pytest.approx(np.eye(rank))


def test_product_of_two() -> None:
    found = label_information(get_link("z1z2"), seed=1)
    assert_threshold(found, 1 / product_strength(), within=6e-4)
    # E[G²] is diagonal, by the symmetry (z1, z2) → (−z1, −z2) and z1 ↔ z2.
    assert found.second_order == pytest.approx(
        product_strength() * np.eye(2), abs=4 * found.second_order_error
    )


def test_tanh3_by_its_own_integral() -> None:
    found, strength = information("tanh3"), tanh3_strength()
    assert_threshold(found, 1 / strength, within=1e-3)
    assert found.matrix == pytest.approx(np.diag([0, 0, 1]), abs=0.01)
    assert len(found.directions) == 3


def test_sign_products() -> None:
    # Two atoms, G = ±(2/π) [[0, 1], [1, 0]]: E[G M G] = (2/π)² P M P, P the exchange.
    two = information("sign-z1z2")
    assert_threshold(two, math.pi**2 / 4, within=1e-6)
    assert two.matrix == pytest.approx(np.eye(2) / 2, abs=1e-4)
    moment = moments("sign-z1z2").second_moment(np.array([1.0, -1.0]))
    exchange = 2 / math.pi * np.array([[0, 1], [1, 0]])
    assert moment == pytest.approx(np.array([np.eye(2) + exchange, np.eye(2) - exchange]), abs=2e-4)
    # Three signs have no second-order information about any two of them.
    three = information("sign-z1z2z3")
    assert three.generative_exponent is None
    assert str(three.reason).startswith(">2 or undetermined")
    assert three.alpha_c is None
    assert "second-order" in str(three.alpha_c_reason)
    assert len(three.directions) == 0
    assert abs(three.second_order).max() <= 5 * three.second_order_error


def test_few_labels_with_curved_boundaries() -> None:
    # G = ((E[|z|² | y]/2 − 1) I, and |z|²/2 is exponential: α_c = e − 1.
    found = label_information(Link("disk", 2, lambda z: 1.0 * ((z**2).sum(axis=1) > 2)))
    assert "Sums over the 2 labels" in found.rests_on
    assert_threshold(found, math.e - 1, within=1e-5)


def test_twelve_features_take_seconds_and_little_memory() -> None:
    started = time.process_time()
    tracemalloc.start()
    found = label_information(Link("norm", 12, lambda z: (z**2).sum(axis=1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - started < 15
    assert peak < 1e9
    assert_threshold(found, 6.0, within=0.1)


def test_staircase_shows_one_direction_first() -> None:
    link = Link("stairs", 3, lambda z: hermite(2, z[:, 0]) + np.sign(np.prod(z, axis=1)))
    found = label_information(link)
    assert found.generative_exponent == 2
    assert np.abs(found.directions) == pytest.approx(np.array([[1.0, 0.0, 0.0]]), abs=1e-3)
    # The two branches y ± 1 of z1² − 1, weighted by their densities; an integral over y.
    s = np.linspace(0, 9, 900_001)[1:] ** 2

    def density(t: Float64Array) -> Float64Array:
        positive = np.maximum(t, 1e-300)
        return np.where(t > 0, phi(np.sqrt(positive)) / np.sqrt(positive), 0.0)

    # At y = s − 2 (the upper branch at s, the lower at s − 2); ½ for each sign.
    low, high = density(s - 2), density(s)
    second = (low * (s - 3) + high * (s - 1)) ** 2 / (low + high) / 2
    strength = float(np.trapezoid(second, s))
    assert found.strengths == pytest.approx([strength], abs=4 * found.second_order_error + 2e-3)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_noisy_square(noise: float) -> None:
    found = information("phase-retrieval", noise)
    strength = noisy_square_strength(noise)
    assert_threshold(found, 1 / strength, within=1e-3)


def test_noise_costs_information() -> None:
    levels = [information("phase-retrieval", noise).alpha_c or 0.0 for noise in (0.0, 0.3, 1.0)]
    assert levels[0] * 1.02 < levels[1]
    assert levels[1] * 1.02 < levels[2]


def test_rotation_turns_directions_and_keeps_thresholds() -> None:
    angle = 0.7
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mix = get_link("he2-mix")
    plain, turned = (
        information("he2-mix"),
        label_information(Link("turned", 2, lambda z: mix(z @ turn.T)), seed=3),
    )
    assert plain.alpha_c is not None
    assert turned.alpha_c_error is not None
    assert (turned.second_order != plain.second_order).any()
    assert turned.alpha_c == pytest.approx(plain.alpha_c, abs=6 * turned.alpha_c_error)
    assert turned.second_order == pytest.approx(
        turn.T @ plain.second_order @ turn, abs=6 * turned.second_order_error
    )
    assert abs(turned.directions[0] @ turn.T[:, 0]) == pytest.approx(1, abs=1e-3)


def test_first_order_of_several_features() -> None:
    # y = z1 + z2: E[z | y] = y/2 (1, 1); G = (y²/2 − 1) e eᵀ, e = (1, 1)/√2.
    found = label_information(Link("sum", 2, lambda z: z.sum(axis=1)))
    assert found.generative_exponent == 1
    assert found.first_order == pytest.approx(np.full((2, 2), 0.5), abs=4 * found.first_order_error)
    assert found.strengths == pytest.approx([2.0], abs=4 * found.second_order_error)


def test_projected_conditional_moment_is_what_a_sample_says() -> None:
    link = get_link("polynomial:rank=2,degree=3,seed=4")
    moment = conditional_second_moment(link)
    z = np.random.default_rng(5).standard_normal((500_000, 2))
    y = link(z)
    for level in (0.02, 0.2, 0.5, 0.8, 0.97):
        near = np.abs(y - np.quantile(y, level)) < 0.02
        outer = z[near, :, None] * z[near, None, :]
        predicted = moment(y[near])
        assert np.linalg.eigvalsh(predicted).min() > -1e-12
        error = 5 * outer.std(axis=0) / math.sqrt(len(outer)) + 0.03
        assert (np.abs(predicted.mean(axis=0) - outer.mean(axis=0)) < error).all()


def test_names_will_do() -> None:
    link = get_link("cos2z")
    assert label_information("cos2z").alpha_c == label_information(link).alpha_c
    assert optimal_transform("cos2z").link is link
    y = np.linspace(-1, 1, 5)
    assert (conditional_second_moment("cos2z")(y) == conditional_second_moment(link)(y)).all()


def test_same_arguments_same_answer() -> None:
    link = get_link("phase-retrieval")
    one, two = information("phase-retrieval", 0.3), label_information(link, noise=0.3)
    assert (one.second_order == two.second_order).all()


def test_noise_alone_makes_no_information() -> None:
    # The plain square of the mean coefficients would be 50/4 here on average.
    rng = np.random.default_rng(3)
    found = [_cross_products(list(rng.standard_normal((4, 50, 1))))[0].item() for _ in range(400)]
    assert abs(np.mean(found)) < 5 * np.std(found) / 20
    assert np.std(found) < 4


@pytest.mark.parametrize(
    "function",
    [
        lambda z: 0 * z[:, 0] + 3,
        lambda z: 0.1 * np.sign(z[:, 0]) + 0.2 * np.sign(z[:, 1]),
        lambda z: np.round(3 * z[:, 0] * z[:, 1]),
        lambda z: 1e150 * np.clip(z[:, 0] * z[:, 1], -0.5, 2),
    ],
)
def test_odd_links_are_served(function) -> None:
    link = Link("odd", 2, function)
    found = conditional_moments(link)
    assert np.isfinite(found.gram.best).all()
    assert found.gram.error() < 5e-3
    moment = found.second_moment(np.array([-1e200, -0.3, 0.0, 1.0, 1e200]))
    assert moment.shape == (5, 2, 2)
    assert np.linalg.eigvalsh(moment).min() > -1e-12


# --- the map M → E[G M G] ---------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3, 6])
def test_maximiser_solves_the_symmetric_eigenproblem(rank: int) -> None:
    rng = np.random.default_rng(rank)
    G = rng.standard_normal((40, rank, rank))
    G = G + G.transpose(0, 2, 1)
    gram = np.einsum("kab,kcd->abcd", G, G) / 40
    matrix = _maximiser(gram, 1e-12)
    dense = np.linalg.eigvalsh(np.einsum("kab,kcd->adbc", G, G).reshape(rank**2, rank**2) / 40)
    assert _rayleigh(gram, matrix) == pytest.approx(dense[-1], rel=1e-10)
    assert np.einsum("kab,bc,kcd->ad", G, matrix, G) / 40 == pytest.approx(
        dense[-1] * matrix, rel=1e-6, abs=1e-9
    )
    assert np.linalg.eigvalsh(matrix)[0] >= 0
    assert np.trace(matrix) == pytest.approx(1)
    # One direction cannot do better than the cone that contains it.
    assert _quartic(gram, _best_direction(gram)) <= dense[-1] * (1 + 1e-12)


def test_best_direction_is_the_best_on_the_circle() -> None:
    rng = np.random.default_rng(8)
    for _ in range(5):
        G = rng.standard_normal((3, 2, 2))
        G = G + G.transpose(0, 2, 1)
        gram = np.einsum("kab,kcd->abcd", G, G)
        angle = np.linspace(0, math.pi, 20_001)
        circle = np.column_stack([np.cos(angle), np.sin(angle)])
        brute = (np.einsum("na,kab,nb->nk", circle, G, circle) ** 2).sum(axis=1).max()
        assert _quartic(gram, _best_direction(gram)) == pytest.approx(brute, rel=1e-6)


def test_jackknife_error_of_a_mean() -> None:
    x = np.random.default_rng(2).standard_normal(12)
    left_out = (x.sum() - x) / 11
    estimate = Estimate(np.array(x.mean()), np.array(x.mean()), left_out)
    assert estimate.error() == pytest.approx(x.std(ddof=1) / math.sqrt(12))
    assert Estimate(np.array(1.0), np.array(0.9), np.empty(0), 0.01).error() == pytest.approx(0.11)


# --- the transform ----------------------------------------------------------------------------


def test_transform_of_phase_retrieval_is_the_known_one() -> None:
    link = get_link("phase-retrieval")
    y = np.array([0.01, 0.3, 1.0, 2.5, 12.0])
    best = optimal_transform(link)
    assert best(y) == pytest.approx((y - 1) / y, rel=1e-6)
    assert best.scalar_alpha == pytest.approx(0.5)
    assert not best.bounded
    regular = optimal_transform(link, alpha=2.0)
    assert regular(y) == pytest.approx((y - 1) / (y + math.sqrt(4.0) - 1), rel=1e-6)
    assert regular.bounded
    assert optimal_transform(link, alpha=0.5 + 1e-9)(y) == pytest.approx(best(y), rel=1e-5)


@pytest.mark.parametrize("name", ["cos2z", "he2", "tent"])
def test_transform_solves_the_threshold_equations(name: str) -> None:
    tent = scalar("tent", lambda z: np.abs(np.abs(z) - 1.3))
    link = tent if name == "tent" else get_link(name)
    transform = optimal_transform(link)
    z = np.linspace(-9, 9, 400_001)
    T = transform(link(z[:, None]))
    psi = T / (1 - T)
    weight = phi(z) * (z[1] - z[0])
    for left in (psi**2, psi * (z**2 - 1)):
        assert 1 / (weight @ left) == pytest.approx(transform.scalar_alpha, rel=5e-4)
    assert transform.scalar_alpha == pytest.approx(label_information(link).alpha_c, rel=1e-8)


def test_transform_of_several_features() -> None:
    signs = optimal_transform(get_link("sign-z1z2"))
    assert np.abs(signs.direction) == pytest.approx(np.full(2, math.sqrt(0.5)), abs=1e-3)
    assert signs.scalar_alpha == pytest.approx(math.pi**2 / 4, abs=4 * signs.scalar_alpha_error)
    sense = np.sign(np.prod(signs.direction))
    psi = 2 / math.pi * sense
    assert signs(np.array([1.0, -1.0])) == pytest.approx(
        [psi / (1 + psi), -psi / (1 - psi)], abs=2e-3
    )
    # First-order information does not stand in the way.
    ramp = optimal_transform(scalar("relu", lambda z: np.maximum(z, 0)), alpha=1.5)
    assert ramp.bounded
    assert np.isfinite(ramp(np.array([-1.0, 0.0, 3.0, 100.0]))).all()


def test_transform_answers_in_kind() -> None:
    transform = optimal_transform(get_link("cos2z"))
    y = np.linspace(-1, 1, 12)
    assert transform(y.astype(np.float32)).dtype == np.float32
    assert transform(np.array([0, 1])).dtype == np.float64
    tensor = torch.tensor(y.reshape(3, 4), dtype=torch.float32)
    answer = transform(tensor)
    assert answer.dtype == torch.float32
    assert answer.shape == (3, 4)
    assert answer.numpy().ravel() == pytest.approx(transform(y), rel=1e-4)


def test_transform_as_label_transform() -> None:
    transform = optimal_transform(get_link("cos2z"))
    label = transform.label_transform()
    assert (label.name, label.bounded) == ("optimal", True)
    assert optimal_transform(get_link("abs")).label_transform().bounded is False
    # Laws are kept by transform: equal and hashable by identity.
    assert label == transform.label_transform()
    assert hash(label) == hash(transform.label_transform())
    assert len({transform, optimal_transform(get_link("cos2z"))}) == 2
    law = label_law("cos2z", label, centred=False)
    assert label_law("cos2z", transform.label_transform(), centred=False) is law
    assert np.abs(law.T - transform(law.y)).max() < 1e-12
    # E T = 1 − E[1/(1 + ψ)], which all three remove.
    assert law.weights @ law.T < -0.1
    analysis = analyse_transform("cos2z", label)
    assert analysis.mean == pytest.approx(float(law.weights @ law.T), rel=1e-6)
    trajectory = predict_trajectory("cos2z", label, dim=64, samples=2048, steps=2)
    assert trajectory.alignment[2] > 10 / 64


def test_transform_as_loss() -> None:
    transform = optimal_transform(get_link("cos2z"))
    loss = transform.as_loss()
    assert (loss.name, loss.curvature_bound, loss.lipschitz) == ("optimal", 1.0, True)
    assert not optimal_transform(get_link("abs")).as_loss().lipschitz
    y = np.linspace(-0.9, 0.9, 7)
    assert loss.label_transform(y, 0.3) == pytest.approx(transform(y) - 0.3)
    assert loss.value is not None
    slope = (loss.value(0.2 + 1e-6, y) - loss.value(0.2 - 1e-6, y)) / 2e-6
    assert loss.derivative(0.2, y) == pytest.approx(slope, abs=1e-6)
    f = torch.zeros(2, 7, dtype=torch.float64)
    assert loss.derivative(f, torch.tensor(y)).shape == (2, 7)


# --- errors -----------------------------------------------------------------------------------


def test_refusals() -> None:
    square = get_link("phase-retrieval")
    with pytest.raises(InputError, match=r"rank=13: expected at most 12"):
        label_information(Link("wide", 13, lambda z: z.sum(axis=1)))
    with pytest.raises(InputError, match=r"noise=-1"):
        label_information(square, noise=-1.0)
    with pytest.raises(InputError, match=r"seed=-1"):
        conditional_moments(square, seed=-1)
    with pytest.raises(InputError, match="finite labels"):
        label_information(scalar("log", lambda z: np.where(z > 0, z, np.nan)))
    for function in (lambda z: np.exp(z**4), np.log):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InputError, match="finite labels"):
                label_information(scalar("overflow", function))
    with pytest.raises(InputError, match=r"link='cos3z'"):
        conditional_second_moment("cos3z")
    with pytest.raises(InputError, match=r"rank=2: link cos2z has rank 1"):
        optimal_transform("cos2z", rank=2)
    with pytest.raises(InputError, match=r"alpha=0.4: expected at least 0.5"):
        optimal_transform(square, alpha=0.4)
    for link in (get_link("sign-z1z2z3"), scalar("sign", np.sign)):
        with pytest.raises(InputError, match="second-order information"):
            optimal_transform(link)
