"""Expectations over (z, T): quadrature, constants, laws, tails and their reduction to a measure.

Oracles: closed forms, one-dimensional adaptive integrals (`scipy.integrate.quad`) and large
samples; nothing here reuses the boxes or panels of the code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import chi2, norm

from mimverify.network.losses import Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.theory.labels.label_law import (
    LabelLaw,
    label_law,
    realised_law,
    sampled_law,
    truncated_law,
)
from mimverify.theory.labels.label_measure import label_measure, pack_dual, unpack
from mimverify.theory.labels.quadrature import MAX_DIMENSIONS, normal_rule
from mimverify.theory.labels.tails import tail_of
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.training.centring import Centring, fit_constant
from normal import phi, upper

Function = Callable[[Float64Array], Float64Array]
EPS = float(np.finfo(float).eps)


def scalar(name: str, function: Callable[[Float64Array], ArrayLike]) -> Link:
    """A link of rank 1."""
    return Link(name, 1, lambda z: function(z[:, 0]))


def gauss(function: Callable[[float], float], *kinks: float) -> float:
    """E φ(z), z ~ N(0, 1), by QUADPACK between the kinks; to about 1e-13."""
    cuts = [-12.0, *sorted(kinks), 12.0]
    return math.fsum(
        quad(lambda z: function(z) * phi(z), a, b, epsabs=1e-14, epsrel=1e-13, limit=400)[0]
        for a, b in pairwise(cuts)
    )


def integral(function: Function, dimensions: int) -> tuple[float, float]:
    """E of a function by a rule that resolves it, and the estimate of its error."""
    rule = normal_rule(lambda z: function(z)[:, None], dimensions)
    values = function(rule.nodes)
    result = float(rule.weights @ values)
    rounding = 8 * EPS * float(rule.weights @ np.abs(values))  # as `LabelLaw.mean` adds
    if rule.replicates > 1:
        parts = values.reshape(rule.replicates, -1).mean(axis=1)
        return result, 2 * float(np.std(parts, ddof=1)) / math.sqrt(rule.replicates) + rounding
    nodes, weights = rule.check
    return result, abs(result - float(weights @ function(nodes))) + rounding


def double_factorial(k: int) -> int:
    return math.prod(range(k - 1, 0, -2))


# --- quadrature -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("powers", "relative"),
    # What the rule refines to (relative to E|φ|); in three dimensions, seven nodes per axis and
    # the cap on the number of nodes come first.
    [
        *(((k,), 1e-12) for k in (0, 1, 2, 3, 8, 16)),
        *((k, 1e-9) for k in ((2, 2), (4, 6), (3, 2))),
        *((k, 1e-7) for k in ((2, 4, 6),)),
    ],
)
def test_polynomials(powers: tuple[int, ...], relative: float) -> None:
    """E z^k = (k − 1)!! for even k, else 0; also E|z^k| sets the scale."""
    found, _ = integral(lambda z: np.prod(z ** np.array(powers), axis=1), len(powers))
    expected = math.prod(double_factorial(k) if k % 2 == 0 else 0 for k in powers)
    # E|z|^k = 2^(k/2) Γ((k + 1)/2)/√π.
    size = math.prod(2 ** (k / 2) * math.gamma((k + 1) / 2) / math.sqrt(math.pi) for k in powers)
    assert abs(found - expected) <= relative * size


# Integrands with kinks, jumps and narrow peaks whose integrals are known in closed form.
KNOWN: dict[str, tuple[int, Function, float]] = {
    "|z|": (1, lambda z: np.abs(z[:, 0]), math.sqrt(2 / math.pi)),
    "sign(z)": (1, lambda z: np.sign(z[:, 0]), 0.0),
    "sign(z − .3)": (1, lambda z: np.sign(z[:, 0] - 0.3), 1 - 2 * norm.cdf(0.3)),
    "clip z² at 1": (
        1,
        lambda z: np.minimum(z[:, 0] ** 2, 1),
        2 * (norm.cdf(1) - 0.5 - norm.pdf(1)) + 2 * norm.sf(1),
    ),
    "√|z|": (
        1,
        lambda z: np.sqrt(np.abs(z[:, 0])),
        2**0.25 * math.gamma(0.75) / math.sqrt(math.pi),
    ),
    "cos 5z": (1, lambda z: np.cos(5 * z[:, 0]), math.exp(-12.5)),
    "exp z": (1, lambda z: np.exp(z[:, 0]), math.exp(0.5)),
    "peak": (
        1,
        lambda z: np.exp(-5000 * (z[:, 0] - 0.123) ** 2),
        math.exp(-5000 * 0.123**2 / 10001) / math.sqrt(10001),
    ),
    "max of 2": (2, lambda z: z.max(axis=1), 1 / math.sqrt(math.pi)),
    "relu relu": (2, lambda z: np.prod(np.maximum(z, 0), axis=1), 1 / (2 * math.pi)),
    "|z1 + z2|": (2, lambda z: np.abs(z.sum(axis=1)), 2 / math.sqrt(math.pi)),
    "|z1 z2|": (2, lambda z: np.abs(np.prod(z, axis=1)), 2 / math.pi),
    "norm 2": (2, lambda z: np.linalg.norm(z, axis=1), math.sqrt(math.pi / 2)),
    "wave": (2, lambda z: np.cos(2 * z[:, 0] - 3 * z[:, 1]), math.exp(-6.5)),
    "max of 3": (3, lambda z: z.max(axis=1), 1.5 / math.sqrt(math.pi)),
    "|z1 z2 z3|": (3, lambda z: np.abs(np.prod(z, axis=1)), (2 / math.pi) ** 1.5),
    "ball": (3, lambda z: 1.0 * ((z**2).sum(axis=1) < 1), float(chi2.cdf(1, 3))),
    "square 4": (4, lambda z: z[:, 0] ** 2 * z[:, 3] ** 2, 1.0),
    "norm 5": (
        5,
        lambda z: np.linalg.norm(z, axis=1),
        math.sqrt(2) * math.gamma(3) / math.gamma(2.5),
    ),
    "sign 6": (6, lambda z: np.sign(z.sum(axis=1)) * z[:, 0], math.sqrt(2 / (6 * math.pi))),
}


# Where refinement stops, relative to E|φ|: estimates below it are chance.
TOLERANCE = {1: 1e-12, 2: 1e-9, 3: 1e-8}


@pytest.mark.parametrize("name", KNOWN)
def test_error_estimates_are_honest(name: str) -> None:
    """The change under another rule, or twice the standard error of eight Sobol sets: within a
    factor 4 of the error (both are single draws of quantities of that size)."""
    dimensions, function, expected = KNOWN[name]
    found, estimate = integral(function, dimensions)
    size = max(1.0, abs(expected))
    assert abs(found - expected) <= 4 * estimate + TOLERANCE.get(dimensions, 0.0) * size
    # And they are small: an infinite estimate would be correct, too.
    assert estimate <= {1: 1e-11, 2: 1e-8, 3: 1e-3}.get(dimensions, 3e-3) * size


def test_error_estimates_at_slanted_edges() -> None:
    """Jumps along lines and circles that match no box: boxes of which they cut a corner between
    the outermost nodes look smooth, and only another partition shows it. Error and estimate are
    single draws of one size: a median of their ratios near 1, none beyond 8."""
    ratios = []
    for angle in np.linspace(0.4111, 1.2, 3):
        along = np.array([math.cos(angle), math.sin(angle)])
        found, estimate = integral(lambda z, a=along: 1.0 * (z @ a < 0.7), 2)  # type: ignore[misc]
        ratios.append(abs(found - norm.cdf(0.7)) / estimate)
    for radius in (2 / 3, 5 / 6, 5 / 3):
        found, estimate = integral(lambda z, R=radius: 1.0 * ((z**2).sum(axis=1) < R * R), 2)  # type: ignore[misc]
        ratios.append(abs(found + math.expm1(-(radius**2) / 2)) / estimate)
        # To the accuracy that predictions need: 1e-4 is a hundredth of the boxes' share along it.
        assert abs(found + math.expm1(-(radius**2) / 2)) <= 1e-4
    assert np.median(ratios) <= 2
    assert max(ratios) <= 8


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_rules_are_probabilities_and_deterministic(dimensions: int) -> None:
    def monitor(z: Float64Array) -> Float64Array:
        return np.abs(z).sum(axis=1)[:, None]

    first, second = normal_rule(monitor, dimensions), normal_rule(monitor, dimensions)
    np.testing.assert_array_equal(first.nodes, second.nodes)
    np.testing.assert_array_equal(first.weights, second.weights)
    for nodes, weights in ((first.nodes, first.weights), first.check):
        assert nodes.shape == (len(weights), dimensions)
        assert (weights > 0).all()
        assert abs(weights.sum() - 1) <= 1e-12  # a million roundings, pairwise summed: far less
    assert len(first.nodes) % first.replicates == 0
    assert (first.replicates > 1) == (dimensions > 3)


def test_independent_sobol_sets() -> None:
    """Replicates differ, else their spread would be zero; each is finer than random points."""
    rule = normal_rule(lambda z: z, 4)
    parts = rule.nodes.reshape(rule.replicates, -1, 4)
    means = (parts**2).mean(axis=(1, 2))
    assert len(np.unique(means)) == rule.replicates
    # Plain Monte Carlo would give √(2/(4·2^16)) = .0028; Sobol points do ten times better.
    assert np.abs(means - 1).max() <= 3e-4


@pytest.mark.parametrize("dimensions", [MAX_DIMENSIONS + 1, 100, 0, -1, 1.0, True])
def test_dimensions_refused(dimensions: object) -> None:
    with pytest.raises(InputError, match="dimensions="):
        normal_rule(lambda z: z, dimensions)  # type: ignore[arg-type]


def test_most_dimensions() -> None:
    found, estimate = integral(lambda z: (z**2).sum(axis=1), MAX_DIMENSIONS)
    assert abs(found - MAX_DIMENSIONS) <= 2 * estimate <= 0.01


# --- constants under a law ------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "huber:0.7", "pseudo-huber", "log-cosh", "l1"])
def test_weights_are_repetitions(loss: str) -> None:
    """A label of weight k/N is k labels among N."""
    rng = np.random.default_rng(0)
    y = rng.standard_exponential(40) + 3
    counts = rng.integers(1, 6, 40)
    if counts.sum() % 2 == 0:  # an odd number has one median, on which both definitions agree
        counts[0] += 1
    weighted = fit_constant(get_loss(loss), y, counts / counts.sum())
    repeated = fit_constant(get_loss(loss), np.repeat(y, counts))
    # The mean's root: 200 terms of at most max(δ, |y − c|) ≤ 10 in either order of summation,
    # divided by the slope of the mean, at least a tenth here.
    assert abs(weighted.constant - repeated.constant) <= 10 * 200 * 10 * EPS
    assert abs(weighted.offset - repeated.offset) <= 200 * 10 * EPS


def test_weighted_estimates_by_hand() -> None:
    """Labels 0, 1, 10 of weights .5, .3, .2."""
    y, w = np.array([0.0, 1.0, 10.0]), np.array([0.5, 0.3, 0.2])
    assert fit_constant(get_loss("squared"), y, w).constant == pytest.approx(2.3, rel=4 * EPS)
    # Huber(1) between 0 and 1: .5 c + .3 (c − 1) − .2 = 0 ⇒ c = 5/8.
    assert fit_constant(get_loss("huber"), y, w).constant == pytest.approx(0.625, rel=8 * EPS)
    # Median on an atom: l' = sign(c − y) has mean 0·.3 + .6 − .2 = .4 at c = 1.
    heavy = fit_constant(get_loss("l1"), y, np.array([0.3, 0.5, 0.2]))
    assert heavy.constant == 1.0
    assert heavy.offset == pytest.approx(0.3 - 0.2, abs=4 * EPS)
    with pytest.raises(InputError, match="constant"):
        fit_constant(get_loss("l1"), np.ones(3), w)


def test_roots_beyond_the_labels() -> None:
    """A loss whose minimum is not at f = y: (f − y²)²/2 has its root at mean y²."""
    loss = Loss("square of squares", derivative=lambda f, y: f - y**2)
    y = np.array([3.0, 4.0, 5.0])
    assert fit_constant(loss, y).constant == pytest.approx(50 / 3, rel=8 * EPS)
    w = np.array([0.5, 0.25, 0.25])
    assert fit_constant(loss, y, w).constant == pytest.approx(4.5 + 4 + 6.25, rel=8 * EPS)
    below = Loss("negative", derivative=lambda f, y: f + 100 * y)
    assert fit_constant(below, y).constant == pytest.approx(-400, rel=8 * EPS)
    for derivative in (lambda f, y: np.exp(f), lambda f, y: 0 * f - 1):  # no root at all
        with pytest.raises(InputError, match="expected a change from negative to positive"):
            fit_constant(Loss("rootless", derivative=derivative), y)


# --- the law --------------------------------------------------------------------------

LAWS = [
    ("cos2z", "huber", 0.0),
    ("cos2z", "l1", 0.3),
    ("relu-sum", "log-cosh", 0.0),
    ("sign-z1z2", "l1", 0.0),
    ("abs", "pseudo-huber", 0.5),
    ("z1z2z3", "log-cosh", 0.2),  # four dimensions: Sobol points
]


@pytest.mark.parametrize(("link", "loss", "noise"), LAWS)
def test_laws_are_centred_and_match_a_sample(link: str, loss: str, noise: float) -> None:
    """E T, E T², E T z_i z_j and E T² z_i² against 200 000 draws centred by themselves."""
    law = label_law(link, loss, noise=noise)
    size = float(law.weights @ np.abs(law.T))
    assert abs(law.weights @ law.T) <= 64 * EPS * size  # pairwise sums of 6e5 terms
    n = 200_000
    rng = np.random.default_rng(1)
    z = rng.standard_normal((n, law.rank))
    y = get_link(link)(z) + noise * rng.standard_normal(n)
    assert law.constant is not None
    raw = get_loss(loss).label_transform(y, law.constant)
    # The law's own constant: then the mean of T is removed_mean up to its standard error.
    assert abs(raw.mean() - law.removed_mean) <= 4.5 * raw.std() / math.sqrt(n) + 1e-4
    T = raw - law.removed_mean
    checks = [(T**2, law.T**2)]
    for i in range(law.rank):
        checks.append((T**2 * z[:, i] ** 2, law.T**2 * law.z[:, i] ** 2))
        checks += [
            (T * z[:, i] * z[:, j], law.T * law.z[:, i] * law.z[:, j]) for j in range(i, law.rank)
        ]
    for sample, nodes in checks:
        # 4.5 standard errors: one false alarm in 1.5e5 checks, of which there are fewer than 100;
        # 1e-4 for slanted edges and Sobol points.
        bound = 4.5 * sample.std() / math.sqrt(n) + 1e-4
        assert abs(sample.mean() - law.weights @ nodes) <= bound


def huber_constant(g: Callable[[float], float], delta: float) -> float:
    """The M-estimate by bisection of a QUADPACK integral on a fine grid of cuts."""
    cuts = np.linspace(-8, 8, 161)

    def mean(c: float) -> float:
        return gauss(lambda z: min(max(g(z) - c, -delta), delta), *cuts)

    return float(brentq(mean, -5, 5, xtol=1e-13))


# Medians: 2Φ(√m) − 1 = 1/2 for |z| and z²; the median of cos 2z where ∫ 1{cos 2z > m} φ = 1/2.
QUARTILE = float(norm.ppf(0.75))


def cosine_median() -> float:
    def above(m: float) -> float:
        half = math.acos(m) / 2
        k = math.pi * np.arange(-6, 7)
        return float((norm.cdf(k + half) - norm.cdf(k - half)).sum())

    return float(brentq(lambda m: above(m) - 0.5, -1, 1, xtol=1e-15))


@pytest.mark.parametrize(
    ("link", "loss", "expected", "tolerance"),
    [
        ("he2", "squared", 0.0, 1e-12),
        ("phase-retrieval", "squared", 1.0, 1e-12),
        ("abs", "squared", math.sqrt(2 / math.pi), 1e-12),
        ("cos2z", "squared", math.exp(-2), 1e-12),
        ("relu-sum", "squared", math.sqrt(2 / math.pi), 1e-9),
        # A median lies between two nodes of a refined rule; each refit brings it an order of
        # magnitude nearer, to what the law's 1e-9 for E T allows.
        ("abs", "l1", QUARTILE, 1e-8),
        ("phase-retrieval", "l1", QUARTILE**2, 1e-8),
        ("cos2z", "l1", cosine_median(), 1e-8),
        # QUADPACK across unmarked kinks, a fine grid: 1e-9.
        ("phase-retrieval", "huber", huber_constant(lambda z: z * z, 1), 1e-8),
        ("cos2z", "huber:0.5", huber_constant(lambda z: math.cos(2 * z), 0.5), 1e-8),
    ],
)
def test_constants(link: str, loss: str, expected: float, tolerance: float) -> None:
    law = label_law(link, loss)
    assert law.constant == pytest.approx(expected, abs=tolerance)
    assert law.removed_mean == pytest.approx(0, abs=tolerance)
    if loss == "l1":  # no node sits on the median, where sign(y − c) would be 0
        assert law.check is not None
        assert len(np.unique(law.T)) == len(np.unique(law.check.T)) == 2


def test_median_and_signal_of_relu_sum() -> None:
    """Rank 2 with an atom at y = 0 and a slanted jump of T = sign(y − c), by integrals over z1."""

    def below(t: float) -> float:
        inner = quad(lambda a: phi(a) * (0.5 - upper(t - a)), 0, t, epsabs=1e-13)[0]
        return float(0.25 + (norm.cdf(t) - 0.5) + inner)

    median = float(brentq(lambda t: below(t) - 0.5, 0, 5, xtol=1e-14))
    law = label_law("relu-sum", "l1")
    # In two dimensions a jump is resolved to 1e-5 of the mass; the density at the median is ~ 1/2.
    assert law.constant == pytest.approx(median, abs=1e-4)

    def upper_mass(a: float) -> float:
        """P(y > median | z1 = a)."""
        return 1.0 if a > median else upper(median - max(a, 0.0))

    value = gauss(lambda a: (2 * upper_mass(a) - 1) * (a * a - 1), 0.0, median)
    mean, error = law.mean(lambda law: law.T * (law.z[:, 0] ** 2 - 1))
    assert abs(mean - value) <= 1e-4
    assert error <= 1e-4


# Λ in closed form. cos 2z: E[cos 2z (z² − 1)] = −4 e⁻²; relu-sum: E[relu(z)(z² − 1)] = φ(0).
RELU = 1 / math.sqrt(2 * math.pi)


@pytest.mark.parametrize(
    ("link", "noise", "expected"),
    [
        ("he2", 0.0, [[math.sqrt(2)]]),
        ("he3", 0.0, [[0.0]]),
        ("phase-retrieval", 0.0, [[2.0]]),
        ("cos2z", 0.0, [[-4 * math.exp(-2)]]),
        ("cos2z", 0.5, [[-4 * math.exp(-2)]]),
        ("z1z2", 0.0, [[0.0, 1.0], [1.0, 0.0]]),
        ("relu-sum", 0.0, [[RELU, 0.0], [0.0, RELU]]),
        ("quadratic:1,-0.5", 0.0, [[1.0, 0.0], [0.0, -0.5]]),
    ],
)
def test_lambda_in_closed_form(link: str, noise: float, expected: list[list[float]]) -> None:
    law = label_law(link, "squared", noise=noise)
    values, errors = law.mean(lambda law: law.T[:, None, None] * second_moments(law))
    # Smooth or kinked along axes: the rule's own tolerance in one and two dimensions, relative to
    # E|T z z| ≤ 20.
    tolerance = {1: 1e-11, 2: 2e-8}[law.rank + bool(noise)]
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance)
    assert (np.abs(values - expected) <= 4 * errors + 1e-15).all()


def second_moments(law: LabelLaw) -> Float64Array:
    return law.z[:, :, None] * law.z[:, None, :] - np.eye(law.rank)


@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_huber_moments_of_a_cosine(delta: float) -> None:
    """λ, v, u of Huber at cos 2z by QUADPACK, with the kinks given."""
    name = f"huber:{delta}"
    law = label_law("cos2z", name)
    assert law.constant is not None
    c = law.constant
    kinks = [
        (sign * math.acos(level) + 2 * math.pi * k) / 2
        for level in (c - delta, c + delta)
        if abs(level) < 1
        for sign in (-1, 1)
        for k in range(-3, 4)
    ]
    assert kinks

    def T(z: float) -> float:
        return min(max(math.cos(2 * z) - c, -delta), delta)

    for values, function in [
        (law.T * law.z[:, 0] ** 2, lambda z: T(z) * z * z),
        (law.T**2, lambda z: T(z) ** 2),
        (law.T**2 * law.z[:, 0] ** 2, lambda z: T(z) ** 2 * z * z),
    ]:
        assert law.weights @ values == pytest.approx(gauss(function, *kinks), abs=1e-10)


@pytest.mark.parametrize("loss", ["l1", "squared", "log-cosh"])
def test_atoms_stay_atoms(loss: str) -> None:
    """y = ±1 with equal mass: T takes two values of equal modulus and opposite sign, mean 0."""
    law = label_law("sign-z1z2", loss)
    values, index = np.unique(np.round(law.T, 9), return_inverse=True)
    masses = np.bincount(index, weights=law.weights)
    assert len(values) == 2
    np.testing.assert_allclose(masses, 0.5, rtol=0, atol=1e-9)
    assert values[0] == pytest.approx(-values[1], abs=1e-8)
    assert values[1] > 0.1


@pytest.mark.parametrize("level", [0.3, -0.8])
def test_atoms_of_unequal_mass(level: float) -> None:
    """y = 1{z > t}, l1: the median is the heavier atom, T centred has mean 0, E T² = p(1 − p)."""
    law = label_law(scalar(f"step {level}", lambda z: 1.0 * (z > level)), "l1")
    p = float(norm.sf(level))
    assert law.constant == (1.0 if p > 0.5 else 0.0)
    assert law.weights @ law.T**2 == pytest.approx(p * (1 - p), abs=1e-11)
    # Λ = E[1{z > t}(z² − 1)] = t φ(t).
    found = law.weights @ (law.T * (law.z[:, 0] ** 2 - 1))
    assert found == pytest.approx(level * norm.pdf(level), abs=1e-11)


def test_noise_is_one_more_dimension() -> None:
    law = label_law("cos2z", "squared", noise=0.7)
    assert law.z.shape[1] == law.rank == 1
    variance = (1 + math.exp(-8)) / 2 - math.exp(-4)
    assert law.weights @ law.T**2 == pytest.approx(variance + 0.49, abs=1e-8)
    fourth = law.mean(lambda law: (law.y - np.cos(2 * law.z[:, 0])) ** 4)[0]
    assert fourth == pytest.approx(3 * 0.7**4, abs=1e-8)
    wide = Link("wide", MAX_DIMENSIONS, lambda z: z.sum(axis=1) ** 2)
    with pytest.raises(InputError, match="label noise counts as one"):
        label_law(wide, "squared", noise=0.1)


@pytest.mark.parametrize(
    ("link", "loss", "message"),
    [
        (scalar("flat", lambda z: 0 * z + 2), "squared", "constant"),
        (scalar("flat", lambda z: 0 * z + 2), "l1", "constant"),
        (
            scalar("abs", np.abs),
            LabelTransform("step", lambda y: 1.0 * (y > -1)),
            "T\\(y\\) is constant for link abs",
        ),
        (
            scalar("abs", np.abs),
            LabelTransform("log", lambda y: np.where(y < 1, np.nan, y)),
            "T\\(y\\) is not",
        ),
        (scalar("abs", np.abs), LabelTransform("sum", lambda y: y.sum()), "T\\(y\\) is not"),
    ],
)
def test_laws_refused(link: Link, loss: Loss | LabelTransform | str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        label_law(link, loss)


@pytest.mark.parametrize(("link", "loss", "noise"), LAWS)
def test_error_estimates_of_laws(link: str, loss: str, noise: float) -> None:
    """Where the value is known by symmetry or normalisation: E z_i² = 1 and E T² z_i z_j for an
    even link (0); each within 4 estimates, 1e-4 for slanted edges."""
    law = label_law(link, loss, noise=noise)
    value, error = law.mean(lambda law: law.z[:, 0] ** 2)
    assert abs(value - 1) <= 4 * error + 1e-8
    assert 0 < error <= 1e-3
    zero, error = law.mean(lambda law: law.T * law.z[:, 0])
    if link not in ("relu-sum",):  # the only one that is not even in z1 (jointly with z2)
        assert abs(zero) <= 4 * error + 1e-5


def test_transforms_keep_or_lose_their_mean() -> None:
    transform = LabelTransform("tanh", lambda y: np.tanh(y - 1), bounded=True)
    mean = gauss(lambda z: math.tanh(z * z - 1))
    kept = label_law("phase-retrieval", transform, centred=False)
    assert kept.constant is None
    assert kept.removed_mean == 0
    assert kept.weights @ kept.T == pytest.approx(mean, abs=1e-12)
    lost = label_law("phase-retrieval", transform)
    assert lost.removed_mean == pytest.approx(mean, abs=1e-12)
    np.testing.assert_allclose(lost.T, kept.T - mean, rtol=0, atol=1e-12)
    of_loss = LabelTransform.of_loss(get_loss("huber"), Centring(2.0, 0.25))
    np.testing.assert_array_equal(of_loss(np.array([-9.0, 2.5, 9.0])), [-0.75, 0.75, 1.25])
    assert of_loss.bounded is True


@pytest.mark.parametrize("n", [10, 1000, 10**6])
def test_truncated_law(n: int) -> None:
    """|T| is cut where one label in n exceeds it: for he2, (z² − 1)/√2 at P(|z| > s) = 1/n."""
    law = truncated_law("he2", "squared", n)
    assert abs(law.weights @ law.T) <= 1e-13
    assert law.weights.sum() == pytest.approx(1, abs=1e-13)
    s = float(norm.isf(0.5 / n))
    # At n = 10 the lower end, T = −1/√2, is inside.
    cut = s * s
    mean = gauss(lambda z: z * z if z * z < cut else 0.0, -s, s) / (1 - 1 / n)
    top = (cut - mean) / math.sqrt(2)
    spacing = 0.2 * (1 + s)  # of nodes that far out: 16 in boxes of width 6 and less
    assert top - spacing <= law.T.max() <= top + spacing
    again = truncated_law("he2", "squared", n)
    np.testing.assert_array_equal(law.T, again.T)


def test_truncation_changes_little() -> None:
    """v of he2 loses what lies above the cut, E[T²; |T| > t], and a part of its mean's square."""
    full, cut = label_law("he2", "squared"), truncated_law("he2", "squared", 10**6)
    lost = full.weights @ full.T**2 - cut.weights @ cut.T**2
    s = float(norm.isf(0.5e-6))
    tail = 2 * quad(lambda z: phi(z) * (z * z - 1) ** 2 / 2, s, 12)[0]
    assert 0.2 * tail <= lost <= 5 * tail  # the cut falls on a node


@pytest.mark.parametrize("loss", ["squared", "l1", "huber"])
def test_sampled_laws(loss: str) -> None:
    law = sampled_law("cos2z", loss, 501, noise=0.2, seed=3)
    assert law.sampled
    assert law.tail.bounded is True
    np.testing.assert_array_equal(law.weights, 1 / 501)
    assert abs(law.T.mean()) <= 8 * EPS
    np.testing.assert_array_equal(sampled_law("cos2z", loss, 501, noise=0.2, seed=3).y, law.y)
    assert (sampled_law("cos2z", loss, 501, noise=0.2, seed=4).y != law.y).all()
    estimates: dict[str, Callable[[Float64Array], ArrayLike]] = {
        "squared": np.mean,
        "l1": np.median,
        "huber": huber_of_sample,
    }
    by_hand = estimates[loss]
    assert law.constant == pytest.approx(float(by_hand(law.y)), abs=1e-12)
    residual = law.y - np.cos(2 * law.z[:, 0])
    assert residual.std() == pytest.approx(0.2, rel=4 / math.sqrt(2 * 501))
    # A sample is taken as it is: its means have no error.
    assert law.mean(lambda law: law.T**2)[1] == 0


def huber_of_sample(y: Float64Array) -> float:
    return float(brentq(lambda c: np.clip(y - c, -1, 1).sum(), y.min(), y.max(), xtol=1e-15))


def test_realised_law() -> None:
    z = np.array([[1.0], [2.0], [-1.0], [0.5]])
    y = np.array([1.0, 4.0, 1.0, 2.0])
    law = realised_law(z, y, "squared")
    assert (law.constant, law.removed_mean) == (2.0, 0.0)
    np.testing.assert_array_equal(law.T, [-1, 2, -1, 0])
    flat = realised_law(z, np.array([1.0, 1.0, 1.0, 2.0]), "l1")  # T = 0, 0, 0, 1, centred
    np.testing.assert_array_equal(flat.T, [-0.25, -0.25, -0.25, 0.75])
    with pytest.raises(InputError, match="y"):
        realised_law(z, y[:3], "squared")
    with pytest.raises(InputError, match="constant"):
        realised_law(z, np.ones(4), "squared")


# --- tails ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "rank", "growth"),
    [
        (lambda z: z[:, 0] ** 2, 1, 2.0),
        (lambda z: np.abs(z[:, 0]) - 5, 1, 1.0),
        (lambda z: np.sqrt(np.abs(z[:, 0])), 1, 0.5),
        (lambda z: np.prod(z, axis=1), 2, 2.0),
        (lambda z: np.prod(z, axis=1), 3, 3.0),
        (lambda z: z[:, 0] ** 2 - z[:, 1] ** 5, 2, 5.0),
        (lambda z: np.maximum(z, 0).sum(axis=1), 2, 1.0),
        (lambda z: np.exp(z[:, 0]), 1, np.inf),
        (lambda z: np.exp(z[:, 0] ** 2), 1, np.inf),  # overflows
        (lambda z: np.cos(2 * z[:, 0]), 1, 0.0),
        (lambda z: np.tanh(np.prod(z, axis=1)), 2, 0.0),
        (lambda z: np.sign(np.prod(z, axis=1)), 3, 0.0),
        (lambda z: z[:, 0] * np.exp(-np.abs(z[:, 0])), 1, 0.0),
    ],
)
def test_tails(function: Function, rank: int, growth: float) -> None:
    tail = tail_of(function, rank)
    assert tail.bounded is (growth == 0)
    # The slope over the last octave: lower-order terms (|z| − 5, z² − z⁵) shift it by a few %.
    assert tail.growth == growth or tail.growth == pytest.approx(growth, rel=0.15)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: np.log1p(np.abs(z[:, 0])),
        lambda z: np.log1p(z[:, 0] ** 2),
        lambda z: np.abs(z[:, 0]) ** 0.1,
        lambda z: np.arcsinh(z[:, 0]),
        lambda z: np.arctan(z[:, 0] / 5),  # bounded, but still rising at |z| = 64
    ],
)
def test_slow_growth_is_undetermined(function: Function) -> None:
    tail = tail_of(function, 1)
    assert (tail.bounded, tail.growth) == (None, None)
    assert str(tail) == "undetermined"
    assert "rises slowly" in tail.rests_on


@pytest.mark.parametrize(
    ("link", "loss", "noise", "bounded"),
    [
        ("he2", "squared", 0.0, False),
        ("he2", "huber", 0.0, True),
        ("cos2z", "squared", 0.0, True),
        ("cos2z", "squared", 0.5, False),  # Gaussian noise has no bound
        ("cos2z", "l1", 0.3, True),
        ("sign-z1z2", "squared", 0.0, True),
    ],
)
def test_tails_of_laws(link: str, loss: str, noise: float, bounded: bool) -> None:
    assert label_law(link, loss, noise=noise).tail.bounded is bounded


def test_links_that_overflow() -> None:
    link = scalar("huge", lambda z: np.where(np.abs(z) > 20, np.inf, z**2))
    tail = tail_of(link, 1)
    assert (tail.bounded, tail.growth) == (False, np.inf)
    assert "faster than any power" in str(tail)


# --- the measure on the axis of T -----------------------------------------------------

# By quadrature, or (a number of labels) a sample: as many nodes as matter, and no order in them.
MEASURES = [
    ("cos2z", "squared", 0),
    ("cos2z", "huber:0.3", 0),
    ("cos2z", "l1", 0),
    ("he2", "squared", 0),
    ("quadratic:1,-0.5", "log-cosh", 0),
    ("z1z2", "huber", 40_000),
    ("tanh3", "huber", 20_000),
    ("tanh3", "squared", 20_000),
]


def law_of(link: str, loss: str, count: int) -> LabelLaw:
    return sampled_law(link, loss, count) if count else label_law(link, loss)


def points_around(low: float, high: float) -> NDArray[np.complex128]:
    """Nodes of circles whose real diameters end a fraction of the range off the support: the
    contours of predictions; their two real points included."""
    span = high - low
    radius = span / 2 + span * np.array([1.0, 1e-2, 1e-5, 1e-9])
    turn = np.exp(1j * np.pi * np.array([0.0, 0.2, 1.0]))
    return np.asarray((low + high) / 2 + np.outer(radius, turn).ravel())


@pytest.mark.parametrize(("link", "loss", "count"), MEASURES)
def test_measures_reproduce_resolvents(link: str, loss: str, count: int) -> None:
    """E[z_i z_j z_k z_l/(w − T)] against the sum over all nodes, relative to E|φ z z z z|.

    18 Chebyshev points and a pole one width away err by (3 + √8)^−18 = 2e-14 of max |φ| on the
    panel (at most 3 times its mean there), times a Lebesgue constant of 3 and the panels'
    alternating signs: 1e-11 leaves a factor 50. And T is known to 2 ε max |T| only, which φ
    multiplies by |φ|²."""
    law = law_of(link, loss, count)
    measure = label_measure(law)
    assert (measure.low, measure.high) == (law.T.min(), law.T.max())
    assert measure.low <= measure.T.min()
    assert measure.T.max() <= measure.high
    assert len(measure.T) < 2000
    i, j = np.triu_indices(law.rank)
    features = np.column_stack([np.ones(len(law.T)), law.z[:, i] * law.z[:, j]])
    sizes = np.abs(features)
    for w in points_around(measure.low, measure.high):
        phi = 1 / (w - law.T)
        direct = features.T @ ((law.weights * phi)[:, None] * features)
        error = np.abs(phi) * (1e-11 + 2 * EPS * np.abs(law.T).max() * np.abs(phi))
        tolerance = sizes.T @ ((law.weights * error)[:, None] * sizes)
        reduced = np.tensordot(1 / (w - measure.T), measure.gram, axes=1)
        assert (np.abs(reduced - direct) <= tolerance).all()


@pytest.mark.parametrize(("link", "loss", "count"), MEASURES)
def test_measures_have_the_moments(link: str, loss: str, count: int) -> None:
    law = law_of(link, loss, count)
    measure = label_measure(law)
    assert measure.mass.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(measure.gram, np.swapaxes(measure.gram, 1, 2), rtol=0, atol=0)
    second = np.einsum("q,qi,qj->ij", law.weights, law.z, law.z)
    np.testing.assert_allclose(measure.second.sum(axis=0), second, rtol=0, atol=1e-11)
    size = np.abs(law.T).max()
    for power in (1, 2, 3, 7, 20):
        # Relative to max|T|^k: T^k is a polynomial, exact up to degree 17 on a panel.
        direct = law.weights @ law.T**power
        assert measure.moment(power) == pytest.approx(direct, abs=1e-11 * size**power)
        matrix = np.einsum("q,qi,qj->ij", law.weights * law.T**power, law.z, law.z)
        found = measure.weighted_second(power)
        # z z of the largest T counts (he2: T grows with z): a larger scale.
        scale = float(law.weights @ (np.abs(law.T) ** power * (law.z**2).sum(axis=1)))
        np.testing.assert_allclose(found, matrix, rtol=0, atol=1e-10 * max(scale, size**power))


def test_measures_without_fourth_moments() -> None:
    law = sampled_law("z1z2", "huber", 20_000)
    full, lean = label_measure(law), label_measure(law, fourth_moments=False)
    np.testing.assert_array_equal(lean.T, full.T)
    # One column of a product of matrices or another number of them: the sums' rounding.
    np.testing.assert_allclose(lean.features, full.features, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(full.gram[:, 0], full.features)
    with pytest.raises(ValueError, match="fourth moments"):
        _ = lean.gram


def test_atoms_are_kept_exactly() -> None:
    """Two values in between and clipped ends: nodes with exactly their masses."""
    rng = np.random.default_rng(5)
    T = np.concatenate([np.clip(rng.standard_normal(5000), -1, 1), np.full(700, 0.125)])
    law = realised_law(rng.standard_normal((len(T), 1)), T, "squared")
    measure = label_measure(law)
    for end, side in ((law.T.min(), 0), (law.T.max(), -1)):
        assert measure.T[side] == end
        there = np.isin(law.T, end)
        assert measure.mass[side] == pytest.approx(there.mean(), rel=1e-12)
        moment = (law.z[there, 0] ** 2).sum() / len(T)
        assert measure.second[side, 0, 0] == pytest.approx(moment, rel=1e-12)
    binary = label_measure(label_law("sign-z1z2", "squared"))
    assert len(binary.T) == 2
    np.testing.assert_allclose(binary.mass, 0.5, rtol=0, atol=1e-12)


def test_small_samples_are_their_own_measure() -> None:
    law = sampled_law("he2", "squared", 18, seed=1)
    measure = label_measure(law)
    np.testing.assert_array_equal(measure.T, np.sort(law.T))
    np.testing.assert_allclose(measure.mass, 1 / 18, rtol=4 * EPS)


@pytest.mark.parametrize("rank", [1, 2, 3, 5])
def test_packing(rank: int) -> None:
    rng = np.random.default_rng(rank)
    A = rng.standard_normal((4, rank, rank))
    A = A + np.swapaxes(A, 1, 2)
    z = rng.standard_normal(rank)
    i, j = np.triu_indices(rank)
    np.testing.assert_array_equal(unpack(A[:, i, j], rank), A)
    form = np.einsum("i,nij,j->n", z, A, z)
    # r² terms of size |A||z|², either way.
    np.testing.assert_allclose(pack_dual(A) @ (z[i] * z[j]), form, rtol=0, atol=1e-13 * rank**2)
    assert unpack(A[0, i, j].astype(complex) * 1j, rank).dtype == complex
